package compose

import (
	"fmt"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// TestPlain: what is more than one request is left to the SDK.
func TestPlain(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*types.ServiceConfig)
		want bool
	}{
		"alone":         {func(*types.ServiceConfig) {}, true},
		"with ports":    {func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 1}} }, true},
		"depends_on":    {func(s *types.ServiceConfig) { s.DependsOn = types.DependsOnConfig{"b": {}} }, false},
		"hook before":   {func(s *types.ServiceConfig) { s.PreStart = []types.PreStartHook{{}} }, false},
		"hook after":    {func(s *types.ServiceConfig) { s.PostStart = []types.ServiceHook{{}} }, false},
		"with a secret": {func(s *types.ServiceConfig) { s.Secrets = []types.ServiceSecretConfig{{}} }, false},
		"with a config": {func(s *types.ServiceConfig) { s.Configs = []types.ServiceConfigObjConfig{{}} }, false},
	} {
		var service types.ServiceConfig
		c.set(&service)
		if got := plain(service); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestIntegrationStartOrder: what waits for another service, or lives in its
// network, starts after it.
func TestIntegrationStartOrder(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	p.up(fmt.Sprintf("services: {a: {image: %s, depends_on: [b]}, b: {image: %[1]s}, c: {image: %[1]s, network_mode: 'service:b'}}\n", img), UpOptions{})
	got := p.containers()
	for _, later := range []string{"a", "c"} {
		if !got[later].Started.After(got["b"].Started) {
			t.Errorf("%s at %v, b at %v", later, got[later].Started, got["b"].Started)
		}
	}
	for name, c := range got {
		if c.State != "running" || time.Since(c.Started) > time.Minute {
			t.Errorf("%s is %s since %v", name, c.State, c.Started)
		}
	}
	if n := len(got); n != 3 {
		t.Errorf("%d containers", n)
	}
}
