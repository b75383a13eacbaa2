package lifecycle

import (
	"fmt"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// OpenRotationError says that CAs are being replaced, and what was asked for has
// to wait until that has ended.
type OpenRotationError struct{ Rotation stack.Rotation }

func (e *OpenRotationError) Error() string {
	return fmt.Sprintf("the replacement of %s is open since %s, at %s", titlesOf(e.Rotation.CAs), e.Rotation.Started.UTC().Format("2006-01-02 15:04 UTC"), e.Rotation.Phase)
}

func titlesOf(cas []string) string {
	text := ""
	for i, name := range cas {
		if i > 0 {
			text += " and "
		}
		text += pki.TitleOfCA(name)
	}
	return text
}

// OtherRunError says that a replacement of CAs has changed since this run last
// looked at it.
type OtherRunError struct{}

func (e *OtherRunError) Error() string {
	return "another certyard goes on with the replacement of the CA"
}

// CANameError says that a stack has no CA of its own that could be replaced
// under a name.
type CANameError struct {
	Name      string
	Authority stack.Authority
	Hierarchy stack.Hierarchy
}

func (e *CANameError) Error() string {
	if e.Name == pki.CAIssuing {
		return fmt.Sprintf("the stack has no %s: pki.hierarchy is %q", pki.TitleOfCA(e.Name), e.Hierarchy)
	}
	return fmt.Sprintf("the %s is not made here: pki.authority is %q", pki.TitleOfCA(e.Name), e.Authority)
}

// NotRunningError says that a stack does not run, or not where it could be
// proven, so that nothing could be seen of how its daemons take a new CA.
type NotRunningError struct{ Why string }

func (e *NotRunningError) Error() string { return "nothing can be proven: " + e.Why }

// RootTrustedError says that an issuing CA cannot be forgotten alone: whoever trusts
// the root accepts it until it ends.
type RootTrustedError struct{}

func (e *RootTrustedError) Error() string {
	return "the old issuing CA would go on to be accepted by whoever trusts the root"
}

// NoRotationError says that no replacement of CAs is open.
type NoRotationError struct{}

func (e *NoRotationError) Error() string { return "no replacement of a CA is open" }

// PastError says that a replacement of CAs cannot be taken back any more.
type PastError struct{ Phase stack.Phase }

func (e *PastError) Error() string {
	return fmt.Sprintf("the replacement of the CA stands at %s: the old CA may be trusted nowhere any more, and does not come back", e.Phase)
}

// PastPhaseError says that a run is to end after a phase that is over.
type PastPhaseError struct{ Asked, At stack.Phase }

func (e *PastPhaseError) Error() string {
	return fmt.Sprintf("the replacement of the CA stands at %s, after %s", e.At, e.Asked)
}

// ShortLifeError says that a CA ends before its replacement would.
type ShortLifeError struct {
	CA  string // generation
	End time.Time
}

func (e *ShortLifeError) Error() string {
	return fmt.Sprintf("CA %s ends on %s, before the time to bake is over", e.CA, e.End.UTC().Format("2006-01-02 15:04 UTC"))
}

// EndedError says that the old CAs cannot come into force again.
type EndedError struct{ End time.Time }

func (e *EndedError) Error() string {
	return "the old CA has expired on " + e.End.UTC().Format("2006-01-02 15:04 UTC") + ", and does not come back"
}
