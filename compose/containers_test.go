package compose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

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
