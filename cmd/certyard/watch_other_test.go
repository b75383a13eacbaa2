//go:build !linux

package main

// mainWatched is for Linux alone, as the sweep is.
func mainWatched() { panic("needs seccomp") }
