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

	"golang.org/x/sys/unix"

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
		info, err := os.Lstat(filepath.Join(root, f.Path))
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
		info, err := os.Lstat(filepath.Join(d.Root(), p))
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
			info, err := os.Lstat(path)
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

func TestUnreadableCommit(t *testing.T) {
	d := begin(t, 1)
	stage := filepath.Join(d.Root(), stageDir)
	for content, want := range map[string]string{
		"{":                                     "COMMIT",
		`{"files":[{"name":"0","path":"x/y"}]}`: "without its directory",
	} {
		err := errors.Join(os.MkdirAll(stage, 0o700),
			os.WriteFile(filepath.Join(stage, commitFile), []byte(content), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", content, err)
		}
	}
}

func TestDiskError(t *testing.T) {
	for errno, want := range map[syscall.Errno]any{
		syscall.ENOSPC: new(*FullError), syscall.EDQUOT: new(*FullError),
		syscall.EACCES: new(*AccessError), syscall.EPERM: new(*AccessError), syscall.EROFS: new(*AccessError),
	} {
		inner := &os.PathError{Op: "write", Path: "/other", Err: errno}
		err := diskError("writing", "/yard/x", inner)
		if !errors.As(err, want) || !errors.Is(err, errno) || err.Error() != "writing /yard/x: "+errno.Error() {
			t.Errorf("%v: got %T %v", errno, err, err)
		}
	}
	if err := diskError("writing", "x", syscall.EIO); !errors.Is(err, syscall.EIO) || err.Error() != "writing x: input/output error" {
		t.Errorf("got %v", err)
	}
	if err := diskError("writing", "x", nil); err != nil {
		t.Errorf("got %v", err)
	}
}
