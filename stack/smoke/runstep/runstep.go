// Package runstep holds the executable that the smoke build runs.
//
// A build proves that RUN steps work only if its result cannot come about
// without one. So the base image brings a random file, a second image brings
// another, and the step writes a third file that can be computed only by
// running with both in place: their exclusive or. It is written in assembly,
// because an image from scratch has no shell, the machine that runs certyard
// need not have a compiler, and a static Go program would be a thousand times
// its size.
//
// The executables are made from amd64.asm and arm64.asm by the script assemble.
// (Go would take a file named .s for its own assembler.)
package runstep

import (
	_ "embed"
	"fmt"
	"slices"
)

// Size is the length in bytes of each of the three files.
const Size = 32

// The files, in the working directory of the step: it reads Nonce and Seen and
// creates Proof, which must not exist. Its exit status is 0, or 1, 2 or 3 for
// the file, in this order, that it could not read or write in full.
const (
	Nonce = "nonce"
	Seen  = "seen"
	Proof = "proof"
)

//go:embed amd64.elf
var amd64 []byte

//go:embed arm64.elf
var arm64 []byte

// For returns the executable for a platform's operating system and
// architecture, in Go's words. The slice is the caller's own. It fails for a
// platform that there is none for.
func For(os, arch string) ([]byte, error) {
	switch os + "/" + arch {
	case "linux/amd64":
		return slices.Clone(amd64), nil
	case "linux/arm64":
		return slices.Clone(arm64), nil
	}
	return nil, fmt.Errorf("no step executable for %s/%s", os, arch)
}

// Answer returns what the step writes to Proof for these contents of Nonce and
// Seen, which must be Size bytes each.
func Answer(nonce, seen []byte) []byte {
	proof := make([]byte, Size)
	for i := range proof {
		proof[i] = nonce[i] ^ seen[i]
	}
	return proof
}
