package doctor_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// TestPatches: for each fault that can be mended without a person, the mend is
// made, its finding is gone, nothing else is wrong for it, and patch makes the same
// of the diff.
func TestPatches(t *testing.T) {
	t.Parallel()
	mended := map[string]bool{}
	for _, s := range sites(t) {
		before := s.examined(t)
		for _, f := range faults() {
			inject := f.at(s.style)
			if inject == nil || f.refused != "" {
				continue
			}
			ill := s.copied(t)
			if err := inject(ill); errors.Is(err, os.ErrPermission) && !given(t) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			if r := ill.examined(t); slices.ContainsFunc(news(before, r), func(got lint.Finding) bool { return got.Rule == f.rule && len(got.Edits) > 0 }) {
				mended[f.rule] = true
				mend(t, f, ill, before, r)
			}
		}
	}
	t.Logf("%d rules are mended without a person: %v", len(mended), sorted(mended))
	if len(mended) < 10 {
		t.Errorf("only %d rules have mends", len(mended))
	}
}

// mend makes the mends until there are none, and examines in between.
func mend(t *testing.T, f fault, ill *site, before, r doctor.Result) {
	t.Helper()
	wrong := rulesOf(r, lint.Error)
	for range 5 {
		patches, err := doctor.Patches(r)
		if err != nil {
			t.Fatalf("%s in %s: %v", f.name, ill.style, err)
		}
		if len(patches) == 0 {
			break
		}
		for _, p := range patches {
			byPatch(t, p)
			if err := os.WriteFile(p.File, p.After, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r = ill.examined(t)
	}
	if slices.ContainsFunc(news(before, r), func(got lint.Finding) bool { return got.Rule == f.rule }) {
		t.Errorf("%s in %s is there after its mend%s", f.name, ill.style, told(r))
	}
	for _, rule := range rulesOf(r, lint.Error) {
		if !slices.Contains(wrong, rule) && !slices.Contains(f.mends, rule) {
			t.Errorf("%s in %s: the mend breaks %s%s", f.name, ill.style, rule, told(r))
		}
	}
}

// byPatch has the patch command apply a diff.
func byPatch(t *testing.T, p doctor.Patch) {
	t.Helper()
	pkitest.NeedProgram(t, "patch")
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, p.Before, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "patch", "-s", file)
	cmd.Stdin = bytes.NewReader([]byte(p.Diff))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("patch: %v\n%s\n%s", err, out, p.Diff)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, p.After) {
		t.Errorf("patch makes\n%s\nof it, and %v, want\n%s", got, err, p.After)
	}
}

func sorted(set map[string]bool) []string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
