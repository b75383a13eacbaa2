package lifecycle_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// isLost returns what finds the error that names a file of a set.
func isLost(file string) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*lifecycle.LostSetError](err)
		return ok && strings.HasSuffix(e.File, file)
	}
}

// lostKeys are keys of the CAs before that nothing but the way back needs.
func lostKeys() map[string]string {
	return map[string]string{"edge": "ca/previous/client-ca.key", "daemon": "ca/previous/ca.key", "edge two-tier": "ca/previous/issuing.key"}
}

// TestReplaceCALostOldKey: without the key of an old CA it does not come back, and
// that is said before anything is changed. Everything else works, to the end of the
// replacement.
func TestReplaceCALostOldKey(t *testing.T) {
	for kind, lost := range lostKeys() {
		for _, phase := range []stack.Phase{stack.PhaseSwitch, stack.PhaseVerify, stack.PhaseContract} {
			t.Run(kind+", "+string(phase), func(t *testing.T) {
				d, v, spec := caStack(t, caConfigs()[kind])
				mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: phase})
				if err := os.Remove(at(d, lost)); err != nil {
					t.Fatal(err)
				}
				if _, err := lifecycle.GetStatus(t.Context(), d, errors.New("not asked")); err != nil {
					t.Errorf("status: %v", err)
				}
				if _, _, err := lifecycle.Smoke(t.Context(), d); err != nil {
					t.Errorf("smoke: %v", err)
				}
				if res, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); err != nil || len(res.Written) > 0 {
					t.Errorf("up: %v, and it writes %q", err, res.Written)
				}
				before := snapshot(t, d.Store.Root())
				if phase != stack.PhaseContract {
					refused := isLost(lost)
					if out, err := lifecycle.PlanRotate(t.Context(), d, lifecycle.RotateOptions{Abort: true}); !refused(err) || len(out.Plan) > 0 {
						t.Errorf("it is planned to take it back: %v, %v", out.Plan, err)
					}
					out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
					if !refused(err) || out.RolledBack || out.Open == nil || out.Open.Phase != stack.PhaseSwitch {
						t.Errorf("it is taken back: %v, %+v", err, out.Open)
					}
					v.asked, v.breakAt, v.breaks = nil, 1, 2
					out, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true})
					if !refused(err) || out.RolledBack || out.Report == nil || out.Report.OK() {
						t.Errorf("what does not hold is taken back: %v, rolled back %v", err, out.RolledBack)
					}
					v.breakAt, v.breaks = 0, 0
				}
				if snapshot(t, d.Store.Root()) != before {
					t.Error("what was refused has changed something")
				}
				if out := mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true}); out.Open != nil {
					t.Errorf("going on ends with %+v open", out.Open)
				}
				files, err := d.Store.ReadAll()
				if left := slices.DeleteFunc(slices.Collect(maps.Keys(files)), func(p string) bool { return !strings.HasPrefix(p, stack.SetPrevious+"/") }); err != nil || len(left) > 0 {
					t.Errorf("%v, and left are %q", err, left)
				}
				if n := trusts(t, d, stack.FileClientCA); n != 1 {
					t.Errorf("%d roots are trusted", n)
				}
			})
		}
	}
}
