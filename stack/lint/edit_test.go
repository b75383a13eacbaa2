package lint_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/lint"
)

func TestApply(t *testing.T) {
	type edits = []lint.Edit
	for name, c := range map[string]struct {
		data  string
		edits edits
		want  string // "error: ..." when it is one
	}{
		"nothing":                      {"a\nb", nil, "a\nb"},
		"replace":                      {"a\nb\nc\n", edits{{2, 2, []string{"x", "y"}}}, "a\nx\ny\nc\n"},
		"several, in any order":        {"a\nb\nc\n", edits{{3, 3, []string{"z"}}, {1, 1, []string{"x"}}}, "x\nb\nz\n"},
		"delete":                       {"a\nb\nc\n", edits{{1, 2, nil}}, "c\n"},
		"delete all":                   {"a\nb", edits{{1, 2, nil}}, ""},
		"add before the first":         {"a\n", edits{{1, 0, []string{"x"}}}, "x\na\n"},
		"add at the end":               {"a\n", edits{{2, 1, []string{"x"}}}, "a\nx\n"},
		"add to an empty file":         {"", edits{{1, 0, []string{"x"}}}, "x\n"},
		"add before what is replaced":  {"a\nb\n", edits{{2, 2, []string{"y"}}, {2, 1, []string{"x"}}}, "a\nx\ny\n"},
		"CRLF":                         {"a\r\nb\r\n", edits{{2, 2, []string{"x", "y"}}, {1, 0, []string{"w"}}}, "w\r\na\r\nx\r\ny\r\n"},
		"CRLF, add at the end":         {"a\r\n", edits{{2, 1, []string{"x"}}}, "a\r\nx\r\n"},
		"mixed ends":                   {"a\r\nb\nc\r\n", edits{{2, 2, []string{"x"}}}, "a\r\nx\nc\r\n"},
		"no last newline":              {"a\nb", edits{{2, 2, []string{"x"}}}, "a\nx"},
		"no last newline, add":         {"a\r\nb", edits{{3, 2, []string{"x"}}}, "a\r\nb\r\nx"},
		"no last newline, delete last": {"a\nb", edits{{2, 2, nil}}, "a"},
		"no last newline, add before":  {"b", edits{{1, 0, []string{"a"}}}, "a\nb"},
		"overlap":                      {"a\nb\nc\n", edits{{1, 2, nil}, {2, 3, nil}}, "error: edits overlap at line 2"},
		"overlap, added within":        {"a\nb\nc\n", edits{{1, 3, nil}, {2, 1, []string{"x"}}}, "error: edits overlap at line 2"},
		"the same line twice":          {"a\n", edits{{1, 1, nil}, {1, 1, []string{"x"}}}, "error: edits overlap at line 1"},
		"added twice at one place":     {"a\n", edits{{1, 0, []string{"x"}}, {1, 0, []string{"y"}}}, "error: edits overlap at line 1"},
		"beyond the end":               {"a\n", edits{{2, 2, nil}}, "error: an edit replaces lines 2 to 2 of 1"},
		"added beyond the end":         {"a\n", edits{{3, 2, nil}}, "error: an edit replaces lines 3 to 2 of 1"},
		"no line":                      {"a\n", edits{{0, 0, nil}}, "error: an edit replaces lines 0 to 0 of 1"},
		"backwards":                    {"a\nb\nc\n", edits{{3, 1, nil}}, "error: an edit replaces lines 3 to 1 of 3"},
		"a line that is two":           {"a\n", edits{{1, 1, []string{"x\ny"}}}, "error: an edit of line 1 has a line end in a line"},
	} {
		got, err := lint.Apply([]byte(c.data), c.edits)
		text := string(got)
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != c.want {
			t.Errorf("%s: got %q, want %q", name, text, c.want)
		}
	}
}

// FuzzApply: without edits a file stays as it is, a line that is replaced by
// itself too, and what is added and taken out again leaves no trace.
func FuzzApply(f *testing.F) {
	for _, s := range []string{"", "a", "a\n", "a\r\nb", "a\nb\r\n\r\n", "\n\n", "\r", "a\rb\n"} {
		f.Add([]byte(s), 1, 1, "x")
		f.Add([]byte(s), 2, 1, "y")
	}
	f.Fuzz(func(t *testing.T, data []byte, from, to int, text string) {
		if same, err := lint.Apply(data, nil); err != nil || !bytes.Equal(same, data) {
			t.Fatalf("%q without edits is %q (%v)", data, same, err)
		}
		out, err := lint.Apply(data, []lint.Edit{{From: from, To: to, New: []string{text}}})
		if err != nil {
			if from >= 1 && to == from-1 && to <= bytes.Count(data, []byte("\n")) && !strings.Contains(text, "\n") {
				t.Fatalf("a line cannot be added before line %d of %q: %v", from, data, err)
			}
			return
		}
		open := !bytes.HasSuffix(data, []byte("\n")) // an empty last line is none then
		if to != from-1 || open && text == "" || strings.HasSuffix(text, "\r") || bytes.HasSuffix(data, []byte("\r")) {
			return
		}
		back, err := lint.Apply(out, []lint.Edit{{From: from, To: from}})
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%q, with a line %d and without it again, is %q (%v)", data, from, back, err)
		}
	})
}
