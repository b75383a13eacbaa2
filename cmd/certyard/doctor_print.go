package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
	"github.com/certyard/certyard/stack/state"
)

// examined prints a result: one line for each group, then what is wrong, with
// hints that here makes complete.
func (u *ui) examined(named string, r doctor.Result, all bool, here func([]string) []string) {
	u.linef("looked at %s", named)
	for _, g := range doctor.Groups() {
		held, judged := r.Count(g)
		if judged == 0 {
			continue
		}
		u.linef("  %-13s %3d of %3d hold   %s", g, held, judged, u.lookedAt(g, r.Looked))
		if all {
			u.rules(g, r.Checks)
		}
	}
	told := map[string]bool{}
	count := map[lint.Severity]int{}
	for _, f := range r.Findings {
		advice := f.Rule + "\n" + r.Mend(f)
		var hints []string
		if !told[advice] {
			hints = here([]string{nearer(r.Mend(f))})
		}
		u.finding(r, f, hints)
		told[advice] = true
		count[r.Severity(f)]++
	}
	u.linef("%s", tally(count[lint.Error], count[lint.Warning]))
}

// tally says how many findings there are.
func tally(errors, warnings int) string {
	if errors+warnings == 0 {
		return "nothing is wrong"
	}
	return counted(errors, "error") + ", " + counted(warnings, "warning")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lookedAt names what was looked at of a group, shortly.
func (u *ui) lookedAt(g doctor.Group, looked []doctor.Looked) string {
	var out []string
	for _, l := range looked {
		if l.Group == g {
			out = append(out, u.path(l.What))
		}
	}
	if len(out) > 4 {
		out = append(out[:3], fmt.Sprintf("and %d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}

func (u *ui) rules(g doctor.Group, checks []doctor.Checked) {
	marks := map[doctor.Outcome]painted{
		doctor.Holds: u.paint(green, "ok  "), doctor.Broken: u.paint(red, "FAIL"), doctor.Skipped: u.paint(dim, "skip"), doctor.NotAsked: u.paint(dim, "-   "),
	}
	for _, c := range checks {
		if c.Group != g {
			continue
		}
		text := c.Proves
		if c.Because != "" {
			text = "because of " + c.Because
		}
		u.linef("    %s  %-28s %s: %s", marks[c.Outcome], c.ID, c.Title, text)
	}
}

// finding prints one finding, what to do, and the corrected lines.
func (u *ui) finding(r doctor.Result, f lint.Finding, hints []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	mark := u.paint(red, "error:")
	if r.Severity(f) == lint.Warning {
		mark = u.paint(dim, "warning:")
	}
	fmt.Fprintf(u.out, "certyard: %s %s%s [%s]\n", mark, clean(u.place(f)), clean(nearer(f.Problem)), f.Rule)
	u.hints(hints)
	for _, e := range f.Edits {
		u.edit(e)
	}
}

// nearer shortens the paths in a text that are below the working directory.
func nearer(text string) string {
	wd, err := os.Getwd()
	if err != nil || wd == "/" {
		return text
	}
	return strings.ReplaceAll(text, wd+"/", "")
}

// place says where a finding is, with what follows it.
func (u *ui) place(f lint.Finding) string {
	var out string
	if f.File != "" {
		out = u.path(f.File)
		if f.Line > 0 {
			out += fmt.Sprintf(":%d", f.Line)
		}
		out += ": "
	}
	if f.Object != "" {
		out += f.Object + ": "
	}
	return out
}

func (u *ui) edit(e lint.Edit) {
	for i, line := range e.New {
		fmt.Fprintf(u.out, "    %4d  %s\n", e.From+i, u.paint(green, line))
	}
	if len(e.New) == 0 {
		fmt.Fprintf(u.out, "    %4d  (take this line out)\n", e.From)
	}
}

// printDiff prints a diff on stdout, where the patch command can read it.
func (a *app) printDiff(text string) error {
	if a.global.json {
		return nil
	}
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(a.stdout, clean(strings.TrimSuffix(line, "\n"))); err != nil {
			return fmt.Errorf("writing the diff: %w", err)
		}
	}
	return nil
}

// mend prints the mends that are certain, and makes them if it may.
func (a *app) mend(r doctor.Result, write bool) error {
	patches, err := doctor.Patches(r)
	if err != nil {
		return err
	}
	for _, p := range patches {
		if err := a.printDiff(p.Diff); err != nil {
			return err
		}
		if !write {
			continue
		}
		backup, err := state.Amend(p.File, p.Before, p.After)
		if err != nil {
			return err
		}
		slices.Sort(p.Rules)
		a.ui.linef("mended %s (%s); the old one is %s", a.ui.path(p.File), strings.Join(slices.Compact(p.Rules), ", "), a.ui.path(backup))
	}
	switch {
	case len(patches) == 0:
		a.ui.linef("nothing can be mended without you: see the hints")
	case !write:
		a.ui.linef("certyard: hint: --fix --yes makes these changes, and keeps each old file beside the new one")
	default:
		left := len(r.Findings)
		for _, p := range patches {
			left -= len(p.Rules)
		}
		if left > 0 {
			a.ui.linef("%d of %d findings are left for you", left, len(r.Findings))
		}
		a.ui.linef("certyard: hint: the daemons read their configs when they start: restart them, and run certyard doctor again")
	}
	return nil
}
