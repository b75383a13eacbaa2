package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

func exportedKey(data string) stack.File {
	return stack.File{Path: "ca.key", Mode: 0o600, Once: true, Data: []byte(data)}
}

// TestExportRefuses: what stands in the place of a key is refused without a
// wait, and nothing of the set is written.
func TestExportRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		lay  func(path string) error
		want string
	}{
		"a pipe":      {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "ca.key is a device, pipe or socket, want a file"},
		"a directory": {func(p string) error { return os.Mkdir(p, 0o700) }, "ca.key is a directory, want a file"},
		"a link to the same": {func(p string) error {
			return errors.Join(os.WriteFile(p+".real", []byte("key"), 0o600), os.Symlink(p+".real", p))
		}, "ca.key is a symbolic link, want a file"},
		"a link to nothing": {func(p string) error { return os.Symlink("none", p) }, "ca.key is a symbolic link, want a file"},
		"a huge file": {func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, maxUserFile+1))
		}, "larger than 16 MiB"},
		"another key": {func(p string) error { return os.WriteFile(p, []byte("other"), 0o600) }, "exists with other content"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.lay(filepath.Join(dir, "ca.key")); err != nil {
				t.Fatal(err)
			}
			files := []stack.File{{Path: "ca.crt", Mode: 0o644, Data: []byte("cert")}, exportedKey("key")}
			for _, export := range []func(string, []stack.File) error{CheckExport, Export} {
				if err := export(dir, files); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
			}
			if _, err := os.Lstat(filepath.Join(dir, "ca.crt")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a part was written: %v", err)
			}
		})
	}
}

// TestExportAfterKill: a run that was killed leaves a file with the key beside
// its place. The next run leaves nothing but what it was asked for, also when
// the killed one had come as far as the place.
func TestExportAfterKill(t *testing.T) {
	for name, placed := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			aside, path := filepath.Join(dir, ".certyard-ca.key"), filepath.Join(dir, "ca.key")
			if err := os.WriteFile(aside, []byte("key"), 0o600); err != nil {
				t.Fatal(err)
			}
			if placed {
				if err := os.Link(aside, path); err != nil {
					t.Fatal(err)
				}
			}
			if err := Export(dir, []stack.File{exportedKey("key")}); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != "ca.key" {
				t.Errorf("it leaves %v, %v", entries, err)
			}
		})
	}
}

// TestExportAside: what is in the way of the file beside, and is not what an
// earlier run left, stays.
func TestExportAside(t *testing.T) {
	for name, lay := range map[string]func(t *testing.T, path string) error{
		"a link":      func(_ *testing.T, p string) error { return os.Symlink("elsewhere", p) },
		"a pipe":      func(_ *testing.T, p string) error { return syscall.Mkfifo(p, 0o600) },
		"a directory": func(_ *testing.T, p string) error { return os.Mkdir(p, 0o700) },
		"a file of another run": func(t *testing.T, p string) error {
			f, err := os.Create(p)
			if err != nil {
				return err
			}
			t.Cleanup(func() { f.Close() })
			return lockAside(f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			aside := filepath.Join(dir, ".certyard-ca.key")
			if err := lay(t, aside); err != nil {
				t.Fatal(err)
			}
			err := Export(dir, []stack.File{exportedKey("key")})
			_, kind := errors.AsType[*KindError](err)
			_, locked := errors.AsType[*LockedError](err)
			if !kind && !locked {
				t.Errorf("got %v", err)
			}
			if _, err := os.Lstat(aside); err != nil {
				t.Errorf("it is gone: %v", err)
			}
		})
	}
}

// TestCheckExported: a key is carried away when its copy is whole and a file of
// its own.
func TestCheckExported(t *testing.T) {
	for name, c := range map[string]struct {
		lay  func(original, path string) error
		want string
	}{
		"a copy":        {func(_, p string) error { return os.WriteFile(p, []byte("key"), 0o600) }, ""},
		"a hard link":   {os.Link, "is the same file as"},
		"a link":        {os.Symlink, "is a symbolic link"},
		"a part of it":  {func(_, p string) error { return os.WriteFile(p, []byte("ke"), 0o600) }, "it is not what was written"},
		"nothing there": {func(_, _ string) error { return nil }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := t.TempDir(), t.TempDir()
			original := filepath.Join(here, "ca.key")
			if err := errors.Join(os.WriteFile(original, []byte("key"), 0o600), c.lay(original, filepath.Join(there, "ca.key"))); err != nil {
				t.Fatal(err)
			}
			err := CheckExported(there, exportedKey("key"), original)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestInside: links and what does not exist yet hide nothing.
func TestInside(t *testing.T) {
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	if err := errors.Join(os.MkdirAll(at("yard/ca"), 0o700), os.Symlink("yard/ca", at("link")), os.Symlink(".", at("self")), os.Mkdir(at("yard2"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"yard": true, "yard/": true, "yard/ca": true, "yard/new/deep": true, "link": true, "link/new": true,
		"self/yard": true, "yard/ca/../../yard": true, "link/../new": false, // Clean knows no links, as the shell's cd
		".": false, "yard2": false, "yards": false, "new": false, "self/new": false,
	} {
		if got, err := Inside(at(path), at("yard")); err != nil || got != want {
			t.Errorf("Inside(%q) = %v, %v, want %v", path, got, err, want)
		}
	}
	if got, err := Inside(at("new"), at("none")); got || err != nil {
		t.Errorf("inside of nothing: %v, %v", got, err)
	}
}
