package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

// swapped is what is there before a key is replaced and a client removed (1),
// and after (2).
func swapped(version int) []stack.File {
	if version == 1 {
		return []stack.File{
			key("ca/client-ca.key", "first"), file("ca/client-ca.crt", "first"), file("ca/ca.crt", "root"),
			key("clients/bob/key.pem", "bob"), file("clients/bob/cert.pem", "bob"),
		}
	}
	return []stack.File{
		key("ca/client-ca.key", "second"), file("ca/client-ca.crt", "second"), file("ca/ca.crt", "root"),
		key("ca/retired/client-ca-1.key", "first"),
	}
}

// swap is the write that leads from the first to the second.
func swap() []stack.File {
	replaced := key("ca/client-ca.key", "second")
	replaced.Retire = "ca/retired/client-ca-1.key"
	return []stack.File{
		replaced, file("ca/client-ca.crt", "second"),
		{Path: "clients/bob/key.pem", Gone: true}, {Path: "clients/bob/cert.pem", Gone: true},
		{Path: "clients/never/key.pem", Gone: true},
	}
}

func childSwap(root string) error {
	d := childDir(root)
	if _, err := d.Lock(context.Background()); err != nil {
		return err
	}
	_, err := d.Write(swap())
	return err
}

// TestRemoveMounted: a directory that a container may have mounted stays the same
// one when nothing is left in it.
func TestRemoveMounted(t *testing.T) {
	d := beginWith(t, []stack.File{file(stack.FileEdgeConfig, "x"), file(stack.FileEdgeAccess, "y")})
	mounted := filepath.Join(d.Root(), stack.DirEdge)
	before, err := os.Stat(mounted)
	if err != nil {
		t.Fatal(err)
	}
	lock(t, d)
	for _, files := range [][]stack.File{
		{{Path: stack.FileEdgeConfig, Gone: true}, {Path: stack.FileEdgeAccess, Gone: true}},
		{file(stack.FileEdgeConfig, "x")},
	} {
		if _, err := d.Write(files); err != nil {
			t.Fatal(err)
		}
		if after, err := os.Stat(mounted); err != nil || !os.SameFile(before, after) {
			t.Fatalf("after writing %v it is another one: %v", files, err)
		}
		if _, err := os.Stat(filepath.Join(mounted, "builder")); err == nil {
			t.Error("a directory that is not mounted itself is left empty")
		}
	}
}

// TestRetireAndRemove: a replaced key is kept, a removed file is gone with the
// directories that it leaves empty, and a second write has nothing to do.
func TestRetireAndRemove(t *testing.T) {
	d := beginWith(t, swapped(1))
	lock(t, d)
	planned, err := d.Plan(swap())
	if err != nil {
		t.Fatal(err)
	}
	changes := write(t, d, swap())
	want := []string{"ca/client-ca.crt", "ca/client-ca.key", "ca/retired/client-ca-1.key", "clients/bob/cert.pem", "clients/bob/key.pem"}
	if got := changes.Paths(); !slices.Equal(got, want) || !slices.Equal(planned.Paths(), want) || len(changes.Removed) != 2 {
		t.Errorf("changed %v, planned %v, want %v", got, planned.Paths(), want)
	}
	if got, want := mustList(t, d.Root()), wantListing(swapped(2)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if again := write(t, d, swap()); !again.Empty() {
		t.Errorf("the second write changed %v", again.Paths())
	}
}

// TestKilledSwapping: at no moment is the replaced key in neither place, for
// readers or on the disk, and the removed client is there with all or nothing.
func TestKilledSwapping(t *testing.T) {
	t.Parallel()
	seen := map[int]int{}
	for n := 1; ; n++ {
		when := fmt.Sprintf("killed before operation %d", n)
		d := beginWith(t, swapped(1))
		if !runKilled(t, "swap", d.Root(), n) {
			visibleOf(t, d, "not killed", swapped, 2)
			break
		}
		before := visibleOf(t, d, when, swapped, 1, 2)
		seen[before]++
		if !heldSomewhere(t, d.Root(), "first") {
			t.Fatalf("%s: the replaced key is nowhere", when)
		}
		lock(t, d)
		if after := visibleOf(t, d, when+", locked", swapped, 1, 2); after != before {
			t.Fatalf("%s: version %d was visible, after Lock %d is", when, before, after)
		}
		write(t, d, swap())
		if got, want := mustList(t, d.Root()), wantListing(swapped(2)); got != want {
			t.Fatalf("%s: ends with\n%s\nwant\n%s", when, got, want)
		}
	}
	if seen[1] < 15 || seen[2] < 10 {
		t.Errorf("old files after %d kills, new ones after %d: the sweep missed a part", seen[1], seen[2])
	}
}

// heldSomewhere looks for a key's content in every file, the staged ones too.
func heldSomewhere(t *testing.T, root, content string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || strings.Contains(string(data), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestRetireRefuses: nothing is lost to a name that is taken, and a key that
// somebody has changed is not removed.
func TestRetireRefuses(t *testing.T) {
	start := append(swapped(1), key("ca/retired/client-ca-1.key", "other"))
	for name, files := range map[string][]stack.File{
		"retired name taken": swap()[:1],
		"changed key":        {{Path: "clients/bob/key.pem", Once: true, Gone: true, Data: []byte("not bob's")}},
		"without Retire":     {key("ca/client-ca.key", "second")},
	} {
		t.Run(name, func(t *testing.T) {
			d := beginWith(t, start)
			before := mustList(t, d.Root())
			lock(t, d)
			_, err := d.Write(files)
			if _, ok := errors.AsType[*KeyExistsError](err); !ok {
				t.Errorf("got %v", err)
			}
			if after := mustList(t, d.Root()); after != before {
				t.Errorf("changed\n%s\nto\n%s", before, after)
			}
		})
	}
	d := beginWith(t, start)
	lock(t, d)
	same := []stack.File{{Path: "clients/bob/key.pem", Once: true, Gone: true, Data: key("", "bob").Data}}
	if changes, err := d.Write(same); err != nil || len(changes.Removed) != 1 {
		t.Errorf("removing a key that is as expected: %+v, %v", changes, err)
	}
}

// TestReadPrivate: whose file it is not, nobody reads from it.
func TestReadPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("key", link); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{path, link} {
		if data, err := ReadPrivate(at); err != nil || string(data) != "secret" {
			t.Errorf("%s: %q, %v", at, data, err)
		}
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadPrivate(path)
		open, ok := errors.AsType[*ModeError](err)
		if !ok || open.Chmod() != fmt.Sprintf("chmod 0600 %q", path) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, err := ReadPublic(path); err != nil {
			t.Errorf("mode %o, in public: %v", mode, err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{pipe: "a device, pipe or socket", dir: "a directory"} {
		_, err := ReadPrivate(at)
		if kind, ok := errors.AsType[*KindError](err); !ok || kind.Have != want {
			t.Errorf("%s: %v", at, err)
		}
	}
	if _, err := ReadPrivate(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	huge := filepath.Join(dir, "huge")
	if err := errors.Join(os.WriteFile(huge, nil, 0o600), os.Truncate(huge, maxUserFile+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPrivate(huge); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("a huge file: %v", err)
	}
}

// TestExport: keys in somebody's directory are never written over, certificates
// are, and nothing is written unless all can be.
func TestExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	files := func(version string) []stack.File {
		return []stack.File{{Path: "cert.pem", Mode: 0o644, Data: []byte(version)}, {Path: "key.pem", Mode: 0o600, Once: true, Data: []byte("key " + version)}}
	}
	check := func(when, version string) {
		t.Helper()
		for _, f := range files(version) {
			data, err := os.ReadFile(filepath.Join(dir, f.Path))
			if err != nil || string(data) != string(f.Data) {
				t.Errorf("%s: %s holds %q, %v", when, f.Path, data, err)
			}
			if info, err := os.Stat(filepath.Join(dir, f.Path)); err != nil || info.Mode() != f.Mode {
				t.Errorf("%s: %s has mode %v, %v", when, f.Path, info.Mode(), err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("%s: %v, %v", when, entries, err)
		}
	}
	for _, when := range []string{"first", "again"} {
		if err := Export(dir, files("1")); err != nil {
			t.Fatal(err)
		}
		check(when, "1")
	}
	_, taken := errors.AsType[*KeyExistsError](Export(dir, files("2")))
	if !taken {
		t.Error("a key was written over")
	}
	check("refused", "1")
	renewed := files("1")
	renewed[0].Data = []byte("renewed")
	if err := Export(dir, renewed); err != nil {
		t.Error(err)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "cert.pem")); string(data) != "renewed" {
		t.Errorf("the certificate is %q", data)
	}
}

// rewritten is one key before (1) and after (2) it was encrypted.
func rewritten(version int) []stack.File {
	return []stack.File{key("ca/ca.key", fmt.Sprint("form ", version)), file("ca/ca.crt", fmt.Sprint("beside ", version))}
}

func rewrite() []stack.File {
	files := rewritten(2)
	files[0].Replaces = rewritten(1)[0].Data
	return files
}

func childRewrite(root string) error {
	d := childDir(root)
	if _, err := d.Lock(context.Background()); err != nil {
		return err
	}
	_, err := d.Write(rewrite())
	return err
}

// TestRewriteKey: a key may take the place of the one that it says, and of no
// other; nothing of the old one is left in the directory.
func TestRewriteKey(t *testing.T) {
	d := beginWith(t, rewritten(1))
	lock(t, d)
	if changes := write(t, d, rewrite()); !slices.Equal(changes.Replaced, []string{"ca/ca.key", "ca/ca.crt"}) {
		t.Errorf("changed %+v", changes)
	}
	if got, want := mustList(t, d.Root()), wantListing(rewritten(2)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if heldSomewhere(t, d.Root(), "form 1") {
		t.Error("the old form is still somewhere")
	}
	if again := write(t, d, rewrite()); !again.Empty() {
		t.Errorf("the second write changed %v", again.Paths())
	}
	for name, stranger := range map[string][]byte{"another key": []byte("of somebody"), "no key": {}} {
		files := rewritten(3)
		files[0].Replaces = stranger
		_, err := d.Write(files)
		if _, ok := errors.AsType[*KeyExistsError](err); !ok {
			t.Errorf("a key that replaces %s: %v", name, err)
		}
	}
	if got, want := mustList(t, d.Root()), wantListing(rewritten(2)); got != want {
		t.Errorf("refused, and yet\n%s\nwant\n%s", got, want)
	}
}

// TestKilledRewriting: the key is there in one form or in the other at every
// moment, and after the next Lock in one alone.
func TestKilledRewriting(t *testing.T) {
	t.Parallel()
	seen := map[int]int{}
	for n := 1; ; n++ {
		when := fmt.Sprintf("killed before operation %d", n)
		d := beginWith(t, rewritten(1))
		if !runKilled(t, "rewrite", d.Root(), n) {
			visibleOf(t, d, "not killed", rewritten, 2)
			break
		}
		before := visibleOf(t, d, when, rewritten, 1, 2)
		seen[before]++
		lock(t, d)
		if after := visibleOf(t, d, when+", locked", rewritten, 1, 2); after != before {
			t.Fatalf("%s: version %d was visible, after Lock %d is", when, before, after)
		}
		if got, want := mustList(t, d.Root()), wantListing(rewritten(before)); got != want {
			t.Fatalf("%s: after Lock there is\n%s\nwant\n%s", when, got, want)
		}
	}
	if seen[1] < 8 || seen[2] < 4 {
		t.Errorf("old files after %d kills, new ones after %d: the sweep missed a part", seen[1], seen[2])
	}
}
