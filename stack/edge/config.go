package edge

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Config is edge.yaml as written. Paths are relative to the working directory.
type Config struct {
	Version      int              `yaml:"version"`
	Admin        string           `yaml:"admin"` // unix socket for health and metrics; "" = none
	Listeners    []ListenerConfig `yaml:"listeners"`
	DrainTimeout string           `yaml:"drain_timeout"`

	// File is where the config was read from, for messages.
	File string `yaml:"-"`
	// lines tells where each key stands, by its path ("listeners[0].name").
	lines map[string]int
}

// ListenerConfig is one listener of a [Config].
type ListenerConfig struct {
	Name         string   `yaml:"name"`
	Plain        bool     `yaml:"plain"` // copy TCP as it is, without TLS
	Addresses    []string `yaml:"addresses"`
	Certificates string   `yaml:"certificates"` // directory with tls.crt and tls.key
	Clients      string   `yaml:"clients"`      // directory with clients.crt and access.json; "" = nobody is asked
	ALPN         []string `yaml:"alpn"`
	Target       string   `yaml:"target"` // unix:PATH or tcp:HOST:PORT

	MaxConnections   *int   `yaml:"max_connections"`
	HandshakeTimeout string `yaml:"handshake_timeout"`
	TargetTimeout    string `yaml:"target_timeout"`
	DrainIdle        string `yaml:"drain_idle"` // once it stops, ends connections that are silent for so long
}

// Problem is one thing that is wrong with a config.
type Problem struct {
	Line int    // in the file, from 1; 0 when it is not known
	Path string // of the key, as "listeners[0].target"
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
	Problems []Problem // by line
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

// maxFile is far more than anything that is read here needs, and keeps a wrong
// path from being read whole.
const maxFile = 1 << 20

// ReadConfig reads a config strictly: a key that it does not know is an error,
// like a value of the wrong type or one that cannot be used. The error is a
// *[ConfigError] for what is wrong with the content.
func ReadConfig(r io.Reader, file string) (Config, error) {
	c := Config{File: file, lines: map[string]int{}}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return c, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(data) > maxFile {
		return c, &ConfigError{file, []Problem{{Why: "it is larger than 1 MiB, so it is no config"}}}
	}
	root, err := onlyDocument(data)
	if err != nil {
		return c, &ConfigError{file, decodeProblems(err)}
	}
	problems := checkTree(root, &c)
	// What a value means is only looked at where its type is right.
	_, values := c.plan()
	for _, p := range values {
		if !covered(problems, p.Path) {
			problems = append(problems, p)
		}
	}
	if problems != nil {
		sortProblems(problems)
		return c, &ConfigError{file, problems}
	}
	return c, nil
}

// covered reports whether one of the problems is about a key, about what the key
// is a part of, or about an item of the key's list.
func covered(problems []Problem, path string) bool {
	for _, p := range problems {
		if p.Path == "" || path == p.Path || strings.HasPrefix(p.Path, path+"[") || strings.HasPrefix(path, p.Path+".") || strings.HasPrefix(path, p.Path+"[") {
			return true
		}
	}
	return false
}

// decodeProblems takes the lines out of the YAML library's errors.
func decodeProblems(err error) []Problem {
	var second *secondDocumentError
	if errors.As(err, &second) {
		return []Problem{{Line: second.line, Why: second.Error()}}
	}
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
