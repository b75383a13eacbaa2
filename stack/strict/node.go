package strict

import "go.yaml.in/yaml/v4"

// Kind says what a node is.
type Kind int

// The kinds of nodes. A value of nothing is a scalar.
const (
	Scalar Kind = iota
	Mapping
	List
)

// Node is a value of a YAML document that somebody else's program reads, with
// its line. An alias is the node that it names, so one node may stand in several
// places, even inside itself: who walks a tree has to count.
type Node struct {
	Kind  Kind
	Line  int     // from 1
	Text  string  // of a scalar, unquoted
	Null  bool    // nothing, as in "key:"
	Plain bool    // a scalar without quotes
	Keys  []Key   // of a mapping, as written; a key may stand twice, and merged ones ("<<") come last
	Items []*Node // of a list
}

// Key is a key of a mapping.
type Key struct {
	Name  string
	Line  int
	Value *Node
}

// Get returns the value of a key, or of keys below each other, nil when the node
// has none. Of a key that stands twice it is the last. The node may be nil.
func (n *Node) Get(names ...string) *Node {
	for _, name := range names {
		k := n.key(name)
		if k == nil {
			return nil
		}
		n = k.Value
	}
	return n
}

// KeyLine returns the line of a key, 0 when the node has none.
func (n *Node) KeyLine(name string) int {
	if k := n.key(name); k != nil {
		return k.Line
	}
	return 0
}

func (n *Node) key(name string) *Key {
	if n == nil {
		return nil
	}
	var found *Key
	for i, k := range n.Keys {
		if k.Name == name {
			found = &n.Keys[i]
		}
	}
	return found
}

// Parse returns the document, nil when it is empty, and what is wrong with it as
// YAML. Which keys it has is for the caller to judge.
func Parse(data []byte) (*Node, []Problem) {
	if len(data) > maxFile {
		return nil, []Problem{{Why: "it is larger than 1 MiB, so it is no config"}}
	}
	root, err := onlyDocument(data)
	if err != nil {
		return nil, decodeProblems(err)
	}
	if root == nil {
		return nil, nil
	}
	return builder{}.node(root), nil
}

// builder makes nodes of the library's, each once.
type builder map[*yaml.Node]*Node

func (b builder) node(n *yaml.Node) *Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if made := b[n]; made != nil {
		return made
	}
	out := &Node{Line: n.Line, Text: n.Value, Null: isNull(n), Plain: n.Style == 0}
	b[n] = out // before its parts, which may name it
	switch n.Kind {
	case yaml.SequenceNode:
		out.Kind = List
		for _, item := range n.Content {
			out.Items = append(out.Items, b.node(item))
		}
	case yaml.MappingNode:
		out.Kind = Mapping
		out.Keys = b.keys(n)
	}
	return out
}

func (b builder) keys(n *yaml.Node) []Key {
	var own, merged []Key
	names := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], b.node(n.Content[i+1])
		if key.Tag != "!!merge" {
			own = append(own, Key{key.Value, key.Line, value})
			names[key.Value] = true
			continue
		}
		for _, from := range append([]*Node{value}, value.Items...) {
			merged = append(merged, from.Keys...)
		}
	}
	for _, k := range merged {
		if !names[k.Name] { // the first of several merged ones counts
			own = append(own, k)
			names[k.Name] = true
		}
	}
	return own
}
