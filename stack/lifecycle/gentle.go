package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
	"github.com/certyard/certyard/stack/smoke"
)

// gentle says how long a run waits for builds before it disturbs them.
type gentle struct{ limit time.Duration }

// BusyError says that builds kept a rotation from starting a daemon again.
type BusyError struct {
	Builds []smoke.Build
	Waited time.Duration
}

func (e *BusyError) Error() string {
	var names []string
	for _, b := range e.Builds {
		names = append(names, fmt.Sprintf("%s (since %s)", b.Ref, b.Started.UTC().Format("15:04:05 UTC")))
	}
	return fmt.Sprintf("builds still run after %s: %s", e.Waited.Round(time.Second), strings.Join(names, ", "))
}

// calm waits until nobody builds, if writing the draft would disturb builds or
// leads to a restart. Nothing has changed so far.
func (u *upRun) calm(ctx context.Context) error {
	if err := u.draft.render(u.Deps); err != nil {
		return err
	}
	changes, err := u.Store.Plan(u.draft.files)
	if err != nil {
		return err
	}
	restarts, builds, err := u.restarts(ctx)
	u.disturbs = len(restarts) > 0
	if err != nil || !builds || !u.disturbs && !u.draft.spec.Serve.NeedsIdle(changes.Replaced) {
		return err
	}
	return u.idle(ctx)
}

// restarts returns the running services that read at their start what is
// different now, and whether the builder runs, so that somebody may build.
func (u *upRun) restarts(ctx context.Context) (out []string, builds bool, err error) {
	containers, err := u.Engine.Containers(ctx, u.draft.spec.Name)
	if err != nil {
		return nil, false, err
	}
	for _, service := range u.draft.spec.Serve.Services() {
		material := render.MaterialOf(u.draft.spec, u.draft.facts, u.draft.files, service)
		for _, c := range containers {
			if c.Service != service || c.State != "running" {
				continue
			}
			builds = builds || service == stack.Builder
			if c.Labels[render.MaterialLabel] != material {
				out = append(out, service)
			}
		}
	}
	return out, builds, nil
}

// stopIdle stops the daemons that have to be started again, at the very moment
// when nobody builds: a build that would begin after that finds no builder, which
// is better than losing it half way.
func (u *upRun) stopIdle(ctx context.Context) error {
	if u.gentle == nil || !u.disturbs {
		return nil
	}
	restarts, builds, err := u.restarts(ctx)
	if err != nil || len(restarts) == 0 {
		return err
	}
	if builds {
		if err := u.idle(ctx); err != nil {
			return err
		}
	}
	return u.Engine.Stop(ctx, u.draft.spec.Name, restarts)
}

// idle waits until nobody builds. Without a way to ask the builder it does not
// wait: a builder that is not published has no clients outside.
func (u *upRun) idle(ctx context.Context) error {
	if len(u.asking.Builder.Endpoints) == 0 {
		return nil
	}
	return u.step(StepIdle, func(say func(string)) (string, error) {
		start := u.Now()
		waiting, cancel := context.WithTimeout(ctx, u.gentle.limit)
		defer cancel()
		var last []smoke.Build
		err := u.Prover.WaitIdle(waiting, u.asking, func(builds []smoke.Build) {
			last = builds
			say(fmt.Sprintf("waiting for %d builds, first %s", len(builds), builds[0].Ref))
		})
		switch {
		case err == nil:
			return "nobody builds", nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case len(last) > 0 && errors.Is(waiting.Err(), context.DeadlineExceeded):
			return "", &BusyError{Builds: last, Waited: u.Now().Sub(start)}
		default:
			return "", fmt.Errorf("asking the builder what it builds: %w", err)
		}
	})
}

// gentle returns how a rotation treats builds.
func (o RotateOptions) gentle() *gentle {
	switch {
	case o.Force:
		return nil
	case o.WaitIdle == 0:
		return &gentle{10 * time.Minute}
	default:
		return &gentle{o.WaitIdle}
	}
}
