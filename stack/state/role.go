package state

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

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
