package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke"
)

// UpOptions says how Up goes about it.
type UpOptions struct {
	// Ready bounds the wait for the daemons to answer; 0 means a minute.
	Ready time.Duration
	// Quick leaves the proof out: Up ends when both daemons answer over TLS.
	Quick bool
	// Owner is the process that an ephemeral stack ends with, as a person is
	// told. It is on the stack's containers, as [render.OwnerLabel]. "" leaves
	// a stack what it is.
	Owner string
	// Locked has Up refuse whatever differs from a lock, before anything is
	// written; nil: there is none.
	Locked *stack.Lock

	// asRecorded has stay what the config only refers to: images that a lock has
	// named, and passwords that were chosen. A daemon that is stopped for what is
	// new is started again, also when ctx ends meanwhile.
	asRecorded bool
	// change changes what the draft starts from.
	change func(*draft) error
	// gentle has what would disturb builds wait until nobody builds; nil does
	// not wait.
	gentle *gentle
}

// Result is what Init and Up did. It holds no secret.
type Result struct {
	Stack   string          `json:"stack"`
	Dir     string          `json:"dir"`
	Steps   []Progress      `json:"steps"`
	Plan    []PlannedStep   `json:"plan"`
	Written []string        `json:"written"`
	Changes []ServiceChange `json:"containers,omitempty"`
	Report  *stack.Report   `json:"report,omitempty"`
	// Rotation is the replacement of CAs that was open and still is, which Up
	// leaves as it is.
	Rotation *stack.Rotation `json:"rotation,omitempty"`

	Spec  stack.Spec  `json:"spec"`
	Facts stack.Facts `json:"facts"`
}

// newResult returns a result with empty lists, which JSON shows as [].
func newResult(d Deps, spec stack.Spec) Result {
	return Result{Stack: spec.Name, Dir: d.Store.Root(), Spec: spec, Steps: []Progress{}, Plan: []PlannedStep{}, Written: []string{}}
}

// PlannedStep is one step of a plan and why it is needed.
type PlannedStep struct {
	Action string `json:"action"`
	Object string `json:"object"`
	Cause  string `json:"cause"`
}

// ServiceChange is what happened to a service's container.
type ServiceChange struct {
	Service string `json:"service"`
	Change  string `json:"change"`
}

// Up makes the stack what the spec says: certificates, files, containers, and
// then the proof. What already is as it should be is kept. An error means that
// something could not be done; a check that does not hold is in the report
// instead. After an interruption at any moment, another Up finishes.
func Up(ctx context.Context, d Deps, spec stack.Spec, opts UpOptions) (Result, error) {
	res := newResult(d, spec)
	if err := CheckSpec(d, spec, opts.Locked); err != nil {
		return res, err
	}
	info, err := d.Engine.Info(ctx)
	if err != nil {
		return res, err
	}
	if info.Rootless && d.Account.UID == 0 {
		return res, &RootlessError{}
	}
	for _, service := range []string{stack.Registry, stack.Builder} {
		if info.Host != "" && spec.Published(service).Loopback() {
			return res, &UnreachableError{Host: info.Host, Service: service}
		}
	}
	if err := d.Engine.Foreign(ctx, spec.Name, d.Store.Root()); err != nil {
		return res, err
	}
	release, err := d.Store.Lock(ctx)
	if err != nil {
		return res, err
	}
	defer release()
	u := &upRun{Deps: d, wanted: spec, owner: opts.Owner, locked: opts.Locked, asRecorded: opts.asRecorded, info: info, change: opts.change, gentle: opts.gentle, res: &res}
	if err := u.prepare(ctx); err != nil {
		return res, err
	}
	if err := u.start(ctx); err != nil {
		return res, err
	}
	return res, u.prove(ctx, opts)
}

// upRun is one run of Up.
type upRun struct {
	Deps
	wanted     stack.Spec // with open ports
	owner      string     // as UpOptions has it
	locked     *stack.Lock
	asRecorded bool
	info       compose.Info
	change     func(*draft) error
	gentle     *gentle
	asking     smoke.Options // whom gentle asks, with what was there before
	// idleUntil is when the time for running builds is over; zero before it has
	// begun.
	idleUntil time.Time
	// disturbs is that gentle has found daemons that have to be started again.
	disturbs bool
	draft    *draft
	res      *Result
}

// step runs a step and keeps how it ended.
func (u *upRun) step(name string, do func(say func(string)) (string, error)) error {
	p, err := u.run(name, do)
	u.res.Steps = append(u.res.Steps, p)
	return err
}

// prepare makes the draft, resolves the images, and writes the files.
func (u *upRun) prepare(ctx context.Context) error {
	before, err := load(u.Store, u.wanted.Serve)
	if err != nil {
		return err
	}
	facts := engineFacts(u.settleFacts(u.wanted, before.state), u.info, u.Account)
	if u.owner != "" {
		u.own(&facts)
	}
	if err := u.compile(ctx, before, facts); err != nil {
		return err
	}
	err = u.step(StepImages, func(say func(string)) (string, error) {
		return u.images(ctx, say)
	})
	if err != nil {
		return err
	}
	if u.gentle != nil && before.state != nil {
		if u.asking, err = proofOptions(u.Store, *before.state, before.secrets, u.Now()); err != nil {
			return err
		}
		if err := u.calm(ctx); err != nil {
			return err
		}
	}
	return u.write()
}

// own makes the stack an ephemeral one. There may be many of them at once, and an
// engine gives away about thirty address ranges of its own choice: theirs are
// small, and chosen here.
func (u *upRun) own(f *stack.Facts) {
	f.Owner = u.owner
	if f.Subnets == nil {
		f.Subnets = u.subnets()
	}
}

// compile makes the draft for the facts known so far.
func (u *upRun) compile(ctx context.Context, before prior, facts stack.Facts) error {
	spec, err := u.choosePorts(u.wanted, before.state)
	if err != nil {
		return err
	}
	u.draft = newDraft(before, spec, facts)
	u.draft.keepsChosen = u.asRecorded
	if u.change != nil {
		if err := u.change(u.draft); err != nil {
			return err
		}
	}
	return u.compileDraft(ctx, u.draft, u.res)
}

// compileDraft certifies and settles passwords, as steps that a person sees.
func (d Deps) compileDraft(ctx context.Context, dr *draft, res *Result) error {
	note := func(p Progress, err error) error {
		res.Steps = append(res.Steps, p)
		return err
	}
	if err := note(d.run(StepAuthority, func(func(string)) (string, error) {
		if err := dr.certify(ctx, d); err != nil {
			return "", err
		}
		return dr.describeAuthority(), nil
	})); err != nil {
		return err
	}
	res.Plan = dr.planned()
	res.Steps = append(res.Steps, Progress{Step: StepCertificates, State: Done, Detail: dr.describeCertificates()})
	d.Observe(res.Steps[len(res.Steps)-1])
	return note(d.run(StepPasswords, func(func(string)) (string, error) {
		if err := dr.passwords(d); err != nil {
			return "", err
		}
		return dr.describePasswords(), nil
	}))
}

// planned lists what is done to certificates, and to keys that are kept.
func (dr *draft) planned() []PlannedStep {
	out := planned(dr.steps)
	for i := range out {
		if how := dr.rewritten[out[i].Object]; how != "" {
			out[i].Action, out[i].Cause = string(how), how.cause()
		}
	}
	return out
}

func planned(steps []pki.Step) []PlannedStep {
	var out []PlannedStep
	for _, s := range steps {
		out = append(out, PlannedStep{Action: string(s.Action), Object: s.Name, Cause: s.Cause})
	}
	return out
}

// engineFacts adds what the engine says about itself.
func engineFacts(f stack.Facts, info compose.Info, account Account) stack.Facts {
	f.EngineHost, f.HostUserNS = info.Host, info.UserNS
	switch {
	case info.Rootless:
		// The container's root is the caller's own account outside.
		f.RegistryUID, f.RegistryGID = 0, 0
	case account.UID == 0:
		f.RegistryUID, f.RegistryGID = nonroot, nonroot
	default:
		f.RegistryUID, f.RegistryGID = account.UID, account.GID
	}
	return f
}

// write renders the draft and puts it on the disk.
func (u *upRun) write() error {
	if err := u.draft.render(u.Deps); err != nil {
		return err
	}
	changes, err := u.Store.Write(u.draft.files)
	u.res.Written = append(u.res.Written, changes.Paths()...)
	u.res.Spec, u.res.Facts, u.res.Rotation = u.draft.spec, u.draft.facts, u.draft.rotation
	return err
}

// prove waits for the daemons and runs the proof.
func (u *upRun) prove(ctx context.Context, opts UpOptions) error {
	return u.step(StepProof, func(say func(string)) (string, error) {
		options, err := proofOptions(u.Store, u.draft.record, u.draft.secrets, u.Now())
		if err != nil {
			return "", err
		}
		if len(options.Registry.Endpoints)+len(options.Builder.Endpoints) == 0 {
			return "nothing proven: neither the registry nor the builder is published", u.forget(stack.Report{})
		}
		if u.draft.spec.Serve == stack.ServeEdge {
			options.Builder.Barred = append(options.Builder.Barred, u.draft.barred...)
		}
		options.Registry.Changed = u.draft.changedPasswords()
		say("waiting for the daemons")
		if err := u.ready(ctx, options, opts.Ready); err != nil {
			return "", err
		}
		if opts.Quick {
			return "both answer; nothing else was tried", nil
		}
		report := u.Prover.Prove(ctx, counting(options, say))
		u.res.Report = &report
		held, total := report.Held()
		if err := u.forget(report); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d of %d hold", held, total) + unproven(options) + u.kept(), ctx.Err()
	})
}
