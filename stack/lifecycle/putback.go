package lifecycle

import (
	"context"
	"errors"
	"slices"

	"github.com/certyard/certyard/stack"
)

// putBack writes the old files, and has the daemons take them.
func (r *rotation) putBack(ctx context.Context, before map[string][]byte) error {
	d := r.Deps
	d.Store = patient{r.Store}
	release, err := d.Store.Lock(ctx)
	if err != nil {
		return err
	}
	files, err := r.oldFiles(before)
	if err == nil {
		_, err = r.Store.Write(files)
	}
	if err := errors.Join(err, release()); err != nil {
		return err
	}
	spec := r.prior.state.Spec
	res, err := Up(ctx, d, spec, UpOptions{asRecorded: true, Ready: r.opts.Ready, gentle: r.opts.gentle().certain(), change: func(dr *draft) error {
		dr.mayAge = noLeaf // what was there, be it due
		return unchanged(dr, spec)
	}})
	if err == nil && res.Report != nil && !res.Report.OK() {
		err = &NotSoundError{Report: *res.Report, PutBack: true}
	}
	return err
}

// oldFiles returns what the rotation writes, as it was.
func (r *rotation) oldFiles(before map[string][]byte) ([]stack.File, error) {
	var out []stack.File
	for _, f := range r.files {
		data, ok := before[f.Path]
		if !ok || f.Once || f.Gone {
			continue
		}
		f.Data = data
		if f.Path == stack.FileState {
			var err error
			if f, err = r.oldRecord(data); err != nil {
				return nil, err
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// oldRecord returns the record as it was, but for the certificates that were made
// since: somebody may have them, and whoever removes a client has to know of all
// that it was given.
func (r *rotation) oldRecord(data []byte) (stack.File, error) {
	old, err := stack.ParseState(data)
	if err != nil {
		return stack.File{}, err
	}
	now, err := recorded(r.Store)
	if err != nil {
		return stack.File{}, err
	}
	for _, made := range now.state.Issued {
		if !slices.ContainsFunc(old.Issued, made.Same) {
			made.Removed = r.Now().UTC()
			old.Issued = append(old.Issued, made)
		}
	}
	old.Unproven = true
	return old.File()
}
