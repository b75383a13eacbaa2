package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	needsIdle := u.disturbs || u.draft.spec.Serve.NeedsIdle(changes.Replaced) || u.draft.endsClients()
	if err != nil || !builds || !needsIdle {
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

// stopIdle stops the daemons that have to be started again, while nobody builds.
// Without the builder nobody can begin to, so that goes first; it is started again
// also where only another daemon needs it.
func (u *upRun) stopIdle(ctx context.Context) error {
	if u.gentle == nil || !u.disturbs {
		return nil
	}
	restarts, builds, err := u.restarts(ctx)
	if err != nil || len(restarts) == 0 {
		return err
	}
	if builds && len(u.asking.Builder.Endpoints) > 0 {
		return u.stopBuilder(ctx, restarts)
	}
	return u.Engine.Stop(ctx, u.draft.spec.Name, restarts)
}

const (
	// answering is how long nobody has to build before the builder is frozen:
	// the history has a build ended some time before its client is told.
	answering = 50 * time.Millisecond
	// settling is how long a frozen builder is listened to: what it had said
	// before, of a build that began just then, has to arrive.
	settling = 25 * time.Millisecond
)

// stopBuilder ends the builder in a moment in which nobody builds, and with it the
// other services that have to be started again. buildkitd knows no way to let no
// more builds in, and with SIGTERM it breaks off those that still talk to their
// client (facts, A3). So it is frozen as soon as nobody builds. If a build had
// begun before that, it goes on, and is waited for; if not, none can begin any
// more, and it is killed as it is. Its data are those of transactions, and nobody
// is in one.
func (u *upRun) stopBuilder(ctx context.Context, restarts []string) error {
	return u.idleStep(ctx, func(waiting context.Context, say func([]smoke.Build)) error {
		for {
			idle, err := u.Prover.WatchIdle(waiting, u.asking, say)
			if err != nil {
				return err
			}
			stopped, err := u.freezeAndKill(ctx, idle, restarts)
			idle.Close()
			if err != nil || stopped {
				return err
			}
		}
	})
}

// freezeAndKill reports whether the builder and the others are stopped; if not, all
// of them run as before.
func (u *upRun) freezeAndKill(ctx context.Context, idle *smoke.Idle, restarts []string) (bool, error) {
	project := u.draft.spec.Name
	others := slices.DeleteFunc(slices.Clone(restarts), func(s string) bool { return s == stack.Builder })
	if !idle.Still(answering) {
		return false, nil
	}
	if err := u.Engine.Freeze(ctx, project, stack.Builder); err != nil {
		// An engine that cannot: what begins now may be broken off.
		if err := u.Engine.Stop(ctx, project, []string{stack.Builder}); err != nil {
			return false, err
		}
		return true, u.Engine.Stop(ctx, project, others)
	}
	// However this ends, it must not stay frozen.
	always := context.WithoutCancel(ctx)
	if !idle.Still(settling) {
		return false, u.Engine.Thaw(always, project, stack.Builder)
	}
	var both errgroup.Group // it is frozen, so it needs the others no more
	both.Go(func() error {
		err := u.Engine.KillFrozen(always, project, stack.Builder)
		if err != nil {
			err = errors.Join(err, u.Engine.Thaw(always, project, stack.Builder))
		}
		return err
	})
	both.Go(func() error { return u.Engine.Stop(ctx, project, others) })
	err := both.Wait()
	return err == nil, err
}

// idle waits until nobody builds. Without a way to ask the builder it does not
// wait: a builder that is not published has no clients outside.
func (u *upRun) idle(ctx context.Context) error {
	if len(u.asking.Builder.Endpoints) == 0 {
		return nil
	}
	return u.idleStep(ctx, func(waiting context.Context, say func([]smoke.Build)) error {
		idle, err := u.Prover.WatchIdle(waiting, u.asking, say)
		if err == nil {
			idle.Close()
		}
		return err
	})
}

// idleStep is a step that waits for builds, and that ends with them named when
// they take too long.
func (u *upRun) idleStep(ctx context.Context, wait func(context.Context, func([]smoke.Build)) error) error {
	return u.step(StepIdle, func(say func(string)) (string, error) {
		start := u.Now()
		waiting, cancel := context.WithTimeout(ctx, u.gentle.limit)
		defer cancel()
		var last []smoke.Build
		err := wait(waiting, func(builds []smoke.Build) {
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
			return "", fmt.Errorf("waiting until nobody builds: %w", err)
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
