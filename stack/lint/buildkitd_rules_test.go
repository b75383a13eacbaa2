package lint_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/sirupsen/logrus"

	"github.com/certyard/certyard/stack/lint"
)

// moduleDir returns where the source of buildkit is, and its version.
func moduleDir(t *testing.T) (dir, version string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "github.com/moby/buildkit").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, version, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return dir, version
}

var sourceLine = regexp.MustCompile(`([\w/.]+\.(?:go|md))(?::([0-9, -]+))?`)

// TestBuildkitdRules: the table can be shown and judged by, and its sources are
// those of the version that is built with.
func TestBuildkitdRules(t *testing.T) {
	dir, built := moduleDir(t)
	seen := map[string]bool{}
	for _, r := range lint.BuildkitdRules() {
		if !strings.HasPrefix(r.ID, "buildkitd.") || seen[r.ID] || r.Title == "" || r.Proves == "" || r.Hint == "" || r.Source == "" {
			t.Errorf("%+v", r)
		}
		for _, need := range r.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which does not come before it", r.ID, need)
			}
		}
		seen[r.ID] = true
		for _, text := range []string{r.Title, r.Proves, r.Hint} {
			checkText(t, text)
		}
		for part := range strings.SplitSeq(r.Source, ";") {
			checkSource(t, r.ID, dir, built, strings.TrimSpace(part))
		}
	}
}

// TestRulesAreCopies: what a caller does with the rules changes no table.
func TestRulesAreCopies(t *testing.T) {
	for name, rules := range map[string]func() []lint.Rule{"buildkitd": lint.BuildkitdRules, "registry": lint.RegistryRules, "certs": lint.CertRules} {
		tried := 0
		for _, r := range rules() {
			if len(r.Needs) > 0 {
				r.Needs[0] = "changed"
				tried++
			}
		}
		if changed := func(r lint.Rule) bool { return slices.Contains(r.Needs, "changed") }; tried == 0 || slices.ContainsFunc(rules(), changed) {
			t.Errorf("%s: the table is shared, of %d rules with needs", name, tried)
		}
	}
}

// checkSource asks that the files of buildkit that are cited exist, and have the
// lines.
func checkSource(t *testing.T, id, dir, built, part string) {
	t.Helper()
	v, ok := strings.CutPrefix(part, "buildkit ")
	if !ok {
		return
	}
	if !strings.HasPrefix(v, built+" ") {
		t.Errorf("%s: it is about another buildkit than %s: %s; read it again", id, built, part)
	}
	cited := sourceLine.FindAllStringSubmatch(v, -1)
	if cited == nil {
		t.Errorf("%s: no file in %q", id, part)
	}
	for _, m := range cited {
		data, err := os.ReadFile(filepath.Join(dir, m[1]))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		for number := range strings.FieldsFuncSeq(m[2], func(r rune) bool { return !unicode.IsDigit(r) }) {
			if line, err := strconv.Atoi(number); err != nil || line < 1 || line > bytes.Count(data, []byte("\n")) {
				t.Errorf("%s: %s has no line %s", id, m[1], number)
			}
		}
	}
}

// TestLogLevels: they are the ones that the daemon's logger takes.
func TestLogLevels(t *testing.T) {
	for _, level := range []string{"panic", "fatal", "error", "warn", "warning", "info", "debug", "trace", "WARN", "loud", "notice", "off", "0"} {
		_, err := logrus.ParseLevel(level)
		b := lint.ParseBuildkitd("x", fmt.Appendf(nil, "[log]\nlevel = %q\n", level), lint.BuildkitdFlags{})
		if (len(b.Findings) > 0) != (err != nil) {
			t.Errorf("%s: %v, and we say %+v", level, err, b.Findings)
		}
	}
}
