package doctor

import (
	"bytes"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/certyard/certyard/stack/lint"
)

// Patch is one file with the mends that are certain.
type Patch struct {
	File          string
	Before, After []byte
	Rules         []string // which it mends
	Diff          string   // from the one to the other, as diff -U 0 prints it: lines around may hold a password
}

// Patches returns what can be mended without a person: the corrected lines of the
// findings, by file. Where two findings want to change the same line, the first
// one has it, and the other is left for the next time. Nothing is written.
func Patches(r Result) ([]Patch, error) {
	var out []Patch
	edits := map[string][]lint.Edit{}
	rules := map[string][]string{}
	var files []string
	for _, f := range r.Findings {
		if len(f.Edits) == 0 || overlap(edits[f.File], f.Edits) {
			continue
		}
		if edits[f.File] == nil {
			files = append(files, f.File)
		}
		edits[f.File] = append(edits[f.File], f.Edits...)
		rules[f.File] = append(rules[f.File], f.Rule)
	}
	for _, file := range files {
		before, err := readFile(file)
		if err != nil {
			return nil, err
		}
		after, err := lint.Apply(before, edits[file])
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(before, after) {
			out = append(out, Patch{File: file, Before: before, After: after, Rules: rules[file], Diff: changedLines(string(diff.Diff(file, before, file, after)))})
		}
	}
	return out, nil
}

func overlap(have, more []lint.Edit) bool {
	for _, a := range have {
		for _, b := range more {
			if a.From <= max(b.To, b.From) && b.From <= max(a.To, a.From) {
				return true
			}
		}
	}
	return false
}
