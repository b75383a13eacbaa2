package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/certyard/certyard/stack"
)

// Write makes the files be on disk, all of them or none: their content, mode
// and owner, and those of the directories above them. Files that are right
// already are not touched, files that are not named are left alone. A replaced
// file's modification time is later than before.
//
// The lock must be held, or the error is [ErrNotLocked]. A [*KeyExistsError],
// several of them joined, a [*KindError], a [*FullError] or an [*AccessError]
// says what was in the way. After an error the old files are in place, except
// with an [*UnfinishedError]: then the new ones are on the disk, the next Lock or
// Write completes their placing, and the changes are those that there are when it
// has.
func (d *Dir) Write(files []stack.File) (Changes, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changes, err := d.write(files)
	return changes, d.doing("writing", err)
}

func (d *Dir) write(files []stack.File) (Changes, error) {
	if d.held == nil {
		return Changes{}, ErrNotLocked
	}
	if err := check(files); err != nil {
		return Changes{}, err
	}
	t, err := d.openTree()
	if err != nil {
		return Changes{}, err
	}
	defer t.close()
	if err := t.recover(); err != nil {
		return Changes{}, err
	}
	p, err := d.plan(t, files)
	if err != nil || p.report.Empty() {
		return Changes{}, err
	}
	changes := p.report
	if len(p.loose) > 0 {
		// First into a generation as they are: only what is in one can change
		// in one step.
		first := plan{dirs: p.dirs, loose: p.loose}
		first.reportLoose()
		if err := t.transact(first); err != nil {
			return first.report.after(err), err
		}
		if p, err = d.plan(t, files); err != nil || p.report.Empty() {
			return changes, err
		}
	}
	err = t.transact(p)
	return changes.after(err), err
}

// transact does all of a plan or nothing; or what it has not done is still done by
// the next Lock, and the error is an [*UnfinishedError].
func (t *tree) transact(p plan) error {
	m, err := t.stage(p)
	if err == nil {
		return t.place(m)
	}
	// Best effort: what cannot be removed now is removed by the next Lock.
	left := t.dropStage()
	if stage := t.dirs[stageDir]; stage != nil && kindAt(stage.fd(), commitFile) != "" {
		return &UnfinishedError{Err: err} // COMMIT was made, and stays
	}
	return errors.Join(err, left)
}

// stage makes every file under .stage and then COMMIT. Directories are made
// here too: if that is not possible, it has to be known before the commit.
func (t *tree) stage(p plan) (manifest, error) {
	m := manifest{Dirs: p.dirs}
	for _, w := range p.dirs {
		if err := t.ensure(w); err != nil {
			return m, err
		}
	}
	if err := t.root.mkdir(stageDir); err != nil {
		return m, err
	}
	stage, err := t.dir(stageDir)
	if err != nil {
		return m, err
	}
	for _, w := range p.files {
		if _, ok := stack.RoleOf(w.Path); ok {
			continue
		}
		name := strconv.Itoa(len(m.Files))
		if err := stage.add(name, w); err != nil {
			return m, err
		}
		m.Files = append(m.Files, staged{Name: name, Path: w.Path, Link: w.Once && w.have == nil})
	}
	for _, file := range p.gone {
		if _, ok := stack.RoleOf(file); !ok {
			m.Gone = append(m.Gone, file)
		}
	}
	if err := t.stageRoles(stage, p, &m); err != nil {
		return m, err
	}
	return m, t.commit(stage, m)
}

// add makes one file under .stage.
func (d *dir) add(name string, w fileWork) error {
	f, err := d.create(name, w.Mode, w.uid)
	if err != nil {
		return err
	}
	return d.fill(f, name, w.Data, w.have)
}

// commit makes COMMIT appear, complete, after everything that it names is on
// the disk for good.
func (t *tree) commit(stage *dir, m manifest) error {
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("encoding %s: %w", stage.join(commitFile), err)
	}
	f, err := stage.create(commitTemp, 0o600, ownUID())
	if err != nil {
		return err
	}
	if err := stage.fill(f, commitTemp, data, nil); err != nil {
		return err
	}
	if err := errors.Join(stage.sync(), t.root.sync()); err != nil {
		return err
	}
	if err := stage.rename(commitTemp, stage, commitFile); err != nil {
		return err
	}
	return stage.sync()
}

// place puts the staged files where they belong. It may be repeated at any point.
func (t *tree) place(m manifest) error {
	if err := t.placeAll(m); err != nil {
		return &UnfinishedError{Err: err}
	}
	return nil
}

// placeAll moves the staged files: one that is no longer staged has been moved
// before.
func (t *tree) placeAll(m manifest) error {
	for _, w := range m.Dirs {
		if err := t.ensure(w); err != nil {
			return err
		}
	}
	touched := map[string]*dir{}
	for _, s := range m.Files {
		if err := t.placeFile(s); err != nil {
			return err
		}
		p := path.Dir(s.Path)
		touched[p] = t.dirs[p]
	}
	for _, g := range m.Roles {
		if err := t.placeRole(g); err != nil {
			return err
		}
	}
	for _, gone := range m.Gone {
		if err := t.removeFile(gone); err != nil {
			return err
		}
	}
	for _, p := range slices.Sorted(maps.Keys(touched)) {
		if err := touched[p].sync(); err != nil {
			return err
		}
	}
	if err := t.dropCommit(); err != nil {
		return err
	}
	// Everything is in its place. What cannot be removed of the stage, or not be
	// synced, would be found and removed by the next Lock: that is no reason to say
	// that the files are not written.
	_ = t.dropStage()
	return nil
}

func (t *tree) placeFile(s staged) error {
	stage, err := t.dir(stageDir)
	if err != nil {
		return err
	}
	to, err := t.dir(path.Dir(s.Path))
	if err != nil {
		return err
	}
	if to == nil {
		return fmt.Errorf("%s names %q without its directory", stage.join(commitFile), s.Path)
	}
	if kindAt(stage.fd(), s.Name) == "" {
		return nil
	}
	name := path.Base(s.Path)
	if !s.Link {
		return stage.rename(s.Name, to, name)
	}
	err = stage.link(s.Name, to, name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Either we were killed between link and clean-up, or somebody put a key
	// there meanwhile. Only the same content is ours.
	return t.sameKey(stageDir+"/"+s.Name, to, name)
}

// removeFile removes a file, and the directories that it leaves empty. It may
// be repeated, so nothing of it needs to be there.
func (t *tree) removeFile(file string) error {
	d, err := t.dir(path.Dir(file))
	if err != nil {
		return err
	}
	if d != nil && kindAt(d.fd(), path.Base(file)) != "" {
		if err := errors.Join(d.unlink(path.Base(file)), d.sync()); err != nil {
			return err
		}
	}
	return t.removeUpwards(path.Dir(file))
}

// removeUpwards removes a directory if there is nothing in it, and those above
// that this leaves empty. Above one that is gone, an empty one may remain. One
// that is mounted stays: a container that still runs would keep the old inode,
// and see nothing of what is written to a new one.
func (t *tree) removeUpwards(p string) error {
	for ; p != "." && !stack.IsMounted(p); p = path.Dir(p) {
		if removed, err := t.removeEmpty(p); !removed {
			return err
		}
	}
	return nil
}

// removeEmpty removes a directory if there is nothing in it.
func (t *tree) removeEmpty(p string) (bool, error) {
	d, err := t.dir(p)
	if d == nil {
		return true, err
	}
	names, err := d.names()
	if err != nil || len(names) > 0 {
		return false, err
	}
	parent, err := t.dir(path.Dir(p))
	if err != nil {
		return false, err
	}
	delete(t.dirs, p)
	d.close()
	if err := parent.rmdir(path.Base(p)); err != nil {
		return false, err
	}
	return true, parent.sync()
}

// sameKey makes sure that a name has the content of a file that was staged.
func (t *tree) sameKey(staged string, to *dir, name string) error {
	want, _, err := t.read(staged)
	if err != nil {
		return err
	}
	have, _, err := to.read(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, have) {
		return &KeyExistsError{Path: to.join(name)}
	}
	return nil
}
