package stack

import (
	"fmt"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
)

// Phase is one step of the replacement of a CA. Trust is expanded before any
// leaf changes, and contracted after every one has.
type Phase string

// The phases, in their order.
const (
	PhasePreflight Phase = "preflight" // the stack is sound as it is
	PhaseStage     Phase = "stage"     // the new CA and all its leaves are made, and used nowhere
	PhaseExpand    Phase = "expand"    // both CAs are trusted
	PhaseSwitch    Phase = "switch"    // the new CA's leaves are served and shown
	PhaseVerify    Phase = "verify"    // nothing depends on the old CA
	PhaseBake      Phase = "bake"      // time for those who know the old CA alone
	PhaseContract  Phase = "contract"  // the new CA alone is trusted
	PhaseRetire    Phase = "retire"    // the old CA's key is gone
)

// Phases returns all phases in their order.
func Phases() []Phase {
	return []Phase{PhasePreflight, PhaseStage, PhaseExpand, PhaseSwitch, PhaseVerify, PhaseBake, PhaseContract, PhaseRetire}
}

// ParsePhase returns a phase by its name.
func ParsePhase(text string) (Phase, error) {
	if slices.Contains(Phases(), Phase(text)) {
		return Phase(text), nil
	}
	return "", fmt.Errorf("%q is not a phase of the replacement of a CA; want one of %q", text, Phases())
}

// Before reports whether a phase comes before another one.
func (p Phase) Before(other Phase) bool {
	return slices.Index(Phases(), p) < slices.Index(Phases(), other)
}

// Rotation is the replacement of CAs that has begun and not ended. It is written
// in one transaction with the files of its phase.
type Rotation struct {
	// CAs are the names of those that are replaced.
	CAs []string `json:"cas"`
	// Phase is what the files are in: stage, expand, switch or contract. That
	// the daemons have followed is proven, not recorded.
	Phase   Phase     `json:"phase"`
	Started time.Time `json:"started"`
	// Verified is when nothing was found that depends on the old CAs.
	Verified time.Time `json:"verified,omitzero"`
	// Bake is how long both CAs are trusted from then on; nil in records of
	// earlier versions.
	Bake *time.Duration `json:"bake_ns,omitempty"`
	// Compromised says that the old CA's key may be with somebody else.
	Compromised bool `json:"compromised,omitempty"`
}

// Set returns which other CAs there are besides those in force: those to come or
// those that were.
func (r Rotation) Set() string {
	if r.Phase.Before(PhaseSwitch) {
		return SetNext
	}
	return SetPrevious
}

// TrustsBoth reports whether peers are to trust the CAs of [Rotation.Set] too.
func (r Rotation) TrustsBoth() bool { return r.Phase == PhaseExpand || r.Phase == PhaseSwitch }

// Roots reports whether what clients of the servers trust is replaced.
func (r Rotation) Roots() bool { return slices.Contains(r.CAs, pki.CAName) }

// Clients reports whether the CA of client certificates is replaced.
func (r Rotation) Clients() bool { return slices.Contains(r.CAs, pki.CAClient) }
