package lifecycle_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestEndingCA: status and rotate tell of a CA in time, when leaves would end with
// it, and of none that was just made or is being replaced.
func TestEndingCA(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		ca, leaf string
		passed   time.Duration
		want     string
	}{
		"new":              {"3650d", "90d", 0, ""},
		"a year left":      {"3650d", "90d", 3285 * day, ""},
		"80 days left":     {"3650d", "90d", 3570 * day, "ca client-ca"},
		"as long as leafs": {"90d", "90d", 0, ""},
		"its last third":   {"90d", "90d", 61 * day, "ca client-ca"},
	} {
		d := rotateDeps(t, claims(sound))
		mustUp(t, d, stack.Config{Name: "quiet", PKI: stack.PKIConfig{CAValidity: c.ca, LeafValidity: c.leaf}, Builder: stack.BuilderConfig{TLS: "mutual"}})
		d = later(d, c.passed)
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := lifecycle.GetStatus(t.Context(), d, nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, ca := range s.Ending {
			names = append(names, ca.Name)
			if !ca.Ours {
				t.Errorf("%s: %s is somebody else's", name, ca.Name)
			}
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want || s.OK() != (c.want == "") || !slices.Equal(out.Ending, s.Ending) {
			t.Errorf("%s: %q end, OK %v; rotate says %v", name, got, s.OK(), out.Ending)
		}
		if c.want == "" {
			continue
		}
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
		if s, err := lifecycle.GetStatus(t.Context(), d, errors.New("not asked")); err != nil || len(s.Ending) > 0 {
			t.Errorf("%s: while it is replaced: %v, %v", name, s.Ending, err)
		}
	}
}
