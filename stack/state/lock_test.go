package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// childHold locks, says so, and waits to be killed.
func childHold(root string) error {
	if _, err := Open(root, opts).Lock(context.Background()); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func TestLockedByAnotherProcess(t *testing.T) {
	d := testDir(t)
	cmd, out := child(t, "hold", d.Root())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("locked"))
	if _, err := io.ReadFull(stdout, said); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	_, err = d.Lock(t.Context())
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || locked.Path != d.Root() {
		t.Errorf("got %v, want a lock of process %d", err, cmd.Process.Pid)
	}
	if _, err := d.Write(yard(1)); !errors.Is(err, ErrNotLocked) {
		t.Errorf("writing without the lock: got %v", err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !wasKilled(t, cmd.Wait(), out) {
		t.Fatal("the holder ended by itself")
	}
	lock(t, d)
}

func TestLockTwice(t *testing.T) {
	d := testDir(t)
	release, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := Open(d.Root(), opts).Lock(t.Context()); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("got %v, want a lock of our own process", err)
	}
	if err := errors.Join(release(), release()); err != nil {
		t.Error(err)
	}
	if err := d.Purge(); !errors.Is(err, ErrNotLocked) {
		t.Errorf("purging without the lock: got %v", err)
	}
	again, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The first release must not give away the second lock.
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, err := Open(d.Root(), opts).Lock(t.Context()); !errors.As(err, &locked) {
		t.Errorf("got %v, want it locked", err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}

func TestLockEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := testDir(t)
	if _, err := d.Lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if d.Exists() {
		t.Error("the directory was made")
	}
}

// TestStaleLock opens the lock file just before the holder purges it: the lock
// of a file without a name keeps nobody out.
func TestStaleLock(t *testing.T) {
	d := begin(t, 1)
	holder := Open(d.Root(), opts)
	lock(t, holder)
	d.hook = at("locking", filepath.Join(d.Root(), lockFile), func() error {
		return errors.Join(holder.Purge(), lockAndWrite(t, Open(d.Root(), opts), yard(2)))
	})
	lock(t, d)
	var locked *LockedError
	if _, err := Open(d.Root(), opts).Lock(t.Context()); !errors.As(err, &locked) {
		t.Errorf("got %v, want it locked", err)
	}
	visible(t, d, "after a purge and a write by others", 2)
}

// TestReleaseWithChild releases the lock while a child has a copy of the lock
// file's descriptor, as every child has until it runs its own program.
func TestReleaseWithChild(t *testing.T) {
	d := testDir(t)
	release, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(d.held.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	lock(t, d)
}

// TestPurgeAgainstLock lets several workers make, use and purge one directory.
// Whoever holds the lock has to hold that of the directory that is there, not
// of one that was purged while he waited.
func TestPurgeAgainstLock(t *testing.T) {
	root := sweepDir(t).Root()
	var inside, refused atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for done := 0; done < 15; {
				d := Open(root, opts)
				release, err := d.Lock(t.Context())
				var locked *LockedError
				if errors.As(err, &locked) {
					refused.Add(1)
					runtime.Gosched()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d workers hold the lock", n)
				}
				if _, err := d.Write(yard(1)); err != nil {
					t.Error(err)
				}
				inside.Add(-1) // while it purges, the directory may be made anew
				if err := errors.Join(d.Purge(), release()); err != nil {
					t.Error(err)
				}
				done++
			}
		})
	}
	wg.Wait()
	if refused.Load() == 0 {
		t.Error("nobody was ever refused: the workers did not meet")
	}
	if _, err := os.Lstat(filepath.Dir(root)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory above is left: %v", err)
	}
}

func TestPurgedByHolder(t *testing.T) {
	d := testDir(t)
	release, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, yard(2))
	if err := d.Purge(); err != nil {
		t.Fatal(err)
	}
	if d.Exists() {
		t.Error("the directory exists after a purge")
	}
	lock(t, Open(d.Root(), opts)) // before release: that lock file is gone
	if _, err := d.Write(yard(1)); !errors.Is(err, ErrNotLocked) {
		t.Errorf("writing into the next one's directory: got %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

func TestNotOurs(t *testing.T) {
	d := Open(t.TempDir(), opts)
	mine := filepath.Join(d.Root(), "thesis.tex")
	if err := os.WriteFile(mine, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := mustList(t, d.Root())
	var notOurs *NotOursError
	if _, err := d.Lock(t.Context()); !errors.As(err, &notOurs) || notOurs.Path != d.Root() {
		t.Errorf("got %v", err)
	}
	if after := mustList(t, d.Root()); after != before {
		t.Errorf("it is changed:\n%s", after)
	}
	// A copy that lost its dot files is recognised by state.json.
	if err := os.WriteFile(filepath.Join(d.Root(), "state.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock(t, d)
}

// TestHere uses the directory that certyard runs in.
func TestHere(t *testing.T) {
	top := t.TempDir()
	t.Chdir(filepath.Join(top))
	if err := os.Mkdir("yard", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("yard")
	d := Open(".", opts)
	lock(t, d)
	write(t, d, yard(1))
	if info, err := os.Stat("."); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v: want it closed to others", info.Mode(), err)
	}
	if err := d.Purge(); err != nil {
		t.Fatal(err)
	}
	checkFiles(t, top, nil)
}
