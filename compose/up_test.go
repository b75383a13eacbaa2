package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

func TestIntegrationUpAndDown(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	yaml := func(value string) string {
		return fmt.Sprintf(`services:
  a:
    image: %s
    volumes: ["data:/var/lib/registry"]
  b:
    image: %[1]s
    environment: {VALUE: "%s"}
    volumes: ["data:/var/lib/registry"]
volumes:
  data: {}
`, img, value)
	}
	expect := func(step string, got UpResult, a, b Change) {
		t.Helper()
		if want := map[string]Change{"a": a, "b": b}; !maps.Equal(got.Services, want) {
			t.Errorf("%s: changes are %v, want %v", step, got.Services, want)
		}
	}
	var events []Event
	expect("first up", p.up(yaml("1"), UpOptions{Progress: func(ev Event) { events = append(events, ev) }}), Created, Created)
	for _, want := range []Event{
		{Resource: "network", Name: p.name + "_default", Status: "created", Done: true},
		{Resource: "volume", Name: p.name + "_data", Status: "created", Done: true},
		{Resource: "container", Name: p.name + "-a-1", Service: "a", Status: "started", Done: true},
	} {
		if n := count(events, want); n != 1 {
			t.Errorf("event %+v was seen %d times", want, n)
		}
	}
	before := p.containers()

	expect("second up", p.up(yaml("1"), UpOptions{}), Kept, Kept)
	if after := p.containers(); !maps.EqualFunc(before, after, sameRun) {
		t.Errorf("an up with nothing to do changed containers: %v, then %v", before, after)
	}

	expect("changed b", p.up(yaml("2"), UpOptions{}), Kept, Recreated)
	after := p.containers()
	if !sameRun(before["a"], after["a"]) || before["b"].ID == after["b"].ID {
		t.Error("changing b must recreate b and leave a alone")
	}

	if _, err := e.api.ContainerStop(t.Context(), after["a"].ID, client.ContainerStopOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := p.containers()["a"]; got.State != "exited" {
		t.Errorf("stopped container is %+v", got)
	}
	expect("stopped a", p.up(yaml("2"), UpOptions{}), Started, Kept)
	if got := p.containers()["a"]; got.ID != after["a"].ID || got.State != "running" || !got.Started.After(after["a"].Started) {
		t.Errorf("a is %+v, want the same container, started again", got)
	}
	p.downLeavesNothing()
}

func count(events []Event, want Event) (n int) {
	for _, e := range events {
		if e == want {
			n++
		}
	}
	return n
}

// sameRun says that a container is the same and has not been started again.
func sameRun(a, b Container) bool { return a.ID == b.ID && a.Started.Equal(b.Started) }

func (p *project) containers() map[string]Container {
	p.Helper()
	list, err := p.engine.Containers(p.Context(), p.name)
	if err != nil {
		p.Fatal(err)
	}
	out := map[string]Container{}
	for _, c := range list {
		out[c.Service] = c
	}
	return out
}

// downLeavesNothing takes a project down twice: without its volumes, and with.
func (p *project) downLeavesNothing() {
	p.Helper()
	first, err := p.engine.Down(p.Context(), p.name, DownOptions{})
	if err != nil {
		p.Fatal(err)
	}
	if len(first.Containers) != 2 || len(first.Networks) != 1 || len(first.Volumes) != 0 {
		p.Errorf("down removed %+v, want two containers and a network", first)
	}
	second, err := p.engine.Down(p.Context(), p.name, DownOptions{Volumes: true})
	if err != nil {
		p.Fatal(err)
	}
	if len(second.Volumes) != 1 || len(second.Containers) != 0 {
		p.Errorf("down removed %+v, want the volume", second)
	}
	third, err := p.engine.Down(p.Context(), p.name, DownOptions{Volumes: true})
	if err != nil || len(third.Containers)+len(third.Networks)+len(third.Volumes) != 0 {
		p.Errorf("a third down: %+v, %v", third, err)
	}
	filter := make(client.Filters).Add("label", "com.docker.compose.project="+p.name)
	networks, err := p.engine.api.NetworkList(p.Context(), client.NetworkListOptions{Filters: filter})
	if err != nil {
		p.Fatal(err)
	}
	volumes, err := p.engine.api.VolumeList(p.Context(), client.VolumeListOptions{Filters: filter})
	if err != nil {
		p.Fatal(err)
	}
	if n := len(p.containers()) + len(networks.Items) + len(volumes.Items); n != 0 {
		p.Errorf("%d things are left", n)
	}
}

// Down removes containers of services that the file no longer has, and those of
// `docker compose run`.
func TestIntegrationDownRemovesOrphans(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	service := func(name string) string { return "services: {" + name + ": {image: '" + img + "'}}\n" }
	p.up(service("old"), UpOptions{})
	if got := p.up(service("new"), UpOptions{}); !maps.Equal(got.Services, map[string]Change{"new": Created}) {
		t.Errorf("changes are %v, want new alone", got.Services)
	}
	run, err := e.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name: p.name + "-run", Config: &container.Config{Image: img, Labels: map[string]string{
			api.ProjectLabel: p.name, api.ServiceLabel: "new", api.OneoffLabel: "True", api.ConfigHashLabel: "x",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.removeHelper(context.Background(), run.ID) }) // if Down does not
	result, err := e.Down(t.Context(), p.name, DownOptions{Volumes: true})
	if err != nil || len(result.Containers) != 3 {
		t.Errorf("down removed %v, %v; want both services and the run", result.Containers, err)
	}
	left, err := e.api.ContainerList(t.Context(), client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", api.ProjectLabel+"="+p.name)})
	if err != nil || len(left.Items) != 0 {
		t.Errorf("%d containers are left (%v)", len(left.Items), err)
	}
}

// Down with volumes removes what a run has left that was killed while it handed a
// volume over, and says what is left because somebody else uses it.
func TestIntegrationDownInUse(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	p.up("services: {a: {image: '"+img+"', volumes: ['data:/srv']}}\nvolumes: {data: {}}\n", UpOptions{})
	of, err := e.api.ContainerInspect(t.Context(), p.containers()["a"].ID, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.helper(t.Context(), of.Container, "/srv"); err != nil {
		t.Fatal(err)
	}
	foreign, err := e.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name: p.name + "-foreign", Config: &container.Config{Image: img}, HostConfig: &container.HostConfig{Binds: []string{p.name + "_data:/srv"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.removeHelper(context.Background(), foreign.ID) }) // if the test fails before
	_, err = e.Down(t.Context(), p.name, DownOptions{Volumes: true})
	if left, ok := errors.AsType[*LeftError](err); !ok || !slices.Equal(left.Left, []string{"volume " + p.name + "_data"}) {
		t.Errorf("with a volume in use: %v", err)
	}
	e.removeHelper(t.Context(), foreign.ID)
	if result, err := e.Down(t.Context(), p.name, DownOptions{Volumes: true}); err != nil || !slices.Equal(result.Volumes, []string{p.name + "_data"}) {
		t.Errorf("then: %+v, %v", result, err)
	}
	if left, err := e.Remains(t.Context(), p.name); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What an engine refuses has a type, and names the service.
func TestIntegrationUpErrors(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	holder := newProject(t, e)
	holder.up(fmt.Sprintf("services:\n  a:\n    image: %s\n    container_name: %s-fixed\n    ports: ['127.0.0.1::5000']\n", img, holder.name), UpOptions{})
	held := "127.0.0.1:" + strconv.Itoa(holder.containers()["a"].Ports[0].HostPort)

	for name, tt := range map[string]struct{ service, want string }{
		"port of a process":   {"ports: ['" + taken + ":5000']", "*compose.PortError a " + taken + " "},
		"port of a container": {"ports: ['" + held + ":5000']", "*compose.PortError a " + held + " " + holder.name + "-fixed"},
		"name":                {"container_name: " + holder.name + "-fixed", "*compose.NameError " + holder.name + "-fixed"},
		"mount": {"volumes: [{type: bind, source: /no/such/dir, target: /x, bind: {create_host_path: false}}]",
			"*compose.MountError a /no/such/dir"},
		"image":  {"image: certyard.invalid/none:1\n    pull_policy: never", "no such image: certyard.invalid/none:1"},
		"pulled": {"image: certyard.invalid/none:1", "*compose.PullError certyard.invalid/none:1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, e)
			service := "image: " + img + "\n    " + tt.service
			if strings.HasPrefix(tt.service, "image:") {
				service = tt.service
			}
			_, err := e.Up(t.Context(), p.load("services:\n  a:\n    "+service+"\n  z:\n    image: "+img+"\n"), UpOptions{})
			if got := describeError(errors.Unwrap(err)); got != tt.want {
				t.Errorf("Up = %s, want %s", got, tt.want)
			}
		})
	}
}

// An engine with all capabilities runs a privileged container, others refuse
// with a PrivilegeError; nothing else may come out.
func TestIntegrationUpPrivileged(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	_, err := e.Up(t.Context(), p.load("services:\n  a:\n    image: "+img+"\n    privileged: true\n"), UpOptions{})
	var refused *PrivilegeError
	switch {
	case errors.As(err, &refused) && refused.Service == "a":
	case err == nil && p.containers()["a"].State == "running":
	default:
		t.Errorf("Up = %v, want a running container or a PrivilegeError of a", err)
	}
}

// An interrupted Up says so, and nothing else.
func TestIntegrationUpInterrupted(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	loaded := p.load("services: {a: {image: '" + img + "'}}\n")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := e.Up(ctx, loaded, UpOptions{Progress: func(ev Event) {
		if ev.Status == "creating" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Up = %v, want context.Canceled", err)
	}
	if got, err := e.Up(t.Context(), loaded, UpOptions{}); err != nil || p.containers()["a"].State != "running" {
		t.Errorf("the next Up = %v, %v", got, err)
	}
}
