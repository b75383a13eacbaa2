package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

// lockedFlags have a command keep to a lock.
func lockedFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "locked", EnvVars: []string{"CERTYARD_LOCKED"}, Usage: "refuse whatever differs from certyard.lock, before anything is written"},
		&cli.StringFlag{Name: "lock-file", Usage: "with --locked, read the lock from `FILE` (default: certyard.lock beside the config)"},
	}
}

// lockFileError says that the lock cannot be read.
type lockFileError struct{ err error }

func (e *lockFileError) Error() string { return "reading the lock: " + e.err.Error() }
func (e *lockFileError) Unwrap() error { return e.err }

// lockedSpec reads the config, and the lock if one is to be kept to, nil if not.
// A spec that differs from it is refused here, before an engine is asked.
func (a *app) lockedSpec(c *cli.Context) (stack.Spec, *stack.Lock, error) {
	spec, err := a.spec(c)
	if err != nil {
		return spec, nil, err
	}
	file := c.String("lock-file")
	if !c.Bool("locked") {
		if file != "" {
			return spec, nil, usagef("--lock-file is for --locked")
		}
		return spec, nil, nil
	}
	lock, err := readLock(a.lockFile(file))
	if err != nil {
		return spec, nil, err
	}
	d, err := a.baseDeps(spec.Name)
	if err != nil {
		return spec, nil, err
	}
	return spec, &lock, lifecycle.CheckSpec(d, spec, &lock)
}

// lockFile returns where the lock is, if a flag does not say.
func (a *app) lockFile(flag string) string { return cmp.Or(flag, a.beside(stack.FileLock)) }

func readLock(file string) (stack.Lock, error) {
	data, err := state.ReadPublic(file)
	if err != nil {
		return stack.Lock{}, &lockFileError{err}
	}
	return stack.ParseLock(data, file)
}

func (a *app) lockCommand() *cli.Command {
	return &cli.Command{
		Name:  "lock",
		Usage: "record the spec and the images that the stack runs, for up --locked",
		Description: `After "certyard up": writes certyard.lock beside the config, for version
control. "certyard up --locked" runs the very same on any machine, or refuses.
Keys, passwords, chosen ports and the stack's name are not in it. --check only
compares, and exits with 3 when something differs.`,
		Flags: append(specFlags(),
			&cli.BoolFlag{Name: "check", Usage: "compare the config and the stack with the lock, and write nothing"},
			&cli.StringFlag{Name: "file", Usage: "the lock is `FILE` (default: certyard.lock beside the config)"}),
		Action: func(c *cli.Context) error {
			spec, err := a.spec(c)
			if err != nil {
				return err
			}
			if c.Bool("check") {
				return a.checkLock(c.Context, spec, a.lockFile(c.String("file")))
			}
			return a.writeLock(c.Context, spec, a.lockFile(c.String("file")))
		},
	}
}

// writeLock writes the lock where it has changed, and prints it for JSON and for
// a dry run.
func (a *app) writeLock(ctx context.Context, spec stack.Spec, file string) error {
	d, done, err := a.engineDeps(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	lock, err := lifecycle.MakeLock(ctx, d, spec)
	if err != nil {
		return err
	}
	said, err := a.putLock(lock, file)
	if err != nil {
		return err
	}
	a.heading(spec.Name, d)
	a.lockLine(stack.Registry, lock.Services.Registry)
	a.lockLine(stack.Builder, lock.Services.Builder)
	a.ui.linef("  %-13s %s", said, file)
	if a.global.json || a.global.dryRun {
		return a.printJSON(lock)
	}
	return nil
}

// putLock writes the lock, and returns what was done.
func (a *app) putLock(lock stack.Lock, file string) (string, error) {
	data, err := lock.JSON()
	if err != nil {
		return "", err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", file, err)
	}
	before, err := state.ReadPublic(abs)
	write, said := state.Export, "written"
	if a.global.dryRun {
		write, said = state.CheckExport, "would write"
	}
	if err == nil && bytes.Equal(before, data) {
		said = "kept"
	}
	return said, write(filepath.Dir(abs), []stack.File{{Path: filepath.Base(abs), Mode: 0o644, Data: data}})
}

func (a *app) lockLine(service string, i stack.LockedImage) {
	a.ui.linef("  %-13s %s %s %s", service, i.Version, i.Source, i)
}

// lockCheck is what comparing with a lock found, for JSON.
type lockCheck struct {
	Lock        string            `json:"lock"`
	OK          bool              `json:"ok"`
	Differences stack.Differences `json:"differences"`
}

// checkLock compares the config and the stack with the lock.
func (a *app) checkLock(ctx context.Context, spec stack.Spec, file string) error {
	lock, err := readLock(file)
	if err != nil {
		return err
	}
	d, done, err := a.engineDeps(ctx, spec.Name)
	if err != nil {
		return err
	}
	defer done()
	differences, err := lifecycle.CheckLock(ctx, d, spec, lock)
	if err != nil {
		return err
	}
	out := lockCheck{Lock: file, OK: len(differences) == 0, Differences: append(stack.Differences{}, differences...)}
	if a.global.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	}
	a.heading(spec.Name, d)
	if out.OK {
		a.ui.linef("  %-13s as %s has it", "all", file)
		return nil
	}
	for _, difference := range differences {
		a.ui.linef("  %-13s %s", "differs", difference)
	}
	a.ui.linef("certyard: hint: %s", a.hintsFor(&stack.LockedError{})[0])
	return errNotOK
}
