package state

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// manifests are what COMMIT may hold, and whether it is followed.
func manifests() map[string]bool {
	return map[string]bool{
		`{"dirs":[{"path":"ca","uid":0}],"files":[{"name":"0","path":"ca/ca.key","link":true}],"gone":["env"]}`: true,
		`{"dirs":null,"files":null}`: true,
		`{"roles":[{"name":"1","role":"client","dir":"..0002","files":[{"name":"key.pem","link":true},{"name":"ca.pem","kept":true}],"gone":["cert.pem"]}]}`: true,
		`{"roles":[{"name":"0","role":"clients/bob","gone":["cert.pem"]}]}`:                                                                                  true,
		`{"roles":[{"name":"x","role":"client","dir":"..0002"}]}`:                                                                                            false,
		`{"roles":[{"name":"0","role":"ca","dir":"..0002"}]}`:                                                                                                false,
		`{"roles":[{"name":"0","role":"clients/..","dir":"..0002"}]}`:                                                                                        false,
		`{"roles":[{"name":"0","role":"clients/..1","dir":"..0002"}]}`:                                                                                       false,
		`{"roles":[{"name":"0","role":"client","dir":".."}]}`:                                                                                                false,
		`{"roles":[{"name":"0","role":"client","dir":"docker"}]}`:                                                                                            false,
		`{"roles":[{"name":"0","role":"client","dir":"..1/../.."}]}`:                                                                                         false,
		`{"roles":[{"name":"0","role":"client","dir":"..1","files":[{"name":"a/b"}]}]}`:                                                                      false,
		`{"roles":[{"name":"0","role":"client","dir":"..1","files":[{"name":"..data"}]}]}`:                                                                   false,
		`{"roles":[{"name":"0","role":"client","dir":"..1","files":[{"name":""}]}]}`:                                                                         false,
		`{"roles":[{"name":"0","role":"client","dir":"..1","gone":[".."]}]}`:                                                                                 false,
		`{}`:                                     true,
		`null`:                                   true,
		``:                                       false,
		`{`:                                      false,
		`[]`:                                     false,
		`{"files":[{"name":"0","path":"../x"}]}`: false,
		`{"files":[{"name":"0","path":"/etc/passwd"}]}`:         false,
		`{"files":[{"name":"0","path":"."}]}`:                   false,
		`{"files":[{"name":"0","path":".lock"}]}`:               false,
		`{"files":[{"name":"0","path":".stage/COMMIT"}]}`:       false,
		`{"files":[{"name":"../ca/ca.key","path":"env"}]}`:      false,
		`{"files":[{"name":"","path":"env"}]}`:                  false,
		`{"files":[{"name":"COMMIT","path":"env"}]}`:            false,
		`{"gone":["ca/../../x"]}`:                               false,
		`{"gone":[""]}`:                                         false,
		`{"dirs":[{"path":".."}]}`:                              false,
		`{"dirs":[{"path":"a//b"}]}`:                            false,
		`{"files":[{"name":"1","path":"a"},{"name":"2","path":`: false,
		`{"dirs":` + strings.Repeat("[", 100) + `}`:             false,
	}
}

func TestParseManifest(t *testing.T) {
	for text, want := range manifests() {
		if _, err := parseManifest([]byte(text)); (err == nil) != want {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// TestManifestOutside: a COMMIT that somebody else wrote moves nothing out of
// the state directory, and removes nothing there.
func TestManifestOutside(t *testing.T) {
	for _, text := range []string{
		`{"files":[{"name":"0","path":"../stolen"}]}`, `{"files":[{"name":"../env","path":"taken"}]}`, `{"gone":["../victim"]}`,
	} {
		d := begin(t, 1)
		parent := filepath.Dir(d.Root())
		for path, data := range map[string]string{
			filepath.Join(parent, "victim"): "x", filepath.Join(d.Root(), stageDir, "0"): "x", filepath.Join(d.Root(), stageDir, commitFile): text,
		} {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "COMMIT") {
			t.Errorf("%s: got %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(parent, "victim")); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(parent, "stolen")); err == nil {
			t.Errorf("%s: a file has left the state directory", text)
		}
	}
}

// checkRole: a generation is moved into a role, and its files have names there.
func checkRole(t *testing.T, g generation) {
	t.Helper()
	if !filepath.IsLocal(g.Role) || g.Role == "." || strings.Contains(g.Name, "/") || g.Name == "" || strings.Contains(g.Dir, "/") || g.Dir == ".." {
		t.Errorf("it moves %q to %q in %q", g.Name, g.Dir, g.Role)
	}
	names := g.Gone
	for _, f := range g.Files {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if name != filepath.Base(name) || strings.HasPrefix(name, "..") || name == "." {
			t.Errorf("it has a file %q", name)
		}
	}
}

// FuzzParseManifest: what is accepted names files below the state directory
// alone, and comes back the same.
func FuzzParseManifest(f *testing.F) {
	for text := range manifests() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return // longer ones only take longer
		}
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		for _, s := range m.Files {
			if strings.Contains(s.Name, "/") || s.Name == "" || !filepath.IsLocal(s.Path) || s.Path == "." {
				t.Errorf("it moves %q to %q", s.Name, s.Path)
			}
		}
		for _, p := range m.Gone {
			if !filepath.IsLocal(p) || p == "." || reserved(p) {
				t.Errorf("it removes %q", p)
			}
		}
		for _, g := range m.Roles {
			checkRole(t, g)
		}
		for _, w := range m.Dirs {
			if !filepath.IsLocal(w.Path) || w.Path == "." {
				t.Errorf("it makes %q", w.Path)
			}
		}
		out, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest(out)
		if err != nil || len(again.Files) != len(m.Files) || len(again.Roles) != len(m.Roles) || !reflect.DeepEqual(again.Dirs, m.Dirs) {
			t.Errorf("it does not come back: %v", err)
		}
	})
}

// TestManifestDamaged: a manifest of which a bit has flipped, or that is cut off
// anywhere, is followed only if it still says the same.
func TestManifestDamaged(t *testing.T) {
	whole := manifest{
		Dirs: []dirWant{{Path: "ca", UID: 0}}, Gone: []string{"ca/next/ca.key"},
		Files: []staged{{Name: "0", Path: "ca/ca.crt"}, {Name: "1", Path: "ca/ca.key", Link: true}},
	}
	data, err := whole.encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	try := func(damaged []byte, how string) {
		got, err := parseManifest(damaged)
		got.Sum, want.Sum = "", ""
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: it is followed as %+v", how, got)
		}
	}
	for i := range data {
		for bit := range 8 {
			damaged := slices.Clone(data)
			damaged[i] ^= 1 << bit
			try(damaged, fmt.Sprintf("bit %d of byte %d", bit, i))
		}
		try(data[:i], fmt.Sprintf("cut off at %d", i))
	}
}
