package lint

import (
	"bytes"
	"sort"
	"strings"
)

// lineOf returns a line without its end, "" when there is none.
func lineOf(data []byte, line int) string {
	lines := bytes.Split(data, []byte("\n"))
	if line < 1 || line > len(lines) {
		return ""
	}
	return strings.TrimSuffix(string(lines[line-1]), "\r")
}

// replaceOnLine replaces a text that stands once on a line; none when it does not.
func replaceOnLine(data []byte, line int, old, text string) []Edit {
	have := lineOf(data, line)
	if old == "" || strings.Count(have, old) != 1 {
		return nil
	}
	return []Edit{{From: line, To: line, New: []string{strings.Replace(have, old, text, 1)}}}
}

// sortFindings sorts by line, and keeps the order of those on one.
func sortFindings(findings []Finding) {
	sort.SliceStable(findings, func(i, j int) bool { return findings[i].Line < findings[j].Line })
}
