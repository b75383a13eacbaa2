// Package strict reads YAML configs without leniency: a key that the config does
// not have is an error, like a value of another type, a key that stands twice,
// and a second document. Everything that is wrong is found at once, with its
// line. The package is pure, and its functions are safe to call in parallel.
package strict

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

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

// Error is everything that is wrong with a config, at once.
type Error struct {
	File     string
	Problems []Problem // by line
}

// Error lists the problems, one a line when there are several.
func (e *Error) Error() string {
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

// maxFile is far more than anybody writes, and keeps a wrong path from being read
// whole.
const maxFile = 1 << 20

// Decode decodes a document into the struct that into points to, by its yaml
// tags; an empty document changes nothing. It returns the line of each key and
// item by its path ("listeners[0].name"), and what is wrong, by line: what fits
// is decoded all the same. The error is for a reader that fails.
func Decode(r io.Reader, file string, into any) (lines map[string]int, problems []Problem, err error) {
	lines = map[string]int{}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return lines, nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(data) > maxFile {
		return lines, []Problem{{Why: "it is larger than 1 MiB, so it is no config"}}, nil
	}
	root, err := onlyDocument(data)
	if err != nil {
		return lines, decodeProblems(err), nil
	}
	problems = checkTree(root, into, lines)
	Sort(problems)
	return lines, problems, nil
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
