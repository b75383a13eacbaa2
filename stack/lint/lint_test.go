package lint_test

import (
	"reflect"
	"testing"

	"github.com/certyard/certyard/stack/lint"
)

// TestCauses: what another finding explains is left out, for the same daemon, and
// through a rule that was itself not judged.
func TestCauses(t *testing.T) {
	rules := []lint.Rule{{ID: "a"}, {ID: "b", Needs: []string{"a"}}, {ID: "c", Needs: []string{"b"}}}
	find := func(rule string, subject lint.Subject) lint.Finding {
		return lint.Finding{Rule: rule, Subject: subject}
	}
	for name, c := range map[string]struct {
		findings, kept []lint.Finding
		skipped        []lint.Skip
	}{
		"none":         {},
		"a cause":      {[]lint.Finding{find("b", lint.Builder), find("a", lint.Builder)}, []lint.Finding{find("a", lint.Builder)}, []lint.Skip{{"b", lint.Builder, "a"}}},
		"of the other": {[]lint.Finding{find("b", lint.Builder), find("a", lint.Registry)}, []lint.Finding{find("a", lint.Registry), find("b", lint.Builder)}, nil},
		"of both":      {[]lint.Finding{find("b", lint.Builder), find("a", "")}, []lint.Finding{find("a", "")}, []lint.Skip{{"b", lint.Builder, "a"}}},
		"for both":     {[]lint.Finding{find("b", ""), find("a", lint.Registry)}, []lint.Finding{find("a", lint.Registry)}, []lint.Skip{{"b", "", "a"}}},
		"over a step": {[]lint.Finding{find("c", lint.Builder), find("b", lint.Builder), find("a", lint.Builder)}, []lint.Finding{find("a", lint.Builder)},
			[]lint.Skip{{"b", lint.Builder, "a"}, {"c", lint.Builder, "a"}}},
		"unknown": {[]lint.Finding{find("x", ""), find("a", "")}, []lint.Finding{find("a", ""), find("x", "")}, nil},
	} {
		kept, skipped := lint.Causes(rules, c.findings)
		if !reflect.DeepEqual(kept, c.kept) || !reflect.DeepEqual(skipped, c.skipped) {
			t.Errorf("%s: kept %+v, skipped %+v, want %+v, %+v", name, kept, skipped, c.kept, c.skipped)
		}
	}
}
