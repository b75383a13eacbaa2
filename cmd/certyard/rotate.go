package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

func (a *app) rotateCommand() *cli.Command {
	return &cli.Command{
		Name:  "rotate",
		Usage: "replace certificates, passwords and CAs of the running stack, and prove it before and after",
		Description: `Without flags it renews the leaves that are due: those with less than a third
of their life left. Nothing being due is no error, so it can be run from cron.

The stack is proven as it is before anything changes. With serve: edge nothing
is started again. With serve: daemon the daemon that serves a new certificate
is, once nobody builds. When the proof does not hold afterwards, what was there
is put back, and the exit status is 3. Names of hosts that certyard.yaml has
otherwise than before are taken over.

--ca replaces the CA, in phases: preflight, stage, expand (both CAs are trusted),
switch (the new leaves are served), verify, bake (waiting for clients that know
the old CA alone), contract (the new CA alone is trusted), retire. Each is proven
with the running daemons. It prints what it would do; --yes does it. What was
interrupted goes on with the same command, and up to contract, --abort brings the
old CA back.`,
		Flags: append(a.passphraseFlags(),
			&cli.BoolFlag{Name: "if-due", Usage: "renew the leaves that are due: what happens without flags, in a word for cron"},
			&cli.BoolFlag{Name: "all", Usage: "renew every leaf"},
			&cli.StringSliceFlag{Name: "leaf", Usage: "renew the leaf `NAME`, as status names it"},
			&cli.BoolFlag{Name: "clients", Usage: "renew every client's leaf"},
			&cli.StringFlag{Name: "within", Usage: "renew the leaves that have less than `TIME` left, as 720h or 30d"},
			&cli.BoolFlag{Name: "passwords", Usage: "replace every generated password"},
			&cli.StringSliceFlag{Name: "user", Usage: "replace the generated password of the user `NAME`"},
			&cli.BoolFlag{Name: "ca", Usage: "replace every CA of the stack, and with them every leaf"},
			&cli.BoolFlag{Name: "issuing-ca", Usage: "replace the issuing CA alone: clients trust the same root as before"},
			&cli.BoolFlag{Name: "client-ca", Usage: "replace the CA of client certificates alone"},
			&cli.StringFlag{Name: "bake", Value: "10m", Usage: "trust both CAs for `TIME`, as 12h or 30d, once nothing of the stack needs the old one; what is open keeps its time"},
			&cli.BoolFlag{Name: "compromised", Usage: "the old CA's key may be with somebody else: do not bake, and have every daemon forget it"},
			&cli.StringFlag{Name: "pause-after", Usage: "stop after `PHASE`; the same command without this goes on"},
			&cli.BoolFlag{Name: "abort", Usage: "bring the old CA back"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "replace CAs, instead of printing what would be done"},
			&cli.StringFlag{Name: "wait-idle", Value: "10m", Usage: "wait `TIME` for running builds, where a daemon has to be started again"},
			&cli.BoolFlag{Name: "force", Usage: "do not wait for builds"},
			readyFlag()),
		// What is wrong with the command line is a line of JSON already.
		Before: func(*cli.Context) error {
			a.eventLines = true
			return nil
		},
		OnUsageError: func(c *cli.Context, err error, sub bool) error {
			a.eventLines = true
			return onUsageError(c, err, sub)
		},
		Action: a.rotate,
	}
}

func (a *app) rotate(c *cli.Context) error {
	replaces := c.Bool("ca") || c.Bool("issuing-ca") || c.Bool("client-ca")
	plans := a.global.dryRun || replaces && !c.Bool("yes")
	a.eventLines = !plans
	opts, err := rotateOptions(c)
	if err != nil {
		return err
	}
	name, err := a.rotatedName()
	if err != nil {
		return err
	}
	if err := a.findOpen(name); err != nil {
		return err
	}
	if !c.IsSet("bake") {
		opts.Bake = a.begunWith(opts.Bake)
	}
	d, done, err := a.engineDeps(c.Context, name)
	if err != nil {
		return err
	}
	defer done()
	if opts.Wanted, err = a.wantedSpec(c); err != nil {
		if replaces {
			return err
		}
		a.ui.linef("the certificates keep their names, since the config cannot be read: %v", err)
	}
	if plans {
		if err := a.planRotate(c.Context, d, opts); err != nil || a.global.dryRun {
			return err
		}
		a.ui.hints([]string{"this was a dry run; --yes does it"})
		return nil
	}
	a.heading(name, d)
	return a.runRotate(c.Context, d, opts)
}

// begunWith returns how long what is open was to bake, else the usual time.
func (a *app) begunWith(usual time.Duration) time.Duration {
	if a.open != nil && a.open.Bake != nil {
		return *a.open.Bake
	}
	return usual
}

// runRotate rotates, and prints each step and what came of it.
func (a *app) runRotate(ctx context.Context, d lifecycle.Deps, opts lifecycle.RotateOptions) error {
	if a.global.json {
		d.Observe = a.events(d.Observe)
	}
	out, err := lifecycle.Rotate(ctx, d, opts)
	return a.concluded(out, err)
}

// concluded prints the result of a rotation, and how it ended. A result that could
// not be written hides nothing of that.
func (a *app) concluded(out lifecycle.Rotated, err error) error {
	var unwritten error
	if a.global.json {
		unwritten = a.event("result", "result", out)
	}
	// That error has the same advice already.
	if _, said := errors.AsType[*lifecycle.OpenRotationError](err); !said {
		defer a.rotationOpen(out.Open)
	}
	return errors.Join(a.rotateEnded(out, err), unwritten)
}

// events has every start and end of a step written as one line of JSON too.
func (a *app) events(observe func(lifecycle.Progress)) func(lifecycle.Progress) {
	running := ""
	return func(p lifecycle.Progress) {
		observe(p)
		if p.State == lifecycle.Running && running == p.Step {
			return
		}
		if running = p.Step; p.State != lifecycle.Running {
			running = ""
		}
		// Whoever reads may be gone, and what goes on does not end for that: run says
		// in the end that something was lost.
		_ = a.event("step", "step", p)
	}
}

// rotateEnded says how a rotation ended, where it is not by its own report.
func (a *app) rotateEnded(out lifecycle.Rotated, err error) error {
	if done := out.Finished; done != nil {
		a.ui.linef("  %-13s %s", "finished", finished(*done))
	}
	defer a.ending(out.Ending)
	unsound, isUnsound := errors.AsType[*lifecycle.NotSoundError](err)
	_, down := errors.AsType[*lifecycle.NotReadyError](err)
	_, stuck := errors.AsType[*lifecycle.PutBackError](err)
	if out.RolledBack && err != nil {
		a.ui.linef("what was there before is in place again, and proven; what went wrong:")
	}
	switch {
	case err == nil:
		return a.rotated(out)
	case isUnsound:
		out.Report = &unsound.Report
	case down && (out.RolledBack || stuck):
		return &notOKError{err} // it was looked at, and did not pass
	case out.RolledBack, errors.Is(err, context.Canceled), out.Report == nil, out.Report.OK():
		return err // a proof that was interrupted says nothing
	}
	a.ui.report(*out.Report)
	a.ui.failures(*out.Report, a.checkHints(*out.Report))
	return &notOKError{err}
}

// ending says which CAs have to be replaced, also when quiet: a run without a
// person renews leaves, and nothing else tells of it before all of them end.
func (a *app) ending(cas []lifecycle.EndingCA) {
	for _, ca := range cas {
		do := "whoever has it has to make another one"
		if ca.Ours {
			do = fmt.Sprintf(`"certyard rotate%s --yes" replaces it`, caFlags(&stack.Rotation{CAs: []string{ca.Name}}))
		}
		a.ui.hints(a.here([]string{fmt.Sprintf("the %s ends on %s (%d days), and every certificate below it by then: %s",
			pki.TitleOfCA(ca.Name), ca.NotAfter.Format(time.DateOnly), ca.DaysLeft, do)}))
	}
}

// finished says what was done of what an earlier run had left.
func finished(done lifecycle.Result) string {
	parts := []string{"what an earlier run had written"}
	for _, c := range done.Changes {
		if c.Change != string(compose.Kept) {
			parts = append(parts, c.Service+" "+c.Change)
		}
	}
	if done.Report != nil && done.Report.OK() {
		parts = append(parts, "proven")
	}
	return strings.Join(parts, ", ")
}

// planRotate prints what rotate would do, with its causes.
func (a *app) planRotate(ctx context.Context, d lifecycle.Deps, opts lifecycle.RotateOptions) error {
	out, err := lifecycle.PlanRotate(ctx, d, opts)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(out)
	}
	defer a.ending(out.Ending)
	if !out.Due {
		a.ui.linef("nothing is due")
		return nil
	}
	a.ui.linef("stack %q in %s: would do", out.Stack, a.ui.path(d.Store.Root()))
	for _, s := range out.Plan {
		a.ui.linef("  %-9s %-30s %s", s.Action, s.Object, s.Cause)
	}
	when := ", once nobody builds"
	if opts.Force {
		when = ", whoever builds"
	}
	for _, s := range out.Restarts {
		a.ui.linef("  %-9s %-30s %s%s", s.Action, s.Object, s.Cause, when)
	}
	if len(out.Restarts) == 0 {
		a.ui.linef("  nothing is started again")
	}
	return nil
}

// rotated prints what Rotate did.
func (a *app) rotated(out lifecycle.Rotated) error {
	if !out.Due {
		a.ui.linef("nothing is due")
		return nil
	}
	for _, s := range out.Plan {
		a.ui.linef("  %-12s %s: %s", s.Action, s.Object, s.Cause)
	}
	if out.Report == nil && len(out.Phases) > 0 { // what was staged was taken back
		return nil
	}
	if out.Report == nil && len(out.Changes) > 0 {
		a.ui.linef("nothing was proven: neither the registry nor the builder is published")
		return nil
	}
	if out.Report == nil {
		a.ui.linef("the stack does not run; the next \"%s up\" starts it with what is new", a.invocation(out.Stack))
		return nil
	}
	a.ui.report(*out.Report)
	if !out.Report.OK() {
		a.ui.failures(*out.Report, a.checkHints(*out.Report))
	}
	if out.RolledBack {
		a.ui.linef("what was there before is in place again, and proven")
	}
	if !out.Report.OK() {
		return errNotOK
	}
	return nil
}
