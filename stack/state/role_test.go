package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

// served is what a daemon serves with: a key pair of which both halves have the
// same number, and a bundle that stays.
func served(version int) []stack.File {
	k := forRegistry(key("registry/certs/registry.key", fmt.Sprint("pair ", version)))
	k.Replaces = key("", fmt.Sprint("pair ", version-1)).Data
	return []stack.File{
		forRegistry(file("registry/certs/ca.crt", "bundle")),
		forRegistry(file("registry/certs/registry.crt", fmt.Sprint("pair ", version))),
		k,
	}
}

// removed is what takes a file away for each that is given.
func removed(files []stack.File) []stack.File {
	var out []stack.File
	for _, f := range files {
		out = append(out, stack.File{Path: f.Path, Gone: true})
	}
	return out
}

// step is one write to a role.
type step struct {
	have  []stack.File // before
	plain bool         // as they were written before there were generations
	write []stack.File
	want  []stack.File // after
}

func steps() map[string]step {
	return map[string]step{
		"first":                  {nil, false, served(1), served(1)},
		"replaced":               {served(1), false, served(2), served(2)},
		"one more":               {served(1)[:2], false, served(1), served(1)},
		"one less":               {served(1), false, removed(served(1)[:1]), served(1)[1:]},
		"removed":                {served(1), false, removed(served(1)), nil},
		"converted":              {served(1), true, served(1), served(1)},
		"converted and replaced": {served(1), true, served(2), served(2)},
		"converted in part":      {served(1), true, served(1)[:1], served(1)},
		"converted and removed":  {served(1), true, removed(served(1)), nil},
	}
}

// beginStep makes the directory that a step starts from.
func beginStep(t *testing.T, s step) *Dir {
	t.Helper()
	d := beginWith(t, append([]stack.File{file("env", "x")}, s.have...))
	if s.plain {
		flatten(t, d, s.have)
	}
	return d
}

// flatten puts files in the place of their links, as they were before there were
// generations.
func flatten(t *testing.T, d *Dir, files []stack.File) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(d.Root(), f.Path)
		at, err := filepath.EvalSymlinks(path)
		if err := errors.Join(err, os.Rename(at, path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		above := filepath.Join(d.Root(), filepath.Dir(f.Path))
		gen, err := os.Readlink(filepath.Join(above, "..data"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, os.Remove(filepath.Join(above, gen)), os.Remove(filepath.Join(above, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
}

// daemon reads the files of a step as a daemon does, by the names that it knows.
func (s step) daemon(root string) (map[string]string, error) {
	seen := map[string]string{}
	for _, f := range append(slices.Clone(s.have), s.want...) {
		data, err := os.ReadFile(filepath.Join(root, f.Path))
		if err == nil {
			seen[f.Path] = string(data)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return seen, nil
}

// whole checks that a daemon sees all of the old files or all of the new ones,
// and returns whether it sees the new.
func (s step) whole(root string) (bool, error) {
	seen, err := s.daemon(root)
	switch {
	case err != nil:
		return false, err
	case maps.Equal(seen, contents(s.want)):
		return true, nil
	case maps.Equal(seen, contents(s.have)):
		return false, nil
	default:
		return false, fmt.Errorf("neither old nor new: %q", seen)
	}
}

// closed checks that nobody else may look into a directory or read a key.
func closed(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
}

// end is what is on the disk after a step, as [listing] shows it.
func (s step) end(t *testing.T, d *Dir) (got, want string) {
	t.Helper()
	want = wantListing(append([]stack.File{file("env", "x")}, s.want...))
	if len(s.want) == 0 { // a mounted directory stays
		want += fmt.Sprintf("\nregistry drwx------ %d", ownerOf(mustStat(t, filepath.Join(d.Root(), "registry"))))
	}
	return mustList(t, d.Root()), want
}

func mustStat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestRoleAtEveryStep looks as a daemon before each operation of a write: it
// sees files of one generation, and nobody else sees any.
func TestRoleAtEveryStep(t *testing.T) {
	for name, s := range steps() {
		t.Run(name, func(t *testing.T) {
			d := beginStep(t, s)
			lock(t, d)
			looks, swaps, last := 0, 0, false
			d.hook = func(op, path string) error {
				looks++
				now, err := s.whole(d.Root())
				if now != last {
					swaps, last = swaps+1, now
				}
				if err := errors.Join(err, closed(d.Root())); err != nil {
					t.Errorf("before %s %s: %v", op, path, err)
				}
				return nil
			}
			write(t, d, s.write)
			d.hook = nil
			if got, want := s.end(t, d); got != want {
				t.Errorf("ends with\n%s\nwant\n%s", got, want)
			}
			if looks < 15 || swaps > 1 {
				t.Errorf("%d looks saw it change %d times", looks, swaps)
			}
			if again := write(t, d, s.write); !again.Empty() {
				t.Errorf("a second write changes %v", again.Paths())
			}
		})
	}
}

// stepVar names the step that a child makes.
const stepVar = "CERTYARD_STATE_TEST_STEP"

func childStep(root string) error {
	d := childDir(root)
	if _, err := d.Lock(context.Background()); err != nil {
		return err
	}
	_, err := d.Write(steps()[os.Getenv(stepVar)].write)
	return err
}

// TestKilledRole kills each step before each of its operations. What a daemon
// sees then belongs together; what a reader sees, the next Lock makes true, and
// no key of the other generation is left anywhere.
func TestKilledRole(t *testing.T) {
	for name, s := range steps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; killedRole(t, name, s, n); n++ {
			}
		})
	}
}

// killedRole kills a step before its n-th operation, and reports whether there
// is one.
func killedRole(t *testing.T, name string, s step, n int) bool {
	t.Helper()
	d := beginStep(t, s)
	cmd, out := child(t, "step", d.Root(), fmt.Sprintf("%s=%d", killVar, n), stepVar+"="+name)
	killed := wasKilled(t, cmd.Run(), out)
	when := fmt.Sprintf("killed before operation %d", n)
	if _, err := s.whole(d.Root()); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	before, err := d.ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	lock(t, d)
	after, err := d.ReadAll()
	if err != nil || !maps.Equal(text(after), text(before)) {
		t.Fatalf("%s: a reader sees %q, after Lock %q, %v", when, text(before), text(after), err)
	}
	isNew, err := s.whole(d.Root())
	if err != nil {
		t.Fatalf("%s, locked: %v", when, err)
	}
	if other := map[bool]string{true: "pair 1", false: "pair 2"}[isNew]; name == "replaced" && heldSomewhere(t, d.Root(), other) {
		t.Fatalf("%s, locked: a daemon sees the new files: %v, and there is still %q:\n%s", when, isNew, other, mustList(t, d.Root()))
	}
	write(t, d, s.write)
	if got, want := s.end(t, d); got != want {
		t.Fatalf("%s: ends with\n%s\nwant\n%s", when, got, want)
	}
	if again := write(t, d, s.write); !again.Empty() {
		t.Fatalf("%s: a second write changes %v", when, again.Paths())
	}
	return killed
}

// TestReadWhileSwapped reads as a daemon does that follows the pointer once,
// while others swap it: a key and its certificate always belong together.
func TestReadWhileSwapped(t *testing.T) {
	d := beginWith(t, served(1))
	lock(t, d)
	done := make(chan error, 1)
	const last = 200
	go func() {
		for v := 2; v <= last; v++ {
			if _, err := d.Write(served(v)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	seen, reader := map[string]bool{}, Open(d.Root(), opts)
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		if pair, ok := followed(t, filepath.Join(d.Root(), "registry/certs")); ok {
			seen[pair] = true
		}
		files, err := reader.Load("registry/certs/registry.crt", "registry/certs/registry.key")
		if err != nil || !bytes.Contains(files["registry/certs/registry.key"], bytes.TrimSpace(files["registry/certs/registry.crt"])) {
			t.Fatalf("Load: %q, %v", text(files), err)
		}
	}
	if len(seen) < 5 || !seen[fmt.Sprintf("pair %d\n", last)] {
		t.Errorf("only %d pairs were seen", len(seen))
	}
}

// followed reads the pair in the directory that the pointer leads to, and
// returns the certificate. That directory may be gone before it is read.
func followed(t *testing.T, role string) (string, bool) {
	t.Helper()
	at, err := filepath.EvalSymlinks(filepath.Join(role, "..data"))
	if err != nil {
		return "", false
	}
	cert, errCert := os.ReadFile(filepath.Join(at, "registry.crt"))
	private, errKey := os.ReadFile(filepath.Join(at, "registry.key"))
	if err := errors.Join(errCert, errKey); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return "", false
	}
	if !bytes.Contains(private, append([]byte("\n"), cert...)) {
		t.Fatalf("%s: certificate %q with key %q", at, cert, private)
	}
	return string(cert), true
}

// TestConversion: files that certyard wrote before there were generations are
// read as they are, become a generation with the next write, as the same files,
// and that is all.
func TestConversion(t *testing.T) {
	d := begin(t, 1)
	flatten(t, d, []stack.File{yard(1)[2], yard(1)[3], yard(1)[4]})
	visible(t, d, "before", 1)
	before := mustStat(t, filepath.Join(d.Root(), "registry/auth/htpasswd"))
	lock(t, d)
	want := []string{"registry/auth/", "registry/certs/"}
	planned, err := d.Plan(yard(1))
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(planned.Repaired)), want) || len(planned.Paths()) != 2 {
		t.Errorf("planned %+v, %v, want %v repaired", planned, err, want)
	}
	if got := write(t, d, yard(1)); !slices.Equal(got.Paths(), want) || len(got.Repaired) != 2 {
		t.Errorf("got %+v, want %v repaired", got, want)
	}
	if got, want := mustList(t, d.Root()), wantListing(yard(1)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, f := range yard(1)[2:5] {
		if target, err := os.Readlink(filepath.Join(d.Root(), f.Path)); err != nil || target != "..data/"+filepath.Base(f.Path) {
			t.Errorf("%s leads to %q, %v", f.Path, target, err)
		}
	}
	after := mustStat(t, filepath.Join(d.Root(), "registry/auth/htpasswd"))
	if !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Error("htpasswd is another file now")
	}
	if again := write(t, d, yard(1)); !again.Empty() {
		t.Errorf("a second write changes %v", again.Paths())
	}
}

// TestKeptFiles: of a role in which something changes, the rest stays the same
// file; a role in which nothing changes stays as it is. Files that somebody put
// beside ours stay as well.
func TestKeptFiles(t *testing.T) {
	d := beginWith(t, append(served(1), forRegistry(file("registry/auth/htpasswd", "x")), file("client/docker/config.json", "x"), file("client/ca.pem", "x")))
	at := func(p string) string { return filepath.Join(d.Root(), p) }
	if err := errors.Join(os.WriteFile(at("registry/certs/notes"), []byte("mine"), 0o600), os.Mkdir(at("registry/certs/more"), 0o700)); err != nil {
		t.Fatal(err)
	}
	paths := []string{"registry/certs/ca.crt", "registry/certs/notes", "registry/certs/more", "registry/auth/htpasswd", "registry/auth/..data", "client/docker/config.json"}
	before := map[string]fs.FileInfo{}
	for _, p := range paths {
		before[p] = mustStat(t, at(p))
	}
	lock(t, d)
	write(t, d, served(2))
	for _, p := range paths {
		if now := mustStat(t, at(p)); !os.SameFile(now, before[p]) || now.ModTime() != before[p].ModTime() {
			t.Errorf("%s is another file now", p)
		}
	}
	if got, err := os.Readlink(at("registry/certs/..data")); err != nil || got != "..0002" {
		t.Errorf("the pointer leads to %q, %v", got, err)
	}
	if got, err := d.Read("registry/certs/notes"); err != nil || string(got) != "mine" {
		t.Errorf("the notes are %q, %v", got, err)
	}
}

// TestReplacedLink: what somebody puts in place of a link is what is read and
// compared, and the next write makes it a link again.
func TestReplacedLink(t *testing.T) {
	for name, c := range map[string]struct {
		path, data string
		want       Changes
		refused    bool
	}{
		"another certificate": {"registry/certs/registry.crt", "other\n", Changes{Replaced: []string{"registry/certs/registry.crt"}}, false},
		"the same":            {"registry/certs/registry.crt", "pair 1\n", Changes{Repaired: []string{"registry/certs/"}}, false},
		"the same key":        {"registry/certs/registry.key", string(served(1)[2].Data), Changes{Repaired: []string{"registry/certs/"}}, false},
		"another key":         {"registry/certs/registry.key", string(key("", "mine").Data), Changes{}, true},
		"nothing":             {"registry/certs/registry.crt", "", Changes{Created: []string{"registry/certs/registry.crt"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := beginWith(t, served(1))
			path := filepath.Join(d.Root(), c.path)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if c.data != "" {
				uid := ownerOf(mustStat(t, filepath.Dir(path)))
				if err := errors.Join(os.WriteFile(path, []byte(c.data), 0o600), os.Chown(path, uid, -1)); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := d.Read(c.path); err != nil || string(got) != c.data {
				t.Errorf("it is read as %q, %v", got, err)
			}
			lock(t, d)
			before := mustList(t, d.Root())
			got, err := d.Write(served(1))
			if _, refused := errors.AsType[*KeyExistsError](err); refused != c.refused || !refused && err != nil {
				t.Fatalf("got %v", err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			want := wantListing(served(1))
			if c.refused {
				want = before
			}
			if now := mustList(t, d.Root()); now != want {
				t.Errorf("ends with\n%s\nwant\n%s", now, want)
			}
			if target, _ := os.Readlink(path); (target == "") != c.refused {
				t.Errorf("it leads to %q", target)
			}
		})
	}
}

// TestLinkInGeneration: a link behind our own is not followed.
func TestLinkInGeneration(t *testing.T) {
	d := beginWith(t, served(1))
	dir := outside(t)
	lock(t, d)
	path := filepath.Join(d.Root(), "registry/certs/..0001/registry.crt")
	if err := errors.Join(os.Remove(path), os.Symlink(filepath.Join(dir, "file"), path)); err != nil {
		t.Fatal(err)
	}
	_, writeErr := d.Write(served(2))
	_, loadErr := d.Load("registry/certs/registry.crt")
	for what, err := range map[string]error{"Write": writeErr, "Load": loadErr} {
		if kind, ok := errors.AsType[*KindError](err); !ok || kind.Path != filepath.Join(d.Root(), "registry/certs/registry.crt") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// TestOlderCommit completes a write that a certyard without generations began:
// the new certificate has its place, the key is still staged.
func TestOlderCommit(t *testing.T) {
	d := beginWith(t, served(1))
	flatten(t, d, served(1))
	at := func(p string) string { return filepath.Join(d.Root(), p) }
	commit := `{"dirs":[],"files":[{"name":"0","path":"registry/certs/registry.crt","link":false},{"name":"1","path":"registry/certs/registry.key","link":false}]}`
	if err := errors.Join(
		os.WriteFile(at("registry/certs/registry.crt"), served(2)[1].Data, 0o600), os.Mkdir(at(stageDir), 0o700),
		os.WriteFile(at(".stage/1"), served(2)[2].Data, 0o600), os.WriteFile(at(".stage/COMMIT"), []byte(commit), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	visibleOf(t, d, "before", served, 2)
	lock(t, d)
	visibleOf(t, d, "locked", served, 2)
	write(t, d, served(2))
	if got, want := mustList(t, d.Root()), wantListing(served(2)); got != want {
		t.Errorf("ends with\n%s\nwant\n%s", got, want)
	}
}

// TestKeptFileMeanwhile: a file that somebody puts in place of one that was to
// stay, just before the pointer is swapped, is not lost.
func TestKeptFileMeanwhile(t *testing.T) {
	d := beginWith(t, served(1))
	lock(t, d)
	role := filepath.Join(d.Root(), "registry/certs")
	path := filepath.Join(role, "ca.crt")
	d.hook = at("placing", filepath.Join(role, "..data"), func() error {
		return errors.Join(os.Remove(path), os.WriteFile(path, []byte("mine"), 0o600))
	})
	if _, err := d.Write(served(2)); err != nil {
		t.Fatal(err)
	}
	d.hook = nil
	if got, err := os.ReadFile(path); err != nil || string(got) != "mine" {
		t.Errorf("it is %q now, %v", got, err)
	}
	if got := write(t, d, served(2)); !slices.Equal(got.Replaced, []string{"registry/certs/ca.crt"}) {
		t.Errorf("got %+v", got)
	}
	if got, want := mustList(t, d.Root()), wantListing(served(2)); got != want {
		t.Errorf("ends with\n%s\nwant\n%s", got, want)
	}
}

// TestLeftLink: a link that a killed process has left in the stage, and that
// somebody has changed since, is not put in place.
func TestLeftLink(t *testing.T) {
	d := beginWith(t, served(1))
	d.hook = func(op, path string) error {
		if filepath.Base(path) == "..data" {
			return syscall.EIO
		}
		return nil
	}
	if err := lockAndWrite(t, d, served(2)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	d.hook = nil
	left := filepath.Join(d.Root(), stageDir, linkTemp)
	if err := errors.Join(os.Remove(left), os.Symlink("/etc", left)); err != nil {
		t.Fatal(err)
	}
	lock(t, d)
	if got, want := mustList(t, d.Root()), wantListing(served(2)); got != want {
		t.Errorf("ends with\n%s\nwant\n%s", got, want)
	}
}

// TestOvertaken: a generation that is removed between the look at the pointer and
// the look at the file is no missing file.
func TestOvertaken(t *testing.T) {
	d := beginWith(t, served(1))
	lock(t, d)
	tr, err := d.openTree()
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	const p = "registry/certs/registry.crt"
	at, gen, err := tr.holder(p)
	if err != nil || gen != "..0001" || tr.overtaken(p, gen) {
		t.Fatalf("it is in %q, %v, overtaken", gen, err)
	}
	write(t, d, served(2))
	if f, _, err := at.open("registry.crt"); f != nil || err != nil {
		t.Fatalf("the old generation is still there: %v", err)
	}
	if !tr.overtaken(p, gen) {
		t.Error("nobody notices that it was overtaken")
	}
	if data, _, err := tr.read(p); err != nil || string(data) != "pair 2\n" {
		t.Errorf("read again: %q, %v", data, err)
	}
}

// TestSecondLine swaps generations in a row without a pause: each has a later
// time than the one before, as readers that look at times need.
func TestSecondLine(t *testing.T) {
	d := beginWith(t, served(1))
	lock(t, d)
	path := filepath.Join(d.Root(), "registry/certs/registry.crt")
	var last time.Time
	for v := 2; v < 12; v++ {
		write(t, d, served(v))
		now := mustStat(t, path).ModTime()
		if !now.After(last) {
			t.Errorf("version %d: %v is not later than %v", v, now, last)
		}
		last = now
	}
}

// TestFindInRole lists certificates of a state directory under the names that
// people know, once each, and follows no other link.
func TestFindInRole(t *testing.T) {
	d := beginWith(t, []stack.File{
		file("client/ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), // damaged, so that it is listed
		key("client/key.pem", "AAAA"),
	})
	role := filepath.Join(d.Root(), "client")
	if err := os.Symlink("..data/ca.pem", filepath.Join(role, "other.pem")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{role, d.Root(), filepath.Join(role, "..0001")} {
		var got []string
		for _, f := range FindCertificates(dir) {
			name, err := filepath.Rel(dir, f.File)
			got = append(got, strings.TrimPrefix(name, "client/"))
			if err != nil {
				t.Error(err)
			}
		}
		if want := []string{"ca.pem", "key.pem"}; !slices.Equal(got, want) {
			t.Errorf("%s: found %q, want %q", dir, got, want)
		}
	}
}
