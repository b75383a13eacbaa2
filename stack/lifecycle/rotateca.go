package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// PhaseResult is one phase of the replacement of CAs.
type PhaseResult struct {
	Phase   stack.Phase     `json:"phase"`
	Changes []ServiceChange `json:"containers,omitempty"`
	Took    time.Duration   `json:"took_ns"`
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

// caRotation is one run that replaces CAs, or takes that back.
type caRotation struct {
	Deps
	opts  RotateOptions
	prior prior
	out   Rotated
	// began is when the replacement began that this run carries out; zero until
	// there is one.
	began time.Time
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
	err = before.finish(ctx, containers)
	r.prior = before.prior
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
	default:
		return checkCAs(r.prior.state.Spec, r.opts.CAs)
	}
}

// EndedError says that the old CAs cannot come into force again.
type EndedError struct{ End time.Time }

func (e *EndedError) Error() string {
	return "the old CA has expired on " + e.End.UTC().Format("2006-01-02 15:04 UTC") + ", and does not come back"
}

// oldEnd returns when the first of the CAs ends that were in force before the
// leaves were switched; zero while they are in force.
func (r *caRotation) oldEnd() (end time.Time) {
	if open := r.prior.rotation(); open == nil || open.Set() != stack.SetPrevious {
		return end
	}
	for _, ca := range r.prior.aside.CAs {
		if end.IsZero() || ca.Cert.NotAfter.Before(end) {
			end = ca.Cert.NotAfter
		}
	}
	return end
}

// ended returns oldEnd when that has passed.
func (r *caRotation) ended() time.Time {
	if end := r.oldEnd(); !end.IsZero() && r.Now().After(end) {
		return end
	}
	return time.Time{}
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
		if err := r.compromise(ctx, open); err != nil {
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
	}
	return nil
}

// compromise records that the old CA is, where that is known only since its
// replacement has begun.
func (r *caRotation) compromise(ctx context.Context, open *stack.Rotation) error {
	if !r.opts.Compromised || open.Compromised {
		return nil
	}
	err := r.change(ctx, func(string) {}, func(dr *draft) error {
		if !sameRotation(dr.rotation, open) {
			return &OtherRunError{}
		}
		dr.rotation.Compromised = true
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
	if back := r.abort(context.WithoutCancel(ctx)); back != nil {
		return errors.Join(err, fmt.Errorf("putting the old CA in force again: %w", back))
	}
	r.out.RolledBack = true
	return err
}

// mustGoBack reports whether a phase has failed in a way that must not last:
// something does not hold, or a daemon does not come up. What only ended early
// goes on with the next run, and so does what has no CA to go back to.
func (r *caRotation) mustGoBack(ctx context.Context, err error) bool {
	open := r.prior.rotation()
	if ctx.Err() != nil || open == nil || !open.TrustsBoth() || !r.ended().IsZero() {
		return false
	}
	_, down := errors.AsType[*NotReadyError](err)
	return err == nil && r.unsound() || down
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

func (r *caRotation) preflight(ctx context.Context, say func(string)) (string, error) {
	m, err := r.prior.material(r.prior.state.Spec.PKI)
	if err != nil {
		return "", err
	}
	for _, name := range r.opts.CAs {
		if ca := m.CAs[name]; ca != nil && r.Now().Add(r.bakeTime()).After(ca.Cert.NotAfter) {
			return "", &ShortLifeError{CA: pki.Generation(ca.Cert), End: ca.Cert.NotAfter}
		}
	}
	held, err := r.prove(ctx, say)
	switch {
	case err != nil:
		return "", err
	case r.unsound():
		return held, &NotSoundError{Report: *r.out.Report}
	default:
		return held, checkClock(*r.out.Report, r.Now())
	}
}

// prove proves the stack as it is recorded.
func (r *caRotation) prove(ctx context.Context, say func(string)) (string, error) {
	report, _, err := Smoke(ctx, r.inner(say))
	if err != nil {
		return "", err
	}
	r.out.Report = &report
	held, total := report.Held()
	return fmt.Sprintf("%d of %d hold", held, total), nil
}

// proveTwice proves once more what did not hold. Nothing was changed just now, so
// that it may have been somebody else's moment: an "up" at the same time, a
// machine that was busy.
func (r *caRotation) proveTwice(ctx context.Context, say func(string)) (string, error) {
	held, err := r.prove(ctx, say)
	if err != nil || !r.unsound() {
		return held, err
	}
	select {
	case <-ctx.Done():
		return held, ctx.Err()
	case <-time.After(time.Second):
		return r.prove(ctx, say)
	}
}

func (r *caRotation) stage(ctx context.Context, say func(string)) (string, error) {
	if have := r.prior.rotation(); have != nil && r.began.IsZero() {
		return "", &OpenRotationError{Rotation: *have}
	}
	if r.prior.rotation() != nil {
		_, err := r.mine(stack.PhaseStage)
		return "staged before", err
	}
	open := stack.Rotation{CAs: r.opts.CAs, Phase: stack.PhaseStage, Started: r.Now().UTC(), Compromised: r.opts.Compromised}
	if err := r.change(ctx, say, begin(open, r.opts.Wanted)); err != nil {
		return "", err
	}
	p, err := recorded(r.Store)
	if err != nil {
		return "", err
	}
	r.began = open.Started
	var parts []string
	for _, name := range open.CAs {
		parts = append(parts, fmt.Sprintf("new %s %s", pki.TitleOfCA(name), pki.Generation(p.aside.CAs[name].Cert)))
	}
	return fmt.Sprintf("%s; %d leaves", strings.Join(parts, ", "), len(p.aside.Leaves)), nil
}

// change writes the files of a draft, and touches no daemon.
func (r *caRotation) change(ctx context.Context, say func(string), change func(*draft) error) error {
	_, err := r.inner(say).changeFiles(ctx, change)
	return err
}

// daemons returns what brings the files and the daemons into a phase, and
// proves it.
func (r *caRotation) daemons(phase stack.Phase) func(context.Context, func(string)) (string, error) {
	before := map[stack.Phase]stack.Phase{stack.PhaseExpand: stack.PhaseStage, stack.PhaseSwitch: stack.PhaseExpand, stack.PhaseContract: stack.PhaseSwitch}[phase]
	return func(ctx context.Context, say func(string)) (string, error) {
		open, err := r.mine(before, phase)
		if err != nil {
			return "", err
		}
		return r.up(ctx, say, enter(phase, open))
	}
}

func (r *caRotation) up(ctx context.Context, say func(string), change func(*draft) error) (string, error) {
	res, err := Up(ctx, r.inner(say), r.prior.state.Spec, UpOptions{Ready: r.opts.Ready, change: change, gentle: r.opts.gentle()})
	r.out.Changes = append(r.out.Changes, res.Changes...)
	r.out.Written = append(r.out.Written, res.Written...)
	r.out.Report = res.Report
	if err == nil && res.Report == nil {
		err = &NotRunningError{Why: "neither the registry nor the builder is published"}
	}
	if err != nil {
		return "", err
	}
	var parts []string
	for _, c := range res.Changes {
		parts = append(parts, c.Service+" "+c.Change)
	}
	held, total := res.Report.Held()
	return fmt.Sprintf("%s; %d of %d hold", strings.Join(parts, ", "), held, total), nil
}

// verify finds out whether anything depends on the old CAs: a file of ours, or
// what a daemon serves. The time from which it does not is recorded.
func (r *caRotation) verify(ctx context.Context, say func(string)) (string, error) {
	left, err := r.mine(stack.PhaseSwitch)
	if err != nil {
		return "", err
	}
	held, err := r.proveTwice(ctx, say)
	if err != nil || r.unsound() {
		return held, err
	}
	if !left.Verified.IsZero() {
		return held, nil
	}
	return held, r.change(ctx, say, func(dr *draft) error {
		if !sameRotation(dr.rotation, left) {
			return &OtherRunError{}
		}
		dr.rotation.Verified = r.Now().UTC()
		return nil
	})
}

// bakeTime is how long both CAs are trusted. Without another root clients need
// nothing new.
func (r *caRotation) bakeTime() time.Duration {
	open := r.prior.rotation()
	if r.opts.Compromised || open != nil && open.Compromised || slices.Equal(r.opts.CAs, []string{pki.CAIssuing}) {
		return 0
	}
	return r.opts.Bake
}

// bake waits, and proves that all that time has broken nothing. It waits for
// nobody who knows a CA alone that has ended, and never longer than it was asked
// to: the clock may have been another one when the time began.
func (r *caRotation) bake(ctx context.Context, say func(string)) (string, error) {
	open, err := r.mine(stack.PhaseSwitch)
	if err != nil {
		return "", err
	}
	from := open.Verified
	if now := r.Now(); from.After(now) {
		from = now
	}
	end := from.Add(r.bakeTime())
	if old := r.oldEnd(); !old.IsZero() && old.Before(end) {
		end = old
	}
	for left := end.Sub(r.Now()); left > 0; left = end.Sub(r.Now()) {
		say(fmt.Sprintf("both CAs are trusted for %s more", left.Round(time.Second)))
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(min(left, time.Second)):
		}
	}
	if r.bakeTime() == 0 {
		return "no time asked for", nil
	}
	held, err := r.proveTwice(ctx, say)
	return fmt.Sprintf("%s; %s", r.bakeTime(), held), err
}

func (r *caRotation) retire(ctx context.Context, say func(string)) (string, error) {
	open, err := r.mine(stack.PhaseContract)
	if err != nil {
		return "", err
	}
	if err := r.change(ctx, say, enter(stack.PhaseRetire, open)); err != nil {
		return "", err
	}
	return "the old keys are deleted", nil
}

// endsClients reports whether clients of the new CA have connections that would
// end with the trust in it, and every CA that comes back has its key here.
func (r *caRotation) endsClients(open *stack.Rotation) bool {
	spec := r.prior.state.Spec
	keyless := slices.ContainsFunc(sortedKeys(r.prior.aside.CAs), func(name string) bool {
		ca := r.prior.aside.CAs[name]
		return ca.Key == nil && !ca.Locked()
	})
	return open.Phase == stack.PhaseSwitch && spec.Serve == stack.ServeEdge && open.Clients() && spec.Builder.TLS == stack.TLSMutual && !keyless
}

// halfBack has the old leaves served and shown again, with both CAs trusted. Who
// begins a build from then on does so as a client of the old CA, and the others
// can be waited for. What holds is proven once all is back.
func (r *caRotation) halfBack(ctx context.Context, say func(string), left *stack.Rotation) (*stack.Rotation, error) {
	if _, err := r.up(ctx, say, halfBack(left)); err != nil {
		return nil, err
	}
	var err error
	if r.prior, err = recorded(r.Store); err != nil {
		return nil, err
	}
	open := r.prior.rotation()
	if open == nil || !open.Started.Equal(left.Started) || open.Phase != stack.PhaseExpand {
		return nil, &OtherRunError{}
	}
	return open, nil
}

// abort puts the old CAs in force again, and proves it.
func (r *caRotation) abort(ctx context.Context) error {
	left := r.prior.rotation()
	broken := r.out.Report
	err := r.step("abort", func(say func(string)) (_ string, err error) {
		if left.Phase == stack.PhaseStage { // nothing in force has changed
			return "what was staged is deleted", r.change(ctx, say, goBack(left))
		}
		if r.endsClients(left) {
			if left, err = r.halfBack(ctx, say, left); err != nil {
				return "", err
			}
		}
		return r.up(ctx, say, goBack(left))
	})
	if err == nil && r.unsound() {
		err = &NotSoundError{Report: *r.out.Report, PutBack: true}
	}
	if broken != nil && !broken.OK() {
		r.out.Report = broken // what went wrong, and not how it is now
	}
	return err
}
