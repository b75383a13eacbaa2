package lint

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/moby/buildkit/cmd/buildkitd/config"
)

// DefaultSocket is where buildkitd listens when nothing else is said, and where
// buildctl looks for it, unless it is rootless (buildkit v0.34.2
// util/appdefaults/appdefaults_linux.go).
const DefaultSocket = "unix:///run/buildkit/buildkitd.sock"

// BuildkitdFlags is what is known of a buildkitd beside its file.
type BuildkitdFlags struct {
	// The command line wins over the file (buildkit v0.34.2
	// cmd/buildkitd/main.go:674-676, 716-724).
	Addresses []string // --addr
	TLSCert   string   // --tlscert
	TLSKey    string   // --tlskey
	TLSCA     string   // --tlscacert

	// Loopback: no flag, but what somebody has seen elsewhere, as in
	// compose.yaml: its ports are reached from the own machine alone, wherever
	// it listens inside its container. buildkitd.no-client-auth is not broken
	// then, and buildkitd.debug-open neither.
	Loopback bool
}

// Buildkitd is a buildkitd.toml as buildkitd reads it.
type Buildkitd struct {
	File     string
	Config   config.Config // what buildkitd would take from the file alone; zero when it cannot be decoded
	Decoded  bool          // it can be decoded
	Findings []Finding     // by the order of the rules, and by line among those of one

	flags     BuildkitdFlags
	toml      tomlFile
	clean     []byte          // the file without what does not decode; nil when it is no TOML
	explained map[string]bool // by keyPath: what is missing there was found at another place
}

// ParseBuildkitd judges a buildkitd.toml. Whatever the data is, it returns: a
// file that cannot be decoded has a finding that says so, and is judged only for
// its syntax, types and names. The findings name the file as it is given here,
// and each one's edits are meant to be applied alone.
func ParseBuildkitd(file string, data []byte, flags BuildkitdFlags) Buildkitd {
	b := Buildkitd{File: file, flags: flags, toml: parseTOML(data), explained: map[string]bool{}}
	if c, err := config.Load(bytes.NewReader(data)); err == nil {
		b.Config, b.Decoded = c, true
	}
	found := map[string][]Finding{}
	for _, f := range b.decode() {
		found[f.Rule] = append(found[f.Rule], f)
	}
	tried := 0
	for _, row := range buildkitdTable {
		if row.judge != nil && b.Decoded {
			found[row.ID] = row.judge(&b)
		}
		slices.SortStableFunc(found[row.ID], func(a, b Finding) int { return a.Line - b.Line })
		for _, f := range found[row.ID] {
			f.Rule, f.Subject, f.File = row.ID, Builder, file
			if len(f.Edits) > 0 {
				tried++
			}
			if tried > maxEdits || !b.holds(f.Edits) {
				f.Edits = nil
			}
			b.Findings = append(b.Findings, f)
		}
	}
	return b
}

// maxEdits bounds the work: to try an edit is to read the whole file again. The
// findings beyond have no corrected lines.
const maxEdits = 50

// holds says whether buildkitd reads the file after the edits, apart from what it
// does not read before. What a rule takes for certain may not be: the key that it
// adds can stand in another spelling already.
func (b *Buildkitd) holds(edits []Edit) bool {
	if len(edits) == 0 || b.clean == nil {
		return true
	}
	data, err := Apply(b.clean, edits)
	if err != nil {
		return false
	}
	_, err = config.Load(bytes.NewReader(data))
	return err == nil
}

// Line returns the line of a key, as Line("registry", "localhost:5005", "ca"). It
// is the line of the table, or of a table around it, where the key is not there,
// and 0 where there is none.
func (b Buildkitd) Line(path ...string) int {
	for len(path) > 0 {
		within := 0
		for _, e := range b.toml.entries {
			if samePath(e.path, path) {
				return e.line
			}
			if within == 0 && hasPrefix(e.path, path) {
				within = e.line
			}
		}
		if within > 0 {
			return within
		}
		path = path[:len(path)-1]
	}
	return 0
}

// Listens returns the addresses that buildkitd listens on: the command line's,
// else the file's, else the default socket. Those of a file that cannot be decoded
// are not known.
func (b Buildkitd) Listens() []string {
	switch {
	case len(b.flags.Addresses) > 0:
		return slices.Clone(b.flags.Addresses)
	case len(b.Config.GRPC.Address) > 0:
		return slices.Clone(b.Config.GRPC.Address)
	default:
		return []string{DefaultSocket}
	}
}

// TLS returns the files that buildkitd serves TLS with, and the one with the CAs
// that it accepts clients of, "" for what is set nowhere. It serves TLS when it
// has both a certificate and a key.
func (b Buildkitd) TLS() (cert, key, ca string) {
	file := b.Config.GRPC.TLS
	return cmp.Or(b.flags.TLSCert, file.Cert), cmp.Or(b.flags.TLSKey, file.Key), cmp.Or(b.flags.TLSCA, file.CA)
}

// explain notes that what is missing at a path stands at a wrong place, or under a
// wrong name, of which there is a finding.
func (b *Buildkitd) explain(path ...string) {
	for i := range path {
		path[i] = strings.ToLower(path[i])
	}
	b.explained[keyPath(path...)] = true
}

func (b *Buildkitd) isExplained(path ...string) bool {
	low := make([]string, len(path))
	for i := range path {
		low[i] = strings.ToLower(path[i])
	}
	return b.explained[keyPath(low...)]
}
