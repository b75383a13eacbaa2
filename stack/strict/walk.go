package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// secondDocumentError says that a file goes on after its document. The library
// would leave the rest unread, and so what it sets.
type secondDocumentError struct{ line int }

func (*secondDocumentError) Error() string { return "a second document begins here; want one" }

// onlyDocument parses YAML and returns its document, nil when it is empty.
func onlyDocument(data []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&more); err == nil {
		return nil, &secondDocumentError{more.Line}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// Sort sorts problems by their lines, and keeps the order of those on one.
func Sort(problems []Problem) {
	sort.SliceStable(problems, func(i, j int) bool { return problems[i].Line < problems[j].Line })
}

// checkTree decodes a document, notes the lines, and returns what does not fit.
func checkTree(root *yaml.Node, into any, lines map[string]int) []Problem {
	if root == nil || isNull(root) {
		return nil
	}
	w := walker{lines: lines}
	w.node(root, reflect.TypeOf(into).Elem(), "")
	if len(w.problems) > 0 && w.problems[0].Path == "" {
		return w.problems // it is no config at all
	}
	// What was found is told better than by the decoder, which goes on after
	// what does not fit.
	if err := root.Decode(into); err != nil && w.problems == nil {
		return decodeProblems(err)
	}
	return w.problems
}

// walker walks a YAML tree beside the type that it is decoded into, notes where
// each key stands, and collects the keys that the type does not have and the
// values that do not fit. The decoder could refuse them too, but only in terms
// of Go types. It ends, aliases or not, because the type does.
type walker struct {
	lines    map[string]int
	problems []Problem
}

func (w *walker) add(line int, path, format string, args ...any) {
	w.problems = append(w.problems, Problem{line, path, fmt.Sprintf(format, args...)})
}

func (w *walker) node(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case isNull(n): // as if the key were absent
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		w.mapping(n, t, path)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		w.sequence(n, t, path)
	case !slices.Contains(scalars[t.Kind()].tags, n.Tag) || n.Kind != yaml.ScalarNode:
		w.add(n.Line, path, "want %s, have %s", scalars[t.Kind()].name, describe(n))
	}
}

// scalars are the YAML tags that each kind of value takes, and its name.
var scalars = map[reflect.Kind]struct {
	name string
	tags []string
}{
	reflect.Struct: {"keys and values", nil},
	reflect.Slice:  {"a list", nil},
	reflect.Int:    {"a number", []string{"!!int"}},
	reflect.Bool:   {"true or false", []string{"!!bool"}},
	reflect.String: {"text", []string{"!!str", "!!int", "!!float", "!!bool"}},
}

func (w *walker) sequence(n *yaml.Node, t reflect.Type, path string) {
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		w.lines[at] = item.Line
		if isNull(item) { // the decoder would leave it out, and count on
			w.add(item.Line, at, "is empty")
		}
		w.node(item, t.Elem(), at)
	}
}

func (w *walker) mapping(n *yaml.Node, t reflect.Type, path string) {
	known, seen := yamlFields(t), map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		w.lines[at] = key.Line
		field, ok := known[key.Value]
		switch first := seen[key.Value]; {
		case !ok:
			w.add(key.Line, at, "unknown key; known here: %s", keyList(known))
		case first > 0:
			w.add(key.Line, at, "stands on line %d already", first)
		default:
			w.node(value, field, at)
		}
		seen[key.Value] = key.Line
	}
}

func isNull(n *yaml.Node) bool {
	return n.Tag == "!!null" || n.Kind == yaml.AliasNode && n.Alias.Tag == "!!null"
}

// describe says what a value is, for somebody who wrote it.
func describe(n *yaml.Node) string {
	const most = 60 // of somebody's whole file that is no YAML mapping
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case len(n.Value) > most:
		return strconv.Quote(n.Value[:most]) + "..."
	default:
		return strconv.Quote(n.Value)
	}
}

func yamlFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		if tag := f.Tag.Get("yaml"); tag != "" && tag != "-" {
			out[tag] = f.Type
		}
	}
	return out
}

func keyList(m map[string]reflect.Type) string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}
