package lint

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Apply returns the data with lines replaced, deleted and added. The edits name
// lines as they are before any of them is made, and their order does not matter.
// Line ends stay as the file has them, CRLF or LF, and so does a last line
// without one. It is an error when edits overlap, when two add lines at the same
// place (nobody could tell which comes first), and when one names lines that the
// file does not have.
func Apply(data []byte, edits []Edit) ([]byte, error) {
	lines := splitLines(data)
	sorted := slices.Clone(edits)
	slices.SortStableFunc(sorted, func(a, b Edit) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return a.To - b.To
	})
	var out []textLine
	next := 1 // the first line that is not in out yet
	for i, e := range sorted {
		if err := checkEdit(e, len(lines)); err != nil {
			return nil, err
		}
		if i > 0 && (e.From < next || e.From == sorted[i-1].From && e.To == sorted[i-1].To) {
			return nil, fmt.Errorf("edits overlap at line %d", e.From)
		}
		out = append(out, lines[next-1:e.From-1]...)
		for _, text := range e.New {
			out = append(out, textLine{text, endAt(lines, e.From)})
		}
		next = e.To + 1
	}
	out = append(out, lines[next-1:]...)
	return joinLines(out, len(lines) > 0 && lines[len(lines)-1].end == ""), nil
}

func checkEdit(e Edit, lines int) error {
	if e.From < 1 || e.From > lines+1 || e.To < e.From-1 || e.To > lines {
		return fmt.Errorf("an edit replaces lines %d to %d of %d", e.From, e.To, lines)
	}
	for _, text := range e.New {
		if strings.Contains(text, "\n") {
			return fmt.Errorf("an edit of line %d has a line end in a line", e.From)
		}
	}
	return nil
}

// textLine is a line and how it ends, "" only for a last one.
type textLine struct{ text, end string }

func splitLines(data []byte) []textLine {
	var out []textLine
	for line := range bytes.Lines(data) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		end := ""
		if ended {
			end = "\n"
			if cut, crlf := bytes.CutSuffix(text, []byte("\r")); crlf {
				text, end = cut, "\r\n"
			}
		}
		out = append(out, textLine{string(text), end})
	}
	return out
}

// endAt returns the line end for what is written at a line: its own, else that of
// the line before.
func endAt(lines []textLine, line int) string {
	for _, i := range []int{line - 1, line - 2} {
		if i >= 0 && i < len(lines) && lines[i].end != "" {
			return lines[i].end
		}
	}
	return "\n"
}

func joinLines(lines []textLine, open bool) []byte {
	var b bytes.Buffer
	for i, l := range lines {
		b.WriteString(l.text)
		switch {
		case i == len(lines)-1 && open:
		case l.end == "": // it was the last one, and is not any more
			b.WriteString(endAt(lines, i+1))
		default:
			b.WriteString(l.end)
		}
	}
	return b.Bytes()
}
