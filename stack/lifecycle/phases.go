package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

func (r *caRotation) preflight(ctx context.Context, say func(string)) (string, error) {
	m, err := r.prior.material(r.prior.state.Spec.PKI)
	if err != nil {
		return "", err
	}
	for _, name := range r.opts.CAs {
		ca := m.CAs[name]
		if ca != nil && r.Now().After(ca.Cert.NotAfter) {
			return "", &pki.CAExpiredError{Generation: pki.Generation(ca.Cert)}
		}
		if ca != nil && r.Now().Add(r.bakeTime()).After(ca.Cert.NotAfter) {
			return "", &ShortLifeError{CA: pki.Generation(ca.Cert), End: ca.Cert.NotAfter}
		}
	}
	if err := r.settle(ctx, r.prior); err != nil {
		return "", err
	}
	held, err := r.proveTwice(ctx, say)
	switch {
	case err != nil:
		return "", err
	case r.unsound():
		return held, &NotSoundError{Report: *r.out.Report}
	default:
		return held, checkClock(*r.out.Report, r.Now())
	}
}

// proveTwice proves the stack as it is recorded, and once more what did not hold.
// Nothing was changed just now, so that it may have been somebody else's moment: an
// "up" at the same time, a machine that was busy.
func (r *caRotation) proveTwice(ctx context.Context, say func(string)) (string, error) {
	d := r.inner(say)
	report, _, err := d.smoke(ctx, false)
	if err == nil && !report.OK() {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(time.Second):
			report, err = d.proveAlone(ctx, false)
		}
	}
	if err != nil {
		return "", err
	}
	r.out.Report = &report
	held, total := report.Held()
	return fmt.Sprintf("%d of %d hold", held, total), nil
}

func (r *caRotation) stage(ctx context.Context, say func(string)) (string, error) {
	if have := r.prior.rotation(); have != nil && r.began.IsZero() {
		return "", &OpenRotationError{Rotation: *have}
	}
	if r.prior.rotation() != nil {
		_, err := r.mine(stack.PhaseStage)
		return "staged before", err
	}
	open := stack.Rotation{CAs: r.opts.CAs, Phase: stack.PhaseStage, Started: r.Now().UTC(), Bake: &r.opts.Bake, Compromised: r.opts.Compromised}
	if err := r.change(ctx, say, begin(open, r.opts.Wanted)); err != nil {
		return "", err
	}
	p, err := recorded(r.Store)
	if err != nil {
		return "", err
	}
	if now := p.rotation(); now == nil || !sameRotation(now, &open) {
		return "", &OtherRunError{}
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
	spec, gentle, d := r.prior.state.Spec, r.opts.gentle(), r.inner(say)
	if r.failed {
		gentle, d.Store = gentle.certain(), patient{r.Store}
	}
	res, err := Up(ctx, d, spec, UpOptions{asRecorded: true, Ready: r.opts.Ready, gentle: gentle, change: func(dr *draft) error {
		if err := unchanged(dr, spec); err != nil {
			return err
		}
		return change(dr)
	}})
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
		dr.rotation.Verified, dr.mayAge = r.Now().UTC(), noLeaf
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
	now := r.Now()
	end = now.Add(end.Sub(now)) // by the clock that nobody sets
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
