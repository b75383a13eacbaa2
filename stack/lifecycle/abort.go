package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/certyard/certyard/stack"
)

// mustGoBack reports whether a phase has failed in a way that must not last:
// something does not hold, or a daemon does not come up. What only ended early
// goes on with the next run, and so does what has no CA to go back to.
func (r *caRotation) mustGoBack(ctx context.Context, err error) bool {
	open := r.prior.rotation()
	if ctx.Err() != nil || open == nil || !open.Started.Equal(r.began) || !open.TrustsBoth() || !r.ended().IsZero() {
		return false
	}
	_, down := errors.AsType[*NotReadyError](err)
	return err == nil && r.unsound() || down
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

// backAlready reports whether the old CAs are in force again by the record, and what
// an earlier run has written with that was not proven.
func (r *caRotation) backAlready() bool {
	return r.opts.Abort && r.prior.rotation() == nil && r.prior.state.Unproven
}

// finishBack has the daemons follow what such a run has written, and proves it.
func (r *caRotation) finishBack(ctx context.Context) error {
	containers, err := r.Engine.Containers(ctx, r.prior.state.Spec.Name)
	if err != nil {
		return err
	}
	finished, err := (&rotation{Deps: r.Deps, opts: r.opts, prior: r.prior}).finish(ctx, containers)
	if finished == nil {
		return cmp.Or[error](err, &NoRotationError{})
	}
	r.out.Result, r.out.Plan = *finished, []PlannedStep{}
	if err == nil {
		r.out.Finished = finished
	}
	return err
}
