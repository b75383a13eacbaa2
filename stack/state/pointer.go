package state

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dataPointer is the link in a role's directory that leads to its current
// generation, under the name that Kubernetes has for it in mounted directories
// (AtomicWriter in pkg/volume/util/atomic_writer.go). The edge knows it.
const dataPointer = "..data"

// publicTarget is where the link leads that people and daemons know a file of a
// role by.
func publicTarget(name string) string { return dataPointer + "/" + name }

// isGeneration reports whether a name is one of generations' directories.
func isGeneration(name string) bool {
	number, ok := strings.CutPrefix(name, "..")
	return ok && number != "" && len(number) <= 18 && strings.Trim(number, "0123456789") == ""
}

// nextGeneration returns a name that no generation in the directory has had.
func (d *dir) nextGeneration() (string, error) {
	names, err := d.names()
	last := 0
	for _, name := range names {
		if isGeneration(name) {
			number, _ := strconv.Atoi(name[len(".."):])
			last = max(last, number)
		}
	}
	return fmt.Sprintf("..%04d", last+1), err
}

// target returns where a symbolic link leads, and "" for anything else. Nothing
// is looked up behind it.
func (d *dir) target(name string) string {
	buf := make([]byte, 256) // ours are shorter; a cut one is none of them
	var n int
	err := uninterrupted(func() (err error) {
		n, err = unix.Readlinkat(d.fd(), name, buf)
		return err
	})
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// isPublic reports whether a name is the link that certyard makes for a file of
// a role. It is the only kind of link that is ever followed, and by hand.
func (d *dir) isPublic(name string) bool { return d.target(name) == publicTarget(name) }

// pointed returns the name of the generation that a role's pointer leads to, and
// "" when there is no pointer. One that leads elsewhere is a *[KindError].
func (d *dir) pointed() (string, error) {
	target := d.target(dataPointer)
	if isGeneration(target) {
		return target, nil
	}
	kind := kindAt(d.fd(), dataPointer)
	if kind == "" {
		return "", nil
	}
	return "", &KindError{Path: d.join(dataPointer), Have: kind, Want: "a link to a numbered directory beside it"}
}

// symlink makes a symbolic link where nothing may be.
func (d *dir) symlink(target, name string) error {
	return d.change("placing", name, func() error { return unix.Symlinkat(target, d.fd(), name) })
}

// relink puts a symbolic link in place of what is there, if anything is. It is
// made in the stage, so that nothing of it is left beside its place.
func (t *tree) relink(at *dir, target, name string) error {
	stage, err := t.dir(stageDir)
	if err != nil {
		return err
	}
	left := kindAt(stage.fd(), linkTemp) != "" // by a process that was killed
	if left && stage.target(linkTemp) != target {
		if err := stage.unlink(linkTemp); err != nil {
			return err
		}
		left = false
	}
	if !left {
		if err := stage.symlink(target, linkTemp); err != nil {
			return err
		}
	}
	return stage.rename(linkTemp, at, name)
}
