package lifecycle

import (
	"context"
	"slices"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

// PlanRotate returns what Rotate would do, and does nothing. Without an engine in
// d it does not know which services would be started again.
func PlanRotate(ctx context.Context, d Deps, opts RotateOptions) (Rotated, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return Rotated{}, err
	}
	if open := p.rotation(); open != nil && opts.phased() {
		return planCAs(d, opts, p)
	} else if open != nil {
		return Rotated{Open: open}, &OpenRotationError{Rotation: *open}
	}
	r := &rotation{Deps: d, opts: opts, prior: p}
	first, containers, err := r.planFinish(ctx)
	if err != nil {
		return Rotated{}, err
	}
	var out Rotated
	switch {
	case opts.Abort && r.finishes: // that is all there is to do
		out = Rotated{Result: newResult(d, p.state.Spec), Restarts: []PlannedStep{}}
	case opts.phased():
		out, err = planCAs(d, opts, p)
	default:
		out, err = r.plan(ctx, containers)
	}
	if err == nil && r.finishes {
		out.Due, out.Plan = true, slices.Insert(out.Plan, 0, finishing)
		for _, step := range first {
			if !slices.ContainsFunc(out.Restarts, func(s PlannedStep) bool { return s.Object == step.Object }) {
				out.Restarts = append(out.Restarts, step)
			}
		}
	}
	return out, err
}

// finishing is the step of a plan that stands for [rotation.finish].
var finishing = PlannedStep{Action: "finish", Object: "what an earlier run has left", Cause: "it was interrupted before that was proven"}

// planFinish finds out whether what an earlier run has left is finished first, and
// what is started again for that. Without an engine there is nothing to finish.
func (r *rotation) planFinish(ctx context.Context) (restarts []PlannedStep, containers []compose.Container, err error) {
	if r.Engine == nil {
		return nil, nil, nil
	}
	spec := r.prior.state.Spec
	if containers, err = r.Engine.Containers(ctx, spec.Name); err != nil || len(containers) == 0 {
		return nil, nil, err
	}
	// What cannot be read of it is said when the rotation reads it.
	r.project, _ = r.Deps.project(ctx, spec.Name)
	if r.finishes, err = r.behind(containers); err != nil || !r.finishes {
		return nil, containers, err
	}
	quiet := r.quiet()
	dr, err := quiet.offline(ctx, spec, &Result{}, func(dr *draft) error {
		dr.mayAge, dr.keepsChosen = noLeaf, true
		return nil
	})
	if err != nil {
		return nil, containers, err
	}
	return r.restarts(dr, containers), containers, nil
}

// quiet returns the dependencies of a plan.
func (r *rotation) quiet() Deps {
	d := r.Deps
	d.Observe, d.plans = func(Progress) {}, true
	return d
}

// plan finds out what is due, and which of the containers have to be started again
// for it.
func (r *rotation) plan(ctx context.Context, containers []compose.Container) (Rotated, error) {
	spec := r.spec()
	out := Rotated{Result: newResult(r.Deps, spec), Restarts: []PlannedStep{}}
	dr, err := r.quiet().offline(ctx, spec, &out.Result, r.change)
	if err != nil {
		return out, err
	}
	out.Plan = slices.DeleteFunc(out.Plan, func(s PlannedStep) bool { return s.Action == string(pki.Keep) })
	cause := "asked for, once nobody builds"
	if r.opts.Force || len(containers) == 0 {
		cause = "asked for"
	}
	for _, user := range dr.newPasswords {
		out.Plan = append(out.Plan, PlannedStep{Action: "replace", Object: "password of " + user, Cause: cause})
	}
	out.Due, r.files = len(out.Plan) > 0, dr.files
	if out.Ending, err = ending(r.prior, r.Now()); err != nil {
		return out, err
	}
	if r.Engine != nil && out.Due {
		out.Restarts = r.restarts(dr, containers)
	}
	return out, nil
}

// restarts returns the services that have to be started again for a draft.
func (r *rotation) restarts(dr *draft, containers []compose.Container) []PlannedStep {
	out := []PlannedStep{}
	for _, service := range dr.spec.Serve.Services() {
		step := planContainer(service, containers, render.MaterialOf(dr.spec, dr.facts, dr.files, service))
		if step.Action != "recreate" && slices.ContainsFunc(containers, func(c compose.Container) bool { return c.Service == service && compose.Redefined(r.project, c) }) {
			step.Action, step.Cause = "recreate", "compose.yaml or your override defines it otherwise than it was started"
		}
		if step.Action == "recreate" {
			out = append(out, step)
		}
	}
	builder := func(s PlannedStep) bool { return s.Object == "container "+stack.Builder }
	if len(out) > 0 && !slices.ContainsFunc(out, builder) && !r.opts.Force {
		out = append(out, PlannedStep{Action: "restart", Object: "container " + stack.Builder, Cause: "no build can begin while the other one is away"})
	}
	return out
}
