package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGitignore checks what git is kept out of, and that it is not more.
func TestGitignore(t *testing.T) {
	const hide = "*\n"
	for name, c := range map[string]struct {
		root   string            // below a temporary directory
		have   map[string]string // files before
		want   map[string]string // files with the lock held, without the lock
		purged map[string]string // files after a purge
	}{
		"default":         {".certyard/yard", nil, map[string]string{".certyard/.gitignore": hide}, nil},
		"somewhere else":  {"x/yard", nil, map[string]string{"x/yard/.gitignore": hide}, nil},
		"parent's own":    {"yard", map[string]string{".gitignore": "bin\n"}, map[string]string{".gitignore": "bin\n", "yard/.gitignore": hide}, map[string]string{".gitignore": "bin\n"}},
		"changed by hand": {".certyard/yard", map[string]string{".certyard/.gitignore": "!x\n"}, map[string]string{".certyard/.gitignore": "!x\n"}, nil},
		"changed by hand, second stack": {".certyard/yard", map[string]string{".certyard/.gitignore": "!x\n", ".certyard/other/env": "x"},
			map[string]string{".certyard/.gitignore": "!x\n", ".certyard/other/env": "x"},
			map[string]string{".certyard/.gitignore": "!x\n", ".certyard/other/env": "x"}},
		"killed earlier": {".certyard/yard", map[string]string{".certyard/.gitignore": ""}, map[string]string{".certyard/.gitignore": hide}, nil},
		"second stack": {".certyard/yard", map[string]string{".certyard/other/env": "x"},
			map[string]string{".certyard/.gitignore": hide, ".certyard/other/env": "x"},
			map[string]string{".certyard/.gitignore": hide, ".certyard/other/env": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			for p, data := range c.have {
				full := filepath.Join(top, p)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			d := Open(filepath.Join(top, c.root), opts)
			lock(t, d)
			c.want[c.root+"/.lock"] = fmt.Sprintln(os.Getpid())
			checkFiles(t, top, c.want)
			if err := d.Purge(); err != nil {
				t.Fatal(err)
			}
			checkFiles(t, top, c.purged)
			if d.Exists() {
				t.Error("the directory is left")
			}
		})
	}
}

func checkFiles(t *testing.T, top string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for l := range strings.Lines(mustList(t, top)) {
		p, _, _ := strings.Cut(l, " ")
		if info, err := os.Lstat(filepath.Join(top, p)); err == nil && info.Mode().IsRegular() {
			data, err := os.ReadFile(filepath.Join(top, p))
			if err != nil {
				t.Fatal(err)
			}
			got[p] = string(data)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got files %q, want %q", got, want)
	}
}
