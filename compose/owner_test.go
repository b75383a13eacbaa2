package compose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"
)

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
    tmpfs: [/var/lib/registry] # else an anonymous volume, which outlives a container made anew
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

	// Made anew with the volume that it has, and with another one.
	p.up(strings.Replace(yaml, "environment: {", "environment: {X: y, ", 1), owner)
	if got := p.logLine("write "); !strings.HasSuffix(got, "write <nil>") {
		t.Errorf("made anew, the service says %q", got)
	}
	p.up(strings.ReplaceAll(strings.ReplaceAll(yaml, "data:/", "more:/"), "data: {}", "more: {}"), owner)
	if got := p.logLine("write "); !strings.HasSuffix(got, "write <nil>") {
		t.Errorf("with another volume the service says %q", got)
	}

	// Made by a run that was killed before it handed the volume over.
	p = newProject(t, e)
	half := p.load(yaml)
	engine, err := e.compose(newBus(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Create(t.Context(), half, api.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.up(yaml, owner)
	if got := p.logLine("write "); !strings.HasSuffix(got, "write <nil>") {
		t.Errorf("after a run that was killed the service says %q", got)
	}

	bad := newProject(t, e)
	_, err = e.Up(t.Context(), bad.load(strings.ReplaceAll(yaml, "data:/srv/data", "data:/srv/other")), owner)
	if err == nil {
		t.Error("a volume that is not mounted got an owner")
	}
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
