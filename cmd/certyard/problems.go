package main

import (
	"errors"
	"strings"

	"github.com/certyard/certyard/stack"
)

// problem is one of several things that are wrong, and how to say it.
type problem struct {
	text string
	err  error
}

// problems takes apart what errors.Join put together, however deep. Each part is
// said with all that was said of the whole.
func problems(err error) []problem {
	whole := []problem{{err.Error(), err}}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		var parts []problem
		var texts []string
		for _, part := range e.Unwrap() {
			parts, texts = append(parts, problems(part)...), append(texts, part.Error())
		}
		if strings.Join(texts, "\n") == err.Error() {
			return parts
		}
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		if inner == nil {
			return whole
		}
		said, ends := strings.CutSuffix(err.Error(), inner.Error())
		parts := problems(inner)
		if !ends || len(parts) < 2 {
			return whole
		}
		for i := range parts {
			parts[i].text = said + parts[i].text
		}
		return parts
	}
	return whole
}

// lines returns what is printed of a problem. Only the config's list is more
// than one line: it is of our own making.
func (p problem) lines() string {
	if _, ok := errors.AsType[*stack.ConfigError](p.err); !ok {
		return clean(p.text)
	}
	lines := strings.Split(p.text, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}
