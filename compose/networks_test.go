package compose

import (
	"testing"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"
)

// TestIntegrationNetworkTwice: a network that an interrupted run left, and that
// another run made again, keeps no container from starting; the one that is in
// use stays.
func TestIntegrationNetworkTwice(t *testing.T) {
	e := dockerEngine(t)
	image := idleImage(t, e)
	p := newProject(t, e)
	name := p.name + "_default"
	again := func() {
		t.Helper()
		_, err := e.api.NetworkCreate(t.Context(), name, client.NetworkCreateOptions{
			Labels: map[string]string{api.ProjectLabel: p.name, api.NetworkLabel: "default", api.VersionLabel: api.ComposeVersion},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	yaml := "services: {a: {image: '" + image + "'}}"
	again()
	again()
	p.up(yaml, UpOptions{})
	again()
	result := p.up(yaml, UpOptions{})
	if result.Services["a"] != Kept {
		t.Errorf("the container was %s", result.Services["a"])
	}
	list, err := e.api.NetworkList(t.Context(), client.NetworkListOptions{Filters: make(client.Filters).Add("label", api.ProjectLabel+"="+p.name)})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("%d networks, %v", len(list.Items), err)
	}
}
