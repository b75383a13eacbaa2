package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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

// Down removes containers of services that the file no longer has.
func TestIntegrationDownRemovesOrphans(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	service := func(name string) string { return "services: {" + name + ": {image: '" + img + "'}}\n" }
	p.up(service("old"), UpOptions{})
	if got := p.up(service("new"), UpOptions{}); !maps.Equal(got.Services, map[string]Change{"new": Created}) {
		t.Errorf("changes are %v, want new alone", got.Services)
	}
	result, err := e.Down(t.Context(), p.name, DownOptions{Volumes: true})
	if err != nil || len(result.Containers) != 2 {
		t.Errorf("down removed %v, %v; want both containers", result.Containers, err)
	}
}

func TestIntegrationContainers(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	p.up(fmt.Sprintf("services:\n  a:\n    image: %s\n    ports: ['127.0.0.1::5000']\n", img), UpOptions{})
	c := p.containers()["a"]
	if c.Name != p.name+"-a-1" || c.Image != img || c.State != "running" || c.WorkingDir != p.dir || c.Started.IsZero() {
		t.Errorf("container is %+v", c)
	}
	if len(c.Ports) != 1 || c.Ports[0].HostIP != "127.0.0.1" || c.Ports[0].ContainerPort != 5000 || c.Ports[0].HostPort == 0 {
		t.Fatalf("ports are %+v", c.Ports)
	}
	if name, ok := e.Holder(t.Context(), c.Ports[0].HostPort); !ok || name != c.Name {
		t.Errorf("Holder = %q, %v, want %s", name, ok, c.Name)
	}
	if name, ok := e.Holder(t.Context(), 1); ok {
		t.Errorf("Holder of port 1 = %q", name)
	}
}

func TestIntegrationUpRefusesAForeignProject(t *testing.T) {
	e := dockerEngine(t)
	yaml := "services: {a: {image: '" + idleImage(t, e) + "'}}\n"
	p := newProject(t, e)
	p.up(yaml, UpOptions{})

	other := &project{TB: t, engine: e, name: p.name, dir: t.TempDir()}
	_, err := e.Up(t.Context(), other.load(yaml), UpOptions{})
	var foreign *ForeignProjectError
	if !errors.As(err, &foreign) || foreign.Name != p.name || foreign.Dir != p.dir {
		t.Errorf("Up from another directory = %v, want a ForeignProjectError for %s", err, p.dir)
	}
	if err := e.Foreign(t.Context(), p.name, other.dir); !errors.As(err, &foreign) {
		t.Errorf("Foreign = %v", err)
	}
	if err := e.Foreign(t.Context(), unique(), other.dir); err != nil {
		t.Errorf("Foreign of a project that is not there = %v", err)
	}
	// The same directory by another name is not foreign.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(p.dir, link); err != nil {
		t.Fatal(err)
	}
	if err := e.Foreign(t.Context(), p.name, link); err != nil {
		t.Errorf("Foreign through a link = %v", err)
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

// A service without root and with a read-only root file system writes to its
// volume, which the engine has made root's.
func TestIntegrationVolumeOwner(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	yaml := fmt.Sprintf(`services:
  a:
    image: %s
    user: "12345:12345"
    read_only: true
    cap_drop: [ALL]
    environment: {WRITE: /srv/data/file}
    volumes: ["data:/srv/data"]
volumes:
  data: {}
`, img)
	owner := UpOptions{Volumes: []VolumeOwner{{Service: "a", Target: "/srv/data", UID: 12345, GID: 12345}}}

	p := newProject(t, e)
	p.up(yaml, UpOptions{})
	if got := p.logLine("write "); !strings.Contains(got, "permission denied") {
		t.Fatalf("without an owner the service says %q: this test would prove nothing", got)
	}
	p = newProject(t, e)
	p.up(yaml, owner)
	if got := p.logLine("write "); !strings.HasSuffix(got, "write <nil>") {
		t.Errorf("with an owner the service says %q", got)
	}
	list, err := e.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("volume", p.name+"_data")})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("%d containers have the volume, want the service's alone (%v)", len(list.Items), err)
	}

	bad := newProject(t, e)
	_, err = e.Up(t.Context(), bad.load(strings.ReplaceAll(yaml, "data:/srv/data", "data:/srv/other")), owner)
	if err == nil {
		t.Error("a volume that is not mounted got an owner")
	}
}

// logLine follows the logs until a line with the text arrives.
func (p *project) logLine(text string) string {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	w := &finderWriter{text: text, found: cancel}
	if err := p.engine.Logs(ctx, p.name, LogOptions{Follow: true, Out: w}); err != nil && ctx.Err() == nil {
		p.Fatal(err)
	}
	return w.line
}

// finderWriter calls found at the first line with the text.
type finderWriter struct {
	text, line string
	found      func()
}

func (w *finderWriter) Write(p []byte) (int, error) {
	if w.line == "" && strings.Contains(string(p), w.text) {
		w.line = strings.TrimSpace(string(p))
		w.found()
	}
	return len(p), nil
}

func TestIntegrationLogs(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	p.up(fmt.Sprintf("services:\n  a:\n    image: %s\n  b:\n    image: %[1]s\n    user: '7'\n", img), UpOptions{})
	p.logLine("a-1          | ready")
	p.logLine("b-1          | ready")
	read := func(o LogOptions) string {
		t.Helper()
		var b bytes.Buffer
		o.Out = &b
		if err := e.Logs(t.Context(), p.name, o); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := read(LogOptions{Services: []string{"b"}}), "b-1          | uid 7\nb-1          | ready\n"; got != want {
		t.Errorf("logs of b are %q, want %q", got, want)
	}
	if got, want := read(LogOptions{Services: []string{"b"}, Tail: "1"}), "b-1          | ready\n"; got != want {
		t.Errorf("the last line of b is %q, want %q", got, want)
	}
	if got := read(LogOptions{}); strings.Count(got, "\n") != 4 {
		t.Errorf("all logs are %q, want four lines", got)
	}
	if got := read(LogOptions{Services: []string{"a"}, Tail: "1", Timestamps: true}); !strings.Contains(got, "Z ready") {
		t.Errorf("logs with timestamps are %q", got)
	}
	err := e.Logs(t.Context(), p.name, LogOptions{Out: brokenWriter{}})
	if !errors.Is(err, errBroken) {
		t.Errorf("Logs to a broken writer = %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

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

// What has begun to be created is waited for, and nothing new is begun.
func TestSteadyCreates(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{interrupt: cancel}
	if _, err := (steady{r}).ContainerCreate(ctx, client.ContainerCreateOptions{}); err != nil {
		t.Errorf("a creation that had begun was interrupted: %v", err)
	}
	s := steady{r}
	_, container := s.ContainerCreate(ctx, client.ContainerCreateOptions{})
	_, network := s.NetworkCreate(ctx, "n", client.NetworkCreateOptions{})
	_, volume := s.VolumeCreate(ctx, client.VolumeCreateOptions{})
	for _, err := range []error{container, network, volume} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the interruption: %v, want context.Canceled", err)
		}
	}
	if r.created != 1 {
		t.Errorf("%d containers were created, want one", r.created)
	}
}

// recorder is an engine that is interrupted while it creates.
type recorder struct {
	client.APIClient
	interrupt func()
	created   int
}

func (r *recorder) ContainerCreate(ctx context.Context, _ client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	r.created++
	r.interrupt()
	return client.ContainerCreateResult{}, ctx.Err()
}

// Changing the definition of a volume never costs its data.
func TestIntegrationUpKeepsVolumes(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	yaml := func(label string) string {
		return "services: {a: {image: '" + img + "', volumes: ['data:/var/lib/registry'], environment: {WRITE: /var/lib/registry/" + label + "}}}\n" +
			"volumes: {data: {labels: {l: '" + label + "'}}}\n"
	}
	p.up(yaml("one"), UpOptions{})
	p.logLine("write <nil>")
	p.up(yaml("two"), UpOptions{})
	result, err := e.api.ContainerStatPath(t.Context(), p.containers()["a"].ID, client.ContainerStatPathOptions{Path: "/var/lib/registry/one"})
	if err != nil {
		t.Errorf("the file of the first run is gone: %+v, %v", result, err)
	}
}
