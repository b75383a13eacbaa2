package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// notByFiles are the first parts of the rules that only something running breaks:
// the tests of running stacks have them.
var notByFiles = []string{"docker", "running", "probe"}

// unfaulted are the errors of files that no fault of the library stands for, with
// the reason.
var unfaulted = map[string]string{
	"wiring.services": "nothing else is judged then, so that it goes with no other fault; see TestNothingToLookAt",
}

// TestLibrary: each error that files can have is the first finding of a fault, and
// of the warnings most are.
func TestLibrary(t *testing.T) {
	faulted := map[string]bool{}
	for _, f := range faults() {
		faulted[f.rule] = true
	}
	var missing []string
	warnings, all := 0, 0
	for _, r := range doctor.Rules() {
		part, _, _ := strings.Cut(r.ID, ".")
		if slices.Contains(notByFiles, part) {
			continue
		}
		_, excused := unfaulted[r.ID]
		switch {
		case r.Severity == lint.Warning:
			all++
			if faulted[r.ID] {
				warnings++
			} else {
				missing = append(missing, r.ID)
			}
		case faulted[r.ID] == excused:
			t.Errorf("%s: a fault %v, an excuse %v", r.ID, faulted[r.ID], excused)
		}
	}
	t.Logf("of %d rules that warn about files, %d have a fault; not: %s", all, warnings, strings.Join(missing, ", "))
	if warnings*3 < all*2 {
		t.Errorf("of %d rules that warn, only %d have a fault", all, warnings)
	}
	if n := len(faults()); n < 50 {
		t.Errorf("there are only %d faults", n)
	}
}
