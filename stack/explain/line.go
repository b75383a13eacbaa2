package explain

import (
	"cmp"
	"slices"
)

// table is the entries, ready for matching.
type table struct {
	entries  []Entry
	patterns []pattern // those of the entries, then the cues in their order
	machine  *machine  // finds the patterns' anchors
}

func compile(entries []Entry, cues []cue) *table {
	t := &table{entries: entries}
	for i, e := range entries {
		for _, text := range e.Patterns {
			p := newPattern(text.Text)
			p.entry, p.hop, p.source, p.below = i, text.Hop, cmp.Or(text.Source, e.Source), text.Below
			t.patterns = append(t.patterns, p)
		}
	}
	for _, c := range cues {
		p := newPattern(c.text)
		p.entry, p.hop = -1, c.hop
		t.patterns = append(t.patterns, p)
	}
	var anchors []string
	for _, p := range t.patterns {
		anchors = append(anchors, p.anchor)
	}
	t.machine = newMachine(anchors)
	return t
}

// finder finds the messages of a line. It keeps its memory for the next one.
type finder struct {
	*table
	line    []byte // normal
	matches []match
}

// find returns what is in a line, from its start, and the hop that its words tell.
func (f *finder) find() ([]match, Hop) {
	f.matches = f.matches[:0]
	best := len(f.patterns)
	var words []int
	for state, i := uint32(0), 0; ; {
		if words, state, i = f.machine.find(f.line, state, i); words == nil {
			break
		}
		for _, w := range words {
			p := &f.patterns[w]
			m, ok := p.match(f.line, i-len(p.anchor))
			if !ok {
				continue
			}
			if p.entry < 0 {
				best = min(best, w)
				continue
			}
			m.pattern = w
			f.matches = append(f.matches, m)
		}
	}
	hop := Hop("")
	if best < len(f.patterns) {
		hop = f.patterns[best].hop
	}
	f.matches = f.special(f.matches)
	return f.causes(f.matches), hop
}

// special keeps, of matches that overlap, the longest: the text that says more.
func (f *finder) special(found []match) []match {
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to), cmp.Compare(a.pattern, b.pattern))
	})
	kept := found[:0]
	for _, m := range found {
		if len(kept) == 0 || m.from >= kept[len(kept)-1].to {
			kept = append(kept, m)
			continue
		}
		if last := &kept[len(kept)-1]; m.to-m.from > last.to-last.from {
			*last = m
		}
	}
	return kept
}

// causes leaves out what only wraps another message, and puts the cause first:
// programs of this kind say what they were doing, and behind it why it failed. Where
// all of them wrap, the last one is nearest to the cause.
func (f *finder) causes(found []match) []match {
	wraps := func(m match) bool { return f.entries[f.patterns[m.pattern].entry].Wraps }
	slices.Reverse(found)
	if slices.ContainsFunc(found, func(m match) bool { return !wraps(m) }) {
		return slices.DeleteFunc(found, wraps)
	}
	return found[:min(len(found), 1)]
}
