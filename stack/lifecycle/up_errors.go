package lifecycle

import (
	"fmt"
	"strings"
)

// RootlessError says that root was asked to use somebody's rootless engine: the
// files of the stack would belong to a root that this engine's containers do
// not have.
type RootlessError struct{}

func (e *RootlessError) Error() string {
	return "the Docker Engine is rootless, and certyard runs as root: its containers could not read the keys"
}

// UnreachableError says that the engine is on another machine, and publishes a
// service only on that machine's loopback.
type UnreachableError struct{ Host, Service string }

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("service %q is published on the loopback of %s, which cannot be reached from here", e.Service, e.Host)
}

// NotReadyError says that a daemon did not answer after its start.
type NotReadyError struct {
	Stack string
	Logs  string // the last lines of every daemon, also of those that run
	Err   error
}

func (e *NotReadyError) Error() string {
	text := "waiting for the daemons: " + e.Err.Error()
	if e.Logs != "" {
		text += "\n" + strings.TrimRight(e.Logs, "\n")
	}
	return text
}

func (e *NotReadyError) Unwrap() error { return e.Err }
