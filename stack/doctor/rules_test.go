package doctor_test

import (
	"slices"
	"testing"

	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// TestRules: the rows can be relied on. A cause comes before what it explains, and
// everything that a person is shown is there.
func TestRules(t *testing.T) {
	var before []string
	for _, r := range doctor.Rules() {
		for _, need := range r.Needs {
			if !slices.Contains(before, need) {
				t.Errorf("%s needs %s, which is no rule before it", r.ID, need)
			}
		}
		if slices.Contains(before, r.ID) {
			t.Errorf("%s is there twice", r.ID)
		}
		if r.Title == "" || r.Proves == "" || r.Hint == "" || r.Source == "" || r.Severity != lint.Error && r.Severity != lint.Warning {
			t.Errorf("%s lacks something: %+v", r.ID, r)
		}
		before = append(before, r.ID)
	}
	if len(before) < 100 {
		t.Errorf("there are only %d rules", len(before))
	}
}
