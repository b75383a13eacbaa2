package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/certyard/certyard/stack"
)

func TestLoad(t *testing.T) {
	d := testDir(t)
	if data, err := d.Read("ca/ca.crt"); data != nil || err != nil {
		t.Errorf("no directory: got %q, %v", data, err)
	}
	lock(t, d)
	write(t, d, append(yard(1), stack.File{Path: "empty", Mode: 0o600}))
	if data, err := d.Read("ca/ca.crt"); string(data) != "ca\n" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	for _, p := range []string{"nothing", "ca/nothing", "no/directory/here"} {
		if data, err := d.Read(p); data != nil || err != nil {
			t.Errorf("%s: got %q, %v", p, data, err)
		}
	}
	if data, err := d.Read("empty"); data == nil || len(data) != 0 || err != nil {
		t.Errorf("an empty file: got %#v, %v", data, err)
	}
	got, err := d.Load("ca/ca.crt", "nothing", "compose.yaml")
	want := map[string]string{"ca/ca.crt": "ca\n", "compose.yaml": "version 1"}
	if err != nil || !maps.Equal(text(got), want) {
		t.Errorf("got %q, %v, want %q", text(got), err, want)
	}
	for _, p := range []string{"../x", "/etc/passwd", "", ".lock", ".stage/COMMIT"} {
		if _, err := d.Read(p); err == nil {
			t.Errorf("%q is read", p)
		}
	}
}

func TestOpenKey(t *testing.T) {
	d := begin(t, 1)
	for _, p := range []string{"ca/ca.key", "registry/certs/registry.key"} {
		if err := os.Chmod(filepath.Join(d.Root(), p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Certificates may be open.
	if err := os.Chmod(filepath.Join(d.Root(), "ca/ca.crt"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read("ca/ca.crt"); err != nil {
		t.Error(err)
	}
	_, err := d.Read("ca/ca.key")
	var mode *ModeError
	path := filepath.Join(d.Root(), "ca/ca.key")
	if !errors.As(err, &mode) || mode.Path != path || mode.Have != 0o644 || mode.Chmod() != fmt.Sprintf("chmod 0600 %q", path) {
		t.Fatalf("got %v", err)
	}
	if got, want := mode.Error(), "permissions of private key "+path+" are 0644, required no more than 0600"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := d.ReadAll(); !errors.As(err, &mode) {
		t.Errorf("ReadAll: got %v", err)
	}
}

// TestLoadWhileWriting reads without the lock while another writes, and never
// sees files of two versions at once.
func TestLoadWhileWriting(t *testing.T) {
	d := sweepDir(t)
	paths := []string{"a", "b/c", "b/d/e", "client/cert.pem", "client/key.pem", "f", "registry/auth/htpasswd"}
	versions := func(v int) []stack.File {
		var files []stack.File
		for _, p := range paths {
			files = append(files, file(p, fmt.Sprint(v)))
		}
		return files
	}
	lock(t, d)
	write(t, d, versions(0))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for v := 0; ctx.Err() == nil; v++ {
			if _, err := d.Write(versions(v)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	reader := Open(d.Root(), opts)
	seen := map[string]bool{}
	for reads := 0; len(seen) < 20; reads++ {
		files, err := reader.Load(paths...)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if string(files[p]) != string(files["a"]) {
				t.Fatalf("read %d sees %q", reads, text(files))
			}
		}
		seen[string(files["a"])] = true
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLoadGivesUp meets a directory that is different each time.
func TestLoadGivesUp(t *testing.T) {
	d := begin(t, 1)
	path, n := filepath.Join(d.Root(), "compose.yaml"), 0
	_, err := d.load(func(*tree) ([]string, error) {
		n++
		return []string{"compose.yaml"}, errors.Join(os.Remove(path), os.WriteFile(path, fmt.Append(nil, n), 0o600))
	})
	if err == nil || n < attempts {
		t.Errorf("got %v after %d readings", err, n)
	}
}
