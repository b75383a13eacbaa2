package main

import (
	"fmt"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// rotationOpen says how an open replacement of CAs goes on.
func (a *app) rotationOpen(open *stack.Rotation) {
	if open == nil {
		return
	}
	a.ui.linef("the replacement of the CA is open, at %s", open.Phase)
	a.ui.hints(a.openHints(*open))
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
