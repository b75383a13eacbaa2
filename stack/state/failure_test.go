package state

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

// TestFailures lets each operation of a write fail, alone or with all that follow.
// The error arrives, and the files are the old or the new ones, like after a kill;
// or it was one of those that tidy up after the last file is in its place, and the
// files are the new ones.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, follow := range map[string]bool{"alone": false, "from there on": true} {
		t.Run(name, func(t *testing.T) { failEach(t, follow) })
	}
}

func failEach(t *testing.T, follow bool) {
	for _, old := range []int{0, 1} {
		silent := 0
		for n := 1; ; n++ {
			d := begin(t, old)
			left, failed := n, ""
			d.hook = func(op, path string) error {
				left--
				if left == 0 {
					failed = op + " " + path
				}
				if left == 0 || left < 0 && follow {
					return syscall.ENOSPC
				}
				return nil
			}
			changes, err := lockAndChange(t, d, yard(2))
			if failed == "" {
				break
			}
			d.hook = nil
			if err == nil {
				visible(t, d, failed+" fails", 2, 2)
				silent++
			} else {
				var full *FullError
				if !errors.As(err, &full) || !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("%s fails with ENOSPC: got %v", failed, err)
				}
				visible(t, d, failed+" fails", old, 2)
				told(t, d, failed+" fails", changes, err)
			}
			if err := lockAndWrite(t, d, yard(2)); err != nil {
				t.Fatalf("after %s failed: %v", failed, err)
			}
			if got, want := mustList(t, d.Root()), wantListing(yard(2)); got != want {
				t.Fatalf("after %s failed, ends with\n%s\nwant\n%s", failed, got, want)
			}
		}
		if silent == 0 {
			t.Error("no operation that tidies up was reached")
		}
	}
}

// told checks that a failed write of version 2 tells what it has changed exactly
// when the next Lock completes it.
func told(t *testing.T, d *Dir, when string, changes Changes, err error) {
	t.Helper()
	complete(t, d)
	_, unfinished := errors.AsType[*UnfinishedError](err)
	if done := visible(t, d, when, 0, 1, 2) == 2; done != unfinished || done == changes.Empty() {
		t.Errorf("%s: it tells of %q with %v, and it is %v that the next Lock completes it", when, changes.Paths(), err, done)
	}
}

// complete lets a Lock do what an interrupted write has left.
func complete(t *testing.T, d *Dir) {
	t.Helper()
	release, err := d.Lock(t.Context())
	if err == nil {
		err = release()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFailuresTell: a failed write to a role tells of what the next Lock completes,
// and of nothing else, also where it takes two steps.
func TestFailuresTell(t *testing.T) {
	t.Parallel()
	for name, s := range steps() {
		for n := 1; ; n++ {
			d := beginStep(t, s)
			planned, err := d.Plan(s.write)
			if err != nil {
				t.Fatal(err)
			}
			left, failed := n, ""
			d.hook = func(op, path string) error {
				if left--; left != 0 {
					return nil
				}
				failed = op + " " + path
				return syscall.EIO
			}
			changes, err := lockAndChange(t, d, s.write)
			if failed == "" {
				break
			}
			d.hook = nil
			complete(t, d)
			now, planErr := d.Plan(s.write)
			if planErr != nil {
				t.Fatal(planErr)
			}
			if _, unfinished := errors.AsType[*UnfinishedError](err); err != nil && unfinished == changes.Empty() {
				t.Errorf("%s, %s fails: it tells of %q with %v", name, failed, changes.Paths(), err)
			}
			for _, p := range changes.Paths() {
				if slices.Contains(now.Paths(), p) {
					t.Errorf("%s, %s fails: it tells of %s, which is still to be written", name, failed, p)
				}
			}
			for _, p := range slices.Concat(planned.Created, planned.Replaced, planned.Removed) {
				if !slices.Contains(now.Paths(), p) && !slices.Contains(changes.Paths(), p) {
					t.Errorf("%s, %s fails: it does not tell of %s, which is written", name, failed, p)
				}
			}
		}
	}
}

func lockAndWrite(t *testing.T, d *Dir, files []stack.File) error {
	_, err := lockAndChange(t, d, files)
	return err
}

func lockAndChange(t *testing.T, d *Dir, files []stack.File) (Changes, error) {
	release, err := d.Lock(t.Context())
	if err != nil {
		return Changes{}, err
	}
	changes, err := d.Write(files)
	return changes, errors.Join(err, release())
}
