package explain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	// chunk is how many bytes are read at once.
	chunk = 256 << 10
	// A longer line than window is looked at in parts, each with the end of the
	// one before: a message that is no longer than overlap is in one of them.
	window, overlap = 16 << 10, 4 << 10
)

// Scan reads a text to its end and returns the messages that it has. Lines end
// with \n, \r or both, as progress displays print them; they are counted by \n.
// The memory that it takes does not depend on the text: of messages it keeps the
// first [MaxMessages] distinct ones. It fails when reading does, and between two
// reads when ctx ends; the result then has what was found before.
func Scan(ctx context.Context, r io.Reader) (Result, error) {
	return scan(r, func() error { return context.Cause(ctx) })
}

// scan is Scan, until stop returns an error.
func scan(r io.Reader, stop func() error) (Result, error) {
	s := &scanner{finder: newFinder(known()), collector: collector{seen: map[string]int{}}}
	buf := make([]byte, 0, 2*chunk)
	for {
		if err := stop(); err != nil {
			return s.result(s.line), err
		}
		n, err := io.ReadFull(r, buf[len(buf):len(buf)+chunk])
		buf = buf[:len(buf)+n]
		if err == nil {
			done := s.some(buf)
			buf = buf[:copy(buf, buf[done:])]
			continue
		}
		s.lines(buf)
		if len(buf) > 0 && buf[len(buf)-1] != '\n' {
			s.line++
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.result(s.line), nil
		}
		return s.result(s.line), fmt.Errorf("reading the text: %w", err)
	}
}

// scanner goes through a text.
type scanner struct {
	finder
	collector
	line   int // line ends so far
	near   Hop // what the last line that told a hop told
	nearAt int // which line that was
	found  int // the line that had a message last, from 1; 0 for none
}

// some looks at the whole lines of what was read so far, or at a part of a line
// that does not end, and returns how much that is.
func (s *scanner) some(text []byte) int {
	end := max(bytes.LastIndexByte(text, '\n'), bytes.LastIndexByte(text, '\r')) + 1
	if end > 0 {
		s.lines(text[:end])
		return end
	}
	return s.parts(text, false)
}

// lines looks at whole lines.
func (s *scanner) lines(text []byte) {
	counted := 0
	for i := 0; ; {
		words, _, found := s.machine.find(text, 0, i)
		if words == nil {
			break
		}
		start := max(bytes.LastIndexByte(text[i:found], '\n'), bytes.LastIndexByte(text[i:found], '\r')) + 1 + i
		end := len(text)
		if n := bytes.IndexAny(text[found:], "\r\n"); n >= 0 {
			end = found + n
		}
		s.line += bytes.Count(text[counted:start], []byte{'\n'})
		counted = start
		s.parts(text[start:end], true)
		i = end
	}
	s.line += bytes.Count(text[counted:], []byte{'\n'})
}

// parts looks at a line, or at a part of one that goes on, and returns up to where
// nothing has to be looked at again.
func (s *scanner) parts(line []byte, whole bool) int {
	for i := 0; ; i += window - overlap {
		if len(line)-i <= window {
			if !whole {
				return i
			}
			s.part(line[i:], len(line)-i)
			return len(line)
		}
		s.part(line[i:i+window], window-overlap)
	}
}

// part looks at a part of a line, for what begins before keep.
func (s *scanner) part(text []byte, keep int) {
	if words, _, _ := s.machine.find(text, 0, 0); words == nil {
		return
	}
	s.finder.line = normal(s.finder.line[:0], text[:keep])
	end := len(s.finder.line)
	s.finder.line = normal(s.finder.line, text[keep:])
	found, here := s.find()
	s.take(found, here, end)
}

// take keeps the messages of a line that begin before end.
func (s *scanner) take(found []match, here Hop, end int) {
	if s.line-s.nearAt > nearLines {
		s.near = ""
	}
	above := s.found > 0 && s.line+1-s.found <= nearLines
	for _, m := range found {
		p := &s.patterns[m.pattern]
		if m.from < end && !(p.below && above) {
			s.found = s.line + 1
			s.keep(&s.finder, m, hopOf(&s.entries[p.entry], p, here, s.near), s.line+1)
		}
	}
	if here != "" {
		s.near, s.nearAt = here, s.line
	}
}
