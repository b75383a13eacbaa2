// Package state owns the state directory: the files that a stack consists of,
// and every way in which they reach the disk. Nothing else of certyard writes.
//
// A set of files is written as a whole or not at all, also when the process is
// killed or the machine loses power in between:
//
//  1. Compare. Only files whose content, mode or owner differ are touched; a
//     private key that exists with other content stops everything.
//  2. Stage. The changed files are made under .stage, with their final mode and
//     owner before their content, and synced; the files of a role in a directory
//     of their own, together with those that it keeps (a generation, role.go).
//     Then .stage/COMMIT appears, which says where each of them belongs.
//  3. Place. Each staged file is renamed to its place; a new private key is
//     linked there instead, because a link never overwrites. The generation of
//     a role is moved into the role's directory and becomes the current one by
//     one rename: a daemon that reads at that moment, or finds the directory as
//     a killed process left it, never sees a key with another one's certificate.
//  4. .stage is removed.
//
// Before COMMIT the old files are the truth, from then on the new ones. So
// [Dir.Lock] has no more to do after a crash than to throw a stage without
// COMMIT away and to place one that has it, and [Dir.Load] never sees one half
// of a write.
//
// Directories below the root may belong to the uid of a container. A program
// with that uid can swap a file for a symbolic link while certyard runs as
// root. Therefore every name is looked up in an open directory, one element at
// a time, and no link is ever followed. The links of a generation are no
// exception: they are read, and followed by hand if they lead where certyard's
// own do. disk.go and pointer.go are the only files that make such system calls.
package state
