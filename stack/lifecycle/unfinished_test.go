package lifecycle_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

// unfinished is a store that has the new files on the disk when the first write
// fails.
type unfinished struct {
	lifecycle.Store
	failed bool
}

func (s *unfinished) Write(files []stack.File) (state.Changes, error) {
	changes, err := s.Store.Write(files)
	if err == nil && !s.failed {
		s.failed = true
		err = &state.UnfinishedError{Err: &state.FullError{Op: "placing", Path: s.Root(), Err: syscall.ENOSPC}}
	}
	return changes, err
}

// TestRotateUnfinished: where new files were on the disk before something failed,
// those from before are put back, and nothing says that they had stayed.
func TestRotateUnfinished(t *testing.T) {
	d := rotateDeps(t, &script{proofs: []claims{sound}})
	mustUp(t, d, stack.Config{Name: "quiet"})
	before, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	d.Store = &unfinished{Store: d.Store}
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
	if _, ok := errors.AsType[*state.UnfinishedError](err); !ok || !out.RolledBack || len(out.Written) == 0 {
		t.Errorf("rolled back %v, written %q, %v", out.RolledBack, out.Written, err)
	}
	sameFiles(t, d, before)
}
