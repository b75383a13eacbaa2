package lifecycle

import (
	"fmt"
	"strings"

	"github.com/certyard/certyard/stack"
)

// LeafNameError says that a stack has no leaf of a name.
type LeafNameError struct {
	Name  string
	Known []string
}

func (e *LeafNameError) Error() string {
	return fmt.Sprintf("there is no leaf %q; there are %s", e.Name, strings.Join(e.Known, ", "))
}

// UserError says that a user's password cannot be rotated.
type UserError struct{ Name, Why string }

func (e *UserError) Error() string { return fmt.Sprintf("user %q %s", e.Name, e.Why) }

// NotSoundError says that a stack does not pass its proof: as it is, so that
// nothing of it may be replaced, with what an earlier run has written, or with
// what was there before put back.
type NotSoundError struct {
	Report    stack.Report
	Finishing bool
	PutBack   bool
}

func (e *NotSoundError) Error() string {
	switch {
	case e.PutBack:
		return "the stack does not pass its proof with what was there before, put back"
	case e.Finishing:
		return "the stack does not pass its proof with what an earlier run has written"
	default:
		return "the stack does not pass its proof before anything is replaced"
	}
}

// PutBackError says why what was there before could not be put back.
type PutBackError struct {
	What string
	Err  error
}

func (e *PutBackError) Error() string { return fmt.Sprintf("putting %s: %v", e.What, e.Err) }

// Unwrap returns the cause.
func (e *PutBackError) Unwrap() error { return e.Err }

// ChangedError says that a stack was changed by somebody else while it was being
// rotated.
type ChangedError struct{}

func (e *ChangedError) Error() string {
	return "another certyard has changed the config of the stack meanwhile"
}
