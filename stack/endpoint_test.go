package stack_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

func TestHostEndpoints(t *testing.T) {
	for _, c := range []struct {
		publish, engine string
		want            string
	}{
		{"", "", ""},
		{"", "engine.lan", ""},
		{"127.0.0.1:5005", "", "localhost:5005 127.0.0.1:5005"},
		{"[::1]:5005", "", "localhost:5005 [::1]:5005"},
		{"127.0.0.2:5005", "", "127.0.0.2:5005"}, // localhost is another address
		{"0.0.0.0:5005", "", "localhost:5005 127.0.0.1:5005"},
		{"[::]:5005", "", "localhost:5005 127.0.0.1:5005 [::1]:5005"},
		{"[::ffff:0.0.0.0]:5005", "", "localhost:5005 127.0.0.1:5005"},
		{"192.168.1.5:5005", "", "192.168.1.5:5005"},
		{"[2001:db8::1]:5005", "", "[2001:db8::1]:5005"},
		{"0.0.0.0:5005", "engine.lan", "engine.lan:5005"},
		{"[::]:5005", "2001:db8::9", "[2001:db8::9]:5005"},
		{"192.168.1.5:5005", "engine.lan", "engine.lan:5005 192.168.1.5:5005"},
		{"192.168.1.5:5005", "192.168.1.5", "192.168.1.5:5005"},
	} {
		s := mustRead(t, fmt.Sprintf("registry: {publish: %q}\nbuilder: {publish: %q, tls: mutual}",
			c.publish, strings.ReplaceAll(c.publish, "5005", "5006")))
		for i, service := range services {
			var got []string
			for _, e := range s.HostEndpoints(service, stack.Facts{EngineHost: c.engine}) {
				if e.Service != service {
					t.Errorf("%s has an endpoint of %s", service, e.Service)
				}
				got = append(got, e.Address())
			}
			want := strings.ReplaceAll(c.want, ":5005", fmt.Sprintf(":%d", 5005+i))
			if strings.Join(got, " ") != want {
				t.Errorf("%s on %q, engine %q: got %v, want %s", service, c.publish, c.engine, got, want)
			}
		}
	}
}

func TestEndpointText(t *testing.T) {
	for _, c := range []struct {
		e    stack.Endpoint
		want string
	}{
		{stack.NetworkEndpoint(stack.Registry), "https://registry:5000"},
		{stack.NetworkEndpoint(stack.Builder), "tcp://buildkit:1234"},
		{stack.Endpoint{Service: stack.Registry, Host: "::1", Port: 5005}, "https://[::1]:5005"},
		{stack.Endpoint{Service: stack.Builder, Host: "fd00::1", Port: 1}, "tcp://[fd00::1]:1"},
	} {
		if got := c.e.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	s := mustRead(t, "name: yard\nregistry: {publish: '192.168.1.5:5005', hosts: [r.lan]}\nbuilder: {publish: '[::]:1234', tls: mutual, hosts: [b.lan, '*.b.lan']}")
	f := stack.Facts{EngineHost: "engine.lan"}
	for service, want := range map[string]string{
		stack.Registry: "registry yard-registry-1 localhost 127.0.0.1 ::1 host.docker.internal 192.168.1.5 engine.lan r.lan",
		stack.Builder:  "buildkit yard-buildkit-1 localhost 127.0.0.1 ::1 host.docker.internal engine.lan b.lan *.b.lan",
	} {
		if got := strings.Join(s.Names(service, f), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestRegistryHosts(t *testing.T) {
	const inside = "registry:5000 yard-registry-1:5000"
	const usual = " localhost:5005 127.0.0.1:5005 [::1]:5005 host.docker.internal:5005"
	for _, c := range []struct{ name, registry, engine, want string }{
		{"default", "", "", inside + usual},
		{"not published", "publish: ''", "", inside},
		{"port not chosen yet", "publish: '127.0.0.1:0'", "", inside},
		{"hosts", "hosts: [r.lan, fd00::1, localhost, '*.r.lan', r.lan]", "", inside + usual + " r.lan:5005 [fd00::1]:5005"},
		{"fully qualified", "hosts: [r.lan.]", "", inside + usual + " r.lan:5005"},
		{"address", "publish: '10.0.0.1:5005'", "", inside + usual + " 10.0.0.1:5005"},
		{"engine", "publish: '0.0.0.0:5005'", "engine.lan", inside + usual + " engine.lan:5005"},
		{"engine called registry", "publish: '0.0.0.0:5005'", "registry", inside + " registry:5005" + usual},
		{"the container's port", "publish: '127.0.0.1:5000', hosts: [registry]", "", inside + strings.ReplaceAll(usual, "5005", "5000")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustRead(t, "name: yard\nregistry: {"+c.registry+"}")
			if got := strings.Join(s.RegistryHosts(stack.Facts{EngineHost: c.engine}), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestPublished(t *testing.T) {
	s := mustRead(t, "registry: {publish: '127.0.0.1:0'}")
	r := s.WithPort(stack.Registry, 7)
	b := s.WithPort(stack.Builder, 8)
	for _, c := range []struct {
		got  stack.Publish
		want string
	}{
		{s.Published(stack.Registry), "127.0.0.1:0"}, {s.Published(stack.Builder), "127.0.0.1:1234"},
		{r.Published(stack.Registry), "127.0.0.1:7"}, {r.Published(stack.Builder), "127.0.0.1:1234"},
		{b.Published(stack.Registry), "127.0.0.1:0"}, {b.Published(stack.Builder), "127.0.0.1:8"},
	} {
		if c.got.String() != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	var off stack.Publish
	if off.On() || off.Loopback() || off.String() != "" || off.IP != (netip.Addr{}) {
		t.Errorf("the zero value is published: %v", off)
	}
}

func TestEnvironment(t *testing.T) {
	lines := func(s stack.Spec, f stack.Facts) []string {
		var out []string
		for _, v := range s.Environment(f, "/home/me/.certyard/yard", "s3cret") {
			out = append(out, v.Name+"="+v.Value)
		}
		return out
	}
	const dir = "/home/me/.certyard/yard/client"
	common := []string{
		"REGISTRY_TLS_VERIFY=true", "REGISTRY_CERT=" + dir + "/ca.pem", "REGISTRY_AUTH_TYPE=basic",
		"REGISTRY_AUTH_USERNAME=testuser", "REGISTRY_AUTH_PASSWORD=s3cret",
	}
	ca, docker := "BUILDKIT_TLS_CA="+dir+"/ca.pem", "DOCKER_CONFIG="+dir+"/docker"
	for _, c := range []struct {
		name, text, engine string
		want               []string
	}{
		{"server", "", "", slices.Concat(
			[]string{"DOCKER_REGISTRY=registry:5000", "DOCKER_REGISTRY_ON_HOST=localhost:5005"}, common,
			[]string{"BUILDKIT_HOST=tcp://localhost:1234", ca, docker})},
		{"mutual and remote", "registry: {publish: '0.0.0.0:5005'}\nbuilder: {publish: '0.0.0.0:1234', tls: mutual}", "fd00::1", slices.Concat(
			[]string{"DOCKER_REGISTRY=registry:5000", "DOCKER_REGISTRY_ON_HOST=[fd00::1]:5005"}, common,
			[]string{"BUILDKIT_HOST=tcp://[fd00::1]:1234", ca, "BUILDKIT_TLS_CERT=" + dir + "/cert.pem",
				"BUILDKIT_TLS_KEY=" + dir + "/key.pem", "BUILDKIT_TLS_DIR=" + dir, docker})},
		{"not published", "registry: {publish: ''}\nbuilder: {publish: ''}", "", slices.Concat(
			[]string{"DOCKER_REGISTRY=registry:5000"}, common, []string{ca, docker})},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := lines(mustRead(t, c.text), stack.Facts{EngineHost: c.engine}); !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}
