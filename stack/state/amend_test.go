package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// amended makes a file to be amended.
func amended(t *testing.T, data string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "buildkitd.toml")
	if err := errors.Join(os.WriteFile(path, []byte(data), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func checkFile(t *testing.T, path, want string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != want {
		t.Errorf("%s is %q (%v), want %q", path, data, err, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != mode {
		t.Errorf("%s has mode %v (%v), want %v", path, info.Mode(), err, mode)
	}
}

// TestAmend: the new content is there, the old one beside it under a name that was
// free, both with the mode of before.
func TestAmend(t *testing.T) {
	path := amended(t, "one", 0o640)
	for i, backup := range []string{".orig", ".orig.2"} {
		have, want := []string{"one", "two"}[i], []string{"two", "three"}[i]
		got, err := Amend(path, []byte(have), []byte(want))
		if err != nil || got != path+backup {
			t.Fatalf("kept as %s (%v), want %s", got, err, path+backup)
		}
		checkFile(t, path, want, 0o640)
		checkFile(t, got, have, 0o640)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 3 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestAmendLink: of a link the file that it leads to is changed, and it stays one.
func TestAmendLink(t *testing.T) {
	path := amended(t, "one", 0o600)
	link := filepath.Join(t.TempDir(), "link.toml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Amend(link, []byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, "two", 0o600)
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link leads to %q (%v)", to, err)
	}
}

// TestAmendRefuses: what somebody else has changed, and what cannot be kept, stays.
func TestAmendRefuses(t *testing.T) {
	path := amended(t, "theirs", 0o600)
	var changed *ChangedError
	if _, err := Amend(path, []byte("ours"), []byte("new")); !errors.As(err, &changed) {
		t.Errorf("changed in the meantime: %v", err)
	}
	if _, err := Amend(path+".none", nil, []byte("new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	for n := range maxBackups {
		name := path + ".orig"
		if n > 0 {
			name = fmt.Sprintf("%s.orig.%d", path, n+1)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Amend(path, []byte("theirs"), []byte("new")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("no name is free for the old one: %v", err)
	}
	checkFile(t, path, "theirs", 0o600)
}

// TestAmendAtOnce: of several runs that have read the same, one changes the file, and
// the others say that they have not. Nobody puts in place what another one has
// written in part.
func TestAmendAtOnce(t *testing.T) {
	const runs = 4
	for range 25 {
		path := amended(t, "one", 0o600)
		var all [runs]struct {
			want []byte
			err  error
		}
		start, done := make(chan struct{}), sync.WaitGroup{}
		for i := range all {
			all[i].want = bytes.Repeat([]byte{byte('a' + i)}, 1<<20)
			done.Go(func() {
				<-start
				_, all[i].err = Amend(path, []byte("one"), all[i].want)
			})
		}
		close(start)
		done.Wait()
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for i, run := range all {
			_, late := errors.AsType[*ChangedError](run.err)
			_, locked := errors.AsType[*LockedError](run.err)
			if run.err == nil {
				changed++
			}
			if run.err != nil && !late && !locked || (run.err == nil) != bytes.Equal(now, run.want) {
				t.Errorf("run %d: %v, and the file has %d bytes that begin with %q", i, run.err, len(now), now[:1])
			}
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); changed != 1 || len(entries) != 2 {
			t.Fatalf("%d runs have changed it, and left %v", changed, entries)
		}
	}
}

// TestAmendFullDisk: where the new content finds no room, the old one is whole.
func TestAmendFullDisk(t *testing.T) {
	path := amended(t, "one", 0o600)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // the kernel's word for it, which would end the process
	t.Cleanup(func() { signal.Reset(syscall.SIGXFSZ) })
	limit := old
	limit.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	_, err := Amend(path, []byte("one"), make([]byte, 2<<20))
	if reset := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); reset != nil {
		t.Fatal(reset)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("got %v, want that the file is too large", err)
	}
	checkFile(t, path, "one", 0o600)
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), ".certyard-buildkitd.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the half-written file is still there: %v", err)
	}
}
