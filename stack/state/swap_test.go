package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// swaps are what somebody may put in place of a file or directory of ours. Each
// must stop a write and a read, with an error that names it.
func swaps() map[string]struct {
	at   string
	make func(path, outside string) error
	have string
} {
	type swap = struct {
		at   string
		make func(path, outside string) error
		have string
	}
	to := func(target string) func(string, string) error {
		return func(path, outside string) error {
			return os.Symlink(strings.Replace(target, "OUTSIDE", outside, 1), path)
		}
	}
	return map[string]swap{
		"link to a file outside":      {"registry/auth/htpasswd", to("OUTSIDE/file"), "a symbolic link"},
		"link to a file inside":       {"registry/certs/registry.crt", to("../../ca/ca.crt"), "a symbolic link"},
		"link to nothing":             {"registry/certs/registry.key", to("nothing"), "a symbolic link"},
		"link to a device":            {"registry/certs/registry.crt", to("/dev/zero"), "a symbolic link"},
		"link to a directory outside": {"registry/certs", to("OUTSIDE"), "a symbolic link"},
		"link to a directory inside":  {"registry/certs", to("../ca"), "a symbolic link"},
		"link to itself":              {"registry", to("registry"), "a symbolic link"},
		"directory":                   {"registry/auth/htpasswd", func(p, _ string) error { return os.Mkdir(p, 0o700) }, "a directory"},
		"pipe":                        {"registry/auth/htpasswd", func(p, _ string) error { return unix.Mkfifo(p, 0o600) }, "a device, pipe or socket"},
		"socket":                      {"registry/auth/htpasswd", func(p, _ string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }, "a device, pipe or socket"},
		"pointer outside":             {"registry/certs/..data", to("OUTSIDE"), "a symbolic link"},
		"pointer inside":              {"registry/certs/..data", to("../../ca"), "a symbolic link"},
		"pointer to where it is":      {"registry/certs/..data", to("."), "a symbolic link"},
		"pointer is a directory":      {"registry/certs/..data", func(p, _ string) error { return os.Mkdir(p, 0o700) }, "a directory"},
		"generation outside":          {"registry/certs/..0001", to("OUTSIDE"), "a symbolic link"},
		"generation is a file":        {"registry/certs/..0001", func(p, _ string) error { return os.WriteFile(p, nil, 0o600) }, "a file"},
		"link to another of the role": {"registry/certs/registry.crt", to("..data/registry.key"), "a symbolic link"},
		"link through the pointer":    {"registry/certs/registry.crt", to("..data/../../../ca/ca.crt"), "a symbolic link"},
		"link to a generation":        {"registry/certs/registry.crt", to("..0001/registry.crt"), "a symbolic link"},
		"file":                        {"registry/auth", func(p, _ string) error { return os.WriteFile(p, nil, 0o600) }, "a file"},
	}
}

// outside makes a directory with a file that nobody may touch, and checks that
// nobody has.
func outside(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := mustList(t, dir)
	t.Cleanup(func() {
		if after := mustList(t, dir); after != before {
			t.Errorf("outside of the state directory:\n%s\nbefore\n%s", after, before)
		}
	})
	return dir
}

func TestSwapped(t *testing.T) {
	for name, c := range swaps() {
		t.Run(name, func(t *testing.T) {
			d := begin(t, 1)
			dir := outside(t)
			lock(t, d)
			path := filepath.Join(d.Root(), c.at)
			if err := errors.Join(os.RemoveAll(path), c.make(path, dir)); err != nil {
				t.Fatal(err)
			}
			_, writeErr := d.Write(yard(2))
			_, loadErr := d.Load("ca/ca.crt", "registry/auth/htpasswd", "registry/certs/registry.crt", "registry/certs/registry.key")
			for what, err := range map[string]error{"Write": writeErr, "Load": loadErr} {
				var kind *KindError
				if !errors.As(err, &kind) || kind.Path != path || kind.Have != c.have {
					t.Errorf("%s: got %v, want %s named as %s", what, err, path, c.have)
				}
			}
			if ca, err := os.ReadFile(filepath.Join(d.Root(), "ca/ca.crt")); err != nil || string(ca) != "ca\n" {
				t.Errorf("ca.crt is %q now, %v", ca, err)
			}
			if err := d.Purge(); err != nil {
				t.Errorf("purging: %v", err)
			}
		})
	}
}

// TestSwappedMeanwhile swaps a directory for a link in the middle of a write,
// before each operation in turn: nothing may land behind the link.
func TestSwappedMeanwhile(t *testing.T) {
	for n := 1; ; n++ {
		d := begin(t, 1)
		dir := outside(t)
		lock(t, d)
		left := n
		d.hook = func(string, string) error {
			if left--; left != 0 {
				return nil
			}
			certs := filepath.Join(d.Root(), "registry/certs")
			return errors.Join(os.Rename(certs, certs+".moved"), os.Symlink(dir, certs))
		}
		_, err := d.Write(yard(2))
		if left > 0 {
			break
		}
		var kind *KindError
		if err != nil && !errors.As(err, &kind) {
			t.Errorf("swapped before operation %d: %v", n, err)
		}
	}
}

// TestBookkeepingSwapped does the same with the files of our own.
func TestBookkeepingSwapped(t *testing.T) {
	for name, make := range map[string]func(root, outside string) error{
		".lock": func(root, out string) error {
			return os.Symlink(filepath.Join(out, "file"), filepath.Join(root, ".lock"))
		},
		".stage": func(root, out string) error { return os.Symlink(out, filepath.Join(root, ".stage")) },
		".gitignore": func(root, out string) error {
			return os.Symlink(filepath.Join(out, "new"), filepath.Join(root, ".gitignore"))
		},
		"": func(root, out string) error { return errors.Join(os.RemoveAll(root), os.Symlink(out, root)) },
	} {
		t.Run("link as "+name, func(t *testing.T) {
			d := Open(filepath.Join(t.TempDir(), "yard")+"/", opts)
			lockAndRelease(t, d)
			path := filepath.Join(d.Root(), name)
			if err := errors.Join(os.RemoveAll(path), make(d.Root(), outside(t))); err != nil {
				t.Fatal(err)
			}
			_, err := d.Lock(t.Context())
			var kind *KindError
			if !errors.As(err, &kind) || kind.Path != path || kind.Have != "a symbolic link" {
				t.Errorf("got %v, want %s named", err, path)
			}
		})
	}
}

func lockAndRelease(t *testing.T, d *Dir) {
	t.Helper()
	release, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, yard(1))
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

// TestPurgeDoesNotFollow purges a directory with links that lead outside.
func TestPurgeDoesNotFollow(t *testing.T) {
	d := begin(t, 1)
	dir := outside(t)
	lock(t, d)
	links := errors.Join(
		os.Symlink(dir, filepath.Join(d.Root(), "dir")),
		os.Symlink(filepath.Join(dir, "file"), filepath.Join(d.Root(), "registry", "file")),
	)
	if err := errors.Join(links, d.Purge()); err != nil {
		t.Fatal(err)
	}
}
