package lint

import (
	"slices"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// span is a range of bytes of a file.
type span struct{ from, to int }

// tomlEntry is a table header or a key of a TOML file.
type tomlEntry struct {
	path   []string // from the root, unquoted
	parts  []span   // where the components stand that are written here: the last ones of path
	line   int
	header bool          // [path] or [[path]]
	inline bool          // it stands inside another entry's value
	whole  span          // of a key: from the key to the end of its value
	value  span          // of a key
	kind   unstable.Kind // of the value
	items  []span        // of a value that is a list; empty ones for what is no text, number or the like
}

// part returns where a component of the path stands; not ok when it is written in
// the header above.
func (e tomlEntry) part(i int) (span, bool) {
	i -= len(e.path) - len(e.parts)
	if i < 0 || i >= len(e.parts) {
		return span{}, false
	}
	return e.parts[i], true
}

// key returns where the key stands, or the path in a header.
func (e tomlEntry) key() span { return span{e.parts[0].from, e.parts[len(e.parts)-1].to} }

// table returns the path of the header that the key stands under.
func (e tomlEntry) table() []string { return e.path[:len(e.path)-len(e.parts)] }

// tomlFile knows where everything of a TOML file stands.
type tomlFile struct {
	data    []byte
	starts  []int // of the lines
	entries []tomlEntry
}

// parseTOML notes the entries of a file, up to the first that is not TOML.
func parseTOML(data []byte) tomlFile {
	f := tomlFile{data: data, starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			f.starts = append(f.starts, i+1)
		}
	}
	// A copy of exact capacity: the parser tells offsets by capacities.
	var p unstable.Parser
	p.Reset(slices.Clip(slices.Clone(data)))
	var table []string
	for p.NextExpression() {
		n := p.Expression()
		switch n.Kind {
		case unstable.Table, unstable.ArrayTable:
			e := f.entry(n, nil)
			e.header = true
			f.entries = append(f.entries, e)
			table = e.path
		case unstable.KeyValue:
			f.keyValue(n, table, false)
		}
	}
	return f
}

// entry notes the key of a node below a table.
func (f *tomlFile) entry(n *unstable.Node, table []string) tomlEntry {
	e := tomlEntry{path: slices.Clone(table)}
	for it := n.Key(); it.Next(); {
		k := it.Node()
		e.path = append(e.path, string(k.Data))
		e.parts = append(e.parts, rangeSpan(k.Raw))
	}
	e.line = f.line(e.parts[0].from)
	return e
}

func rangeSpan(r unstable.Range) span {
	return span{int(r.Offset), int(r.Offset) + int(r.Length)}
}

// keyValue notes a key, and those in the tables of its value.
func (f *tomlFile) keyValue(n *unstable.Node, table []string, inline bool) {
	e := f.entry(n, table)
	e.inline, e.whole, e.kind = inline, rangeSpan(n.Raw), n.Value().Kind
	e.value = span{f.valueStart(e.key().to), e.whole.to}
	if e.kind == unstable.Array {
		for it := n.Value().Children(); it.Next(); {
			e.items = append(e.items, rangeSpan(it.Node().Raw))
		}
	}
	f.entries = append(f.entries, e)
	f.within(n.Value(), e.path)
}

// within notes the keys in a value.
func (f *tomlFile) within(value *unstable.Node, path []string) {
	if value.Kind != unstable.Array && value.Kind != unstable.InlineTable {
		return
	}
	for it := value.Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			f.keyValue(it.Node(), path, true)
		} else {
			f.within(it.Node(), path)
		}
	}
}

// valueStart returns where the value begins after a key: the parser does not tell
// where a list does.
func (f *tomlFile) valueStart(at int) int {
	for at < len(f.data) && strings.IndexByte(" \t=", f.data[at]) >= 0 {
		at++
	}
	return at
}

// line returns the line of an offset, from 1.
func (f *tomlFile) line(offset int) int {
	return sort.Search(len(f.starts), func(i int) bool { return f.starts[i] > offset })
}

// offset returns the offset of a line and column, both from 1.
func (f *tomlFile) offset(line, column int) int {
	if line < 1 || line > len(f.starts) {
		return 0
	}
	return min(f.starts[line-1]+max(column-1, 0), len(f.data))
}

// text returns what stands in a span.
func (f *tomlFile) text(s span) string { return string(f.data[s.from:s.to]) }

// lineText returns a line without its end.
func (f *tomlFile) lineText(line int) string {
	if line < 1 || line > len(f.starts) {
		return ""
	}
	end := len(f.data)
	if line < len(f.starts) {
		end = f.starts[line] - 1
	}
	return strings.TrimSuffix(f.text(span{f.starts[line-1], end}), "\r")
}

// splice returns the lines of a span with something else in its place.
func (f *tomlFile) splice(s span, text string) Edit {
	from, to := f.line(s.from), f.line(s.to)
	before := f.text(span{f.starts[from-1], s.from})
	after := f.lineText(to)[s.to-f.starts[to-1]:]
	return Edit{from, to, strings.Split(strings.ReplaceAll(before+text+after, "\r\n", "\n"), "\n")}
}

// under adds a line below a header, as far indented as what stands there.
func (f *tomlFile) under(header tomlEntry, text string) Edit {
	like := header.line
	for _, e := range f.entries {
		if !e.header && !e.inline && slices.Equal(e.table(), header.path) && e.line > header.line {
			like = e.line
			break
		}
	}
	have := f.lineText(like)
	indent := have[:len(have)-len(strings.TrimLeft(have, " \t"))]
	return Edit{header.line + 1, header.line, []string{indent + text}}
}

// header returns the first header of a table.
func (f *tomlFile) header(path ...string) (tomlEntry, bool) {
	for _, e := range f.entries {
		if e.header && samePath(e.path, path) {
			return e, true
		}
	}
	return tomlEntry{}, false
}

// find returns the entries of a path.
func (f *tomlFile) find(path ...string) []tomlEntry {
	var out []tomlEntry
	for _, e := range f.entries {
		if samePath(e.path, path) {
			out = append(out, e)
		}
	}
	return out
}

// samePath compares paths as buildkitd does: keys in any case, registry hosts and
// other names that people choose as they are (go-toml v2.4.3 unmarshaler.go:2185).
func samePath(a, b []string) bool {
	return len(a) == len(b) && hasPrefix(a, b)
}

func hasPrefix(path, prefix []string) bool {
	if len(prefix) > len(path) {
		return false
	}
	for i := range prefix {
		host := i == 1 && strings.EqualFold(path[0], "registry")
		if path[i] != prefix[i] && (host || !strings.EqualFold(path[i], prefix[i])) {
			return false
		}
	}
	return true
}

// keyPath writes a path as TOML does, as `registry."localhost:5005".http`.
func keyPath(path ...string) string {
	out := make([]string, len(path))
	for i, name := range path {
		out[i] = quoteKey(name)
	}
	return strings.Join(out, ".")
}

func quoteKey(name string) string {
	bare := func(r rune) bool {
		return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if name != "" && strings.TrimFunc(name, bare) == "" {
		return name
	}
	return quoteText(name)
}

// quoteText writes a TOML string.
func quoteText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			b.WriteString(`\u00` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15]))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
