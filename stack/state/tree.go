package state

import (
	"io/fs"
	"os"
	"path"
	"strings"
)

// tree is the state directory while something is done with it: the root and
// every directory below that was looked up, held open so that nobody can put
// another one in its place meanwhile. Paths are relative, with slashes.
type tree struct {
	root *dir
	dirs map[string]*dir
}

func (t *tree) close() {
	for _, d := range t.dirs {
		d.close()
	}
}

// drop closes a directory and those below, which are about to be moved or
// removed.
func (t *tree) drop(p string) {
	for have, d := range t.dirs {
		if have == p || strings.HasPrefix(have, p+"/") {
			d.close()
			delete(t.dirs, have)
		}
	}
}

// dir returns an open directory, and nil when it does not exist.
func (t *tree) dir(p string) (*dir, error) {
	if d := t.dirs[p]; d != nil {
		return d, nil
	}
	parent, err := t.dir(path.Dir(p))
	if parent == nil {
		return nil, err
	}
	d, err := parent.sub(path.Base(p))
	if d != nil {
		t.dirs[p] = d
	}
	if d != nil && isGeneration(path.Base(p)) {
		d.path = parent.path // messages have the names that people use
	}
	return d, err
}

// ensure makes a directory if it does not exist, and gives it its mode and
// owner. Its parent has to exist.
func (t *tree) ensure(w dirWant) error {
	parent, err := t.dir(path.Dir(w.Path))
	if err != nil {
		return err
	}
	name := path.Base(w.Path)
	d, err := t.dir(w.Path)
	if err != nil {
		return err
	}
	if d == nil {
		if err := parent.mkdir(name); err != nil {
			return err
		}
		if err := parent.sync(); err != nil {
			return err
		}
		if d, err = t.dir(w.Path); err != nil {
			return err
		}
	}
	return parent.own(d.f, name, dirMode, w.UID)
}

// open opens a file for reading, and returns nil when it does not exist. A file
// of a role is the one that its public name stands for.
func (t *tree) open(p string) (f *os.File, info fs.FileInfo, err error) {
	for range attempts {
		d, gen, err := t.holder(p)
		if d != nil && err == nil {
			f, info, err = d.open(path.Base(p))
		}
		if f != nil || err != nil || !t.overtaken(p, gen) {
			return f, info, err
		}
	}
	return nil, nil, nil
}

// read returns the content of a file, and nil when it does not exist.
func (t *tree) read(p string) ([]byte, fs.FileInfo, error) {
	f, info, err := t.open(p)
	if f == nil {
		return nil, nil, err
	}
	return readAll(f, info)
}

// walk calls visit with the path of every file below a directory, in order,
// except for our own bookkeeping.
func (t *tree) walk(p string, visit func(p string)) error {
	d, err := t.dir(p)
	if d == nil {
		return err
	}
	names, err := d.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		child := path.Join(p, name)
		if reserved(child) {
			continue
		}
		if kindAt(d.fd(), name) != "a directory" {
			visit(child)
		} else if err := t.walk(child, visit); err != nil {
			return err
		}
	}
	return nil
}
