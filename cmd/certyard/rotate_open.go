package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// rotationOpen says how an open replacement of CAs goes on.
func (a *app) rotationOpen(open *stack.Rotation) {
	if open == nil {
		return
	}
	a.ui.linef("the replacement of the CA is open, at %s", open.Phase)
	a.ui.hints(a.here(openHints(*open)))
}

// findOpen finds the replacement of CAs that the stack of a name has open.
func (a *app) findOpen(name string) error {
	d, err := a.baseDeps(name)
	if err == nil {
		a.open, err = openRotation(d.Store)
	}
	return err
}

// openRotation returns the open replacement of CAs that is recorded, nil for none.
func openRotation(store lifecycle.Store) (*stack.Rotation, error) {
	data, err := store.Read(stack.FileState)
	if data == nil || err != nil {
		return nil, err
	}
	s, err := stack.ParseState(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", store.Root(), err)
	}
	return s.Rotation, nil
}

// wantedSpec returns the spec whose names new CAs may sign; nil stands for the
// recorded one. CAs that are made already need none, so that a config that is
// missing or broken does not stop what is open. Without a config nobody has asked
// for the defaults.
func (a *app) wantedSpec(c *cli.Context) (*stack.Spec, error) {
	if a.open != nil {
		return nil, nil
	}
	if config, err := a.readConfig(); err != nil || config.File == "" {
		return nil, err
	}
	spec, err := a.spec(c)
	return &spec, err
}

// noNameError says that the config, which has the name of the stack, cannot be read.
type noNameError struct{ err error }

func (e *noNameError) Error() string { return e.err.Error() }
func (e *noNameError) Unwrap() error { return e.err }

// rotatedName is stackName, also where something else than the name is wrong in the
// config: what fits is read all the same.
func (a *app) rotatedName() (string, error) {
	name, err := a.stackName()
	if err == nil || a.global.name != "" {
		return name, err
	}
	config, _ := a.readConfig()
	if config.Name == "" {
		return "", &noNameError{err}
	}
	return checkedName(config.Name)
}
