package compose

import (
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// startProject starts the containers that do not run. Where a network has come to
// be there twice meanwhile, that is mended once.
func (e *Engine) startProject(ctx context.Context, engine api.Compose, p *types.Project, list []Container, b *bus) error {
	start := func() error {
		if err := e.startPlain(ctx, p, list, b); err != nil {
			return err
		}
		return engine.Start(ctx, p.Name, api.StartOptions{Project: p})
	}
	err := start()
	if err == nil || !ambiguous(err) {
		return err
	}
	if err := e.oneNetworkEach(ctx, p.Name); err != nil {
		return err
	}
	return start()
}

// startPlain starts, side by side, the containers that only have to be started.
// The SDK starts one after the other (startMx in its service_containers.go), and
// that is time without service when a daemon is replaced. One that runs already is
// no error.
func (e *Engine) startPlain(ctx context.Context, p *types.Project, list []Container, b *bus) error {
	var g errgroup.Group // one that fails does not break off another one's start
	for _, c := range list {
		if s, ok := p.Services[c.Service]; !ok || !plain(s) || c.State == "running" {
			continue
		}
		g.Go(func() error {
			event := Event{Service: c.Service, Resource: "container", Name: c.Name, Status: "starting"}
			b.emit(event)
			if _, err := e.api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
				return fmt.Errorf("starting container %s: %w", c.Name, err)
			}
			event.Status, event.Done = "started", true
			b.emit(event)
			return nil
		})
	}
	return g.Wait()
}

// plain reports whether starting the containers of a service takes one request:
// it waits for no other service (Load makes a dependency of a shared network, too),
// and nothing is done before or after it.
func plain(s types.ServiceConfig) bool {
	return len(s.GetDependencies())+len(s.PreStart)+len(s.PostStart)+len(s.Secrets)+len(s.Configs) == 0
}
