package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

// killer returns a hook that kills this process before its n-th operation.
func killer() hook {
	n, err := strconv.Atoi(os.Getenv(killVar))
	if err != nil {
		panic(err)
	}
	return func(string, string) error {
		if n--; n > 0 {
			return nil
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {} // the signal arrives when it arrives
	}
}

func childDir(root string) *Dir {
	d := Open(root, opts)
	d.hook = killer()
	return d
}

func childLock(root string) error {
	_, err := childDir(root).Lock(context.Background())
	return err
}

func childWrite(root string) error {
	d := childDir(root)
	if _, err := d.Lock(context.Background()); err != nil {
		return err
	}
	_, err := d.Write(yard(2))
	return err
}

// pair returns the fewest files of which half would be bad: a new key and the
// certificate that goes with it, which replaces one.
func pair(version int) []stack.File {
	files := []stack.File{file("client/cert.pem", fmt.Sprint(version))}
	if version > 1 {
		files = append(files, key("client/key.pem", "client"))
	}
	return files
}

func childWritePair(root string) error {
	d := childDir(root)
	if _, err := d.Lock(context.Background()); err != nil {
		return err
	}
	_, err := d.Write(pair(2))
	return err
}

func childPurge(root string) error {
	d := childDir(root)
	if _, err := d.Lock(context.Background()); err != nil {
		return err
	}
	return d.Purge()
}

// runKilled runs a role that is killed before its n-th operation, and reports
// whether it came that far.
func runKilled(t *testing.T, role, root string, n int) bool {
	t.Helper()
	cmd, out := child(t, role, root, fmt.Sprintf("%s=%d", killVar, n))
	return wasKilled(t, cmd.Run(), out)
}

// begin makes a state directory with the files of a version, 0 for none.
func begin(t *testing.T, version int) *Dir {
	t.Helper()
	if version == 0 {
		return sweepDir(t)
	}
	return beginWith(t, yard(version))
}

func beginWith(t *testing.T, files []stack.File) *Dir {
	t.Helper()
	d := sweepDir(t)
	if err := lockAndWrite(t, d, files); err != nil {
		t.Fatal(err)
	}
	return d
}

// visible checks that a reader sees one of the versions, whole, and returns
// which.
func visible(t *testing.T, d *Dir, when string, versions ...int) int {
	t.Helper()
	return visibleOf(t, d, when, yard, versions...)
}

func visibleOf(t *testing.T, d *Dir, when string, set func(int) []stack.File, versions ...int) int {
	t.Helper()
	files, err := d.ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, v := range versions {
		want := map[string]string{}
		if v > 0 {
			want = contents(set(v))
		}
		if maps.Equal(text(files), want) {
			return v
		}
	}
	t.Fatalf("%s: neither old nor new: %q", when, text(files))
	return 0
}

// TestKilledWriting kills a write before each of its operations. Whoever looks
// then sees all of the old files or all of the new ones, the next Lock makes
// that true on the disk, and the next Write ends as if nothing had happened.
func TestKilledWriting(t *testing.T) {
	for name, old := range map[string]int{"first": 0, "second": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[int]int{}
			for n := 1; ; n++ {
				when := fmt.Sprintf("killed before operation %d", n)
				d := begin(t, old)
				if !runKilled(t, "write", d.Root(), n) {
					visible(t, d, "not killed", 2)
					break
				}
				before := visible(t, d, when, old, 2)
				seen[before]++
				lock(t, d)
				if after := visible(t, d, when+", locked", old, 2); after != before {
					t.Fatalf("%s: version %d was visible, after Lock %d is", when, before, after)
				}
				plain, err := os.ReadFile(filepath.Join(d.Root(), "compose.yaml"))
				if want := fmt.Sprintf("version %d", before); before > 0 && (err != nil || string(plain) != want) {
					t.Fatalf("%s: Lock leaves %q on the disk, %v, want %q", when, plain, err, want)
				}
				write(t, d, yard(2))
				if got, want := mustList(t, d.Root()), wantListing(yard(2)); got != want {
					t.Fatalf("%s: ends with\n%s\nwant\n%s", when, got, want)
				}
			}
			if seen[old] < 20 || seen[2] < 10 {
				t.Errorf("old files after %d kills, new ones after %d: the sweep missed a part", seen[old], seen[2])
			}
		})
	}
}

// TestKilledRecovering kills a write, and then the recovery, again and again
// after each step that it makes.
func TestKilledRecovering(t *testing.T) {
	t.Parallel()
	kills := 0
	for n := 1; ; n++ {
		d := beginWith(t, pair(1))
		if !runKilled(t, "write pair", d.Root(), n) {
			break
		}
		before := visibleOf(t, d, fmt.Sprintf("killed before operation %d", n), pair, 1, 2)
		kills += recoverStepwise(t, d, n, before)
		lock(t, d)
		write(t, d, pair(2))
		if got, want := mustList(t, d.Root()), wantListing(pair(2)); got != want {
			t.Fatalf("write killed before operation %d: ends with\n%s\nwant\n%s", n, got, want)
		}
	}
	t.Logf("recovery was killed %d times", kills)
	if kills < 50 {
		t.Errorf("recovery was killed %d times only", kills)
	}
}

// recoverStepwise lets recoveries make one step of progress each. It returns
// how many it killed.
func recoverStepwise(t *testing.T, d *Dir, n, version int) int {
	t.Helper()
	const prelude = 3 // operations of Lock before it recovers
	kills := 0
	for steps := 1; ; kills++ {
		before := mustList(t, d.Root())
		if !runKilled(t, "lock", d.Root(), prelude+steps+1) {
			return kills
		}
		visibleOf(t, d, fmt.Sprintf("write killed at %d, recovery killed for the %dth time", n, kills), pair, version)
		if mustList(t, d.Root()) == before {
			steps++ // it only repeated what is done before each step
		} else {
			steps = 1
		}
	}
}

// TestKilledPurging kills a purge before each of its operations. From the first
// on that changes anything the stack is gone for readers, and the next Lock or
// Purge completes it.
func TestKilledPurging(t *testing.T) {
	t.Parallel()
	gone := 0
	for n := 1; ; n++ {
		d := begin(t, 2)
		top := filepath.Dir(filepath.Dir(d.Root()))
		killed := runKilled(t, "purge", d.Root(), n)
		when := fmt.Sprintf("killed before operation %d", n)
		left := visible(t, d, when, 0, 2)
		if left == 0 {
			gone++
		}
		if !killed {
			wantEmpty(t, top, "not killed")
			break
		}
		release, err := d.Lock(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if left == 0 && n%2 == 0 { // start anew
			write(t, d, yard(1))
			if got, want := mustList(t, d.Root()), wantListing(yard(1)); got != want {
				t.Fatalf("%s: ends with\n%s\nwant\n%s", when, got, want)
			}
		}
		if err := errors.Join(d.Purge(), release()); err != nil {
			t.Fatalf("%s: purging again: %v", when, err)
		}
		wantEmpty(t, top, when)
	}
	if gone < 15 {
		t.Errorf("the stack was gone after %d kills only", gone)
	}
}

func wantEmpty(t *testing.T, dir, when string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Fatalf("%s: a purge leaves %v, %v", when, entries, err)
	}
}
