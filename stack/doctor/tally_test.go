package doctor_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// tally counts what came of the faults of a style.
type tally struct {
	style                              string
	faults, first, later, missed, loud int
}

// header is the table's; see row.
const header = "| style         | faults | found first | found, not first | missed | false alarms |"

func (c tally) row() string {
	return fmt.Sprintf("| %-13s | %6d | %11d | %16d | %6d | %12d |", c.style, c.faults, c.first, c.later, c.missed, c.loud)
}

func (c tally) plus(d tally) tally {
	return tally{c.style, c.faults + d.faults, c.first + d.first, c.later + d.later, c.missed + d.missed, c.loud + d.loud}
}

// print prints the figures of several styles and their sum.
func printed(t *testing.T, title string, rows []tally) {
	t.Helper()
	sum := tally{style: "together"}
	out := []string{title, header}
	for _, r := range rows {
		out = append(out, r.row())
		sum = sum.plus(r)
	}
	t.Log(strings.Join(append(out, sum.row()), "\n"))
}

// severities returns how bad each rule is.
func severities() map[string]lint.Severity {
	out := map[string]lint.Severity{}
	for _, r := range doctor.Rules() {
		out[r.ID] = r.Severity
	}
	return out
}

// given reports whether files can be given away here. Where nothing may be left
// out, not being root fails the test.
func given(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
		t.Fatal("root is needed where nothing may be skipped: files are given to other users")
	}
	return false
}

// TestFaults makes every fault of the library in every style that it fits, one at
// a time: its cause is named first, and nothing that is not so is said to be wrong.
func TestFaults(t *testing.T) {
	t.Parallel()
	var rows []tally
	var made []string
	for _, s := range sites(t) {
		before := s.examined(t)
		count := tally{style: s.style}
		for _, f := range faults() {
			inject := f.at(s.style)
			if inject == nil {
				continue
			}
			ill := s.copied(t)
			if err := inject(ill); errors.Is(err, os.ErrPermission) && !given(t) {
				continue
			} else if err != nil {
				t.Errorf("%s in %s: %v", f.name, s.style, err)
				continue
			}
			made = append(made, f.name)
			r, err := ill.examine(t.Context())
			if f.refused != "" || err != nil {
				count = count.plus(refused(t, f, s.style, err))
				continue
			}
			count = count.plus(judged(t, f, s.style, before, r))
		}
		rows = append(rows, count)
	}
	for _, f := range faults() {
		if !slices.Contains(made, f.name) && os.Geteuid() == 0 {
			t.Errorf("%s is made nowhere", f.name)
		}
	}
	printed(t, fmt.Sprintf("%d faults, one at a time", len(faults())), rows)
}

// refused holds an error against the fault that it is of.
func refused(t *testing.T, f fault, style string, err error) tally {
	t.Helper()
	for _, text := range strings.Split(f.refused, "|") {
		if err != nil && text != "" && strings.Contains(err.Error(), text) {
			return tally{style: style, faults: 1, first: 1}
		}
	}
	t.Errorf("%s in %s: error %v, want one with %q", f.name, style, err, f.refused)
	return tally{style: style, faults: 1, missed: 1}
}

// judged holds a result against the fault that it is of.
func judged(t *testing.T, f fault, style string, before, r doctor.Result) tally {
	t.Helper()
	out := tally{style: style, faults: 1}
	found := news(before, r)
	at := slices.IndexFunc(found, func(got lint.Finding) bool { return got.Rule == f.rule })
	switch {
	case at == 0:
		out.first++
	case at > 0:
		out.later++
	default:
		out.missed++
	}
	for _, rule := range rulesOf(r, lint.Error) {
		if rule != f.rule && !slices.Contains(f.also, rule) {
			out.loud++
		}
	}
	if out.first == 0 || out.loud > 0 {
		t.Errorf("%s in %s: want %s first%s", f.name, style, f.rule, told(doctor.Result{Findings: found, Checks: r.Checks}))
	}
	return out
}

// news returns the findings that were not there before.
func news(before, after doctor.Result) []lint.Finding {
	key := func(f lint.Finding) string { return f.Rule + "\x00" + f.Object }
	return slices.DeleteFunc(slices.Clone(after.Findings), func(f lint.Finding) bool {
		return slices.ContainsFunc(before.Findings, func(b lint.Finding) bool { return key(b) == key(f) })
	})
}
