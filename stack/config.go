package stack

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

// Config is certyard.yaml as written. Every key is optional; a nil pointer
// means that the key is absent where that differs from its zero value.
type Config struct {
	Version  int            `yaml:"version"`
	Name     string         `yaml:"name"`
	Serve    string         `yaml:"serve"`
	Registry RegistryConfig `yaml:"registry"`
	Builder  BuilderConfig  `yaml:"builder"`
	PKI      PKIConfig      `yaml:"pki"`
	Images   string         `yaml:"images"`

	// File is where the config was read from, for messages.
	File string `yaml:"-"`
	// lines tells where each key stands, by its path ("registry.publish").
	lines map[string]int
}

// RegistryConfig is the registry's part of a [Config].
type RegistryConfig struct {
	Name    string       `yaml:"name"`
	Image   string       `yaml:"image"`
	Publish *string      `yaml:"publish"`
	Hosts   []string     `yaml:"hosts"`
	Users   []UserConfig `yaml:"users"`
}

// UserConfig is one user of the registry. The password comes from a file or an
// environment variable, never from the config itself; with neither it is
// generated.
type UserConfig struct {
	Name         string `yaml:"name"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
}

// BuilderConfig is the builder's part of a [Config].
type BuilderConfig struct {
	Image      string   `yaml:"image"`
	Publish    *string  `yaml:"publish"`
	TLS        string   `yaml:"tls"`
	Clients    []string `yaml:"clients"`
	Hosts      []string `yaml:"hosts"`
	Privileges string   `yaml:"privileges"`
}

// PKIConfig is the part of a [Config] that says how keys and certificates are
// made.
type PKIConfig struct {
	Key            string       `yaml:"key"`
	CAValidity     string       `yaml:"ca_validity"`
	LeafValidity   string       `yaml:"leaf_validity"`
	Authority      string       `yaml:"authority"`
	Hierarchy      string       `yaml:"hierarchy"`
	CAKeys         string       `yaml:"ca_keys"`
	PassphraseFile string       `yaml:"passphrase_file"`
	CACert         string       `yaml:"ca_cert"`
	CAKey          string       `yaml:"ca_key"`
	Remote         RemoteConfig `yaml:"remote"`
}

// RemoteConfig says which cfssl server signs.
type RemoteConfig struct {
	URL         string `yaml:"url"`
	CA          string `yaml:"ca"`
	AuthKeyFile string `yaml:"auth_key_file"`
	Profile     string `yaml:"profile"`
	Label       string `yaml:"label"`
}

// Problem is one thing that is wrong with a config.
type Problem struct {
	Line int    // in the file, from 1; 0 when the value came from elsewhere
	Path string // of the key, as "registry.publish"
	Why  string
}

// String returns the problem as one line without its file.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Why
}

// ConfigError is everything that is wrong with a config, at once.
type ConfigError struct {
	File     string
	Problems []Problem
}

// Error lists the problems, one a line when there are several.
func (e *ConfigError) Error() string {
	file := e.File
	if file == "" {
		file = "configuration"
	}
	if len(e.Problems) == 1 {
		return file + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d problems", file, len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n    " + p.String())
	}
	return b.String()
}

// maxConfig is far more than anybody writes, and keeps a wrong path from being
// read whole.
const maxConfig = 1 << 20

// ReadConfig reads a config strictly: a key that it does not know is an error,
// like a value of the wrong type. An empty document is the default config. The
// error is a *[ConfigError] for what is wrong with the content.
func ReadConfig(r io.Reader, file string) (Config, error) {
	c := Config{File: file}
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return c, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(data) > maxConfig {
		return c, &ConfigError{File: file, Problems: []Problem{{Why: "it is larger than 1 MiB, so it is no config"}}}
	}
	root, problems := onlyDocument(data)
	if root == nil && problems == nil {
		return c, nil
	}
	c.lines = map[string]int{}
	if problems == nil {
		problems = checkNode(root, reflect.TypeFor[Config](), "", c.lines)
	}
	if problems == nil {
		// What is left are values that YAML itself cannot make.
		if err := root.Decode(&c); err != nil {
			problems = decodeProblems(err)
		}
	}
	if problems != nil {
		sortProblems(problems)
		return c, &ConfigError{File: file, Problems: problems}
	}
	return c, nil
}

// onlyDocument parses YAML and returns its document, nil when it is empty. The
// library would leave a second document unread, and so what it sets.
func onlyDocument(data []byte) (*yaml.Node, []Problem) {
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, decodeProblems(err)
	}
	if err := d.Decode(&more); err == nil {
		return nil, []Problem{{Line: more.Line, Why: "a second document begins here; want one"}}
	} else if !errors.Is(err, io.EOF) {
		return nil, decodeProblems(err)
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

func sortProblems(problems []Problem) {
	sort.SliceStable(problems, func(i, j int) bool { return problems[i].Line < problems[j].Line })
}

// decodeProblems takes the lines out of the YAML library's errors.
func decodeProblems(err error) []Problem {
	var many *yaml.LoadErrors
	if errors.As(err, &many) {
		var out []Problem
		for _, e := range many.Errors {
			out = append(out, decodeProblems(e)...)
		}
		return out
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		return []Problem{{Line: one.Mark.Line, Why: one.Message}}
	}
	return []Problem{{Why: err.Error()}}
}

// checkNode walks a YAML tree beside the type that it is decoded into, notes
// where each key stands, and returns the keys that the type does not have and
// the values that do not fit. The decoder could refuse them too, but only in
// terms of Go types. It ends, aliases or not, because the type does.
func checkNode(n *yaml.Node, t reflect.Type, path string, lines map[string]int) []Problem {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want := map[reflect.Kind]string{reflect.Struct: "keys and values", reflect.Slice: "a list", reflect.Int: "a number"}[t.Kind()]
	switch {
	case isNull(n): // as if the key were absent
		return nil
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		return checkMapping(n, t, path, lines)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		var problems []Problem
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			lines[at] = item.Line
			if isNull(item) {
				// The decoder would leave it out, and count on.
				problems = append(problems, Problem{item.Line, at, "is empty"})
			}
			problems = append(problems, checkNode(item, t.Elem(), at, lines)...)
		}
		return problems
	case t.Kind() == reflect.Int && n.Tag == "!!int":
		return nil
	case t.Kind() == reflect.String && slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool"}, n.Tag):
		return nil
	case want == "":
		want = "text"
	}
	return []Problem{{n.Line, path, "want " + want + ", have " + describe(n)}}
}

func checkMapping(n *yaml.Node, t reflect.Type, path string, lines map[string]int) []Problem {
	var problems []Problem
	known, seen := yamlFields(t), map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		lines[at] = key.Line
		field, ok := known[key.Value]
		switch first := seen[key.Value]; {
		case !ok:
			problems = append(problems, Problem{key.Line, at, "unknown key; known here: " + keyList(known)})
		case first > 0:
			problems = append(problems, Problem{key.Line, at, fmt.Sprintf("stands on line %d already", first)})
		default:
			problems = append(problems, checkNode(value, field, at, lines)...)
		}
		seen[key.Value] = key.Line
	}
	return problems
}

func isNull(n *yaml.Node) bool {
	return n.Tag == "!!null" || n.Kind == yaml.AliasNode && n.Alias.Tag == "!!null"
}

// describe says what a value is, for somebody who wrote it.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	default:
		const most = 60 // of somebody's whole file that is no YAML mapping
		if len(n.Value) > most {
			return strconv.Quote(n.Value[:most]) + "..."
		}
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
