package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/certyard/certyard/stack"
)

// dirMode is the mode of every directory: nobody but its owner looks inside.
const dirMode fs.FileMode = 0o700

// Changes tells what a write did, or would do. Paths are relative to the state
// directory; those of directories end with a slash.
type Changes struct {
	Created  []string // did not exist
	Replaced []string // had other content
	Repaired []string // had the right content, with another mode or owner
	Removed  []string // were there, and are not to be
}

// Empty reports whether everything was as it should be.
func (c Changes) Empty() bool { return len(c.Paths()) == 0 }

// after returns the changes of a write that ended with an error: none, unless the
// next Lock completes it.
func (c Changes) after(err error) Changes {
	if _, unfinished := errors.AsType[*UnfinishedError](err); err != nil && !unfinished {
		return Changes{}
	}
	return c
}

// Paths returns the paths of all changes, sorted.
func (c Changes) Paths() []string {
	var all []string
	all = append(all, c.Created...)
	all = append(all, c.Replaced...)
	all = append(all, c.Repaired...)
	all = append(all, c.Removed...)
	sort.Strings(all)
	return all
}

// plan is what has to be done to the disk.
type plan struct {
	dirs   []dirWant // every directory above a file, parents first
	files  []fileWork
	gone   []string        // files to be removed
	loose  map[string]bool // roles whose files, or their directory, are not as certyard lays them out
	report Changes
}

// dirWant is a directory as it shall be.
type dirWant struct {
	Path string `json:"path"`
	UID  int    `json:"uid"`
}

// fileWork is a file that has to be written.
type fileWork struct {
	stack.File
	uid  int
	have fs.FileInfo // nil when there is no such file
}

// Plan returns what [Dir.Write] would do to the same files now, and does
// nothing. It needs no lock, and the directory need not exist. Its errors are
// those that Write has before it writes.
func (d *Dir) Plan(files []stack.File) (Changes, error) {
	if err := check(files); err != nil {
		return Changes{}, d.doing("comparing", err)
	}
	t, err := d.openTree()
	if errors.Is(err, fs.ErrNotExist) {
		var all Changes
		for _, f := range files {
			if !f.Gone {
				all.Created = append(all.Created, f.Path)
			}
		}
		return all, nil
	}
	if err != nil {
		return Changes{}, d.doing("comparing", err)
	}
	defer t.close()
	p, err := d.plan(t, files)
	return p.report, d.doing("comparing", err)
}

// plan compares files with the disk. All keys that are in the way are reported
// at once.
func (d *Dir) plan(t *tree, files []stack.File) (plan, error) {
	p := plan{dirs: d.dirsOf(files), loose: map[string]bool{}}
	for _, w := range p.dirs {
		if err := p.compareDir(t, w); err != nil {
			return plan{}, err
		}
	}
	var problems []error
	for _, f := range files {
		if f.Gone {
			problems = append(problems, p.compareGone(t, f))
		} else {
			problems = append(problems, p.compareFile(t, f, d.uid(f.Owner)))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return plan{}, err
	}
	p.reportLoose()
	return p, nil
}

// dirsOf returns the directories that hold files. One that holds a file of the
// registry, at any depth, belongs to it as well: it has to read its way down.
func (d *Dir) dirsOf(files []stack.File) []dirWant {
	uids := map[string]int{}
	for _, f := range wanted(files) {
		for p := path.Dir(f.Path); p != "."; p = path.Dir(p) {
			if _, known := uids[p]; !known || f.Owner == stack.OwnerRegistry {
				uids[p] = d.uid(f.Owner)
			}
		}
	}
	var dirs []dirWant
	for p, uid := range uids {
		dirs = append(dirs, dirWant{Path: p, UID: uid})
	}
	sort.Slice(dirs, func(i, j int) bool { return dirs[i].Path < dirs[j].Path })
	return dirs
}

// wanted returns the files that are to be there, with those that are kept of
// the ones that they replace.
func wanted(files []stack.File) []stack.File {
	var out []stack.File
	for _, f := range files {
		if f.Gone {
			continue
		}
		out = append(out, f)
		if f.Retire != "" {
			out = append(out, stack.File{Path: f.Retire, Owner: f.Owner})
		}
	}
	return out
}

func (p *plan) compareDir(t *tree, w dirWant) error {
	d, err := t.dir(w.Path)
	if d == nil {
		return err
	}
	info, err := d.f.Stat()
	if err != nil {
		return diskError("reading", d.path, err)
	}
	top, err := t.root.f.Stat()
	if err != nil {
		return diskError("reading", t.root.path, err)
	}
	if deviceOf(info) != deviceOf(top) { // a rename cannot get there
		return &KindError{Path: d.path, Have: "on another file system", Want: "a directory on the same one"}
	}
	if info.Mode().Perm() != dirMode || ownerOf(info) != w.UID {
		p.report.Repaired = append(p.report.Repaired, w.Path+"/")
	}
	if stack.IsRole(w.Path) {
		return p.compareRole(t, w)
	}
	return nil
}

func (p *plan) compareFile(t *tree, f stack.File, uid int) error {
	file, info, err := t.open(f.Path)
	if err != nil {
		return err
	}
	work := fileWork{File: f, uid: uid, have: info}
	if file == nil {
		p.report.Created = append(p.report.Created, f.Path)
		p.files = append(p.files, work)
		return nil
	}
	defer file.Close()
	p.compareLoose(t, f.Path)
	same, err := sameContent(file, info, f.Data)
	switch {
	case err != nil:
		return diskError("reading", file.Name(), err)
	case !same && f.Replaces != nil:
		if err := replaces(t, f); err != nil {
			return err
		}
		p.report.Replaced = append(p.report.Replaced, f.Path)
	case !same && f.Once && f.Retire == "":
		return &KeyExistsError{Path: file.Name()}
	case !same && f.Once:
		if err := p.retire(t, f, uid); err != nil {
			return err
		}
		p.report.Replaced = append(p.report.Replaced, f.Path)
	case !same:
		p.report.Replaced = append(p.report.Replaced, f.Path)
	case info.Mode().Perm() != f.Mode || ownerOf(info) != uid:
		p.report.Repaired = append(p.report.Repaired, f.Path)
	default:
		return nil
	}
	p.files = append(p.files, work)
	return nil
}

// replaces makes sure that a key is written over no other one than it may be.
func replaces(t *tree, f stack.File) error {
	have, _, err := t.read(f.Path)
	if err == nil && !bytes.Equal(have, f.Replaces) {
		err = &KeyExistsError{Path: t.root.join(f.Path)}
	}
	return err
}

// retire keeps the key that a file replaces, under another name, in the same
// transaction.
func (p *plan) retire(t *tree, f stack.File, uid int) error {
	old, _, err := t.read(f.Path)
	if err != nil {
		return err
	}
	return p.compareFile(t, stack.File{Path: f.Retire, Mode: 0o600, Owner: f.Owner, Once: true, Data: old}, uid)
}

// compareGone finds out whether a file has to be removed. With Data, only one
// that holds just that is.
func (p *plan) compareGone(t *tree, f stack.File) error {
	file, info, err := t.open(f.Path)
	if file == nil {
		return err
	}
	defer file.Close()
	p.compareLoose(t, f.Path)
	if f.Data != nil {
		same, err := sameContent(file, info, f.Data)
		if err != nil {
			return diskError("reading", file.Name(), err)
		}
		if !same {
			return &KeyExistsError{Path: file.Name()}
		}
	}
	p.gone = append(p.gone, f.Path)
	p.report.Removed = append(p.report.Removed, f.Path)
	return nil
}

func sameContent(file *os.File, info fs.FileInfo, data []byte) (bool, error) {
	if info.Size() != int64(len(data)) {
		return false, nil
	}
	have, err := io.ReadAll(file)
	return bytes.Equal(have, data), err
}

// check refuses sets of files that cannot be a state directory. Such a set is
// a mistake of our own, never of a user.
func check(files []stack.File) error {
	seen := map[string]bool{}
	for _, f := range files {
		switch {
		case !fs.ValidPath(f.Path) || f.Path == ".":
			return fmt.Errorf("%q is not a path below the state directory", f.Path)
		case reserved(f.Path):
			return fmt.Errorf("%q is a name that the state directory uses itself", f.Path)
		case seen[f.Path]:
			return fmt.Errorf("%q is given twice", f.Path)
		case f.Gone:
		case f.Mode&^fs.ModePerm != 0 || f.Mode&0o400 == 0:
			return fmt.Errorf("%q has mode %v, want permission bits with which its owner can read it", f.Path, f.Mode)
		case f.Once && f.Mode&0o077 != 0:
			return fmt.Errorf("private key %q would be open to others with mode %04o", f.Path, f.Mode)
		}
		seen[f.Path] = true
	}
	for _, f := range wanted(files) {
		for p := path.Dir(f.Path); p != "."; p = path.Dir(p) {
			if seen[p] {
				return fmt.Errorf("%q is given as a file and as the directory of %q", p, f.Path)
			}
		}
	}
	return nil
}

// reserved reports whether a path belongs to our own bookkeeping.
func reserved(p string) bool {
	top, _, _ := strings.Cut(p, "/")
	switch top {
	case lockFile, ignoreFile, stageDir, purgeMark:
		return true
	default: // generations, and the pointers to them
		return strings.HasPrefix(p, "..") || strings.Contains(p, "/..")
	}
}
