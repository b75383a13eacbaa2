package doctor

import (
	"slices"
	"strings"

	"github.com/certyard/certyard/stack/lint"
)

// Group is what a rule is about.
type Group string

// The groups, in the order in which they are reported.
const (
	Files        Group = "files"
	Certificates Group = "certificates"
	Docker       Group = "docker"
	Running      Group = "running"
	Probes       Group = "probes"
)

// Groups returns all groups in their order.
func Groups() []Group { return []Group{Files, Certificates, Docker, Running, Probes} }

// groupOf returns the group of a rule, by the first part of its ID.
func groupOf(id string) Group {
	switch part, _, _ := strings.Cut(id, "."); part {
	case "certs":
		return Certificates
	case "docker":
		return Docker
	case "running":
		return Running
	case "probe":
		return Probes
	default:
		return Files
	}
}

// Looked is something that was looked at.
type Looked struct {
	Group Group  `json:"group"`
	What  string `json:"what"` // a file, a container or an address
}

// Outcome is how a rule fared.
type Outcome string

// The outcomes of a rule.
const (
	Holds    Outcome = "holds"
	Broken   Outcome = "broken"
	Skipped  Outcome = "skipped"  // not judged, because another rule is broken
	NotAsked Outcome = "not-seen" // there was nothing to judge it by
)

// Checked is a rule and how it fared.
type Checked struct {
	lint.Rule
	Group   Group   `json:"group"`
	Outcome Outcome `json:"outcome"`
	Because string  `json:"because,omitempty"` // the rule that is broken, when it was skipped
}

// Result is what an examination found. It is the document of doctor --json.
type Result struct {
	Looked   []Looked       `json:"looked"`
	Findings []lint.Finding `json:"findings"` // errors before warnings, causes first
	Checks   []Checked      `json:"checks"`   // all rules, in their order
}

// Count returns how many rules of a group hold, and how many were judged.
func (r Result) Count(g Group) (held, judged int) {
	for _, c := range r.Checks {
		if c.Group != g || c.Outcome == NotAsked {
			continue
		}
		judged++
		if c.Outcome == Holds {
			held++
		}
	}
	return held, judged
}

// Worst returns the severity of the worst finding, "" when there is none.
func (r Result) Worst() lint.Severity {
	if len(r.Findings) == 0 {
		return ""
	}
	return r.Severity(r.Findings[0])
}

// Severity returns how bad a finding is.
func (r Result) Severity(f lint.Finding) lint.Severity { return r.rule(f.Rule).Severity }

// Mend returns what to do about a finding.
func (r Result) Mend(f lint.Finding) string {
	if f.Mend != "" {
		return f.Mend
	}
	return r.rule(f.Rule).Hint
}

// Rule returns the rule with an ID; the zero value when there is none.
func (r Result) rule(id string) lint.Rule {
	for _, c := range r.Checks {
		if c.ID == id {
			return c.Rule
		}
	}
	return lint.Rule{}
}

// result draws the conclusions.
func (p *patient) result() Result {
	rules := Rules()
	findings, skipped := lint.Causes(rules, p.findings)
	r := Result{Looked: p.looked, Findings: findings, Checks: []Checked{}}
	for i := range findings {
		findings[i] = lint.Discreet(findings[i])
	}
	withholdEdits(findings)
	if r.Looked == nil {
		r.Looked = []Looked{}
	}
	if findings == nil {
		r.Findings = []lint.Finding{} // in JSON an empty list is [], not null
	}
	hidden := hiddenBy(rules, worstFirst(rules, findings))
	for _, rule := range rules {
		r.Checks = append(r.Checks, p.checked(rule, findings, skipped, hidden[rule.ID]))
	}
	r.Findings = worstFirst(rules, r.Findings)
	return r
}

// worstFirst returns errors before warnings, and else the order that there is.
func worstFirst(rules []lint.Rule, findings []lint.Finding) []lint.Finding {
	severity := map[string]lint.Severity{}
	for _, r := range rules {
		severity[r.ID] = r.Severity
	}
	out := slices.Clone(findings)
	slices.SortStableFunc(out, func(a, b lint.Finding) int { return rank(severity[a.Rule]) - rank(severity[b.Rule]) })
	return out
}

// withholdEdits takes the corrected line from a section that does not verify the
// registry, where it would not verify: that comes after a certificate which stands
// up to it.
func withholdEdits(findings []lint.Finding) {
	doubtful := slices.ContainsFunc(findings, func(f lint.Finding) bool {
		return slices.Contains(certRules(lint.Error), f.Rule) && f.Subject != lint.Builder
	})
	for i, f := range findings {
		if f.Rule == "buildkitd.insecure" && doubtful {
			findings[i].Edits, findings[i].Mend = nil, "mend the certificate first, then write insecure = false"
		}
	}
}

func rank(s lint.Severity) int {
	if s == lint.Error {
		return 0
	}
	return 1
}

// needsEngine reports whether a rule was not judged for want of an engine that
// answers.
func (p *patient) needsEngine(rule lint.Rule) bool {
	return p.broken(ruleEngine, "") && (slices.Contains(rule.Needs, ruleEngine) || slices.Contains(rule.Needs, ruleState))
}

// hiddenBy returns for rules a broken one that keeps them from being judged as a
// whole: something that they are about could not be looked at.
func hiddenBy(rules []lint.Rule, findings []lint.Finding) map[string]string {
	out, hides := map[string]string{}, hides()
	for _, f := range findings {
		for _, start := range hides[f.Rule] {
			for _, r := range rules {
				if out[r.ID] == "" && r.ID != f.Rule && strings.HasPrefix(r.ID, start) {
					out[r.ID] = f.Rule
				}
			}
		}
	}
	return out
}

// checked says how a rule fared. A rule that is broken for one daemon and was not
// judged for another is broken.
func (p *patient) checked(rule lint.Rule, findings []lint.Finding, skipped []lint.Skip, hidden string) Checked {
	c := Checked{Rule: rule, Group: groupOf(rule.ID), Outcome: NotAsked}
	if p.judged[rule.ID] {
		c.Outcome = Holds
	}
	if c.Outcome == NotAsked && p.needsEngine(rule) {
		c.Outcome, c.Because = Skipped, ruleEngine
	}
	for _, s := range skipped {
		if s.Rule == rule.ID {
			c.Outcome, c.Because = Skipped, s.Because
		}
	}
	if hidden != "" && c.Outcome != Skipped {
		c.Outcome, c.Because = Skipped, hidden
	}
	if c.Group == Probes && c.Outcome == Holds {
		c.Outcome, c.Because = afterBroken(rule, findings)
	}
	for _, f := range findings {
		if f.Rule == rule.ID {
			c.Outcome, c.Because = Broken, ""
		}
	}
	return c
}

// afterBroken says how a rule about connections fared that nothing broke: where
// another one that it needs is broken, the connections did not get as far.
func afterBroken(rule lint.Rule, findings []lint.Finding) (Outcome, string) {
	for _, f := range findings {
		if groupOf(f.Rule) == Probes && slices.Contains(rule.Needs, f.Rule) {
			return Skipped, f.Rule
		}
	}
	return Holds, ""
}
