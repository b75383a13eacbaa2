package lint

import (
	"path"
	"regexp"
	"strings"

	"github.com/certyard/certyard/stack/strict"
)

// composeLines finds the lines of a service: Compose's loader keeps none. What
// comes from another file, or from a variable, has no line.
type composeLines struct {
	tree *strict.Node
	name string
}

func (l composeLines) service() int {
	return l.tree.Get("services").KeyLine(l.name)
}

// items returns the items below a key of the service, and of those in the same
// file that it extends.
func (l composeLines) items(key string) []*strict.Node {
	var out []*strict.Node
	name := l.name
	for range 8 { // who extends himself ends too
		s := l.tree.Get("services", name)
		if list := s.Get(key); list != nil {
			out = append(out, list.Items...)
		}
		extends := s.Get("extends")
		switch {
		case extends == nil || extends.Get("file") != nil:
			return out
		case extends.Kind == strict.Mapping && extends.Get("service") != nil:
			name = extends.Get("service").Text
		default:
			name = extends.Text
		}
	}
	return out
}

// key returns the line of the first of keys that the service has, of the service
// when it has none.
func (l composeLines) key(names ...string) int {
	for _, name := range names {
		if line := l.tree.Get("services", l.name).KeyLine(name); line > 0 {
			return line
		}
	}
	return l.service()
}

// withoutVariables takes variables out, which may hold colons: "${A:-b}".
func withoutVariables(text string) string {
	return regexp.MustCompile(`\$\{[^}]*\}`).ReplaceAllString(text, "_")
}

// mount returns the line of a volume by its target, and whether it is written
// short, as "source:target:ro".
func (l composeLines) mount(target string) (line int, short bool) {
	for _, n := range l.items("volumes") {
		if n.Kind == strict.Mapping {
			if t := n.Get("target"); t != nil && path.Clean(t.Text) == path.Clean(target) {
				return n.Line, false
			}
			continue
		}
		parts := strings.Split(withoutVariables(n.Text), ":")
		for _, p := range parts[max(0, len(parts)-2):] { // the last may be the mode
			if path.Clean(p) == path.Clean(target) {
				return n.Line, true
			}
		}
	}
	return 0, false
}

// port returns the line of a published port by the container's.
func (l composeLines) port(target string) int {
	for _, n := range l.items("ports") {
		text := n.Text
		if t := n.Get("target"); t != nil {
			text = t.Text
		}
		text, _, _ = strings.Cut(withoutVariables(text), "/")
		if text[strings.LastIndex(text, ":")+1:] == target {
			return n.Line
		}
	}
	return 0
}

// file returns the line of a config or secret by its source.
func (l composeLines) file(key, source string) int {
	for _, n := range l.items(key) {
		if n.Text == source || n.Get("source") != nil && n.Get("source").Text == source {
			return n.Line
		}
	}
	return 0
}

// variable returns the line of an environment variable.
func (l composeLines) variable(name string) int {
	env := l.tree.Get("services", l.name, "environment")
	if line := env.KeyLine(name); line > 0 {
		return line
	}
	for _, n := range l.items("environment") {
		if key, _, _ := strings.Cut(n.Text, "="); key == name {
			return n.Line
		}
	}
	return 0
}
