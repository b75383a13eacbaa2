package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

func TestWrite(t *testing.T) {
	d := testDir(t)
	if d.Exists() {
		t.Fatal("it exists before")
	}
	lock(t, d)
	if !d.Exists() {
		t.Fatal("it does not exist after Lock")
	}
	got := write(t, d, yard(1))
	if len(got.Created) != 6 || got.Replaced != nil || got.Repaired != nil {
		t.Errorf("first write: %+v", got)
	}
	if got, want := mustList(t, d.Root()), wantListing(yard(1)); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}

	times := modTimes(t, d.Root())
	if got := write(t, d, yard(1)); !got.Empty() {
		t.Errorf("second write changes %v", got.Paths())
	}
	if now := modTimes(t, d.Root()); !reflect.DeepEqual(now, times) {
		t.Errorf("second write touches files: %v, before %v", now, times)
	}

	want := Changes{
		Created:  []string{"client/cert.pem", "client/key.pem"},
		Replaced: []string{"registry/auth/htpasswd", "registry/certs/registry.crt", "compose.yaml"},
	}
	planned, err := d.Plan(yard(2))
	if err != nil || !reflect.DeepEqual(planned, want) {
		t.Errorf("Plan: got %+v, %v, want %+v", planned, err, want)
	}
	if got := write(t, d, yard(2)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := mustList(t, d.Root()), wantListing(yard(2)); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}

	// Files that are not in the set stay.
	write(t, d, yard(1)[:1])
	visible(t, d, "a part written", 2)
}

func modTimes(t *testing.T, root string) map[string]time.Time {
	t.Helper()
	times := map[string]time.Time{}
	for _, f := range yard(1) {
		info, err := os.Stat(filepath.Join(root, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		times[f.Path] = info.ModTime()
	}
	return times
}

func TestPlanNothing(t *testing.T) {
	d := testDir(t)
	got, err := d.Plan(yard(1))
	if err != nil || len(got.Created) != len(yard(1)) || len(got.Paths()) != len(yard(1)) {
		t.Errorf("got %+v, %v", got, err)
	}
	if d.Exists() {
		t.Error("Plan makes the directory")
	}
}

// TestRepair changes modes and owners and expects them back, with the key's
// content as it was.
func TestRepair(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(root string) error
		want  []string
	}{
		"open key": {func(root string) error {
			return os.Chmod(filepath.Join(root, "ca/ca.key"), 0o644)
		}, []string{"ca/ca.key"}},
		"closed file": {func(root string) error {
			return os.Chmod(filepath.Join(root, "compose.yaml"), 0o600)
		}, []string{"compose.yaml"}},
		"open directory": {func(root string) error {
			return os.Chmod(filepath.Join(root, "registry"), 0o755)
		}, []string{"registry/"}},
		"unwritable directory": {func(root string) error {
			return os.Chmod(filepath.Join(root, "registry/auth"), 0o500)
		}, []string{"registry/auth/"}},
		"open generation": {func(root string) error {
			return os.Chmod(filepath.Join(root, "registry/auth/..0001"), 0o755)
		}, []string{"registry/auth/"}},
		"open generation in an open directory": {func(root string) error {
			return errors.Join(os.Chmod(filepath.Join(root, "registry/auth/..0001"), 0o755), os.Chmod(filepath.Join(root, "registry/auth"), 0o755))
		}, []string{"registry/auth/"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := begin(t, 1)
			if err := c.spoil(d.Root()); err != nil {
				t.Fatal(err)
			}
			lock(t, d)
			got := write(t, d, yard(1))
			if !reflect.DeepEqual(got, Changes{Repaired: c.want}) {
				t.Errorf("got %+v, want %v repaired", got, c.want)
			}
			if got, want := mustList(t, d.Root()), wantListing(yard(1)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestRegistryOwner moves the registry's files to another uid. Only root can.
func TestRegistryOwner(t *testing.T) {
	d := begin(t, 1)
	other := Open(d.Root(), Options{RegistryUID: registryUID + 1})
	lock(t, other)
	got := write(t, other, yard(1))
	uid, changes := registryUID+1, 6 // three directories, three files
	if os.Geteuid() != 0 {
		uid, changes = os.Geteuid(), 0
	}
	if len(got.Repaired) != changes || len(got.Paths()) != changes {
		t.Errorf("got %+v, want %d repaired", got, changes)
	}
	for _, p := range []string{"registry", "registry/auth", "registry/certs", "registry/certs/registry.key"} {
		info, err := os.Stat(filepath.Join(d.Root(), p))
		if err != nil || ownerOf(info) != uid {
			t.Errorf("%s: got owner %d, %v, want %d", p, ownerOf(info), err, uid)
		}
	}
	if info, err := os.Lstat(filepath.Join(d.Root(), "ca")); err != nil || ownerOf(info) != os.Geteuid() {
		t.Errorf("ca belongs to %d, %v", ownerOf(info), err)
	}
}

// TestMixedDirectory has files of the caller in a directory that the registry
// has to pass on its way to its own.
func TestMixedDirectory(t *testing.T) {
	files := []stack.File{file("registry/notes", ""), forRegistry(file("registry/certs/x", "")), file("registry/zz", ""), file("client/x", "")}
	d := testDir(t)
	lock(t, d)
	write(t, d, files)
	if got, want := mustList(t, d.Root()), wantListing(files); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRecoverMakesDirectories loses a directory between a crash and the next
// run.
func TestRecoverMakesDirectories(t *testing.T) {
	d := begin(t, 1)
	client := filepath.Join(d.Root(), "client")
	d.hook = func(op, path string) error {
		if op == "placing" && filepath.Dir(path) == client {
			return syscall.EIO
		}
		return nil
	}
	if err := lockAndWrite(t, d, yard(2)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	d.hook = nil
	if err := os.Remove(client); err != nil {
		t.Fatal(err)
	}
	lock(t, d)
	if got, want := mustList(t, d.Root()), wantListing(yard(2)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestKeysAreNeverOverwritten(t *testing.T) {
	d := begin(t, 1)
	lock(t, d)
	before := mustList(t, d.Root())
	files := yard(2)
	files[1], files[4] = key("ca/ca.key", "other"), forRegistry(key("registry/certs/registry.key", "other"))
	_, err := d.Write(files)
	for _, p := range []string{"ca/ca.key", "registry/certs/registry.key"} {
		if err == nil || !strings.Contains(err.Error(), "private key "+filepath.Join(d.Root(), p)+" exists") {
			t.Errorf("%s is not named in %v", p, err)
		}
	}
	var exists *KeyExistsError
	if !errors.As(err, &exists) {
		t.Errorf("got %v", err)
	}
	if after := mustList(t, d.Root()); after != before {
		t.Errorf("something was written:\n%s", after)
	}
}

// TestKeyAppears puts a key in place at the last moment.
func TestKeyAppears(t *testing.T) {
	d := begin(t, 1)
	lock(t, d)
	target := filepath.Join(d.Root(), "client/key.pem")
	d.hook = func(op, path string) error {
		if op == "placing" && path == target {
			return os.WriteFile(path, []byte("mine"), 0o600)
		}
		return nil
	}
	_, err := d.Write(yard(2))
	var exists *KeyExistsError
	if !errors.As(err, &exists) || exists.Path != target {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "mine" {
		t.Errorf("the key is %q now, %v", data, err)
	}
	// The new files are committed; with the key out of the way they arrive.
	d.hook = nil
	if _, err := d.Write(yard(2)); !errors.As(err, &exists) {
		t.Errorf("again: got %v", err)
	}
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	write(t, d, yard(2))
	if got, want := mustList(t, d.Root()), wantListing(yard(2)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestLaterTime replaces a file twice within one tick of the clock, and after
// the clock was set back: the registry must see a new time (facts, section B).
func TestLaterTime(t *testing.T) {
	d := begin(t, 1)
	lock(t, d)
	path := filepath.Join(d.Root(), "registry/auth/htpasswd")
	for name, start := range map[string]time.Time{
		"now":           time.Now(),
		"in the future": time.Now().Add(72 * time.Hour),
		"with fraction": time.Now().Add(time.Hour).Truncate(time.Second).Add(999999999),
	} {
		if err := os.Chtimes(path, start, start); err != nil {
			t.Fatal(err)
		}
		last := start
		for i := range 5 {
			write(t, d, []stack.File{forRegistry(file("registry/auth/htpasswd", fmt.Sprint(name, i)))})
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !info.ModTime().After(last) {
				t.Errorf("%s, write %d: %v is not later than %v", name, i, info.ModTime(), last)
			}
			last = info.ModTime()
		}
	}
}

func TestCheck(t *testing.T) {
	for want, files := range map[string][]stack.File{
		`"../x" is not a path`:           {file("../x", "")},
		`"/etc/x" is not a path`:         {file("/etc/x", "")},
		`"" is not a path`:               {file("", "")},
		`"." is not a path`:              {file(".", "")},
		`"a/../b" is not a path`:         {file("a/../b", "")},
		`".lock" is a name`:              {file(".lock", "")},
		`".stage/0" is a name`:           {file(".stage/0", "")},
		`"a" is given twice`:             {file("a", ""), file("a", "")},
		`"a" is given as a file and as`:  {file("a", ""), file("a/b", "")},
		`"a" has mode -rw-------t`:       {{Path: "a", Mode: 0o600 | os.ModeSticky}},
		`"a" has mode ----------`:        {{Path: "a"}},
		`private key "a" would be open `: {{Path: "a", Mode: 0o640, Once: true}},
	} {
		d := testDir(t)
		lock(t, d)
		_, err := d.Write(append(yard(1), files...))
		if err == nil || !strings.Contains(err.Error(), strings.Replace(want, "-rw-------t", "trw-------", 1)) {
			t.Errorf("got %v, want %s", err, want)
		}
		visible(t, d, want, 0)
	}
}
