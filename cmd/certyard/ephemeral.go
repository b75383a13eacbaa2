package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
)

// ephemeralSpec returns the spec of a stack that lasts as long as a command: under a
// name of its own, unless a flag or its variable gives one, and on free ports, unless
// they say which.
func (a *app) ephemeralSpec(c *cli.Context) (stack.Spec, *stack.Lock, error) {
	spec, lock, err := a.lockedSpec(c)
	if err != nil {
		return spec, nil, err
	}
	wanted := ""
	if a.global.nameByFlag {
		wanted = a.global.name
	}
	spec.Name = local.NewName(wanted)
	if _, err := checkedName(spec.Name); err != nil {
		return spec, nil, err
	}
	for service, flag := range map[string]string{stack.Registry: "registry-publish", stack.Builder: "builder-publish"} {
		if !c.IsSet(flag) {
			spec = spec.WithPort(service, 0)
		}
	}
	if lock == nil {
		return spec, nil, nil
	}
	d, err := a.baseDeps(spec.Name)
	lock.Spec = spec.Locked(d.ConfigDir) // it has been checked
	return spec, lock, err
}

// upEphemeral runs a command with a stack of its own, which is gone when that has
// ended. The error is a *childError with the command's exit status, if that is not 0.
func (a *app) upEphemeral(c *cli.Context) error {
	command := c.Args().Slice()
	switch {
	case len(command) == 0:
		return usagef("--ephemeral wants a command to run: certyard up --ephemeral -- COMMAND")
	case a.global.json || a.global.dryRun:
		return usagef("--ephemeral goes with neither --json nor --dry-run: the command prints what it likes")
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return &usageError{fmt.Sprintf("finding the command to run: %v", err)}
	}
	spec, lock, err := a.ephemeralSpec(c)
	if err != nil {
		return err
	}
	return a.ephemeral(c.Context, spec, lifecycle.UpOptions{
		Ready: c.Duration("ready"), Quick: c.Bool("quick"), Owner: local.Owner(), Locked: lock,
	}, func(env []string) error { return a.runBeside(c.Context, program, command, env) })
}

// ephemeral has do run in the environment of a stack that is gone afterwards.
func (a *app) ephemeral(ctx context.Context, spec stack.Spec, opts lifecycle.UpOptions, do func(env []string) error) error {
	stacks, err := local.EphemeralStacks("")
	if err != nil {
		return err
	}
	a.global.dir = stacks.Dir()
	d, done, err := a.engineDeps(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	engine := d.Engine.(local.Engine)
	// What cannot be removed now, "certyard prune" tells of.
	_, _ = stacks.Prune(ctx, engine, false)
	claim, err := stacks.Begin(ctx, engine, spec.Name)
	if err != nil {
		return err
	}
	a.heading(spec.Name, d)
	err = a.withStack(ctx, d, spec, opts, do)
	_, gone := local.Remove(context.WithoutCancel(ctx), d, claim)
	if gone == nil {
		return err
	}
	if child := (*childError)(nil); errors.As(err, &child) {
		a.ui.error(gone, nil) // the command's status is what the caller waits for
		return err
	}
	return errors.Join(err, gone)
}

// withStack starts a stack, and then does something in its environment.
func (a *app) withStack(ctx context.Context, d lifecycle.Deps, spec stack.Spec, opts lifecycle.UpOptions, do func(env []string) error) error {
	res, err := lifecycle.Up(ctx, d, spec, opts)
	if err != nil {
		return err
	}
	if res.Report != nil && !res.Report.OK() {
		a.ui.report(*res.Report)
		a.ui.failures(*res.Report, a.checkHints(*res.Report))
		return errNotOK
	}
	vars, err := lifecycle.Environment(d)
	if err != nil {
		return err
	}
	env := append(os.Environ(), a.engineEnv()...)
	for _, v := range vars {
		env = append(env, v.Name+"="+v.Value)
	}
	return do(env)
}

// engineEnv has a command use the engine that flags have chosen.
func (a *app) engineEnv() []string {
	switch {
	case a.global.dockerHost != "":
		return []string{"DOCKER_HOST=" + a.global.dockerHost}
	case a.global.dockerCtx != "":
		return []string{"DOCKER_CONTEXT=" + a.global.dockerCtx}
	default:
		return nil
	}
}

// runBeside runs a command in an environment.
func (a *app) runBeside(ctx context.Context, program string, command, env []string) error {
	cmd := exec.Command(program, command[1:]...)
	cmd.Args[0], cmd.Env = command[0], env
	err := a.follow(ctx, cmd, cmd.Wait)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status := exit.ExitCode()
		if status < 0 {
			status = signalBase + int(signalOf(exit))
		}
		return &childError{status}
	}
	if err != nil {
		return fmt.Errorf("running %q: %w", command[0], err)
	}
	return nil
}
