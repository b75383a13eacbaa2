package smoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
)

// Build is a build that a builder works on.
type Build struct {
	Ref     string    `json:"ref"`
	Started time.Time `json:"started"`
}

// Idle is a builder at which nobody builds, and that is watched. The zero value
// is one at which nobody ever does.
type Idle struct {
	happened <-chan struct{}
	failed   <-chan error
	end      func()
}

// Still waits, and reports whether no build has begun or ended since nobody
// built. It returns false as soon as it knows, and when the builder cannot be
// heard any more.
func (i *Idle) Still(wait time.Duration) bool {
	select {
	case <-i.happened:
		return false
	case <-i.failed:
		return false
	case <-time.After(wait):
		return true
	}
}

// Close ends the watch.
func (i *Idle) Close() {
	if i.end != nil {
		i.end()
	}
}

// WatchIdle returns as soon as nobody builds, and the error of ctx when that ends
// first. While it waits, say is told of the builds that go on, again whenever they
// are others; nil is told nothing. Builds that the history does not list, as those
// of a proof, do not count. The caller closes what is returned; ctx may end before.
// It is safe for parallel use.
func WatchIdle(ctx context.Context, opt Options, say func([]Build)) (*Idle, error) {
	builder, err := connectFirst(ctx, opt)
	if err != nil {
		return nil, endOr(ctx, err)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	// Until it is known that nobody builds, the end of ctx ends it all.
	detach := context.AfterFunc(ctx, stop)
	idle := &Idle{end: func() { stop(); builder.Close() }}
	idle.happened, idle.failed, err = waitIdle(watching, builder, say)
	if !detach() || err != nil {
		idle.Close()
		return nil, endOr(ctx, cmp.Or(err, ctx.Err()))
	}
	return idle, nil
}

// endOr prefers that ctx has ended to what failed because of it.
func endOr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// lookAgain bounds how long an event that did not come is waited for.
const lookAgain = 250 * time.Millisecond

// waitIdle asks at every event, and returns what tells of the next one. The events
// alone would not do: the history sends each from a goroutine of its own
// (pubsub.Send), so that a build's start can come after an end that is later, and
// nothing says what goes on when it listens.
func waitIdle(ctx context.Context, builder *client.Client, say func([]Build)) (<-chan struct{}, <-chan error, error) {
	happened, failed, err := buildEvents(ctx, builder)
	if err != nil {
		return nil, nil, err
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	var told []Build
	for {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case err := <-failed:
			return nil, nil, err
		case <-happened:
		case <-tick.C:
		}
		builds, err := activeBuilds(ctx, builder)
		if err != nil || len(builds) == 0 {
			return happened, failed, err
		}
		if say != nil && !slices.Equal(told, builds) {
			say(builds)
			told = builds
		}
	}
}

// buildEvents tells when a build begins or ends, until ctx does, and once at its
// start. Several events may be told as one.
func buildEvents(ctx context.Context, builder *client.Client) (happened <-chan struct{}, failed <-chan error, err error) {
	// ActiveOnly leaves out what had ended before. Every end after that is told.
	events, err := builder.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{ActiveOnly: true})
	if err != nil {
		return nil, nil, err
	}
	// The header comes before the first event, and just before the builder
	// begins to listen.
	if _, err := events.Header(); err != nil {
		return nil, nil, err
	}
	signal, end := make(chan struct{}, 1), make(chan error, 1)
	signal <- struct{}{}
	go func() {
		for {
			if _, err := events.Recv(); err != nil {
				end <- fmt.Errorf("listening for builds: %w", err)
				return
			}
			select {
			case signal <- struct{}{}:
			default:
			}
		}
	}()
	return signal, end, nil
}

// connectFirst returns a client of the builder at its first endpoint.
func connectFirst(ctx context.Context, opt Options) (*client.Client, error) {
	b := newBuilderProbes(opt)
	if len(b.Endpoints) == 0 {
		return nil, errors.New("the builder is not published, so it cannot be asked")
	}
	e := b.Endpoints[0]
	return b.connect(ctx, e, e.Host)
}

// activeBuilds asks the builder which builds go on now, through its build history
// (facts, A3).
func activeBuilds(ctx context.Context, builder *client.Client) ([]Build, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	events, err := builder.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{ActiveOnly: true, EarlyExit: true})
	if err != nil {
		return nil, err
	}
	var out []Build
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			slices.SortFunc(out, func(a, b Build) int { return a.Started.Compare(b.Started) })
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if r := event.Record; r != nil && r.CompletedAt == nil {
			out = append(out, Build{Ref: r.Ref, Started: r.CreatedAt.AsTime()})
		}
	}
}
