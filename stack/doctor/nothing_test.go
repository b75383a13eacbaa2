package doctor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/doctor"
)

// TestNothingToLookAt: where nothing can be judged, that is what is wrong.
func TestNothingToLookAt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	put(t, file, "services:\n  web: {image: \"nginx:1\"}\n  registry: {image: \"registry:3\", profiles: [full]}\n")
	if got := foundBy(t, doctor.Deps{}, doctor.Target{Compose: file, FilesOnly: true}, "wiring.services"); len(got) != 1 || got[0].File != file {
		t.Errorf("a compose file without a registry and a builder: %+v", got)
	}
	certs := filepath.Join(dir, "certs")
	put(t, filepath.Join(certs, "README"), "nothing")
	d := doctor.Deps{Now: time.Now, Load: compose.LoadFile}
	var unseen *doctor.FileError
	if _, err := doctor.Examine(t.Context(), d, doctor.Target{Certs: certs}); !errors.As(err, &unseen) || !strings.Contains(err.Error(), "nothing in it is called as a certificate") {
		t.Errorf("a directory without certificates: %v", err)
	}
	if err := syscall.Mkfifo(filepath.Join(certs, "server.crt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := foundBy(t, doctor.Deps{}, doctor.Target{Certs: certs}, "certs.unreadable"); len(got) != 1 || !strings.Contains(got[0].Problem, "no plain file") {
		t.Errorf("a pipe in place of a certificate: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := doctor.Examine(ctx, d, doctor.Target{Certs: certs}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestTooManyFiles: what is not looked at is told of.
func TestTooManyFiles(t *testing.T) {
	dir := t.TempDir()
	for _, letter := range strings.Split("abcdefghijklmno", "") {
		for _, other := range strings.Split("abcdefghijklmno", "") {
			if err := os.WriteFile(filepath.Join(dir, letter+other+".pem"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := foundBy(t, doctor.Deps{}, doctor.Target{Certs: dir}, "certs.unreadable"); len(got) != 1 || got[0].File != dir {
		t.Errorf("225 files: %+v", got)
	}
}
