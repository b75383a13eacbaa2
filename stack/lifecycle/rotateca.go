package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// PhaseResult is one phase of the replacement of CAs.
type PhaseResult struct {
	Phase   stack.Phase     `json:"phase"`
	Changes []ServiceChange `json:"containers,omitempty"`
	Took    time.Duration   `json:"took_ns"`
}

// caRotation is one run that replaces CAs, or takes that back.
type caRotation struct {
	Deps
	opts  RotateOptions
	prior prior
	out   Rotated
	// began is when the replacement began that this run carries out; zero until
	// there is one.
	began time.Time
	// failed is that what went wrong is being taken back.
	failed bool
}

// mine returns the open replacement, if it is still the one that this run carries
// out and it stands where the next phase may follow. Another run may have gone
// on with it, or have taken it back.
func (r *caRotation) mine(phases ...stack.Phase) (*stack.Rotation, error) {
	open := r.prior.rotation()
	if open == nil || !open.Started.Equal(r.began) || !slices.Contains(phases, open.Phase) {
		return nil, &OtherRunError{}
	}
	return open, nil
}

// replaceCAs goes through the phases, from where the files are.
func replaceCAs(ctx context.Context, d Deps, opts RotateOptions, p prior) (Rotated, error) {
	r := &caRotation{Deps: d, opts: opts.named(p.state.Spec), prior: p}
	r.out = Rotated{Result: newResult(d, p.state.Spec), Restarts: []PlannedStep{}, Due: true}
	if r.backAlready() {
		err := r.finishBack(ctx)
		return r.out, err
	}
	if err := r.check(ctx); err != nil {
		return r.out, err
	}
	var err error
	if opts.Abort {
		err = r.abort(ctx)
	} else {
		err = r.phases(ctx)
	}
	r.out.Open = r.prior.rotation()
	return r.out, err
}

// check finds out whether anything of what was asked for can begin.
func (r *caRotation) check(ctx context.Context) error {
	spec, open := r.prior.state.Spec, r.prior.rotation()
	if err := r.possible(); err != nil {
		return err
	}
	if r.opts.Abort && open.Phase == stack.PhaseStage {
		return nil // no daemon has to know
	}
	for _, service := range []string{stack.Registry, stack.Builder} {
		if !spec.Published(service).On() {
			return &NotRunningError{Why: fmt.Sprintf("the %s is not published", service)}
		}
	}
	containers, err := r.Engine.Containers(ctx, spec.Name)
	switch {
	case err != nil:
		return err
	case len(containers) == 0:
		return &NotRunningError{Why: "the stack does not run"}
	case open != nil: // the phase that it is in is gone through again
		return nil
	}
	before := &rotation{Deps: r.Deps, opts: r.opts, prior: r.prior}
	finished, err := before.finish(ctx, containers)
	r.prior = before.prior
	switch {
	case err == nil:
		r.out.Finished = finished
		return r.possible() // somebody may have begun a replacement meanwhile
	case finished != nil:
		r.out.Result = *finished // as far as it came
	}
	return err
}

// possible holds what was asked for against what is open and what there is.
func (r *caRotation) possible() error {
	open := r.prior.rotation()
	switch {
	case r.opts.Abort && open == nil:
		return &NoRotationError{}
	case r.opts.Abort && !open.Phase.Before(stack.PhaseContract):
		return &PastError{Phase: open.Phase}
	case r.opts.Abort && !r.ended().IsZero():
		return &EndedError{End: r.ended()}
	case r.opts.Abort:
		return nil
	case open != nil && !slices.Equal(open.CAs, r.opts.CAs):
		return &OpenRotationError{Rotation: *open}
	case open != nil && r.opts.PauseAfter != "" && r.opts.PauseAfter.Before(open.Phase):
		return &PastPhaseError{Asked: r.opts.PauseAfter, At: open.Phase}
	case r.opts.Compromised && slices.Contains(r.opts.CAs, pki.CAIssuing) && !slices.Contains(r.opts.CAs, pki.CAName):
		return &RootTrustedError{}
	default:
		return checkCAs(r.prior.state.Spec, r.opts.CAs)
	}
}

// checkCAs refuses CAs that are not made here.
func checkCAs(spec stack.Spec, names []string) error {
	for _, name := range names {
		switch {
		case name == pki.CAClient:
		case spec.PKI.Authority != stack.AuthorityLocal, name == pki.CAIssuing && spec.PKI.Hierarchy != stack.HierarchyTwoTier:
			return &CANameError{Name: name, Authority: spec.PKI.Authority, Hierarchy: spec.PKI.Hierarchy}
		}
	}
	return nil
}

// named returns the options with the names of all CAs that a spec has, where
// all are asked for.
func (o RotateOptions) named(spec stack.Spec) RotateOptions {
	if !o.AllCAs {
		return o
	}
	o.CAs = []string{pki.CAName, pki.CAClient}
	if spec.PKI.Hierarchy == stack.HierarchyTwoTier {
		o.CAs = []string{pki.CAName, pki.CAIssuing, pki.CAClient}
	}
	return o
}

// phases goes through the phases that are left. One that was begun is gone
// through again: what is as it should be is kept, and the proof tells whether
// the daemons have followed.
func (r *caRotation) phases(ctx context.Context) error {
	first := stack.PhasePreflight
	if open := r.prior.rotation(); open != nil {
		first, r.began = open.Phase, open.Started
		if err := r.amend(ctx, open); err != nil {
			return err
		}
	}
	for _, phase := range stack.Phases() {
		if phase.Before(first) {
			continue
		}
		err := r.phase(ctx, phase)
		if err != nil || r.out.RolledBack || r.unsound() {
			return err
		}
		if phase == r.opts.PauseAfter {
			return nil
		}
		if phase == stack.PhaseExpand && r.startedAgain() {
			letIn(ctx)
		}
	}
	return nil
}

// retried is how long a daemon that was started serves before it is started again
// for the next phase. A client whose first packet came just before it listened sends
// that again after a second (RFC 6298, 2.1); it must not meet the next restart.
const retried = 1500 * time.Millisecond

// letIn waits that long.
func letIn(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retried):
	}
}

// startedAgain reports whether the last phase has started a daemon again.
func (r *caRotation) startedAgain() bool {
	last := r.out.Phases[len(r.out.Phases)-1]
	return slices.ContainsFunc(last.Changes, func(c ServiceChange) bool { return c.Change != string(compose.Kept) })
}

// amend records what this run was told otherwise than the one that has begun the
// replacement: that the old CA is compromised, which may be known only since, and
// how long to bake.
func (r *caRotation) amend(ctx context.Context, open *stack.Rotation) error {
	compromised := r.opts.Compromised && !open.Compromised
	if !compromised && open.Bake != nil && *open.Bake == r.opts.Bake {
		return nil
	}
	err := r.change(ctx, func(string) {}, func(dr *draft) error {
		if !sameRotation(dr.rotation, open) {
			return &OtherRunError{}
		}
		dr.mayAge = noLeaf
		dr.rotation.Compromised = open.Compromised || compromised
		dr.rotation.Bake = &r.opts.Bake
		return nil
	})
	if err == nil {
		r.prior, err = recorded(r.Store)
	}
	return err
}

// unsound reports whether the last proof did not hold.
func (r *caRotation) unsound() bool { return r.out.Report != nil && !r.out.Report.OK() }

// phase goes through one phase, and goes back to the old CA when that fails for
// a reason that another try would not mend.
func (r *caRotation) phase(ctx context.Context, phase stack.Phase) error {
	run := map[stack.Phase]func(context.Context, func(string)) (string, error){
		stack.PhasePreflight: r.preflight,
		stack.PhaseStage:     r.stage,
		stack.PhaseExpand:    r.daemons(stack.PhaseExpand),
		stack.PhaseSwitch:    r.daemons(stack.PhaseSwitch),
		stack.PhaseVerify:    r.verify,
		stack.PhaseBake:      r.bake,
		stack.PhaseContract:  r.daemons(stack.PhaseContract),
		stack.PhaseRetire:    r.retire,
	}[phase]
	err := r.step(phase, func(say func(string)) (string, error) { return run(ctx, say) })
	if !r.mustGoBack(ctx, err) {
		return err
	}
	r.failed = true
	if back := r.abort(context.WithoutCancel(ctx)); back != nil {
		return errors.Join(err, &PutBackError{What: "the old CA in force again", Err: back})
	}
	r.out.RolledBack = true
	return err
}

// step runs a phase, shows one line of it, and looks at the files again.
func (r *caRotation) step(phase stack.Phase, do func(func(string)) (string, error)) error {
	changes := len(r.out.Changes)
	p, err := r.run(string(phase), do)
	r.out.Steps = append(r.out.Steps, p)
	r.out.Phases = append(r.out.Phases, PhaseResult{Phase: phase, Changes: r.out.Changes[changes:], Took: p.Took})
	now, loaded := recorded(r.Store)
	if loaded == nil {
		r.prior = now
	}
	return errors.Join(err, loaded)
}

// inner returns the dependencies for a step within a phase, whose own steps are
// details of it.
func (r *caRotation) inner(say func(string)) Deps {
	d := r.Deps
	d.Observe = func(p Progress) {
		if p.State == Running && p.Detail != "" {
			say(p.Detail)
		}
	}
	return d
}
