package compose

import (
	"context"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
)

// Event is one step of progress.
type Event struct {
	Service  string // empty for what belongs to no one service
	Resource string // container, network, volume or image
	Name     string // of the resource
	Status   string // as creating, created, recreated, starting, started, running, pulling, loaded
	Percent  int    // 0 when there is no measure
	Done     bool   // nothing more is coming for this resource in this phase
	Err      string // why it failed
}

// bus turns the SDK's events into ours and calls the observer from one
// goroutine at a time, whatever the SDK does.
type bus struct {
	services map[string]string // container name -> service
	observe  func(Event)

	mu    sync.Mutex
	last  map[string]Event // by kind and name
	image string           // the first one that failed
}

// newBus returns a bus for progress, which may be nil.
func newBus(services map[string]string, progress func(Event)) *bus {
	if progress == nil {
		progress = func(Event) {}
	}
	return &bus{services: services, observe: progress, last: map[string]Event{}}
}

func (b *bus) emit(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := e.Resource + " " + e.Name
	if b.last[key] == e {
		return // the SDK says some things twice
	}
	b.last[key] = e
	if e.Err != "" && e.Resource == "image" && b.image == "" {
		b.image = e.Name
	}
	b.observe(e)
}

// failedImage returns the first image that could not be pulled, or "".
func (b *bus) failedImage() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.image
}

// Start and Done frame an operation of the SDK. Our caller knows when it calls.
func (b *bus) Start(context.Context, string) {}

// Done is part of api.EventProcessor.
func (b *bus) Done(string, bool) {}

// On receives the SDK's events.
func (b *bus) On(events ...api.Resource) {
	for _, r := range events {
		// "Container demo-registry-1", "Image registry:3". What has no kind is
		// a layer, which its image sums up.
		kind, name, ok := strings.Cut(r.ID, " ")
		if !ok {
			continue
		}
		e := Event{
			Resource: strings.ToLower(kind), Name: name, Service: b.services[name],
			Status: strings.ToLower(r.Text), Percent: r.Percent, Done: r.Status == api.Done,
		}
		if r.Status == api.Error {
			e.Status, e.Err = "error", r.Text+" "+r.Details
			e.Err = strings.TrimSpace(strings.TrimPrefix(e.Err, api.StatusError))
		}
		b.emit(e)
	}
}

// containerNames maps the names that a project's containers have or will get to
// their services.
func containerNames(p *types.Project, have []Container) map[string]string {
	names := map[string]string{}
	for _, c := range have {
		names[c.Name] = c.Service
	}
	if p == nil {
		return names
	}
	for _, s := range p.Services {
		names[p.Name+api.Separator+s.Name+api.Separator+"1"] = s.Name
		names[s.Image] = s.Name
		if s.ContainerName != "" {
			names[s.ContainerName] = s.Name
		}
	}
	return names
}
