package main

import (
	"errors"
	"strings"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/edge"
	"github.com/certyard/certyard/stack/lifecycle"
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

// lines returns what is printed of a problem. Lists of what is wrong with a
// config or differs from a lock, and what daemons said last, have lines of their
// own.
func (p problem) lines() string {
	var (
		config *stack.ConfigError
		edges  *edge.ConfigError
		logs   *lifecycle.NotReadyError
		lock   *stack.LockedError
		stale  *lifecycle.StaleError
	)
	if !errors.As(p.err, &config) && !errors.As(p.err, &edges) && !errors.As(p.err, &logs) && !errors.As(p.err, &lock) && !errors.As(p.err, &stale) {
		return clean(p.text)
	}
	lines := strings.Split(p.text, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}
