package smoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/certyard/certyard/stack"
)

// How often Ready tries. Connecting to a port that nobody listens on costs
// microseconds, so it can be tried often.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 50 * time.Millisecond
	// alivePause is how long Ready trusts that the daemons still run.
	alivePause = 250 * time.Millisecond
)

// NotReadyError says that a service did not come up, and what the last attempt
// to reach it ended with.
type NotReadyError struct {
	Endpoint stack.Endpoint
	Reason   stack.Reason
	Err      error
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("waiting for %s at %s: %v", e.Endpoint.Service, e.Endpoint.Address(), e.Err)
}

// Unwrap returns the last attempt's error.
func (e *NotReadyError) Unwrap() error { return e.Err }

// Ready waits until the first endpoint of each service has answered over a
// verified connection. It goes on only while nothing answers: an answer that
// time does not change, such as a certificate of another CA, ends it at once.
// It fails with a *NotReadyError then and when ctx ends, and when alive fails,
// with both errors joined. Alive is asked four times a second for each service
// that is waited for, also for two at once, whether the daemons still run.
// Ready is safe for parallel use.
func Ready(ctx context.Context, opt Options, alive func(context.Context) error) error {
	registry, builder := newRegistryProbes(opt), newBuilderProbes(opt)
	both, ctx := errgroup.WithContext(ctx)
	wait := func(endpoints []stack.Endpoint, attempt func(context.Context, stack.Endpoint) error) {
		if len(endpoints) > 0 {
			both.Go(func() error { return waitFor(ctx, endpoints[0], attempt, alive) })
		}
	}
	wait(registry.Endpoints, registry.up)
	wait(builder.Endpoints, builder.up)
	return both.Wait()
}

// waitFor waits for one service.
func waitFor(ctx context.Context, e stack.Endpoint, attempt func(context.Context, stack.Endpoint) error, alive func(context.Context) error) error {
	var missing *NotReadyError
	asked := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := limited(ctx, e, attempt)
		if err == nil {
			return nil
		}
		if missing == nil || ctx.Err() == nil { // else the end of ctx would hide the cause
			missing = &NotReadyError{e, reasonOf(err), err}
		}
		if ctx.Err() != nil || missing.Reason != stack.ReasonUnreachable {
			return missing
		}
		if time.Since(asked) > alivePause {
			if err := alive(ctx); err != nil {
				return errors.Join(err, missing)
			}
			asked = time.Now()
		}
		select {
		case <-ctx.Done():
			return missing
		case <-time.After(pause):
		}
	}
}

func limited(ctx context.Context, e stack.Endpoint, attempt func(context.Context, stack.Endpoint) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	return attempt(ctx, e)
}

// up succeeds when the registry answers, be it with 401.
func (r *registryProbes) up(ctx context.Context, e stack.Endpoint) error {
	client := r.as(e, e.Host, "", "", r.trust)
	defer client.close()
	a, err := client.ping(ctx)
	if err == nil && a.status >= http.StatusInternalServerError {
		// Its storage is not there yet, or what is behind a front.
		err = failing(stack.ReasonUnreachable, "answers %d %s", a.status, http.StatusText(a.status))
	}
	return err
}

// up succeeds when the builder has let a client in.
func (b *builderProbes) up(ctx context.Context, e stack.Endpoint) error {
	_, err := b.greet(ctx, e, e.Host, b.pair())
	return err
}
