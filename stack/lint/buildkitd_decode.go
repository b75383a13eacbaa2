package lint

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// decode finds what buildkitd cannot read or does not know. The decoder stops at
// the first mistake, so each one is blanked and the rest tried again; what is
// left then is the clean file.
func (b *Buildkitd) decode() []Finding {
	var any map[string]any
	if err := toml.Unmarshal(b.toml.data, &any); err != nil {
		return b.syntax(err)
	}
	clean := slices.Clone(b.toml.data)
	var broken []mistake
	for len(broken) < maxMistakes {
		_, err := config.Load(bytes.NewReader(clean))
		if err == nil {
			break
		}
		m, ok := b.mistake(clean, err)
		if !ok { // nobody knows where; tell it without its place
			return []Finding{b.typeFinding(mistake{message: message(err)})}
		}
		before := slices.Clone(clean)
		b.blank(clean, m.entry)
		if bytes.Equal(before, clean) {
			return []Finding{b.typeFinding(mistake{message: message(err)})}
		}
		broken = append(broken, m)
	}
	if len(broken) < maxMistakes {
		b.clean = clean
	}
	var out []Finding
	for _, m := range broken {
		out = append(out, b.mistakeFinding(m))
	}
	if b.clean == nil {
		return out
	}
	return append(out, b.unknown()...)
}

// maxMistakes is more than anybody reads at once; each costs a pass or more.
const maxMistakes = 20

// mistake is an entry that does not decode.
type mistake struct {
	entry   int // its index
	at      tomlEntry
	message string // the daemon's
}

// mistake returns the entry that an error is about.
func (b *Buildkitd) mistake(clean []byte, err error) (mistake, bool) {
	var at *toml.DecodeError
	if errors.As(err, &at) {
		row, column := at.Position()
		offset := b.toml.offset(row, column)
		for i, e := range slices.Backward(b.toml.entries) {
			if !e.inline && (e.header && e.line == row || e.whole.from <= offset && offset < e.whole.to) {
				return mistake{i, b.toml.innermost(e, offset), message(err)}, true
			}
		}
		return mistake{}, false
	}
	// Some of buildkitd's own types (a duration) say nothing of the place: it is
	// the entry without which the error is another one.
	for i, e := range b.toml.entries {
		if e.inline || e.header || len(bytes.TrimSpace(clean[e.whole.from:e.whole.to])) == 0 {
			continue
		}
		without := slices.Clone(clean)
		b.blank(without, i)
		if _, other := config.Load(bytes.NewReader(without)); other == nil || other.Error() != err.Error() {
			return mistake{i, e, message(err)}, true
		}
	}
	return mistake{}, false
}

// innermost returns the entry in the value of another one that an offset is in.
func (f *tomlFile) innermost(e tomlEntry, offset int) tomlEntry {
	for _, in := range f.entries {
		if in.inline && in.whole.from <= offset && offset < in.whole.to && in.whole.from >= e.whole.from {
			e = in
		}
	}
	return e
}

// message returns what the decoder says, as the daemon prints it.
func message(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "failed to parse config: "), "toml: ")
}

// blank takes an entry out of the data, and with a header what stands under it.
// The lines stay.
func (b *Buildkitd) blank(data []byte, entry int) {
	e := b.toml.entries[entry]
	s := e.whole
	if e.header {
		s = span{b.toml.starts[e.line-1], len(data)}
		for _, next := range b.toml.entries[entry+1:] {
			if next.header {
				s.to = b.toml.starts[next.line-1]
				break
			}
		}
	}
	for i := s.from; i < s.to; i++ {
		if data[i] != '\n' && data[i] != '\r' {
			data[i] = ' '
		}
	}
}

// hostHeader is the header of a registry whose host is not quoted and has a colon,
// so that it is no TOML.
var hostHeader = regexp.MustCompile(`^(\s*\[\[?\s*(?i:registry)\s*\.\s*)([^\s"'\]\[]*(?:\[[0-9a-fA-F:]*\])?:[^\s"'\]]*?)((?:\s*\.\s*(?i:keypair))?\s*\]\]?.*)$`)

// syntax tells what keeps a file from being TOML.
func (b *Buildkitd) syntax(err error) []Finding {
	const rule = "buildkitd.syntax"
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return []Finding{{Rule: rule, Problem: fmt.Sprintf("the file is no TOML: buildkitd does not start (%s)", message(err))}}
	}
	line, column := at.Position()
	if bytes.HasPrefix(b.toml.data, []byte("\ufeff")) {
		return []Finding{{
			Rule: rule, Line: 1, Edits: []Edit{{1, 1, []string{strings.TrimPrefix(b.toml.lineText(1), "\ufeff")}}},
			Problem: fmt.Sprintf("the file begins with a byte order mark, which is no TOML: buildkitd does not start (%s)", message(err)),
			Mend:    "save it as UTF-8 without a byte order mark",
		}}
	}
	if hostHeader.MatchString(b.toml.lineText(line)) {
		return b.unquotedColons(message(err))
	}
	problem := fmt.Sprintf("the file is no TOML from column %d of this line on: buildkitd does not start (%s)", column, message(err))
	if strings.Contains(err.Error(), " already ") {
		problem = fmt.Sprintf("the file says something for the second time, which TOML forbids: buildkitd does not start (%s)", message(err))
	}
	return []Finding{{Rule: rule, Line: line, Object: keyPath(at.Key()...), Problem: problem}}
}

func (b *Buildkitd) unquotedColons(message string) []Finding {
	var out []Finding
	for line := 1; line <= len(b.toml.starts); line++ {
		m := hostHeader.FindStringSubmatch(b.toml.lineText(line))
		if m == nil {
			continue
		}
		out = append(out, Finding{
			Rule: "buildkitd.syntax", Line: line, Object: keyPath("registry", m[2]),
			Problem: fmt.Sprintf("%q has a colon, and TOML wants such a name in quotes: buildkitd does not start (%s)", m[2], message),
			Mend:    fmt.Sprintf("write [%s]", keyPath("registry", m[2])),
			Edits:   []Edit{{line, line, []string{m[1] + quoteText(m[2]) + m[3]}}},
		})
	}
	return out
}

// mistakeFinding tells what does not decode.
func (b *Buildkitd) mistakeFinding(m mistake) Finding {
	if host, edit, ok := b.unquotedHost(m.at); ok && m.at.header {
		return b.unquotedFinding(m.at, host, edit)
	}
	return b.typeFinding(m)
}

func (b *Buildkitd) typeFinding(m mistake) Finding {
	f := Finding{Rule: "buildkitd.type", Line: m.at.line, Object: keyPath(m.at.path...)}
	object := f.Object
	if object == "" {
		object = "a value"
	}
	f.Problem = fmt.Sprintf("%s is nothing that buildkitd can read there, so it does not start (%s)", object, m.message)
	if m.at.path == nil {
		return f
	}
	want := configType(m.at.path)
	if len(m.at.path) == 2 && strings.EqualFold(m.at.path[0], "registry") {
		f.Problem = fmt.Sprintf("in [registry], %s is taken for the name of a registry, so buildkitd does not start (%s)", m.at.path[1], m.message)
		f.Mend = fmt.Sprintf(`move %s below the registry that it is for, as [registry."registry:5000"]`, m.at.path[1])
		return f
	}
	have, wants := kindName(m.at.kind, m.at.header), typeName(want)
	if have != wants && wants != "" {
		f.Problem = fmt.Sprintf("%s is %s where buildkitd wants %s, so it does not start (%s)", object, have, wants, m.message)
	}
	if text, ok := b.converted(m.at, want); ok {
		f.Mend = fmt.Sprintf("write %s = %s", quoteKey(m.at.path[len(m.at.path)-1]), text)
		f.Edits = []Edit{b.toml.splice(m.at.value, text)}
	}
	return f
}

// converted returns a value in the form that a type wants, where no doubt is left
// about what it means.
func (b *Buildkitd) converted(e tomlEntry, want reflect.Type) (string, bool) {
	if want == nil || e.header {
		return "", false
	}
	raw := b.toml.text(e.value)
	inner := ""
	if len(raw) >= 2 {
		inner = raw[1 : len(raw)-1]
	}
	switch kind := want.Kind(); {
	case isTextList(want) && e.kind == unstable.String && !strings.Contains(raw, "\n"):
		return "[" + raw + "]", true
	case kind == reflect.Slice && e.kind == unstable.InlineTable:
		return "[" + raw + "]", true
	case kind == reflect.String && e.kind == unstable.Array && len(e.items) == 1 && strings.IndexByte(`"'`, b.toml.data[e.items[0].from]) >= 0:
		return b.toml.text(e.items[0]), true
	case kind == reflect.Bool && e.kind == unstable.String && (inner == "true" || inner == "false"):
		return inner, true
	case isNumber(want) && e.kind == unstable.String && plainNumber.MatchString(inner):
		return inner, true
	default:
		return "", false
	}
}

var plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)

func isTextList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String
}

func isNumber(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 }

// kindName says what a value is, for somebody who wrote it.
func kindName(k unstable.Kind, header bool) string {
	switch {
	case header, k == unstable.InlineTable:
		return "a table"
	case k == unstable.String:
		return "a text"
	case k == unstable.Array:
		return "a list"
	case k == unstable.Bool:
		return "true or false"
	case k == unstable.Integer, k == unstable.Float:
		return "a number"
	default:
		return "a date"
	}
}

// typeName says what buildkitd wants, "" for what has a form of its own, as a
// duration.
func typeName(t reflect.Type) string {
	switch {
	case t == nil || isLeafStruct(t):
		return ""
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "a list of tables"
	case isTextList(t):
		return "a list"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case isNumber(t):
		return "a number"
	default:
		return "a table"
	}
}
