package explain

import "testing"

// daemonTexts are the patterns that no program says in TestRealTexts, and that a
// daemon or a client of one says in TestIntegrationRealTexts, which fails when it does
// not.
func daemonTexts() []string {
	return []string{}
}

// daemonsSay returns their indices in the table.
func daemonsSay(t *testing.T) []int {
	t.Helper()
	all := map[string][]int{}
	for i, p := range known().patterns {
		if p.entry >= 0 {
			all[patternText(i)] = append(all[patternText(i)], i)
		}
	}
	var out []int
	for _, text := range daemonTexts() {
		if len(all[text]) == 0 {
			t.Errorf("the table has no pattern %q", text)
		}
		out = append(out, all[text]...)
	}
	return out
}
