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
	minAnchor, maxAnchor = 5, 28
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

// match matches the pattern at line[at], where its anchor was found.
func (p *pattern) match(line []byte, at int) (match, bool) {
	m := match{span: span{at, at}}
	if !bytes.HasPrefix(line[at:], p.pieces[0]) {
		return m, false
	}
	pos := at + len(p.pieces[0])
	for i, g := range p.gaps {
		piece := p.pieces[i+1]
		n := gapEnd(line[pos:min(len(line), pos+maxGap+len(piece))], piece)
		if n < 0 || g.word && bytes.IndexByte(line[pos:pos+n], ' ') >= 0 {
			return m, false
		}
		m.gaps[i] = trimmed(line, span{pos, pos + n})
		pos += n + len(piece)
	}
	m.to = pos
	return m, true
}

// gapEnd returns how long a gap is that the piece ends; a word's end ends it when
// the pattern is at its end.
func gapEnd(line, piece []byte) int {
	if len(piece) > 0 {
		return bytes.Index(line, piece)
	}
	n := bytes.IndexAny(line, " \t\"'`,;)]}")
	if n < 0 {
		n = len(line)
	}
	for n > 0 && (line[n-1] == '.' || line[n-1] == ':') {
		n--
	}
	return n
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
