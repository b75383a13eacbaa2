package render_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/distribution/v3/configuration"
	buildkitd "github.com/moby/buildkit/cmd/buildkitd/config"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/edge"
	"github.com/certyard/certyard/stack/render"
)

// TestEdgeDaemons: behind the edge the daemons have sockets, and neither TLS nor
// a port.
func TestEdgeDaemons(t *testing.T) {
	eachServed(t, stack.ServeEdge, func(t *testing.T, in render.Input, have map[string]stack.File) {
		b := buildkitConfig(t, have[stack.FileBuilderConfig].Data)
		if !slices.Equal(b.GRPC.Address, []string{"unix:///run/buildkit/buildkitd.sock"}) || b.GRPC.TLS != (buildkitd.TLSConfig{}) {
			t.Errorf("buildkitd listens on %v with %+v", b.GRPC.Address, b.GRPC.TLS)
		}
		if b.GRPC.GID == nil || *b.GRPC.GID != in.Facts.RegistryGID {
			t.Errorf("the edge cannot open buildkitd's socket: gid %v", b.GRPC.GID)
		}
		for _, h := range in.Spec.RegistryHosts(in.Facts) {
			if r := b.Registries[h]; r.PlainHTTP == nil || *r.PlainHTTP || !slices.Equal(r.RootCAs, []string{"/etc/buildkit/certs/ca.crt"}) {
				t.Errorf("%s: %+v", h, r)
			}
		}
		data := have[stack.FileRegistryConfig].Data
		if err := strictYAML(string(data), &configuration.Configuration{}); err != nil {
			t.Fatalf("config.yml: %v\n%s", err, data)
		}
		c, err := configuration.Parse(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		// Without relativeurls it would send clients to http:// addresses.
		if h := c.HTTP; h.Net != "unix" || h.Addr != "/run/registry/registry.sock" || !h.RelativeURLs || h.TLS.Certificate != "" || h.DrainTimeout == 0 {
			t.Errorf("http is %+v", c.HTTP)
		}
	})
}

// TestEdgeCompose: the edge alone has ports, keys and the names; the registry
// has no network.
func TestEdgeCompose(t *testing.T) {
	eachServed(t, stack.ServeEdge, func(t *testing.T, in render.Input, have map[string]stack.File) {
		p := loadCompose(t, have[stack.FileCompose].Data)
		for _, service := range []string{stack.Edge, stack.Registry, stack.Builder} {
			s, ok := p.Services[service]
			if !ok || s.Image != in.Facts.Images[service] || !s.ReadOnly || s.Restart != "unless-stopped" || s.Labels[render.MaterialLabel] == "" {
				t.Errorf("%s: %v %+v", service, ok, s)
			}
			for _, v := range s.Volumes {
				keys := v.Type == "bind" && strings.HasSuffix(v.Source, "/"+stack.DirEdge)
				if keys != (service == stack.Edge && v.Target == stack.MountEdge) || v.Type == "bind" && v.Target != "/sys/fs/cgroup" && !v.ReadOnly {
					t.Errorf("%s: mounts %s at %s", service, v.Source, v.Target)
				}
			}
			if service != stack.Edge && len(s.Ports) > 0 {
				t.Errorf("%s: publishes %v", service, s.Ports)
			}
		}
		checkEdgeService(t, in, p.Services[stack.Edge])
		registry, builder := p.Services[stack.Registry], p.Services[stack.Builder]
		if registry.NetworkMode != "none" {
			t.Errorf("the registry's network is %q", registry.NetworkMode)
		}
		// On the network of the names its own name would hide the edge's.
		if _, ok := builder.Networks["builder"]; !ok || len(builder.Networks) != 1 {
			t.Errorf("the builder is on %v", builder.Networks)
		}
		// A missing config file would go unnoticed (P8).
		if !slices.Equal(builder.Command, []string{"--config=/etc/buildkit/buildkitd.toml", "--addr=unix:///run/buildkit/buildkitd.sock"}) {
			t.Errorf("the builder's command is %q", builder.Command)
		}
	})
}

func checkEdgeService(t *testing.T, in render.Input, s types.ServiceConfig) {
	t.Helper()
	if s.Privileged || len(s.CapAdd) > 0 || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("the edge has privileges: %+v", s)
	}
	var ports []string
	for _, p := range s.Ports {
		ports = append(ports, p.HostIP+":"+p.Published)
	}
	if want := []string{in.Spec.Registry.Publish.String(), in.Spec.Builder.Publish.String()}; !slices.Equal(ports, want) {
		t.Errorf("the edge publishes %v, want %v", ports, want)
	}
	if got := s.Networks["default"].Aliases; !slices.Equal(got, in.Spec.Aliases(in.Facts)) {
		t.Errorf("its names are %v", got)
	}
	if got := s.Networks["builder"].Aliases; !slices.Equal(got, in.Spec.RegistryAliases(in.Facts)) || !slices.Contains(got, stack.Registry) {
		t.Errorf("the builder finds it as %v", got)
	}
}

// TestEdgeReads: what is written for the edge and for the relay is what they
// read.
func TestEdgeReads(t *testing.T) {
	eachServed(t, stack.ServeEdge, func(t *testing.T, in render.Input, have map[string]stack.File) {
		for _, name := range []string{stack.FileEdgeConfig, stack.FileRelayConfig} {
			f, ok := have[name]
			if !ok && name == stack.FileRelayConfig {
				if _, relayed := in.Spec.Relay(in.Facts); relayed {
					t.Errorf("%s is missing", name)
				}
				continue
			}
			if _, err := edge.ReadConfig(bytes.NewReader(f.Data), name); err != nil {
				t.Errorf("%s: %v\n%s", name, err, f.Data)
			}
		}
		if f, ok := have[stack.FileEdgeAccess]; ok != (in.Spec.Builder.TLS == stack.TLSMutual) {
			t.Errorf("there is an access list: %t", ok)
		} else if ok {
			if _, err := edge.ParseAccess(f.Data); err != nil {
				t.Errorf("access.json: %v\n%s", err, f.Data)
			}
		}
	})
}

// TestAccess: the edge lets in the clients of the config and the stack's own, and
// none that was removed, nor the one that the proof tries it with.
func TestAccess(t *testing.T) {
	in := caseNamed(t, "edge-mutual").input(t)
	in.Clients.Removed = []stack.RemovedClient{{Name: "bob", Serial: "0b0b"}}
	var got stack.Access
	data := files(t, in)[stack.FileEdgeAccess].Data
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	// The proof's client is allowed by name: it is refused for its serial.
	tried := in.Material.Leaves[stack.LeafRemoved]
	if !slices.Equal(got.Allow, []string{"yard client", "ci", tried.Cert.Subject.CommonName}) {
		t.Errorf("allowed are %q", got.Allow)
	}
	if len(got.Removed) != 2 || got.Removed[0].Serial != tried.Serial() || got.Removed[1].Serial != "0b0b" {
		t.Errorf("removed are %+v", got.Removed)
	}
	in.Spec.Builder.Clients = nil
	if data := files(t, in)[stack.FileEdgeAccess].Data; bytes.Contains(data, []byte("allow")) {
		t.Errorf("without a list everybody is allowed: %s", data)
	}
}

func caseNamed(t *testing.T, name string) aCase {
	t.Helper()
	i := slices.IndexFunc(cases(), func(c aCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no case %q", name)
	}
	return cases()[i]
}
