package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// at returns a hook that does something before the first operation of a kind on
// a path.
func at(op, path string, do func() error) hook {
	return func(o, p string) error {
		if o != op || p != path || do == nil {
			return nil
		}
		now := do
		do = nil
		return now()
	}
}

// TestPurgeFails lets each operation of a purge fail, and purges again, at once
// or after another Lock.
func TestPurgeFails(t *testing.T) {
	for _, relock := range []bool{false, true} {
		n := 1
		for purgeFails(t, n, relock) {
			n++
		}
		if n < 15 {
			t.Errorf("a purge has %d operations only", n)
		}
	}
}

// purgeFails lets the n-th operation fail, and reports whether there is one.
func purgeFails(t *testing.T, n int, relock bool) bool {
	t.Helper()
	top := t.TempDir()
	d := Open(filepath.Join(top, "yard"), opts)
	release, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, yard(1))
	left := n
	d.hook = func(string, string) error {
		if left--; left == 0 {
			return syscall.EIO
		}
		return nil
	}
	err = d.Purge()
	d.hook = nil
	if left <= 0 && !errors.Is(err, syscall.EIO) {
		t.Fatalf("operation %d fails: got %v", n, err)
	}
	if relock {
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if release, err = d.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(d.Root(), ignoreFile)); err != nil {
			t.Errorf("operation %d fails: %v", n, err)
		}
	}
	if d.Exists() {
		err = d.Purge()
	}
	if errors.Is(err, ErrNotLocked) { // only the empty directory was left
		err = errors.Join(os.Remove(d.Root()), release())
	} else {
		err = errors.Join(err, release())
	}
	if err != nil {
		t.Errorf("operation %d fails: purging again: %v", n, err)
	}
	wantEmpty(t, top, "purged again")
	return left <= 0
}

// TestPurgeMeets lets another process come in between the last operations of a
// purge. Neither may notice the other.
func TestPurgeMeets(t *testing.T) {
	for name, c := range map[string]struct {
		before func(root string) string // the operation to come in before
		do     func(t *testing.T, root string) error
		check  func(root string) error
	}{
		"a new stack in the directory": {
			before: func(root string) string { return root },
			do: func(t *testing.T, root string) error {
				return lockAndWrite(t, Open(root, opts), yard(2))
			},
			check: func(root string) error {
				_, err := os.Stat(filepath.Join(root, "client/key.pem"))
				return err
			},
		},
		"a new stack beside it": {
			before: filepath.Dir,
			// That one had seen the .gitignore just before.
			do: func(_ *testing.T, root string) error { return os.Mkdir(root+".other", 0o700) },
			check: func(root string) error {
				_, err := os.Stat(filepath.Join(filepath.Dir(root), ignoreFile))
				return err
			},
		},
		"a faster purge beside it": {
			before: func(root string) string { return filepath.Join(filepath.Dir(root), ignoreFile) },
			do:     func(_ *testing.T, root string) error { return os.RemoveAll(filepath.Dir(root)) },
			check: func(root string) error {
				if _, err := os.Stat(filepath.Dir(root)); !errors.Is(err, fs.ErrNotExist) {
					return errors.New("the directory above is left")
				}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, 1)
			lock(t, d)
			met := false
			d.hook = at("removing", c.before(d.Root()), func() error {
				met = true
				return c.do(t, d.Root())
			})
			if err := d.Purge(); err != nil || !met {
				t.Fatalf("got %v, met: %v", err, met)
			}
			if err := c.check(d.Root()); err != nil {
				t.Error(err)
			}
		})
	}
}
