package stack

import "io/fs"

// Owner says which reader a file belongs to. A key must be readable by the one
// process that serves it and by nobody else, so the owner is part of the file
// (facts, rotation 12: a key 0600 of root is unreadable for a registry that
// does not run as root).
type Owner int

const (
	// OwnerCaller is whoever runs certyard. buildkitd runs as root in its
	// container and reads such files with CAP_DAC_OVERRIDE.
	OwnerCaller Owner = iota
	// OwnerRegistry is the uid that the registry container runs as, and the
	// edge's.
	OwnerRegistry
)

// File is one file of the state directory, before it is on disk.
type File struct {
	// Path is relative to the state directory, with slashes.
	Path string
	// Mode holds the permission bits, exactly as they will be on disk.
	Mode fs.FileMode
	// Owner is the reader that the file belongs to.
	Owner Owner
	// Once marks a private key: it is created, and never written over.
	Once bool
	// Retire is where the key that this one replaces is kept; with "", a key
	// that is there is never replaced.
	Retire string
	// Replaces is the content of the key that this one may be written over,
	// without a copy. It is the same key, encrypted or no longer so; or that of
	// a CA that nobody is to trust any more, where the CA before it comes back.
	// Anything else that is there is never replaced.
	Replaces []byte
	// Gone marks a file that is not to be there.
	Gone bool
	// Data is the whole content.
	Data []byte
}
