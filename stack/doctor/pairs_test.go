package doctor_test

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// allFaults has the pairs run whole: CERTYARD_FAULTS=full.
const allFaults = "CERTYARD_FAULTS"

// everyPair: the normal test takes one of so many pairs.
const everyPair = 61

// TestPairs makes two faults at once, in each style: the first finding is one of
// the two causes, and the other one is told too, or left out because of the first.
func TestPairs(t *testing.T) {
	t.Parallel()
	step := everyPair
	if os.Getenv(allFaults) == "full" {
		step = 1
	}
	all := sites(t)
	rows := make([]tally, len(all))
	t.Run("style", func(t *testing.T) {
		for i, s := range all {
			t.Run(s.style, func(t *testing.T) {
				t.Parallel()
				rows[i] = pairs(t, s, step)
			})
		}
	})
	printed(t, "two faults at a time", rows)
}

// pairs makes every step-th pair of the errors that fit a style.
func pairs(t *testing.T, s *site, step int) tally {
	t.Helper()
	severity := severities()
	var wrong []fault
	for _, f := range faults() {
		if f.at(s.style) != nil && severity[f.rule] == lint.Error {
			wrong = append(wrong, f)
		}
	}
	count, n := tally{style: s.style}, 0
	for i, a := range wrong {
		for _, b := range wrong[i+1:] {
			if n++; n%step == 0 {
				count = count.plus(pair(t, s, a, b))
			}
		}
	}
	return count
}

// pair makes two faults and judges what is found. Those that cannot be made
// together count nothing.
func pair(t *testing.T, s *site, a, b fault) tally {
	t.Helper()
	ill := s.copied(t)
	defer os.RemoveAll(ill.root) // there are many
	for turn, f := range []fault{a, b} {
		ill.turn = turn
		switch err := f.at(s.style)(ill); {
		case errors.Is(err, errAbsent), errors.Is(err, os.ErrPermission) && !given(t):
			return tally{style: s.style}
		case err != nil:
			t.Errorf("%s after %s in %s: %v", b.name, a.name, s.style, err)
			return tally{style: s.style}
		}
	}
	r, err := ill.examine(t.Context())
	if err != nil {
		t.Errorf("%s and %s in %s: %v", a.name, b.name, s.style, err)
		return tally{style: s.style, faults: 1, missed: 1}
	}
	out := tally{style: s.style, faults: 1}
	switch first := firstRule(r); {
	case first != a.rule && first != b.rule:
		out.later++
	case !accounted(r, a.rule) || !accounted(r, b.rule):
		out.missed++
	default:
		out.first++
	}
	for _, rule := range rulesOf(r, lint.Error) {
		if !slices.Contains(slices.Concat([]string{a.rule, b.rule}, a.also, b.also, a.guessed, b.guessed), rule) {
			out.loud++
		}
	}
	if out.first == 0 || out.loud > 0 {
		t.Errorf("%s (%s) and %s (%s) in %s: %v%s", a.name, a.rule, b.name, b.rule, s.style, out, told(doctor.Result{Findings: r.Findings[:errorsOf(r)], Checks: r.Checks}))
	}
	return out
}

func firstRule(r doctor.Result) string {
	if len(r.Findings) == 0 {
		return ""
	}
	return r.Findings[0].Rule
}

func errorsOf(r doctor.Result) int {
	n := slices.IndexFunc(r.Findings, func(f lint.Finding) bool { return r.Severity(f) != lint.Error })
	if n < 0 {
		return len(r.Findings)
	}
	return n
}

// accounted reports whether a rule is broken, or was left out because of one that
// is, or could not be judged for want of what the other one spoils.
func accounted(r doctor.Result, rule string) bool {
	for _, c := range r.Checks {
		if c.ID == rule {
			return c.Outcome == doctor.Broken || c.Outcome == doctor.Skipped
		}
	}
	return false
}
