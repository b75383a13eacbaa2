package smoke

import (
	"context"
	"errors"
	"io"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
)

// Build is a build that a builder works on.
type Build struct {
	Ref     string    `json:"ref"`
	Started time.Time `json:"started"`
}

// ActiveBuilds asks the builder which builds go on now, through its build
// history (facts, A3). Without an endpoint to ask at it returns an error. It is
// safe for parallel use.
func ActiveBuilds(ctx context.Context, opt Options) ([]Build, error) {
	b := newBuilderProbes(opt)
	if len(b.Endpoints) == 0 {
		return nil, errors.New("the builder is not published, so it cannot be asked")
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	e := b.Endpoints[0]
	client, err := b.connect(ctx, e, e.Host)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	events, err := client.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{ActiveOnly: true, EarlyExit: true})
	if err != nil {
		return nil, err
	}
	var out []Build
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
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

// WaitIdle returns as soon as nobody builds, and else ctx's error. It tells what
// it waits for.
func WaitIdle(ctx context.Context, opt Options, say func([]Build)) error {
	for {
		builds, err := ActiveBuilds(ctx, opt)
		if err != nil || len(builds) == 0 {
			return err
		}
		say(builds)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
