// Package explain says what messages about TLS, registries and builders mean. It
// knows the words of Go, gRPC, BuildKit, the registry, Docker Engine, buildx,
// go-containerregistry, OpenSSL, curl and GnuTLS.
//
// A text goes through three steps: one pass over its bytes finds the lines that
// may have a message (machine.go), such a line is matched against the table
// (line.go), and each match gets the hop that the words around it tell (hop.go).
// The table is in the files table_*.go, an entry in one place.
//
// Every function is safe for use in parallel.
package explain

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Hop is between whom something went wrong.
type Hop string

// The hops. A message whose text does not tell has none.
const (
	ClientBuilder   Hop = "client to builder"
	BuilderRegistry Hop = "builder to registry"
	ClientRegistry  Hop = "client to registry"
	ClientToken     Hop = "client to token server"
	BuilderToken    Hop = "builder to token server"
	EngineRegistry  Hop = "Docker Engine to registry"
	DaemonStart     Hop = "inside a daemon at its start"
	ServerLog       Hop = "a client to the server that logs this"
	Command         Hop = "your own command to a server"
)

// Cause is one of several reasons for the same text, and how to tell it from the
// others.
type Cause struct {
	Cause string `json:"cause"`
	Tell  string `json:"tell,omitempty"`
}

// Mend is how to put something right.
type Mend struct {
	Certyard string `json:"certyard"` // with this program
	Hand     string `json:"hand"`     // without it; config lines are indented
}

// Pattern is a text that a program prints: literal pieces, and between them what
// varies. "<name>" takes one word and keeps it as the value name, "<name...>"
// takes any words; "<>" takes a word and "*" any words, and they keep nothing. It matches within one line.
type Pattern struct {
	Text   string
	Hop    Hop    // when this very text comes from one hop alone
	Source string // where it comes from, when not from the entry's Source
	// Below: the program prints it on a line of its own, below the cause. It counts
	// only when no message is on a line just before.
	Below bool
}

// Entry is a kind of message.
type Entry struct {
	ID       string // stable, as "unknown-authority"
	Title    string // one line
	Hops     []Hop  // where it comes from, the usual one first
	Patterns []Pattern
	Means    string
	Causes   []Cause // the usual one first
	Confirm  string  // one command; {server}, {host} and other values are filled in
	Mend     Mend
	Source   string // the program, its file and version
	// Wraps: it says that something failed and not what. It is left out of a line
	// that has another message.
	Wraps bool
}

// Message is an entry that a text has.
type Message struct {
	ID      string            `json:"id"`
	Title   string            `json:"title"`
	Hop     Hop               `json:"hop,omitempty"`
	Hops    []Hop             `json:"possible_hops,omitempty"` // when the text does not tell
	Line    int               `json:"line"`                    // where it is first, from 1; 0 when no text was read
	Count   int               `json:"count"`                   // the lines that have it
	Text    string            `json:"text,omitempty"`          // that line, shortened, without escape sequences
	Values  map[string]string `json:"values"`
	Means   string            `json:"means"`
	Causes  []Cause           `json:"causes"`
	Confirm string            `json:"confirm"`
	Mend    Mend              `json:"mend"`
	Source  string            `json:"source"`
}

// Result is what a text says.
type Result struct {
	Messages []Message `json:"messages"`       // in the order of their first lines, on one line the cause first
	Lines    int       `json:"lines"`          // of the whole text
	Unknown  bool      `json:"unknown"`        // nothing was recognised
	More     int       `json:"more,omitempty"` // lines with further distinct messages, when there are more than are kept
}

// Entries returns all entries, in the order of the table. The caller may change
// the slice and not what it holds.
func Entries() []Entry { return slices.Clone(known().entries) }

// Find returns the entry with an ID.
func Find(id string) (Entry, bool) {
	for _, e := range known().entries {
		if e.ID == id {
			return e, true
		}
	}
	return Entry{}, false
}

// General returns what there is to say about an entry when no text is at hand.
func (e Entry) General() Message {
	m := e.message("", nil, e.Source)
	m.Hops = slices.Clone(e.Hops)
	return m
}

// Match returns the messages of a short text, as of one line of a log.
func Match(text string) []Message {
	// A text in memory cannot fail to be read.
	r, _ := scan(strings.NewReader(text), func() error { return nil })
	return r.Messages
}

// message fills an entry's templates with values.
func (e Entry) message(hop Hop, values map[string]string, source string) Message {
	f := newFiller(hop, values)
	m := Message{
		ID: e.ID, Title: e.Title, Hop: hop, Values: maps.Clone(values), Source: source,
		Means: f.text(e.Means), Confirm: f.command(e.Confirm), Causes: make([]Cause, 0, len(e.Causes)),
		Mend: Mend{Certyard: f.command(e.Mend.Certyard), Hand: f.command(e.Mend.Hand)},
	}
	if m.Values == nil {
		m.Values = map[string]string{}
	}
	if hop == "" {
		m.Hops = slices.Clone(e.Hops)
	}
	for _, c := range e.Causes {
		m.Causes = append(m.Causes, Cause{f.text(c.Cause), f.text(c.Tell)})
	}
	return m
}

// known returns the table, made ready for matching. It takes some milliseconds,
// and never changes.
var known = sync.OnceValue(func() *table { return compile(entries(), cues()) })
