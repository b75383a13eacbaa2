package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/certyard/certyard/pki"
)

// TestGenerations: a directory that is a pointer, one that is reached through a
// pointer, and one as Kubernetes mounts it.
func TestGenerations(t *testing.T) {
	for _, c := range []struct {
		name      string
		config    string // what the listener has
		prepare   func(f *front, generation string)
		byPointer bool
	}{
		{"a pointer", "current", func(f *front, generation string) { f.point("current", generation) }, true},
		{"below a pointer", "now/pair", func(f *front, generation string) {
			f.makeDir("of-" + generation)
			f.point("of-"+generation+"/pair", "../"+generation)
			f.point("now", "of-"+generation)
		}, true},
		{"Kubernetes", "mounted", func(f *front, generation string) {
			f.makeDir("mounted")
			f.point("mounted/..data", "../"+generation)
			for _, name := range []string{"tls.crt", "tls.key"} {
				f.point("mounted/"+name, "..data/"+name)
			}
		}, true},
		{"no pointer", "served", func(f *front, generation string) {
			for _, name := range []string{"tls.crt", "tls.key"} {
				data, err := os.ReadFile(filepath.Join(f.dir, generation, name))
				check(f.t, err)
				f.write("served/"+name, data)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFront(t, false)
			var pairs []*pki.KeyPair
			for i := range 3 {
				f.writePair(f.ca.Server(t, host))
				name := fmt.Sprintf("gen-%d", i)
				check(t, os.Rename(filepath.Join(f.dir, "served"), filepath.Join(f.dir, name)))
				f.makeDir("served")
				data, err := os.ReadFile(filepath.Join(f.dir, name, "tls.crt"))
				check(t, err)
				bundle, err := pki.ParseTrustBundle(data)
				check(t, err)
				pairs = append(pairs, &pki.KeyPair{Cert: bundle.Certs()[0]})
			}
			f.listener().Certificates = filepath.Join(f.dir, c.config)
			c.prepare(f, "gen-0")
			f.start()
			for i, pair := range pairs {
				name := fmt.Sprintf("gen-%d", i)
				c.prepare(f, name)
				if got := f.serial(nil); got != pair.Serial() {
					t.Errorf("serves %s, want %s", got, pair.Serial())
				}
				if !c.byPointer {
					name = pki.Fingerprint(pair.Cert)[:8]
				}
				if f.count(fmt.Sprintf(`certyard_edge_generation_info{generation="%s",listener="front",serial="%s"}`, name, pair.Serial())) != "1" {
					t.Errorf("generation %s is not served", name)
				}
			}
		})
	}
}

// point makes or moves a symbolic link in one step.
func (f *front) point(name, to string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	check(f.t, os.Symlink(to, path+".new"))
	check(f.t, os.Rename(path+".new", path))
}

// TestPlainBesidePointer: files that somebody puts in place of the links through
// the pointer are what is served, until links are there again.
func TestPlainBesidePointer(t *testing.T) {
	f := newFront(t, false)
	names := []string{"tls.crt", "tls.key"}
	first, mine, third := f.ca.Server(t, host), f.ca.Server(t, host), f.ca.Server(t, host)
	generation := func(name string, pair *pki.KeyPair) {
		f.writePair(pair)
		check(t, os.Rename(filepath.Join(f.dir, "served"), filepath.Join(f.dir, "mounted", name)))
		f.makeDir("served")
		f.point("mounted/..data", name)
	}
	f.makeDir("mounted")
	generation("..0001", first)
	for _, name := range names {
		f.point("mounted/"+name, "..data/"+name)
	}
	f.listener().Certificates = filepath.Join(f.dir, "mounted")
	f.start()
	serves := func(when string, pair *pki.KeyPair, label string) {
		t.Helper()
		if got := f.serial(nil); got != pair.Serial() {
			t.Errorf("%s: serves %s, want %s", when, got, pair.Serial())
		}
		if f.count(fmt.Sprintf(`certyard_edge_generation_info{generation="%s",listener="front",serial="%s"}`, label, pair.Serial())) != "1" {
			t.Errorf("%s: it is not generation %s", when, label)
		}
	}
	serves("at first", first, "..0001")

	f.writePair(mine)
	check(t, os.Rename(filepath.Join(f.dir, "served/tls.crt"), filepath.Join(f.dir, "mounted/tls.crt")))
	serves("with a certificate without its key", first, "..0001")
	check(t, os.Rename(filepath.Join(f.dir, "served/tls.key"), filepath.Join(f.dir, "mounted/tls.key")))
	serves("with files in place of links", mine, pki.Fingerprint(mine.Cert)[:8])

	generation("..0002", third)
	serves("with another generation behind them", mine, pki.Fingerprint(mine.Cert)[:8])
	for _, name := range names {
		f.point("mounted/"+name, "..data/"+name)
	}
	serves("with links again", third, "..0002")
}
