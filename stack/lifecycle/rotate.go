package lifecycle

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// RotateOptions say what Rotate replaces. Without any, it is the leaves that are
// due: with less than a third of their life left.
type RotateOptions struct {
	All       bool          // every leaf
	Clients   bool          // every client's leaf
	Leaves    []string      // these leaves, as status names them
	Within    time.Duration // leaves with less than this left, too
	Passwords bool          // every generated password
	Users     []string      // the passwords of these users

	// CAs are the names of CAs that are replaced, phase by phase, and with
	// them every leaf below; AllCAs stands for all that a stack has. Nothing
	// of the above goes with it.
	CAs    []string
	AllCAs bool
	// Wanted is the spec as the config has it now; nil is the recorded one. Of
	// it, leaves take the names of the hosts, and new CAs may sign them; the
	// leaves below new CAs get new names from the next Up. The rest of it is Up's.
	Wanted *stack.Spec
	// Bake is how long both CAs are trusted once nothing depends on the old
	// ones any more. It is recorded with the replacement, for the run that goes
	// on with it. Compromised leaves it out, and has every daemon forget the old
	// CA at once.
	Bake        time.Duration
	Compromised bool
	// PauseAfter ends the run after a phase; another run goes on.
	PauseAfter stack.Phase
	// Abort puts the old CAs in force again, as long as they are trusted.
	Abort bool

	// WaitIdle bounds the wait for running builds where the builder or the
	// registry has to be started again; 0 means ten minutes. Force does not
	// wait.
	WaitIdle time.Duration
	Force    bool
	// Ready is as UpOptions has it.
	Ready time.Duration
}

// phased reports whether CAs are replaced, or that is taken back.
func (o RotateOptions) phased() bool { return len(o.CAs) > 0 || o.AllCAs || o.Abort }

// Rotated is what Rotate did.
type Rotated struct {
	Result
	// Due is false when there was nothing to do.
	Due bool `json:"due"`
	// Ending are the CAs whose end renewed leaves would share.
	Ending []EndingCA `json:"ending,omitempty"`
	// Finished is what was done first of what an earlier run had left: nil when
	// that was nothing.
	Finished *Result `json:"finished,omitempty"`
	// Restarts are the services that have to be started again, and why.
	Restarts []PlannedStep `json:"restarts"`
	// RolledBack is set when the new material did not hold in the proof, and the
	// old one is in place again.
	RolledBack bool `json:"rolled_back"`
	// Phases are those of the replacement of CAs that this run went through,
	// and Open is that replacement when it has not ended.
	Phases []PhaseResult   `json:"phases,omitempty"`
	Open   *stack.Rotation `json:"open,omitempty"`
}

// Rotate replaces certificates and passwords of a recorded stack, or, phase by
// phase, its CAs, and proves the stack before and after. Where a daemon has to be
// started again for it, that waits until nobody builds. When the proof fails
// afterwards, what was there before is put back and proven. The keys of leaves
// stay. An error means that something could not be done; what does not hold is in
// the report.
func Rotate(ctx context.Context, d Deps, opts RotateOptions) (Rotated, error) {
	out := Rotated{Restarts: []PlannedStep{}}
	p, err := recorded(d.Store)
	if err != nil {
		return out, err
	}
	if opts.phased() {
		return replaceCAs(ctx, d, opts, p)
	}
	if open := p.rotation(); open != nil {
		out.Open = open
		return out, &OpenRotationError{Rotation: *open}
	}
	containers, err := d.Engine.Containers(ctx, p.state.Spec.Name)
	if err != nil {
		return out, err
	}
	r := &rotation{Deps: d, opts: opts, prior: p}
	finished, err := r.finish(ctx, containers)
	if err != nil {
		if finished != nil {
			out.Result = *finished // as far as it came
		}
		return out, err
	}
	if finished != nil {
		if containers, err = d.Engine.Containers(ctx, p.state.Spec.Name); err != nil {
			return out, err
		}
	}
	out, err = r.plan(ctx, containers)
	out.Finished = finished
	if err != nil || !out.Due {
		return out, err
	}
	if len(containers) == 0 {
		plan := out.Plan
		out.Result, err = d.changeFiles(ctx, r.change)
		out.Plan = plan
		return out, err
	}
	if out.Report, err = r.preflight(ctx); err != nil {
		return out, err
	}
	return r.carryOut(ctx, out)
}

// rotation is one run of Rotate.
type rotation struct {
	Deps
	opts  RotateOptions
	prior prior
	files []stack.File // that it writes

	// Of a plan alone: whether what an earlier run had left is finished first, and
	// what the containers are defined by now.
	finishes bool
	project  *types.Project
}

// spec is the recorded one, with the names of hosts that are wanted now.
func (r *rotation) spec() stack.Spec {
	spec := r.prior.state.Spec
	if r.opts.Wanted != nil {
		spec.Registry.Hosts, spec.Builder.Hosts = r.opts.Wanted.Registry.Hosts, r.opts.Wanted.Builder.Hosts
	}
	return spec
}

// unchanged fails when the spec of a draft that is about to replace another one is
// not that which it is made from: somebody has changed it since.
func unchanged(dr *draft, spec stack.Spec) error {
	if dr.prior.state == nil || !reflect.DeepEqual(dr.prior.state.Spec, spec) {
		return &ChangedError{}
	}
	return nil
}

// change tells a draft what to replace.
func (r *rotation) change(dr *draft) error {
	spec := r.prior.state.Spec
	if err := unchanged(dr, spec); err != nil {
		return err
	}
	if dr.rotation != nil { // begun since this run looked
		return &OpenRotationError{Rotation: *dr.rotation}
	}
	dr.keepsChosen = true
	known := stack.Leaves(r.prior.clients())
	for _, name := range r.opts.Leaves {
		if !slices.Contains(known, name) {
			return &LeafNameError{Name: name, Known: known}
		}
	}
	for _, name := range r.opts.Users {
		i := slices.IndexFunc(spec.Registry.Users, func(u stack.UserSpec) bool { return u.Name == name })
		switch {
		case i < 0:
			return &UserError{name, "is not in registry.users"}
		case !spec.Registry.Users[i].Generated():
			return &UserError{name, "has a password that you chose: change it where it is, and run up"}
		}
	}
	dr.renew = r.renew
	dr.within = r.opts.Within
	for _, user := range spec.Registry.Users {
		if user.Generated() && (r.opts.Passwords && len(r.opts.Users) == 0 || slices.Contains(r.opts.Users, user.Name)) {
			dr.newPasswords = append(dr.newPasswords, user.Name)
		}
	}
	return nil
}

// renew says why a leaf is renewed whatever its age.
func (r *rotation) renew(leaf pki.LeafPlan) string {
	switch {
	case r.opts.All:
		return "asked for (--all)"
	case r.opts.Clients && leaf.Role == pki.RoleClient:
		return "asked for (--clients)"
	case slices.Contains(r.opts.Leaves, leaf.Name):
		return "asked for (--leaf)"
	default:
		return ""
	}
}

// preflight proves the stack as it is. What is broken already must not look as
// if the rotation had broken it, and is not made worse. A pull by the builder is
// enough to see that it reaches the registry; the proof afterwards builds.
func (r *rotation) preflight(ctx context.Context) (*stack.Report, error) {
	if err := r.settle(ctx, r.prior); err != nil {
		return nil, err
	}
	report, _, err := r.smoke(ctx, true)
	if err == nil && !report.OK() {
		report, err = r.proveAlone(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return &report, &NotSoundError{Report: report}
	}
	return &report, checkClock(report, r.Now())
}

// carryOut replaces, proves, and puts back what was there when that does not
// hold.
func (r *rotation) carryOut(ctx context.Context, out Rotated) (Rotated, error) {
	var before map[string][]byte
	res, err := Up(ctx, r.Deps, r.spec(), UpOptions{asRecorded: true, Ready: r.opts.Ready, gentle: r.opts.gentle(), change: func(dr *draft) (err error) {
		if err := r.change(dr); err != nil {
			return err
		}
		dr.unproven = true
		before, err = r.Store.ReadAll()
		return err
	}})
	res.Plan = out.Plan
	out.Result = res
	untouched := len(res.Written) == 0
	// Without a report nothing is published, so that nothing can be seen to fail.
	if err != nil && untouched || err == nil && (res.Report == nil || res.Report.OK()) {
		return out, err
	}
	failed := err
	if err := r.putBack(context.WithoutCancel(ctx), before); err != nil {
		return out, errors.Join(failed, &PutBackError{What: "back what was there before", Err: err})
	}
	out.RolledBack = true
	return out, failed
}
