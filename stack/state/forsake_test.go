package state

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/certyard/certyard/stack"
)

// TestForsake: a release removes what Lock made, if nothing was written there,
// and nothing that was there before.
func TestForsake(t *testing.T) {
	for name, c := range map[string]struct {
		root  string
		have  []string // directories before
		write bool
		want  []string // what is left
	}{
		"all of it":      {".certyard/yard", nil, false, nil},
		"somewhere else": {"x/yard", nil, false, []string{"x/"}},
		"directory of stacks": {".certyard/yard", []string{".certyard"}, false,
			[]string{".certyard/", ".certyard/.gitignore"}},
		"another stack": {".certyard/yard", []string{".certyard/other"}, false,
			[]string{".certyard/", ".certyard/.gitignore", ".certyard/other/"}},
		"an empty one": {".certyard/yard", []string{".certyard/yard"}, false,
			[]string{".certyard/", ".certyard/.gitignore", ".certyard/yard/", ".certyard/yard/.lock"}},
		"written": {".certyard/yard", nil, true,
			[]string{".certyard/", ".certyard/.gitignore", ".certyard/yard/", ".certyard/yard/.lock", ".certyard/yard/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			for _, dir := range c.have {
				if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			d := Open(filepath.Join(top, c.root), opts)
			for range 2 { // a second time as the first
				release, err := d.Lock(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if c.write {
					write(t, d, []stack.File{file("x", "data")})
				}
				for range 2 {
					if err := release(); err != nil {
						t.Fatal(err)
					}
				}
				checkTree(t, top, c.want)
			}
		})
	}
}

// TestForsakeShared: a directory that another process has locked meanwhile, or
// waits for, is not taken from it.
func TestForsakeShared(t *testing.T) {
	root := filepath.Join(t.TempDir(), parentName, "yard")
	first, second := Open(root, opts), Open(root, opts)
	release, err := first.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Lock(t.Context()); err == nil {
		t.Fatal("two have the lock")
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := second.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, second, []stack.File{file("x", "data")})
	if err := again(); err != nil {
		t.Fatal(err)
	}
	if release, err = first.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "x")); err != nil {
		t.Errorf("what the second wrote: %v", err)
	}
}

// checkTree compares the names below a directory; those of directories end in a
// slash.
func checkTree(t *testing.T, top string, want []string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		name, err := filepath.Rel(top, path)
		if entry.IsDir() {
			name += "/"
		}
		got = append(got, name)
		return err
	})
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("there is %q, %v, want %q", got, err, want)
	}
}
