package compose

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"
)

// Change says what Up did to a service.
type Change string

// The changes. A service whose container ran before Up and is the same one is
// kept, which is what a second Up of an unchanged project does.
const (
	Kept      Change = "kept"
	Started   Change = "started"   // the same container, which had stopped
	Created   Change = "created"   // there was none
	Recreated Change = "recreated" // another one, since its definition or image changed
)

// UpOptions are the optional parts of Up.
type UpOptions struct {
	// Progress is called for each event, from one goroutine at a time.
	Progress func(Event)
	// Volumes to hand over to the uid that a service runs as.
	Volumes []VolumeOwner
	// Remove names services that the project no longer has, and whose
	// containers are in the way of those that it has.
	Remove []string
}

// UpResult says what Up did.
type UpResult struct {
	Services map[string]Change
}

// Up makes the engine run what the project says: it creates what is missing,
// recreates containers whose definition or image changed, leaves the rest alone
// and starts what does not run. It returns as soon as the containers run, not
// when their programs answer. When it fails, what was made stays, and the next
// Up continues from there.
//
// Errors wrap *[ForeignProjectError], *[PortError], *[PrivilegeError],
// *[MountError], *[NameError], *[PullError] or [ErrNoImage] where the cause is
// one of those.
func (e *Engine) Up(ctx context.Context, p *types.Project, o UpOptions) (UpResult, error) {
	before, err := e.list(ctx, p.Name)
	if err != nil {
		return UpResult{}, err
	}
	if err := foreign(before, p.Name, p.WorkingDir); err != nil {
		return UpResult{}, err
	}
	b := newBus(containerNames(p, before), o.Progress)
	engine, err := e.compose(b)
	if err != nil {
		return UpResult{}, err
	}
	if err := e.oneNetworkEach(ctx, p.Name); err != nil {
		return UpResult{}, err
	}
	handed, err := e.handedOver(ctx, o.Volumes, before)
	if err != nil {
		return UpResult{}, err
	}
	// Left by a process that was killed: nobody can start a frozen container.
	for _, c := range before {
		if c.State == "paused" {
			if err := e.Thaw(ctx, p.Name, c.Service); err != nil {
				return UpResult{}, err
			}
		}
	}
	err = engine.Create(ctx, p, api.CreateOptions{
		IgnoreOrphans: true, Inherit: true,
		Recreate: api.RecreateDiverged, RecreateDependencies: api.RecreateDiverged,
	})
	if err != nil {
		return UpResult{}, e.explain(ctx, "creating", p, b, err)
	}
	if err := e.removeServices(ctx, before, o.Remove); err != nil {
		return UpResult{}, err
	}
	after, err := e.list(ctx, p.Name)
	if err != nil {
		return UpResult{}, err
	}
	result := UpResult{Services: changes(p, before, after)}
	if err := e.ownVolumes(ctx, o.Volumes, after, handed); err != nil {
		return result, err
	}
	if !slices.ContainsFunc(after, func(c Container) bool { return c.State != "running" }) {
		return result, nil
	}
	if err := e.startProject(ctx, engine, p, after, b); err != nil {
		return result, e.explain(ctx, "starting", p, b, err)
	}
	return result, nil
}

// removeServices removes the containers of services.
func (e *Engine) removeServices(ctx context.Context, have []Container, services []string) error {
	for _, c := range have {
		if !slices.Contains(services, c.Service) {
			continue
		}
		if _, err := e.api.ContainerStop(ctx, c.ID, client.ContainerStopOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("stopping container %s: %w", c.Name, err)
		}
		if _, err := e.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("removing container %s: %w", c.Name, err)
		}
	}
	return nil
}

// changes compares the containers of each service before and after they were
// created, and before they were started.
func changes(p *types.Project, before, after []Container) map[string]Change {
	old := map[string]Container{}
	for _, c := range before {
		old[c.ID] = c
	}
	had := func(service string) bool {
		return slices.ContainsFunc(before, func(c Container) bool { return c.Service == service })
	}
	out := map[string]Change{}
	for _, c := range after {
		if _, ok := p.Services[c.Service]; !ok {
			continue // an orphan, which Up leaves alone
		}
		was, same := old[c.ID]
		switch {
		case same && was.State == "running":
			out[c.Service] = Kept
		case same:
			out[c.Service] = Started
		case had(c.Service):
			out[c.Service] = Recreated
		default:
			out[c.Service] = Created
		}
	}
	return out
}

// explain finds out what an error is about and gives it its type.
func (e *Engine) explain(ctx context.Context, doing string, p *types.Project, b *bus, err error) error {
	if ctx.Err() == nil {
		f := failure{service: e.culprit(ctx, p, err), image: b.failedImage()}
		s, ok := p.Services[f.service]
		f.asks = ok && asks(s)
		f.holder = func(address string) string {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return ""
			}
			name, _ := e.holder(ctx, at)
			return name
		}
		err = classify(err, f)
	}
	return fmt.Errorf("%s the containers of %q: %w", doing, p.Name, err)
}

// culprit returns the service that an error is about, or "". For a container
// that could not be started the engine remembers the error. For one that could
// not be made, the project has to tell: by the mount that the error names, or
// because one service alone asks for privileges.
func (e *Engine) culprit(ctx context.Context, p *types.Project, cause error) string {
	containers, err := e.Containers(ctx, p.Name)
	if err != nil {
		return "" // the cause itself is worth more than why it has no name
	}
	text := cause.Error()
	for _, c := range containers {
		if c.Error != "" && strings.Contains(text, c.Error) {
			return c.Service
		}
	}
	var asking []string
	for _, s := range p.Services {
		if slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Type == types.VolumeTypeBind && strings.HasSuffix(text, "path does not exist: "+v.Source)
		}) {
			return s.Name
		}
		if asks(s) {
			asking = append(asking, s.Name)
		}
	}
	if len(asking) == 1 {
		return asking[0]
	}
	return ""
}

// asks reports whether a service asks for more than an engine gives unasked.
func asks(s types.ServiceConfig) bool {
	return s.Privileged || len(s.CapAdd) > 0 || len(s.SecurityOpt) > 0
}

// DownOptions are the optional parts of Down.
type DownOptions struct {
	// Volumes says to delete the project's volumes, named and anonymous. The
	// containers are killed then, and not asked to stop.
	Volumes bool
	// Progress is called for each event, from one goroutine at a time.
	Progress func(Event)
}

// DownResult names what Down removed.
type DownResult struct {
	Containers, Networks, Volumes []string
}

// Down stops and removes the containers and networks of a project, those of
// services that its files no longer name too. It goes by the labels alone, so
// no file has to be there, and removing nothing is no error. Other projects'
// directories are not looked at: see Foreign. With Volumes, what is left because
// somebody else uses it is a *[LeftError].
func (e *Engine) Down(ctx context.Context, project string, o DownOptions) (DownResult, error) {
	before, err := e.list(ctx, project)
	if err != nil {
		return DownResult{}, err
	}
	var result DownResult
	b := newBus(containerNames(nil, before), func(ev Event) {
		if ev.Done && ev.Status == "removed" {
			result.add(ev)
		}
		if o.Progress != nil {
			o.Progress(ev)
		}
	})
	engine, err := e.compose(b)
	if err != nil {
		return DownResult{}, err
	}
	down := api.DownOptions{RemoveOrphans: true, Volumes: o.Volumes}
	if o.Volumes {
		// Nobody needs what a daemon would still write. And one that was started
		// this moment would not hear the stop signal: the kernel drops it for a
		// process 1 that has not said yet what to do about it.
		down.Timeout = new(time.Duration)
	}
	err = engine.Down(ctx, project, down)
	slices.Sort(result.Containers)
	slices.Sort(result.Networks)
	slices.Sort(result.Volumes)
	if err != nil || !o.Volumes {
		return result, removing(project, err)
	}
	// For the SDK what is in use is no error.
	left, err := e.Remains(ctx, project)
	if err == nil && len(left) > 0 {
		err = &LeftError{Project: project, Left: left}
	}
	return result, removing(project, err)
}

func removing(project string, err error) error {
	if err != nil {
		err = fmt.Errorf("removing the project %q: %w", project, err)
	}
	return err
}

func (r *DownResult) add(e Event) {
	switch e.Resource {
	case "container":
		r.Containers = append(r.Containers, e.Name)
	case "network":
		r.Networks = append(r.Networks, e.Name)
	case "volume":
		r.Volumes = append(r.Volumes, e.Name)
	}
}
