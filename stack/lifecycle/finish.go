package lifecycle

import (
	"context"
	"slices"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

// finish has the daemons follow the files, and proves them, where an earlier run was
// interrupted after it had written them: a daemon that somebody has stopped is left
// alone. It returns nil when there was nothing to finish.
func (r *rotation) finish(ctx context.Context, containers []compose.Container) (*Result, error) {
	// The lock completes what was written in part, which is what daemons see.
	release, err := r.Store.Lock(ctx)
	if err != nil {
		return nil, err
	}
	if err := release(); err != nil {
		return nil, err
	}
	if r.prior, err = recorded(r.Store); err != nil {
		return nil, err
	}
	behind, err := r.behind(containers)
	if err != nil || !behind {
		return nil, err
	}
	spec, gentle := r.prior.state.Spec, r.opts.gentle()
	if gentle != nil {
		// The files may have gone back to a CA that does not know the builder.
		gentle.stranger = r.prior.state.Unproven
	}
	res, err := Up(ctx, r.Deps, spec, UpOptions{asRecorded: true, Ready: r.opts.Ready, gentle: gentle, change: func(dr *draft) error {
		dr.mayAge = noLeaf // what is due is proven before it is replaced
		return unchanged(dr, spec)
	}})
	if err == nil && res.Report != nil && !res.Report.OK() {
		err = &NotSoundError{Report: *res.Report, Finishing: true}
	}
	if err == nil {
		r.prior, err = recorded(r.Store)
	}
	return &res, err
}

// behind reports whether a container was made for other files than those that
// are there, or was made and never started, or whether what a rotation has
// written was not proven.
func (r *rotation) behind(containers []compose.Container) (bool, error) {
	spec, facts := r.prior.state.Spec, r.prior.state.Facts
	if len(containers) > 0 && r.prior.state.Unproven {
		return true, nil
	}
	var files []stack.File
	for _, c := range spec.Serve.Consumers() {
		for _, path := range c.Files {
			data, err := r.Store.Read(path)
			if err != nil {
				return false, err
			}
			if data != nil {
				files = append(files, stack.File{Path: path, Data: data})
			}
		}
	}
	for _, c := range containers {
		ours := slices.Contains(spec.Serve.Services(), c.Service)
		if ours && (c.State == "created" || c.State == "paused" || c.Labels[render.MaterialLabel] != render.MaterialOf(spec, facts, files, c.Service)) {
			return true, nil
		}
	}
	return false, nil
}
