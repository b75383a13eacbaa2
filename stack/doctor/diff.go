package doctor

import (
	"fmt"
	"strings"
)

// changedLines leaves the lines that stay as they are out of a unified diff.
func changedLines(diff string) string {
	var out strings.Builder
	var h hunk
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "@@ "):
			h.end(&out)
			// Of an empty side the number is that of the line before.
			var had, has int
			fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &h.old, &had, &h.new, &has)
			h.old, h.new, h.open = h.old+before(had), h.new+before(has), true
		case !h.open:
			out.WriteString(line) // the names of the files
		case line[0] == ' ':
			h.end(&out)
			h.old, h.new = h.old+1, h.new+1
		default:
			h.add(line)
		}
	}
	h.end(&out)
	return out.String()
}

// before is by how much the line before is the one that is counted from.
func before(lines int) int {
	if lines == 0 {
		return 1
	}
	return 0
}

// hunk is changed lines that follow each other.
type hunk struct {
	open           bool // the first one has begun
	old, new       int  // the lines that come next
	removed, added int
	text           string
}

func (h *hunk) add(line string) {
	switch line[0] {
	case '-':
		h.old, h.removed = h.old+1, h.removed+1
	case '+':
		h.new, h.added = h.new+1, h.added+1
	default: // "\ No newline at end of file" is about the line before
		if h.text == "" {
			return
		}
	}
	h.text += line
}

func (h *hunk) end(out *strings.Builder) {
	if h.text != "" {
		fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n%s", h.old-h.removed-before(h.removed), h.removed, h.new-h.added-before(h.added), h.added, h.text)
	}
	h.removed, h.added, h.text = 0, 0, ""
}
