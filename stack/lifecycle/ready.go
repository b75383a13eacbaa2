package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke"
)

// ready waits until both daemons answer over TLS, or one of them has ended.
func (u *upRun) ready(ctx context.Context, options smoke.Options, limit time.Duration) error {
	if limit == 0 {
		limit = time.Minute
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := u.Prover.Ready(waiting, options, func(ctx context.Context) error { return u.alive(ctx, u.draft.spec) })
	var wrong *smoke.NotReadyError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &wrong) && wrong.Reason != stack.ReasonUnreachable:
		// It answers, and wrongly: the proof says in what.
		return nil
	}
	return &NotReadyError{Stack: u.draft.spec.Name, Logs: u.lastWords(ctx), Err: err}
}

// DeadError says that a container ended that should run.
type DeadError struct {
	Container string
	State     string
	ExitCode  int
}

func (e *DeadError) Error() string {
	return fmt.Sprintf("container %s is %s (exit status %d)", e.Container, e.State, e.ExitCode)
}

// alive reports a container of ours that is not running.
func (d Deps) alive(ctx context.Context, spec stack.Spec) error {
	containers, err := d.Engine.Containers(ctx, spec.Name)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if ours := slices.Contains(spec.Serve.Services(), c.Service); ours && (c.State == "exited" || c.State == "dead" || c.State == "restarting") {
			return &DeadError{Container: c.Name, State: c.State, ExitCode: c.ExitCode}
		}
	}
	return nil
}

// justStarted is how long a daemon may take to answer.
const justStarted = 30 * time.Second

// settle waits for daemons that were started just now, as by a run that was killed
// after it: they are not proven to be broken before they had the time to begin. What
// they lack then, the proof says.
func (d Deps) settle(ctx context.Context, p prior) error {
	containers, err := d.Engine.Containers(ctx, p.state.Spec.Name)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(containers, func(c compose.Container) bool { return d.Now().Sub(c.Started) < justStarted }) {
		return nil
	}
	options, err := proofOptions(d.Store, *p.state, p.secrets, d.Now())
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, justStarted)
	defer cancel()
	_ = d.Prover.Ready(waiting, options, func(ctx context.Context) error { return d.alive(ctx, p.state.Spec) })
	return ctx.Err()
}

// lastWords returns the ends of all daemons' logs; nothing when they cannot be
// had, since the caller already has an error to report.
func (u *upRun) lastWords(ctx context.Context) string {
	var out bytes.Buffer
	err := u.Engine.Logs(ctx, u.draft.spec.Name, compose.LogOptions{
		Services: u.draft.spec.Serve.Services(), Tail: "5", Out: &out,
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return ""
	}
	return out.String()
}
