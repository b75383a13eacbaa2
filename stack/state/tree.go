package state

import (
	"io/fs"
	"os"
	"path"
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

// open opens a file for reading, and returns nil when it does not exist.
func (t *tree) open(p string) (*os.File, fs.FileInfo, error) {
	d, err := t.dir(path.Dir(p))
	if d == nil {
		return nil, nil, err
	}
	return d.open(path.Base(p))
}

// read returns the content of a file, and nil when it does not exist.
func (t *tree) read(p string) ([]byte, fs.FileInfo, error) {
	d, err := t.dir(path.Dir(p))
	if d == nil {
		return nil, nil, err
	}
	return d.read(path.Base(p))
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
