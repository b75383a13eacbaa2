package lint

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	"go.yaml.in/yaml/v2"

	"github.com/certyard/certyard/stack/strict"
)

// keys walks the file beside the registry's own types: it notes where each key
// stands, and finds keys that the registry drops and texts that it refuses.
func (r *RegistryConfig) keys(tree *strict.Node) {
	if tree == nil {
		r.found("registry.syntax", 0, "", "the registry does not start with an empty file", "")
		return
	}
	w := keyWalker{r: r, left: 100_000} // more than a file of 1 MiB has without aliases
	w.node(tree, reflect.TypeFor[configuration.Configuration](), "")
}

type keyWalker struct {
	r    *RegistryConfig
	left int // nodes: aliases may make many of few
}

func (w *keyWalker) node(n *strict.Node, t reflect.Type, path string) {
	if w.left--; w.left < 0 || n.Null {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == strict.Scalar:
		w.text(n, t, path)
	case n.Kind == strict.List && t.Kind() == reflect.Slice:
		for i, item := range n.Items {
			at := path + "[" + strconv.Itoa(i) + "]"
			w.r.lines[at] = item.Line
			w.node(item, t.Elem(), at)
		}
	case n.Kind == strict.Mapping && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map):
		w.mapping(n, t, path)
	}
}

func (w *keyWalker) mapping(n *strict.Node, t reflect.Type, path string) {
	known := map[string]reflect.Type{}
	if t.Kind() == reflect.Struct {
		registryFields(t, known)
	}
	seen := map[string]int{}
	for _, k := range n.Keys {
		at := strings.TrimPrefix(path+"."+k.Name, ".")
		if first := seen[k.Name]; first > 0 {
			w.r.found("registry.duplicate-key", k.Line, at, fmt.Sprintf("%s stands on line %d already; %s", at, first, twice(known[k.Name])), "")
		}
		seen[k.Name] = k.Line
		w.r.lines[at] = k.Line
		field, ok := known[k.Name]
		switch {
		case t.Kind() == reflect.Map:
			w.node(k.Value, t.Elem(), at)
		case ok:
			w.node(k.Value, field, at)
		default:
			w.unknown(n, k, at, path, known)
		}
	}
}

// twice says what comes of a key that stands twice: the YAML library decodes into
// the same struct again.
func twice(t reflect.Type) string {
	if t != nil && t.Kind() == reflect.Struct {
		return "the registry reads both, and where they disagree the last one counts"
	}
	return "the registry takes the last one"
}

// unknown tells of a key that is dropped (P27 and the notes on the registry), and
// where it belongs as far as that can be told.
func (w *keyWalker) unknown(n *strict.Node, k strict.Key, at, section string, known map[string]reflect.Type) {
	near := nearestKey(k.Name, known)
	if near == "" {
		in := section
		if in == "" {
			in = "the file"
		}
		w.r.found("registry.unknown-key", k.Line, at, "the registry has no key "+at+" and drops it without a word; "+in+" takes "+keyNames(known), "")
		return
	}
	w.r.meant[strings.TrimPrefix(section+"."+near, ".")] = true
	for _, right := range n.Keys {
		if right.Name == near { // a second one would count in its place
			w.r.found("registry.unknown-key", k.Line, at, "the registry has no key "+at+" and drops it without a word",
				fmt.Sprintf("take it out: %s stands on line %d", near, right.Line))
			return
		}
	}
	var edits []Edit
	if looseKey(near) == looseKey(k.Name) { // nothing else can be meant
		edits = replaceOnLine(w.r.data, k.Line, k.Name+":", near+":")
	}
	w.r.found("registry.unknown-key", k.Line, at, "the registry has no key "+at+" and drops it without a word", "write "+near+", if that is meant", edits...)
}

// text refuses what the registry's own types refuse: levels, modes, versions.
func (w *keyWalker) text(n *strict.Node, t reflect.Type, path string) {
	if _, ok := reflect.New(t).Interface().(yaml.Unmarshaler); !ok || t.Kind() != reflect.String {
		return
	}
	if err := yaml.Unmarshal([]byte(strconv.Quote(n.Text)), reflect.New(t).Interface()); err != nil {
		w.r.found("registry.syntax", n.Line, path, fmt.Sprintf("the registry does not start: %s is %q: %s", path, n.Text, lastLine(err)), "")
	}
}

// registryFields collects the keys of a struct, as the YAML library finds them.
func registryFields(t reflect.Type, into map[string]reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			registryFields(f.Type, into)
		case name == "":
			into[strings.ToLower(f.Name)] = f.Type
		default:
			into[name] = f.Type
		}
	}
}

func keyNames(known map[string]reflect.Type) string {
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// nearestKey returns the known key that is at most two letters away, "" when none
// is: of a short word that would be another word.
func nearestKey(name string, known map[string]reflect.Type) string {
	best, least := "", min(3, len(name)/2+1)
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if d := letterDistance(looseKey(name), looseKey(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

func looseKey(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// letterDistance is the number of letters to add, drop or change.
func letterDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
