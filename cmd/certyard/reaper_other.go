//go:build !linux

package main

// becomeReaper does nothing: only Linux lets a process other than the first
// collect the orphans below it.
func becomeReaper() error { return nil }
