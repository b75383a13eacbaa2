package compose

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// Port is a published port.
type Port struct {
	HostIP        string // "0.0.0.0" or "::" for every address
	HostPort      int
	ContainerPort int
}

// Container is one container of a project.
type Container struct {
	ID, Name, Service string
	Project           string
	Image             string    // as the container was created with
	ImageID           string    // of what it was created from
	State             string    // created, running, paused, restarting, removing, exited or dead
	Health            string    // healthy, unhealthy or starting; empty without a health check
	ExitCode          int       // of the last run, when it is not running
	Error             string    // why the engine could not start it
	Created           time.Time // whole seconds
	Started           time.Time // of the last run; zero when it never ran
	Ports             []Port    // while it runs
	WorkingDir        string    // the project directory that it was started from
	Labels            map[string]string
	Restarts          int     // how often the engine has started it again because it had ended
	PID               int     // of its first process, as the engine's machine counts; 0 while it does not run
	User              string  // what it runs as, as "65532:65532"; "" is root
	Mounts            []Mount // by target
}

// Mount is a directory, file or volume that a container sees.
type Mount struct {
	Type           string // bind, volume or tmpfs
	Source, Target string // Source is on the engine's machine
	ReadOnly       bool
}

// Containers returns the containers of a project in any state, by service and
// name. One-off containers of `docker compose run` are left out.
func (e *Engine) Containers(ctx context.Context, project string) ([]Container, error) {
	list, err := e.list(ctx, project)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range list {
		g.Go(func() error { return e.inspect(ctx, &list[i]) })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("inspecting the containers of %q: %w", project, err)
	}
	return slices.DeleteFunc(list, func(c Container) bool { return c.ID == "" }), nil
}

// Labelled returns the containers of all projects that have a label, in any state,
// by project, service and name. What needs a request for each of them is left out:
// Health, ExitCode, Error, Started, Restarts, PID,
// User and Mounts.
func (e *Engine) Labelled(ctx context.Context, label string) ([]Container, error) {
	out, err := e.listBy(ctx, label)
	if err != nil {
		return nil, fmt.Errorf("listing the containers with label %s: %w", label, err)
	}
	return out, nil
}

// list is Containers without what needs one more request for each container.
func (e *Engine) list(ctx context.Context, project string) ([]Container, error) {
	out, err := e.listBy(ctx, api.ProjectLabel+"="+strings.ToLower(project))
	if err != nil {
		return nil, fmt.Errorf("listing the containers of %q: %w", project, err)
	}
	return out, nil
}

func (e *Engine) listBy(ctx context.Context, label string) ([]Container, error) {
	result, err := e.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", label, api.OneoffLabel+"=False"),
	})
	if err != nil {
		return nil, err
	}
	out := make([]Container, len(result.Items))
	for i, s := range result.Items {
		out[i] = summary(s)
	}
	slices.SortFunc(out, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

func summary(s container.Summary) Container {
	c := Container{
		ID: s.ID, Name: containerName(s), Image: s.Image, ImageID: s.ImageID, State: string(s.State), Labels: s.Labels,
		Project: s.Labels[api.ProjectLabel], Service: s.Labels[api.ServiceLabel], WorkingDir: s.Labels[api.WorkingDirLabel],
		Created: time.Unix(s.Created, 0),
	}
	for _, p := range s.Ports {
		if p.PublicPort != 0 {
			c.Ports = append(c.Ports, Port{HostIP: p.IP.String(), HostPort: int(p.PublicPort), ContainerPort: int(p.PrivatePort)})
		}
	}
	slices.SortFunc(c.Ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.HostIP, b.HostIP))
	})
	return c
}

// containerName returns the name without the slash that the API puts before it.
// Links add names with more than one.
func containerName(s container.Summary) string {
	for _, name := range s.Names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			return name
		}
	}
	return s.ID
}

// inspect completes what list has found. One that is gone by now, as when a process
// was killed while the engine removed it, loses its ID.
func (e *Engine) inspect(ctx context.Context, c *Container) error {
	result, err := e.api.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		c.ID = ""
		return nil
	}
	if err != nil {
		return err
	}
	state := result.Container.State
	c.PID, c.Restarts = state.Pid, result.Container.RestartCount
	if result.Container.Config != nil {
		c.User = result.Container.Config.User
	}
	c.Mounts = mounts(result.Container.Mounts)
	c.State, c.ExitCode, c.Error = string(state.Status), state.ExitCode, state.Error
	if state.Health != nil && state.Health.Status != container.NoHealthcheck {
		c.Health = string(state.Health.Status)
	}
	// The year 1 stands for a container that never ran.
	if t, err := time.Parse(time.RFC3339Nano, state.StartedAt); err == nil && t.Year() > 1 {
		c.Started = t
	}
	return nil
}

func mounts(points []container.MountPoint) []Mount {
	var out []Mount
	for _, m := range points {
		out = append(out, Mount{Type: string(m.Type), Source: m.Source, Target: m.Destination, ReadOnly: !m.RW})
	}
	slices.SortFunc(out, func(a, b Mount) int { return cmp.Compare(a.Target, b.Target) })
	return out
}

// Stop stops the containers of services, all at the same time, as the engine does
// it: with the stop signal, and after the time that the container was given,
// with SIGKILL. One that does not run is no error.
func (e *Engine) Stop(ctx context.Context, project string, services []string) error {
	list, err := e.list(ctx, project)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range list {
		if !slices.Contains(services, c.Service) || c.State != "running" {
			continue
		}
		g.Go(func() error {
			_, err := e.api.ContainerStop(ctx, c.ID, client.ContainerStopOptions{})
			if err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("stopping container %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Restart stops the containers of services, as Stop does, and starts them again, all
// at the same time. One that does not run is started.
func (e *Engine) Restart(ctx context.Context, project string, services []string) error {
	list, err := e.list(ctx, project)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range list {
		if !slices.Contains(services, c.Service) {
			continue
		}
		g.Go(func() error {
			if _, err := e.api.ContainerRestart(ctx, c.ID, client.ContainerRestartOptions{}); err != nil {
				return fmt.Errorf("restarting container %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Freeze stops every process of a service's running containers where it is, and
// Thaw has them go on. What they were sent meanwhile waits.
func (e *Engine) Freeze(ctx context.Context, project, service string) error {
	return e.each(ctx, project, service, "running", "freezing", func(id string) error {
		_, err := e.api.ContainerPause(ctx, id, client.ContainerPauseOptions{})
		return err
	})
}

// Thaw is the end of Freeze.
func (e *Engine) Thaw(ctx context.Context, project, service string) error {
	return e.each(ctx, project, service, "paused", "unfreezing", func(id string) error {
		_, err := e.api.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
		return err
	})
}

// KillFrozen ends a service's frozen containers. They do nothing any more before
// they end: the engine has the kernel kill them, and lets them go on for that.
func (e *Engine) KillFrozen(ctx context.Context, project, service string) error {
	return e.each(ctx, project, service, "paused", "killing", func(id string) error {
		if _, err := e.api.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
			return err
		}
		wait := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		select {
		case err := <-wait.Error:
			return err
		case <-wait.Result:
			return nil
		}
	})
}

// each does something to the containers of a service that are in a state.
func (e *Engine) each(ctx context.Context, project, service, state, doing string, do func(id string) error) error {
	list, err := e.list(ctx, project)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Service != service || c.State != state {
			continue
		}
		if err := do(c.ID); err != nil {
			return fmt.Errorf("%s container %s: %w", doing, c.Name, err)
		}
	}
	return nil
}

// Foreign returns a *[ForeignProjectError] when containers of the project were
// started from another project directory than dir, and nil when there are none
// or they are dir's. Up asks by itself; ask before Down.
func (e *Engine) Foreign(ctx context.Context, project, dir string) error {
	list, err := e.list(ctx, project)
	if err != nil {
		return err
	}
	return foreign(list, project, dir)
}

func foreign(list []Container, project, dir string) error {
	for _, c := range list {
		if !sameDir(c.WorkingDir, dir) {
			return &ForeignProjectError{Name: project, Dir: c.WorkingDir}
		}
	}
	return nil
}

// sameDir reports whether two paths name one directory: by their text, or
// because both exist and a link leads from one to the other.
func sameDir(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}

// Holder returns the name of the running container that publishes a port of
// the host. It is best effort, for messages: an engine that cannot say counts
// as no container.
func (e *Engine) Holder(ctx context.Context, port int) (name string, ok bool) {
	return e.holder(ctx, netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)))
}

// holder is Holder for one address; an unspecified one stands for all.
func (e *Engine) holder(ctx context.Context, at netip.AddrPort) (name string, ok bool) {
	result, err := e.api.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return "", false
	}
	for _, s := range result.Items {
		for _, p := range s.Ports {
			any := at.Addr().IsUnspecified() || p.IP.IsUnspecified() || !p.IP.IsValid()
			if p.PublicPort == at.Port() && (any || p.IP == at.Addr()) {
				return containerName(s), true
			}
		}
	}
	return "", false
}
