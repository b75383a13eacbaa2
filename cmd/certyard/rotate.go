package main

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

func (a *app) rotateCommand() *cli.Command {
	return &cli.Command{
		Name:  "rotate",
		Usage: "replace certificates and passwords of the running stack, and prove it before and after",
		Description: `Without flags it renews the leaves that are due: those with less than a third
of their life left. Nothing being due is no error, so it can be run from cron.

The stack is proven as it is before anything changes. With serve: edge nothing
is started again. With serve: daemon the daemon that serves a new certificate
is, once nobody builds. When the proof does not hold afterwards, what was there
is put back, and the exit status is 3. Keys and CAs stay.`,
		Flags: append(a.passphraseFlags(),
			&cli.BoolFlag{Name: "all", Usage: "renew every leaf"},
			&cli.StringSliceFlag{Name: "leaf", Usage: "renew the leaf `NAME`, as status names it"},
			&cli.BoolFlag{Name: "clients", Usage: "renew every client's leaf"},
			&cli.StringFlag{Name: "within", Usage: "renew the leaves that have less than `TIME` left, as 720h or 30d"},
			&cli.BoolFlag{Name: "passwords", Usage: "replace every generated password"},
			&cli.StringSliceFlag{Name: "user", Usage: "replace the generated password of the user `NAME`"},
			&cli.DurationFlag{Name: "wait-idle", Value: 10 * time.Minute, Usage: "wait so long for running builds, where a daemon has to be started again"},
			&cli.BoolFlag{Name: "force", Usage: "do not wait for builds"},
			&cli.DurationFlag{Name: "ready", Usage: "wait so long for the daemons to answer", Value: time.Minute}),
		Action: a.rotate,
	}
}

func (a *app) rotate(c *cli.Context) error {
	opts, err := rotateOptions(c)
	if err != nil {
		return err
	}
	name, err := a.stackName()
	if err != nil {
		return err
	}
	d, done, err := a.engineDeps(c.Context, name)
	if err != nil {
		return err
	}
	defer done()
	if a.global.dryRun {
		return a.planRotate(c.Context, d, opts)
	}
	a.heading(name, d)
	out, err := lifecycle.Rotate(c.Context, d, opts)
	var unsound *lifecycle.NotSoundError
	switch {
	case errors.As(err, &unsound):
		a.ui.report(unsound.Report)
		a.ui.failures(unsound.Report)
		if unsound.PutBack {
			a.ui.linef("%v", err)
		} else {
			a.ui.linef("nothing was replaced: the stack did not pass its proof before")
		}
		return errNotOK
	case out.RolledBack && err != nil:
		a.ui.linef("what was there before is in place again, and proven; what went wrong:")
		return err
	case err != nil:
		return err
	}
	return a.rotated(out)
}

func rotateOptions(c *cli.Context) (lifecycle.RotateOptions, error) {
	opts := lifecycle.RotateOptions{
		All: c.Bool("all"), Leaves: c.StringSlice("leaf"), Clients: c.Bool("clients"),
		Passwords: c.Bool("passwords"), Users: c.StringSlice("user"),
		WaitIdle: c.Duration("wait-idle"), Force: c.Bool("force"), Ready: c.Duration("ready"),
	}
	text := c.String("within")
	if text == "" {
		return opts, nil
	}
	var err error
	if opts.Within, err = stack.ParseDuration(text); err != nil || opts.Within <= 0 {
		return opts, usagef("--within %q is not a duration; want days as 30d, or hours as 720h", text)
	}
	return opts, nil
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
	if !out.Due {
		a.ui.linef("nothing is due")
		return nil
	}
	a.ui.linef("stack %q in %s: would do", out.Stack, a.ui.path(d.Store.Root()))
	for _, s := range out.Plan {
		a.ui.linef("  %-8s %-30s %s", s.Action, s.Object, s.Cause)
	}
	for _, s := range out.Restarts {
		a.ui.linef("  %-8s %-30s %s, once nobody builds", s.Action, s.Object, s.Cause)
	}
	if len(out.Restarts) == 0 {
		a.ui.linef("  nothing is started again")
	}
	return nil
}

// rotated prints what Rotate did.
func (a *app) rotated(out lifecycle.Rotated) error {
	if a.global.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	}
	if !out.Due {
		a.ui.linef("nothing is due")
		return nil
	}
	for _, s := range out.Plan {
		a.ui.linef("  %-12s %s: %s", s.Action, s.Object, s.Cause)
	}
	if out.Report == nil {
		a.ui.linef("the stack does not run; the next \"%s up\" starts it with what is new", a.invocation(out.Stack))
		return nil
	}
	a.ui.report(*out.Report)
	if out.RolledBack {
		a.ui.failures(*out.Report)
		a.ui.linef("what was there before is in place again, and proven")
		return errNotOK
	}
	return nil
}
