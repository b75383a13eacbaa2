package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sync/errgroup"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
	"github.com/certyard/certyard/stack/smoke"
)

// gentle says how long a run waits for builds before it disturbs them.
type gentle struct {
	limit time.Duration
	// anyway has the run go on when the time is over, or when the builder cannot
	// be asked: what does not hold must not last. stranger has it go on only where
	// the builder shows a certificate that is not trusted.
	anyway, stranger bool
}

// certain returns how what went wrong is taken back.
func (g *gentle) certain() *gentle {
	if g == nil {
		return nil
	}
	return &gentle{limit: g.limit, anyway: true}
}

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

// IdleError says why it could not be found out that nobody builds, or the daemons
// could not be stopped then.
type IdleError struct{ Err error }

func (e *IdleError) Error() string { return fmt.Sprintf("waiting until nobody builds: %v", e.Err) }

// Unwrap returns the cause.
func (e *IdleError) Unwrap() error { return e.Err }

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
	restarts, builds, err := u.restarts(ctx, u.written(ctx))
	if err != nil {
		return err
	}
	redefined, err := u.redefines()
	u.disturbs = len(restarts) > 0 || redefined
	needsIdle := u.disturbs || u.draft.spec.Serve.NeedsIdle(changes.Replaced) || u.draft.endsClients()
	if err != nil || !builds || !needsIdle {
		return err
	}
	return u.idle(ctx)
}

// written returns the project as it is on the disk, nil where there is none that
// can be read: the draft writes another one, and what is wrong with an override is
// said when that is loaded with it.
func (u *upRun) written(ctx context.Context) *types.Project {
	project, err := u.project(ctx, u.draft.spec.Name)
	if err != nil {
		return nil
	}
	return project
}

// redefines reports whether the draft defines services otherwise than the file on
// the disk, as another image does, or another version of certyard may.
func (u *upRun) redefines() (bool, error) {
	have, err := u.Store.Read(stack.FileCompose)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(u.draft.files, func(f stack.File) bool { return f.Path == stack.FileCompose })
	return render.Definition(have) != render.Definition(u.draft.files[i].Data), nil
}

// restarts returns the running services that read at their start what is
// different now, or that the project defines otherwise than they were started,
// and whether the builder runs, so that somebody may build.
func (u *upRun) restarts(ctx context.Context, project *types.Project) (out []string, builds bool, err error) {
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
			if c.Labels[render.MaterialLabel] != material || compose.Redefined(project, c) {
				out = append(out, service)
			}
		}
	}
	return out, builds, nil
}

// stopIdle stops the daemons that have to be started again, while nobody builds.
// Without the builder nobody can begin to, so that goes first; it is started again
// also where only another daemon needs it. From then on the run must not end
// before they run again, and that is what stopped says, also with an error.
func (u *upRun) stopIdle(ctx context.Context, project *types.Project) (stopped bool, err error) {
	if u.gentle == nil || !u.disturbs {
		return false, nil
	}
	restarts, builds, err := u.restarts(ctx, project)
	if err != nil || len(restarts) == 0 {
		return false, err
	}
	if builds && len(u.asking.Builder.Endpoints) > 0 {
		return u.stopBuilder(ctx, restarts)
	}
	return true, u.Engine.Stop(ctx, u.draft.spec.Name, restarts)
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
// is in one. As with stopIdle, some may be stopped also with an error.
func (u *upRun) stopBuilder(ctx context.Context, restarts []string) (stopped bool, err error) {
	err = u.idleStep(ctx, func(waiting context.Context, say func([]smoke.Build)) error {
		for {
			idle, err := u.Prover.WatchIdle(waiting, u.asking, say)
			if err != nil {
				return err
			}
			stopped, err = u.freezeAndKill(ctx, idle, restarts)
			idle.Close()
			if err != nil || stopped {
				return err
			}
		}
	}, func() error {
		stopped = true
		return u.stopAnyway(context.WithoutCancel(ctx), restarts)
	})
	return stopped, err
}

// stopAnyway stops the builder, whatever it does, and then the others.
func (u *upRun) stopAnyway(ctx context.Context, restarts []string) error {
	project := u.draft.spec.Name
	if err := u.Engine.Stop(ctx, project, []string{stack.Builder}); err != nil {
		return err
	}
	return u.Engine.Stop(ctx, project, withoutBuilder(restarts))
}

func withoutBuilder(services []string) []string {
	return slices.DeleteFunc(slices.Clone(services), func(s string) bool { return s == stack.Builder })
}

// freezeAndKill reports whether the builder and the others are stopped, or with an
// error some of them; if not, all of them run as before.
func (u *upRun) freezeAndKill(ctx context.Context, idle *smoke.Idle, restarts []string) (bool, error) {
	project := u.draft.spec.Name
	if !idle.Still(answering) {
		return false, nil
	}
	// However this ends, it must not stay frozen. The engine would go on to freeze
	// it where the request for it is given up, with nobody left to thaw it.
	always := context.WithoutCancel(ctx)
	if err := u.Engine.Freeze(always, project, stack.Builder); err != nil {
		if thawed := u.Engine.Thaw(always, project, stack.Builder); thawed != nil {
			return false, errors.Join(err, thawed)
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		// An engine that cannot: what begins now may be broken off.
		return true, u.stopAnyway(always, restarts)
	}
	if ctx.Err() != nil || !idle.Still(settling) {
		return false, errors.Join(ctx.Err(), u.Engine.Thaw(always, project, stack.Builder))
	}
	var both errgroup.Group // it is frozen, so it needs the others no more
	both.Go(func() error {
		err := u.Engine.KillFrozen(always, project, stack.Builder)
		if err != nil {
			err = errors.Join(err, u.Engine.Thaw(always, project, stack.Builder))
		}
		return err
	})
	both.Go(func() error { return u.Engine.Stop(always, project, withoutBuilder(restarts)) })
	return true, both.Wait()
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
	}, func() error { return nil })
}

// idleStep is a step that waits for builds, and that ends with them named when
// they take too long, or else does what is to be done anyway. All such steps of a
// run have their time together.
func (u *upRun) idleStep(ctx context.Context, wait func(context.Context, func([]smoke.Build)) error, anyway func() error) error {
	return u.step(StepIdle, func(say func(string)) (string, error) {
		start := u.Now()
		if u.idleUntil.IsZero() {
			u.idleUntil = time.Now().Add(u.gentle.limit)
		}
		waiting, cancel := context.WithDeadline(ctx, u.idleUntil)
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
		case u.gentle.anyway, u.gentle.stranger && untrusted(err):
			return "not waited any longer", anyway()
		case len(last) > 0 && errors.Is(waiting.Err(), context.DeadlineExceeded):
			return "", &BusyError{Builds: last, Waited: u.Now().Sub(start)}
		default:
			return "", &IdleError{Err: err}
		}
	})
}

// untrusted reports whether a server's certificate is why it could not be asked, of
// which gRPC keeps the text alone: that of [tls.CertificateVerificationError].
func untrusted(err error) bool {
	return strings.Contains(err.Error(), "tls: failed to verify certificate")
}

// gentle returns how a rotation treats builds.
func (o RotateOptions) gentle() *gentle {
	switch {
	case o.Force:
		return nil
	case o.WaitIdle == 0:
		return &gentle{limit: 10 * time.Minute}
	default:
		return &gentle{limit: o.WaitIdle}
	}
}
