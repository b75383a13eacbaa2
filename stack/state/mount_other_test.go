//go:build !linux

package state

// mountRoles is empty where a process cannot have mounts of its own.
func mountRoles() map[string]func(string) error { return nil }
