package lint

import "slices"

// Severity says how bad a broken rule is.
type Severity string

const (
	// Error: something does not work, or is open that must not be.
	Error Severity = "error"
	// Warning: it works today. It protects less than it seems to, or will
	// break later.
	Warning Severity = "warning"
)

// Rule is a statement that must hold.
type Rule struct {
	ID       string   `json:"id"`              // stable, as "buildkitd.loopback-http"
	Title    string   `json:"title"`           // what must hold, as "loopback names say http = false"
	Severity Severity `json:"severity"`        // how bad it is when it does not
	Needs    []string `json:"needs,omitempty"` // IDs of rules: where one is broken, this one is not judged
	Proves   string   `json:"proves"`          // what is known when it holds
	Hint     string   `json:"hint"`            // what to do when it does not, in general
	Source   string   `json:"source"`          // where the fact comes from, as "P1"
}

// own returns the rule with a list of its own, for callers that add to it.
func (r Rule) own() Rule {
	r.Needs = slices.Clone(r.Needs)
	return r
}

// Subject says which daemon a finding is about.
type Subject string

// The subjects. A finding about both, or neither, has none.
const (
	Registry Subject = "registry"
	Builder  Subject = "builder"
)

// Finding is one place where a rule is broken.
type Finding struct {
	Rule    string  `json:"rule"`              // the rule's ID
	Subject Subject `json:"subject,omitempty"` // the daemon that it is about
	File    string  `json:"file,omitempty"`    // as it was named
	Line    int     `json:"line,omitempty"`    // from 1; 0 when it is of no line
	Object  string  `json:"object,omitempty"`  // the key, service or certificate, as `registry."localhost:5005".http`
	Problem string  `json:"problem"`           // what is wrong and what comes of it, as one sentence without a period
	Mend    string  `json:"mend,omitempty"`    // what to do here; the rule's hint when it is empty
	Edits   []Edit  `json:"edits,omitempty"`   // the corrected lines, where they are certain
}

// Edit replaces lines of the finding's file.
type Edit struct {
	From int      `json:"from"`          // the first line that is replaced, from 1
	To   int      `json:"to"`            // the last one; From-1 replaces none, and New goes before From
	New  []string `json:"new,omitempty"` // without line ends; none deletes
}

// Skip is a rule that was not judged, because another one is broken.
type Skip struct {
	Rule    string  `json:"rule"`
	Subject Subject `json:"subject,omitempty"`
	Because string  `json:"because"` // the ID of the rule that is broken
}

// Causes returns the findings that no other finding explains, in the order of the
// rules and as they were among those of one, and what was left out. A rule is not
// judged for a subject for which a rule that it needs is broken, or was not judged
// itself. A finding without a subject speaks for every subject.
//
// Findings whose rule is not in the list are a mistake of the caller; they are
// kept, at the end.
func Causes(rules []Rule, findings []Finding) (kept []Finding, skipped []Skip) {
	broken := map[string][]Finding{}
	for _, f := range findings {
		broken[f.Rule] = append(broken[f.Rule], f)
	}
	causes := map[string][]because{} // by the rule that is broken, or not judged
	for _, r := range rules {
		var left []Subject
		for _, f := range broken[r.ID] {
			if cause := explained(causes, r.Needs, f.Subject); cause != "" {
				if !slices.Contains(left, f.Subject) {
					skipped = append(skipped, Skip{r.ID, f.Subject, cause})
					left = append(left, f.Subject)
				}
				causes[r.ID] = append(causes[r.ID], because{f.Subject, cause})
				continue
			}
			kept = append(kept, f)
			causes[r.ID] = append(causes[r.ID], because{f.Subject, r.ID})
		}
		delete(broken, r.ID)
	}
	for _, f := range findings {
		if _, unknown := broken[f.Rule]; unknown {
			kept = append(kept, f)
		}
	}
	return kept, skipped
}

// because is what was wrong for whom.
type because struct {
	subject Subject
	rule    string
}

// explained returns the rule that explains a finding about the subject, "" when
// none does.
func explained(causes map[string][]because, needs []string, subject Subject) string {
	for _, need := range needs {
		for _, c := range causes[need] {
			if c.subject == subject || c.subject == "" || subject == "" {
				return c.rule
			}
		}
	}
	return ""
}
