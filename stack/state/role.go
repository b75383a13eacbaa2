package state

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/certyard/certyard/stack"
)

// A role's directory holds its files in a numbered directory of one generation,
// a pointer to it, and for each file the link that people and daemons use:
//
//	registry/certs/..0007/registry.crt
//	registry/certs/..data -> ..0007
//	registry/certs/registry.crt -> ..data/registry.crt
//
// A write makes another generation, complete, and swaps the pointer in one
// rename. Files that do not change are the same inode in both.

// generation is, in COMMIT, the next generation of a role.
type generation struct {
	Name  string   `json:"name"` // its directory under .stage
	Role  string   `json:"role"`
	Dir   string   `json:"dir"` // its name in the role's directory; "" when no file is left
	Files []member `json:"files"`
	Gone  []string `json:"gone,omitempty"`
}

// member is a file of a generation.
type member struct {
	Name string `json:"name"`
	Link bool   `json:"link,omitempty"` // must not overwrite anything: a new private key
	Kept bool   `json:"kept,omitempty"` // as it was in the generation before
}

// check refuses a generation of COMMIT that this package would not have written.
func (g generation) check() error {
	if !fs.ValidPath(g.Role) || reserved(g.Role) || !stack.IsRole(g.Role) {
		return fmt.Errorf("%q is not the directory of a role", g.Role)
	}
	if g.Dir != "" && !isGeneration(g.Dir) {
		return fmt.Errorf("%q is not the directory of a generation", g.Dir)
	}
	names := slices.Clone(g.Gone)
	for _, f := range g.Files {
		names = append(names, f.Name)
	}
	for _, name := range names {
		p := g.Role + "/" + name
		if role, _ := stack.RoleOf(p); !fs.ValidPath(p) || reserved(p) || role != g.Role {
			return fmt.Errorf("%q is not the name of a file in %q", name, g.Role)
		}
	}
	return nil
}

// has reports whether a file is in a generation, by its path.
func (g generation) has(file string) bool {
	role, _ := stack.RoleOf(file)
	return role == g.Role && slices.ContainsFunc(g.Files, func(f member) bool { return f.Name == path.Base(file) })
}

// roleWork is what a plan has for one role.
type roleWork struct {
	files map[string]fileWork // by their name in the role's directory
	gone  []string
}

// roles returns what has to be done to each role, by its directory.
func (p plan) roles() map[string]*roleWork {
	all := map[string]*roleWork{}
	of := func(role string) *roleWork {
		if all[role] == nil {
			all[role] = &roleWork{files: map[string]fileWork{}}
		}
		return all[role]
	}
	for _, w := range p.files {
		if role, ok := stack.RoleOf(w.Path); ok {
			of(role).files[path.Base(w.Path)] = w
		}
	}
	for _, file := range p.gone {
		if role, ok := stack.RoleOf(file); ok {
			of(role).gone = append(of(role).gone, path.Base(file))
		}
	}
	for role := range p.loose {
		of(role)
	}
	return all
}

// compareRole finds out whether a role's generation has to be made anew, because
// its directory has another mode or owner.
func (p *plan) compareRole(t *tree, w dirWant) error {
	d, err := t.current(w.Path)
	if d == nil {
		return err
	}
	info, err := d.f.Stat()
	if err != nil {
		return diskError("reading", d.path, err)
	}
	if info.Mode().Perm() != dirMode || ownerOf(info) != w.UID {
		p.loose[w.Path] = true
	}
	return nil
}

// compareLoose notes a role of which a file stands in the place of its link: as
// certyard wrote it before there were generations, or somebody put it there.
func (p *plan) compareLoose(t *tree, file string) {
	role, ok := stack.RoleOf(file)
	if d := t.dirs[role]; ok && kindAt(d.fd(), path.Base(file)) == "a file" {
		p.loose[role] = true
	}
}

// reportLoose reports the roles that get a generation for no other reason.
func (p *plan) reportLoose() {
	for role, w := range p.roles() {
		if len(w.files)+len(w.gone) == 0 && !slices.Contains(p.report.Repaired, role+"/") {
			p.report.Repaired = append(p.report.Repaired, role+"/")
		}
	}
}

// current returns the open directory of a role's current generation, and nil
// when there is none.
func (t *tree) current(role string) (*dir, error) {
	d, err := t.dir(role)
	if d == nil {
		return nil, err
	}
	gen, err := d.pointed()
	if gen == "" {
		return nil, err
	}
	return t.dir(path.Join(role, gen))
}

// holder returns the directory that a file is in, with the generation if it is
// that of one. It is nil when there is none.
func (t *tree) holder(file string) (d *dir, gen string, err error) {
	d, err = t.dir(path.Dir(file))
	role, ok := stack.RoleOf(file)
	if d == nil || !ok || !d.isPublic(path.Base(file)) {
		return d, "", err
	}
	gen, err = d.pointed()
	if gen == "" {
		return nil, "", err
	}
	d, err = t.dir(path.Join(role, gen))
	return d, gen, err
}

// overtaken reports whether a generation in which there was no file is no longer
// the one to look in: another process has swapped the pointer.
func (t *tree) overtaken(file, gen string) bool {
	if gen == "" {
		return false
	}
	now, err := t.dirs[path.Dir(file)].pointed()
	return err == nil && now != gen
}

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
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		f := w.files[name]
		if err := to.add(name, f); err != nil {
			return g, err
		}
		g.Files = append(g.Files, member{Name: name, Link: f.Once && f.have == nil})
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if err := kept[name].link(name, to, name); err != nil {
			return g, err
		}
		g.Files = append(g.Files, member{Name: name, Kept: true})
	}
	return g, to.sync()
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
