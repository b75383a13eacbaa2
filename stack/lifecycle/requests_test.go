package lifecycle_test

import (
	"errors"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestExportRootWaits: while CAs are replaced the root stays where it is. Which one
// that is may still change, and either may have to sign.
func TestExportRootWaits(t *testing.T) {
	for _, phase := range []stack.Phase{stack.PhaseStage, stack.PhaseExpand, stack.PhaseVerify, stack.PhaseContract} {
		d, _, _ := caStack(t, caConfigs()["edge two-tier"])
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: phase})
		before, exported := snapshot(t, d.Store.Root()), 0
		export := func(files []stack.File) error { exported += len(files); return nil }
		err := lifecycle.ExportRoot(t.Context(), d, export)
		if _, ok := errors.AsType[*lifecycle.OpenRotationError](err); !ok || exported > 0 || snapshot(t, d.Store.Root()) != before {
			t.Errorf("at %s: %v, and %d files are exported", phase, err, exported)
		}
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true})
		if err := lifecycle.ExportRoot(t.Context(), d, export); err != nil || exported != 2 || readAt(t, d, stack.FileCAKey) != nil {
			t.Errorf("after %s: %v, and %d files are exported", phase, err, exported)
		}
	}
}
