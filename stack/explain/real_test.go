package explain

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// texts takes what real programs say, and remembers which texts of the table were
// among it.
type texts struct {
	seen    map[int]bool
	skipped bool
}

// say checks what a program has said: the first message that is found in it has an
// ID, and a hop where the text tells one.
func (x *texts) say(t *testing.T, text, id string, hop Hop) Message {
	t.Helper()
	t.Log(text)
	found := Match(text)
	if len(found) == 0 {
		t.Errorf("%q: nothing is known, want %s", text, id)
		return Message{}
	}
	x.see(text)
	if found[0].ID != id || found[0].Hop != hop {
		t.Errorf("%q: %s, hop %q; want %s, %q", text, found[0].ID, found[0].Hop, id, hop)
	}
	return found[0]
}

// see remembers what is in a text, also what a message that says more has covered.
func (x *texts) see(text string) {
	f := newFinder(known())
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		f.line = normal(f.line[:0], []byte(line))
		f.matchAll()
		for _, m := range f.matches {
			x.seen[m.pattern] = true
		}
	}
}

// producer lets real software say something.
type producer struct {
	name string
	run  func(*testing.T, *texts)
}

func producers() []producer {
	return []producer{
		{"Go client", sayGoClient}, {"Go client, other keys", sayRegenerated}, {"hanging up", sayEOF}, {"Go mutual TLS", sayMutualTLS}, {"HTTP and HTTPS", saySchemes}, {"network", sayNetwork}, {"files", sayFiles},
		{"BuildKit client", sayBuilder}, {"BuildKit config", sayConfig}, {"BuildKit resolver", sayResolver}, {"containerd", sayStatuses}, {"tokens", sayTokens},
		{"go-containerregistry", sayCrane}, {"registry", sayRegistry}, {"openssl", sayOpenSSL}, {"curl", sayCurl}, {"git", sayGit},
	}
}

// TestRealTexts: the table has what real programs say, not what somebody remembers.
func TestRealTexts(t *testing.T) {
	x := &texts{seen: map[int]bool{}}
	for _, p := range producers() {
		t.Run(p.name, func(t *testing.T) {
			defer func() { x.skipped = x.skipped || t.Skipped() }()
			p.run(t, x)
		})
	}
	t.Run("every pattern", func(t *testing.T) {
		if x.skipped {
			t.Skip("not every program is here")
		}
		excused := x.excused(t)
		for _, i := range daemonsSay(t) {
			if x.seen[i] {
				t.Errorf("%q: programs have said it here, take it out of daemonTexts", patternText(i))
			}
			excused[i] = true
		}
		for i, p := range known().patterns {
			if p.entry >= 0 && !x.seen[i] && !excused[i] {
				t.Errorf("%s: no program has said %q; let one say it, or add it to typed with a reason", known().entries[p.entry].ID, patternText(i))
			}
		}
	})
}

// excused returns the patterns of the texts that were typed in. One of each has to
// be missing from what programs said.
func (x *texts) excused(t *testing.T) map[int]bool {
	t.Helper()
	all := map[int]bool{}
	for _, row := range typed() {
		y := &texts{seen: map[int]bool{}}
		y.see(row.text)
		needed := row.why == race
		for i := range y.seen {
			needed = needed || !x.seen[i]
			all[i] = true
		}
		if !needed {
			t.Errorf("%q: programs have said all of it, take it out (%s)", row.text, row.why)
		}
	}
	return all
}

// patternText returns a pattern as the table has it.
func patternText(i int) string {
	p := known().patterns[i]
	first := slices.IndexFunc(known().patterns, func(q pattern) bool { return q.entry == p.entry })
	return known().entries[p.entry].Patterns[i-first].Text
}

// now is the time of all certificates here.
func now() time.Time { return time.Now() }
