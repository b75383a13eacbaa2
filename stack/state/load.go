package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
)

// attempts is how often Load tries to see a directory that does not change
// under its eyes. A write takes milliseconds and happens once per command.
const attempts = 1000

// Read returns the content of one file, and nil when it does not exist. Its
// errors are those of [Dir.Load].
func (d *Dir) Read(path string) ([]byte, error) {
	files, err := d.Load(path)
	return files[path], err
}

// Load returns the content of files by their path; those that do not exist are
// not in the map. All of them are from before or all from after any write that
// goes on in another process: no lock is needed.
//
// A private key that others than its owner can read or change is a
// [*ModeError], a link or a directory in place of a file a [*KindError].
func (d *Dir) Load(paths ...string) (map[string][]byte, error) {
	data, err := d.load(func(*tree) ([]string, error) { return paths, nil })
	return data, d.doing("reading", err)
}

// ReadAll returns the content of every file, as Load does.
func (d *Dir) ReadAll() (map[string][]byte, error) {
	data, err := d.load(everything)
	return data, d.doing("reading", err)
}

// load reads twice, until both times every file was the same one. Then nothing
// changed between the end of the first and the begin of the second reading,
// and what both saw is how the directory was at that moment. A file cannot
// change and change back unseen: a replaced file is later than its precursor.
// A write that has begun to place its files makes no difference: those that it
// has not placed yet are read from its stage.
func (d *Dir) load(list func(*tree) ([]string, error)) (map[string][]byte, error) {
	before, err := d.look(list)
	for range attempts {
		if err != nil {
			return nil, err
		}
		var now view
		now, err = d.look(list)
		if err == nil && now.same(before) {
			return now.contents()
		}
		before = now
	}
	return nil, errors.Join(errors.New("other processes keep changing it"), err)
}

// view is what one reading saw, by path.
type view map[string]seen

type seen struct {
	data []byte
	path string // where it was read, for messages
	info fs.FileInfo
}

func (v view) same(w view) bool {
	if len(v) != len(w) {
		return false
	}
	for p, a := range v {
		b, ok := w[p]
		if !ok || !os.SameFile(a.info, b.info) || !a.info.ModTime().Equal(b.info.ModTime()) {
			return false
		}
	}
	return true
}

// contents returns the files of a view, unless one of them is an open key.
func (v view) contents() (map[string][]byte, error) {
	files := map[string][]byte{}
	var problems []error
	for p, s := range v {
		files[p] = s.data
		if mode := s.info.Mode().Perm(); mode&0o077 != 0 && holdsKey(s.data) {
			problems = append(problems, &ModeError{Path: s.path, Have: mode, Want: mode & 0o700})
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return files, nil
}

// holdsKey reports whether there is a private key in a file, in any of the PEM
// types that name one ("PRIVATE KEY", "EC PRIVATE KEY" ...).
func holdsKey(data []byte) bool { return bytes.Contains(data, []byte("PRIVATE KEY-----")) }

// look reads the directory once. A directory that does not exist, or whose
// purge has begun, is an empty one.
func (d *Dir) look(list func(*tree) ([]string, error)) (view, error) {
	t, err := d.openTree()
	if errors.Is(err, fs.ErrNotExist) {
		return view{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer t.close()
	if kindAt(t.root.fd(), purgeMark) != "" {
		return view{}, nil
	}
	v := view{}
	m, err := t.pending()
	if err != nil {
		return nil, err
	}
	paths, err := list(t)
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		if m.removes(p) {
			continue
		}
		if err := v.add(t, p, append(m.sources(p), p)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// sources returns where the new content of a file may still be.
func (m *manifest) sources(file string) []string {
	if m == nil {
		return nil
	}
	for _, s := range m.Files {
		if s.Path == file {
			return []string{stageDir + "/" + s.Name}
		}
	}
	for _, g := range m.Roles {
		if g.has(file) {
			name := path.Base(file)
			return []string{path.Join(stageDir, g.Name, name), path.Join(g.Role, g.Dir, name)}
		}
	}
	return nil
}

// removes reports whether a file is about to be removed.
func (m *manifest) removes(file string) bool {
	if m == nil {
		return false
	}
	role, name := path.Split(file)
	return slices.Contains(m.Gone, file) || slices.ContainsFunc(m.Roles, func(g generation) bool {
		return g.Role+"/" == role && slices.Contains(g.Gone, name)
	})
}

// add reads one file: from the first of the places where there is one.
func (v view) add(t *tree, path string, from []string) error {
	if !fs.ValidPath(path) || reserved(path) {
		return fmt.Errorf("%q is not a path below the state directory", path)
	}
	for _, from := range from {
		data, info, err := t.read(from)
		if err != nil {
			return err
		}
		if info != nil {
			v[path] = seen{data: data, info: info, path: t.root.join(path)}
			return nil
		}
	}
	return nil
}

// everything lists all files of a tree, and those that are still staged.
func everything(t *tree) ([]string, error) {
	var paths []string
	if err := t.walk(".", func(p string) { paths = append(paths, p) }); err != nil {
		return nil, err
	}
	m, err := t.pending()
	if m != nil {
		for _, s := range m.Files {
			paths = append(paths, s.Path)
		}
		for _, g := range m.Roles {
			for _, f := range g.Files {
				paths = append(paths, path.Join(g.Role, f.Name))
			}
		}
	}
	return paths, err
}
