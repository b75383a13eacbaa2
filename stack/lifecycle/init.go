package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
	"github.com/certyard/certyard/stack/state"
)

// Init writes every file of the stack and starts nothing. Docker is not asked:
// where the engine would decide, what an earlier Up found out is kept, and
// otherwise the usual is assumed; the next Up corrects it. With a lock, a spec
// that differs from it is refused, and the images are the lock's; it may be nil.
func Init(ctx context.Context, d Deps, spec stack.Spec, lock *stack.Lock) (Result, error) {
	res := newResult(d, spec)
	if err := CheckSpec(d, spec, lock); err != nil {
		return res, err
	}
	release, err := d.Store.Lock(ctx)
	if err != nil {
		return res, err
	}
	defer release()
	return d.initLocked(ctx, spec, res, lockedImages(lock))
}

// initLocked is Init with the lock held, on a draft that is changed before.
func (d Deps) initLocked(ctx context.Context, spec stack.Spec, res Result, change func(*draft) error) (Result, error) {
	dr, err := d.offline(ctx, spec, &res, change)
	if err != nil {
		return res, err
	}
	p, err := d.run(StepFiles, func(func(string)) (string, error) {
		changes, err := d.Store.Write(dr.files)
		res.Written = append(res.Written, changes.Paths()...)
		return describeWritten(changes), err
	})
	res.Steps = append(res.Steps, p)
	return res, err
}

// DryRun returns what Init or Up would do, and does nothing: no file is written,
// no container is touched, no image is fetched. Without an engine in d,
// containers are left out. The lock is as Init has it: of images that differ
// from it only the next Up knows.
func DryRun(ctx context.Context, d Deps, spec stack.Spec, lock *stack.Lock) (Result, error) {
	res := newResult(d, spec)
	if err := CheckSpec(d, spec, lock); err != nil {
		return res, err
	}
	d.plans = true
	dr, err := d.offline(ctx, spec, &res, lockedImages(lock))
	if err != nil {
		return res, err
	}
	changes, err := d.Store.Plan(dr.files)
	for _, path := range changes.Created {
		res.Plan = append(res.Plan, PlannedStep{Action: "create", Object: path, Cause: "not there"})
	}
	for _, path := range append(changes.Replaced, changes.Repaired...) {
		res.Plan = append(res.Plan, PlannedStep{Action: "update", Object: path, Cause: "content, mode or owner differs"})
	}
	if err != nil || d.Engine == nil {
		return res, err
	}
	containers, err := d.Engine.Containers(ctx, spec.Name)
	for _, service := range spec.Serve.Services() {
		res.Plan = append(res.Plan, planContainer(service, containers, render.MaterialOf(dr.spec, dr.facts, dr.files, service)))
	}
	return res, err
}

// planContainer says what the next up does to a service's container, as far as
// the certificates and configs decide it; what else the spec changes, compose
// finds out when it compares the definitions.
func planContainer(service string, have []compose.Container, material string) PlannedStep {
	i := slices.IndexFunc(have, func(c compose.Container) bool { return c.Service == service })
	step := func(action, cause string) PlannedStep {
		return PlannedStep{Action: action, Object: "container " + service, Cause: cause}
	}
	switch {
	case i < 0:
		return step("create", "not there")
	case have[i].Labels[render.MaterialLabel] != material:
		return step("recreate", "what it reads at its start has changed")
	case have[i].State != "running":
		return step("start", "it is "+have[i].State)
	default:
		return step("keep", "running with these files")
	}
}

// offline makes a draft without an engine, and lets change change what it starts
// from.
func (d Deps) offline(ctx context.Context, spec stack.Spec, res *Result, change func(*draft) error) (*draft, error) {
	before, err := load(d.Store, spec.Serve)
	if err != nil {
		return nil, err
	}
	dr := newDraft(before, spec, d.settleFacts(spec, before.state))
	if change != nil {
		if err := change(dr); err != nil {
			return nil, err
		}
	}
	if dr.spec, err = d.choosePorts(spec, before.state); err != nil {
		return nil, err
	}
	if err := d.compileDraft(ctx, dr, res); err != nil {
		return nil, err
	}
	res.Spec, res.Facts = dr.spec, dr.facts
	return dr, dr.render(d)
}

func describeWritten(c state.Changes) string {
	if c.Empty() {
		return "kept, nothing to write"
	}
	text := fmt.Sprintf("%d written", len(c.Created))
	if updated := len(c.Replaced) + len(c.Repaired); updated > 0 {
		text += fmt.Sprintf(", %d updated", updated)
	}
	if n := len(c.Removed); n > 0 {
		text += fmt.Sprintf(", %d removed", n)
	}
	return text
}
