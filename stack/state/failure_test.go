package state

import (
	"errors"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

// TestFailures lets each operation of a write fail. The error arrives, and the
// files are the old or the new ones, like after a kill; or it was one of those that
// tidy up after the last file is in its place, and the files are the new ones.
func TestFailures(t *testing.T) {
	t.Parallel()
	for _, old := range []int{0, 1} {
		silent := 0
		for n := 1; ; n++ {
			d := begin(t, old)
			left, failed := n, ""
			d.hook = func(op, path string) error {
				if left--; left == 0 {
					failed = op + " " + path
					return syscall.ENOSPC
				}
				return nil
			}
			err := lockAndWrite(t, d, yard(2))
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

func lockAndWrite(t *testing.T, d *Dir, files []stack.File) error {
	release, err := d.Lock(t.Context())
	if err != nil {
		return err
	}
	_, err = d.Write(files)
	return errors.Join(err, release())
}
