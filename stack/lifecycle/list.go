package lifecycle

import (
	"context"
	"slices"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

// Listed is one stack on an engine, whoever made it. What is only in the state
// directory is left out where that is not here, or not readable.
type Listed struct {
	Stack   string    `json:"stack"`
	Dir     string    `json:"dir"`
	Created time.Time `json:"created"`         // of its oldest container
	Owner   string    `json:"owner,omitempty"` // of an ephemeral one
	// Running and Containers count its containers, those of services that an
	// override adds included only where they have certyard's label.
	Running    int `json:"running"`
	Containers int `json:"containers"`
	// Ports are the published addresses, ip:port, by service, while it runs.
	Ports map[string][]string `json:"ports"`
	// Expires is when the first of its certificates does; zero: not known.
	Expires time.Time `json:"expires,omitzero"`
	// Abandoned is that the process of an ephemeral stack has ended.
	Abandoned bool `json:"abandoned,omitempty"`
}

// List returns all stacks on an engine, by name. open returns the store of a state
// directory.
func List(containers []compose.Container, open func(dir string) Store) []Listed {
	var out []Listed
	for _, c := range containers {
		i := slices.IndexFunc(out, func(l Listed) bool { return l.Stack == c.Project })
		if i < 0 {
			i = len(out)
			out = append(out, Listed{Stack: c.Project, Dir: c.WorkingDir, Created: c.Created, Owner: c.Labels[render.OwnerLabel],
				Ports: map[string][]string{}, Expires: expires(open(c.WorkingDir))})
		}
		l := &out[i]
		l.Containers++
		if c.State == "running" {
			l.Running++
		}
		if c.Created.Before(l.Created) {
			l.Created = c.Created
		}
		for _, p := range c.Ports {
			service := stack.Registry
			if p.ContainerPort == stack.BuilderPort {
				service = stack.Builder
			}
			l.Ports[service] = append(l.Ports[service], stack.Endpoint{Host: p.HostIP, Port: p.HostPort}.Address())
		}
	}
	return out
}

// Lister is an engine that is asked for all stacks.
type Lister interface {
	Labelled(ctx context.Context, label string) ([]compose.Container, error)
}

// Stacks returns all stacks on an engine.
func Stacks(ctx context.Context, engine Lister, open func(dir string) Store) ([]Listed, error) {
	containers, err := engine.Labelled(ctx, render.MaterialLabel)
	if err != nil {
		return nil, err
	}
	return List(containers, open), nil
}

// expires returns when the first certificate of a stack does; zero when that cannot
// be known.
func expires(store Store) time.Time {
	var first time.Time
	data, err := store.Read(stack.FileState)
	if err != nil || data == nil {
		return first
	}
	s, err := stack.ParseState(data)
	if err != nil {
		return first
	}
	for _, name := range append(stack.CAs(), stack.Leaves(s.Clients)...) {
		data, err := store.Read(s.Spec.Serve.PairOf(name).Cert)
		if err != nil || data == nil {
			continue
		}
		bundle, err := pki.ParseTrustBundle(data)
		if err != nil {
			continue
		}
		for _, cert := range bundle.Certs() {
			if first.IsZero() || cert.NotAfter.Before(first) {
				first = cert.NotAfter.UTC()
			}
		}
	}
	return first
}
