package state

import (
	"errors"
	"io/fs"

	"github.com/certyard/certyard/stack"
)

// Plan returns what [Dir.Write] would do to the same files now, and does
// nothing. It needs no lock, and the directory need not exist.
func (d *Dir) Plan(files []stack.File) (Changes, error) {
	changes, err := d.dry(files)
	return changes, d.doing("comparing", err)
}

func (d *Dir) dry(files []stack.File) (Changes, error) {
	if err := check(files); err != nil {
		return Changes{}, err
	}
	t, err := d.openTree()
	if errors.Is(err, fs.ErrNotExist) {
		var all Changes
		for _, f := range files {
			all.Created = append(all.Created, f.Path)
		}
		return all, nil
	}
	if err != nil {
		return Changes{}, err
	}
	defer t.close()
	p, err := d.plan(t, files)
	if err != nil {
		return Changes{}, err
	}
	return p.report, nil
}
