package state

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
)

// stageRoles makes the next generation of each role under .stage.
func (t *tree) stageRoles(stage *dir, p plan, m *manifest) error {
	all := p.roles()
	for _, role := range slices.Sorted(maps.Keys(all)) {
		name := fmt.Sprint(len(m.Files) + len(m.Roles))
		g, err := t.stageRole(stage, generation{Name: name, Role: role, Gone: all[role].gone}, all[role])
		if err != nil {
			return err
		}
		m.Roles = append(m.Roles, g)
	}
	return nil
}

// stageRole makes one generation, complete, so that after the commit nothing but
// its directory has to be moved.
func (t *tree) stageRole(stage *dir, g generation, w *roleWork) (generation, error) {
	role, err := t.dir(g.Role)
	if err != nil {
		return g, err
	}
	kept, err := t.kept(g.Role, w)
	if err != nil || len(kept)+len(w.files) == 0 {
		return g, err
	}
	if g.Dir, err = role.nextGeneration(); err != nil {
		return g, err
	}
	info, err := role.f.Stat()
	if err != nil {
		return g, diskError("reading", role.path, err)
	}
	to, err := t.stageDir(stage, g.Name, ownerOf(info))
	if err != nil {
		return g, err
	}
	if g.Files, err = to.fillRole(w, kept); err != nil {
		return g, err
	}
	return g, to.sync()
}

// fillRole makes the files of a generation, and gives those that stay another
// name in it.
func (d *dir) fillRole(w *roleWork, kept map[string]*dir) ([]member, error) {
	var files []member
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		f := w.files[name]
		if err := d.add(name, f); err != nil {
			return nil, err
		}
		files = append(files, member{Name: name, Link: f.Once && f.have == nil})
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if err := kept[name].link(name, d, name); err != nil {
			return nil, err
		}
		files = append(files, member{Name: name, Kept: true})
	}
	return files, nil
}

// stageDir makes the directory of a generation under .stage.
func (t *tree) stageDir(stage *dir, name string, uid int) (*dir, error) {
	if err := stage.mkdir(name); err != nil {
		return nil, err
	}
	d, err := t.dir(stageDir + "/" + name)
	if err != nil {
		return nil, err
	}
	return d, stage.own(d.f, name, dirMode, uid)
}

// kept returns the files that are in a role and stay as they are, with the
// directories that hold them. What is under no public name is not kept.
func (t *tree) kept(role string, w *roleWork) (map[string]*dir, error) {
	names, err := t.dirs[role].names()
	if err != nil {
		return nil, err
	}
	kept := map[string]*dir{}
	for _, name := range names {
		if _, changes := w.files[name]; changes || slices.Contains(w.gone, name) || reserved(path.Join(role, name)) {
			continue
		}
		d, _, err := t.holder(path.Join(role, name))
		if err != nil {
			return nil, err
		}
		if d != nil && kindAt(d.fd(), name) == "a file" {
			kept[name] = d
		}
	}
	return kept, nil
}

// placeRole makes a staged generation the current one. Like place, it may be
// repeated at any point.
func (t *tree) placeRole(g generation) error {
	role, err := t.dir(g.Role)
	if err != nil {
		return err
	}
	if role == nil && g.Dir != "" {
		return fmt.Errorf("%s names %q without its directory", t.root.join(stageDir+"/"+commitFile), g.Role)
	}
	if role == nil {
		return t.removeUpwards(g.Role)
	}
	here, err := t.moveIn(g, role)
	if err != nil || !here {
		return err
	}
	for _, step := range []func(generation, *dir) error{t.announce, t.point, t.settle, t.clear} {
		if err := step(g, role); err != nil {
			return err
		}
	}
	if g.Dir != "" {
		return nil
	}
	return t.removeUpwards(g.Role)
}

// moveIn moves a generation from the stage to its role. It reports whether it is
// there: somebody may have removed it since a process was killed.
func (t *tree) moveIn(g generation, role *dir) (bool, error) {
	stage, err := t.dir(stageDir)
	if err != nil || g.Dir == "" {
		return true, err
	}
	if kindAt(stage.fd(), g.Name) != "" {
		return true, stage.rename(g.Name, role, g.Dir)
	}
	return kindAt(role.fd(), g.Dir) != "", nil
}

// announce makes the links of new files. They lead nowhere until the pointer is
// swapped, so that all of the files appear at once.
func (t *tree) announce(g generation, role *dir) error {
	for _, f := range g.Files {
		if role.isPublic(f.Name) {
			continue
		}
		err := fs.ErrExist
		if kindAt(role.fd(), f.Name) == "" {
			err = role.symlink(publicTarget(f.Name), f.Name)
		}
		if f.Link && errors.Is(err, fs.ErrExist) {
			// Somebody put a key there meanwhile. Only the same content is ours.
			err = t.sameKey(path.Join(g.Role, g.Dir, f.Name), role, f.Name)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if kindAt(role.fd(), dataPointer) == "" {
		return nil // nobody follows it yet
	}
	// A swapped pointer must not be on the disk before what it leads to.
	return role.syncChanges()
}

// point swaps the pointer: the one step that readers see.
func (t *tree) point(g generation, role *dir) error {
	switch now, err := role.pointed(); {
	case err != nil:
		return err
	case now == g.Dir:
		return nil
	case g.Dir == "":
		return errors.Join(role.unlink(dataPointer), role.syncChanges())
	default:
		return errors.Join(t.relink(role, g.Dir, dataPointer), role.syncChanges())
	}
}

// settle puts the links in place of files that are in the generation now, and
// removes those of files that are gone.
func (t *tree) settle(g generation, role *dir) error {
	for _, f := range g.Files {
		if role.isPublic(f.Name) {
			continue
		}
		ours, err := t.replaceable(g, f, role)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		if err := t.relink(role, publicTarget(f.Name), f.Name); err != nil {
			return err
		}
	}
	for _, name := range g.Gone {
		if kindAt(role.fd(), name) == "" {
			continue
		}
		if err := role.unlink(name); err != nil {
			return err
		}
	}
	return nil
}

// replaceable reports whether a link may take the place of what is under a
// file's public name. What somebody put there since the generation was made is
// not lost in place of a file that was to stay as it is.
func (t *tree) replaceable(g generation, f member, role *dir) (bool, error) {
	if !f.Kept {
		return true, nil
	}
	gen, err := t.dir(path.Join(g.Role, g.Dir))
	if gen == nil {
		return false, err
	}
	file, mine, err := gen.open(f.Name)
	if file == nil {
		return false, err
	}
	defer file.Close()
	there, theirs, err := role.open(f.Name)
	if there == nil {
		return false, err
	}
	defer there.Close()
	return os.SameFile(mine, theirs), nil
}

// clear removes all generations but the current one: no key that was replaced
// lies around.
func (t *tree) clear(g generation, role *dir) error {
	names, err := role.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !isGeneration(name) || name == g.Dir {
			continue
		}
		t.drop(path.Join(g.Role, name))
		if err := role.removeAll(name); err != nil {
			return err
		}
	}
	return role.syncChanges()
}
