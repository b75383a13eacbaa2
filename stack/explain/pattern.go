package explain

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	// maxGap is how much a pattern's "*" takes, in bytes: a line may be of any
	// length, and a certificate may have some hundred names.
	maxGap = 3 << 10
	// minAnchor and maxAnchor are how many bytes of a pattern the first pass looks
	// for. A shorter word would be found everywhere, a longer one makes a table
	// that no cache holds.
	minAnchor, maxAnchor = 4, 28
)

// pattern is a Pattern, ready for matching.
type pattern struct {
	entry  int // -1: it only tells a hop
	hop    Hop
	source string
	below  bool
	anchor string // what it begins with, without quotes
	pieces [][]byte
	gaps   []gap // between pieces[i] and pieces[i+1]
}

// gap is what varies in a pattern.
type gap struct {
	name string // "" is not kept
	word bool   // it has no space
}

// newPattern reads a pattern. The table is ours, so a wrong one is a mistake in
// the program.
func newPattern(text string) pattern {
	var p pattern
	for {
		at := strings.IndexAny(text, "*<")
		if at < 0 {
			p.pieces = append(p.pieces, []byte(text))
			break
		}
		p.pieces = append(p.pieces, []byte(text[:at]))
		if text[at] == '*' {
			p.gaps, text = append(p.gaps, gap{}), text[at+1:]
			continue
		}
		name, rest, ok := strings.Cut(text[at+1:], ">")
		if !ok {
			panic(fmt.Sprintf("explain: pattern %q: no end of <", text))
		}
		name, any := strings.CutSuffix(name, "...")
		p.gaps, text = append(p.gaps, gap{name, !any}), rest
	}
	p.anchor = string(p.pieces[0])
	if at := strings.IndexAny(p.anchor, "\"\\"); at >= 0 {
		p.anchor = p.anchor[:at]
	}
	p.anchor = p.anchor[:min(len(p.anchor), maxAnchor)]
	if len(p.anchor) < minAnchor || len(p.gaps) > maxCaptures {
		panic(fmt.Sprintf("explain: pattern %q: begins with too little, or has too many gaps", p.pieces))
	}
	return p
}

const maxCaptures = 4

// span is a part of a line.
type span struct{ from, to int }

// match is where a pattern was found in a line.
type match struct {
	span
	pattern int
	gaps    [maxCaptures]span
}

// match matches the pattern at line[at], where its anchor was found. ahead has
// what was found of its pieces before, in the line of that number.
func (p *pattern) match(line []byte, number, at int, ahead *[maxCaptures]lookahead) (match, bool) {
	m := match{span: span{at, at}}
	if !bytes.HasPrefix(line[at:], p.pieces[0]) {
		return m, false
	}
	pos := at + len(p.pieces[0])
	for i, g := range p.gaps {
		end := wordEnd(line, pos)
		if piece := p.pieces[i+1]; len(piece) > 0 {
			end = ahead[i].find(line, number, pos, piece)
		}
		if end < 0 || end-pos > maxGap || g.word && bytes.IndexByte(line[pos:end], ' ') >= 0 {
			return m, false
		}
		m.gaps[i] = trimmed(line, span{pos, end})
		pos = end + len(p.pieces[i+1])
	}
	m.to = pos
	return m, true
}

// lookahead is where a piece comes next in a line. A text that repeats the
// beginning of a pattern would have its end be looked for from each of them.
type lookahead struct{ line, from, found int }

func (a *lookahead) find(line []byte, number, pos int, piece []byte) int {
	if a.line == number && a.from <= pos && (a.found < 0 || pos <= a.found) {
		return a.found
	}
	a.line, a.from, a.found = number, pos, bytes.Index(line[pos:], piece)
	if a.found >= 0 {
		a.found += pos
	}
	return a.found
}

// wordEnd returns where the word at line[pos] ends, without what ends a sentence.
func wordEnd(line []byte, pos int) int {
	end := pos
	for end < len(line) && end-pos <= maxGap && !separator(line[end]) {
		end++
	}
	for end > pos && (line[end-1] == '.' || line[end-1] == ':') {
		end--
	}
	return end
}

func separator(c byte) bool {
	switch c {
	case ' ', '\t', '"', '\'', '`', ',', ';', ')', ']', '}':
		return true
	}
	return false
}

// trimmed is a span without the quotes and spaces around it.
func trimmed(line []byte, s span) span {
	for s.from < s.to && (line[s.from] == '"' || line[s.from] == '\'' || line[s.from] == ' ') {
		s.from++
	}
	for s.to > s.from && (line[s.to-1] == '"' || line[s.to-1] == '\'' || line[s.to-1] == ' ') {
		s.to--
	}
	return s
}
