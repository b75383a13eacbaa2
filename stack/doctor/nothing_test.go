package doctor_test

import (
	"context"
	"errors"
	"net"
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
	put(t, file, "services:\n  one: {image: \"registry:3\"}\n  two: {image: \"registry:2\"}\n  builder: {image: moby/buildkit}\n  web: {image: nginx}\n")
	if got := foundBy(t, doctor.Deps{}, doctor.Target{Compose: file, FilesOnly: true}, "wiring.several"); len(got) != 1 || got[0].Object != "two" || got[0].Line != 3 {
		t.Errorf("two registries: %+v", got)
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

// TestNobodyAnswers: where nothing answers, the rest is not said to hold.
func TestNobodyAnswers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	d := doctor.Deps{Now: time.Now, Load: compose.LoadFile}
	result, err := doctor.Examine(t.Context(), d, doctor.Target{Registry: address})
	if err != nil || len(result.Findings) != 1 || result.Findings[0].Rule != "probe.unreachable" {
		t.Fatalf("%+v, %v", result.Findings, err)
	}
	if held, _ := result.Count(doctor.Probes); held > 2 {
		t.Errorf("%d rules about connections are said to hold", held)
	}
	for _, c := range result.Checks {
		if c.ID == "probe.name" && (c.Outcome != doctor.Skipped || c.Because != "probe.unreachable") {
			t.Errorf("%s is %s because of %q", c.ID, c.Outcome, c.Because)
		}
	}
}

// TestUncertainMend: the line that has a registry verified is offered where its
// certificate stands up to it, and not before.
func TestUncertainMend(t *testing.T) {
	s := toTheLetter(t, "registry:3", "")
	for _, f := range s.examined(t).Findings {
		if f.Rule == "buildkitd.insecure" && (len(f.Edits) > 0 || !strings.Contains(f.Mend, "certificate first")) {
			t.Errorf("it is offered %v, %s", f.Edits, f.Mend)
		}
	}
}
