package stack_test

import (
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

// TestOneName: what the registry is called, where the builder's loopback has to
// lead to it, and under which names the edge is found.
func TestOneName(t *testing.T) {
	for _, c := range []struct {
		config, engine       string
		name, relay, aliases string
	}{
		{"", "", "registry:5000", "", ""},
		{"serve: edge", "", "localhost:5005", "127.0.0.1:5005", ""},
		{"serve: edge\nregistry: {publish: '127.0.0.1:6000'}", "", "localhost:6000", "127.0.0.1:6000", ""},
		{"serve: edge\nregistry: {publish: '[::1]:5005'}", "", "localhost:5005", "127.0.0.1:5005", ""},
		{"serve: edge\nregistry: {publish: '127.0.0.2:5005'}", "", "127.0.0.2:5005", "127.0.0.2:5005", ""},
		{"serve: edge\nregistry: {publish: '[::]:5005', name: '[::1]:5005'}", "", "[::1]:5005", "[::1]:5005", ""},
		{"serve: edge\nregistry: {name: localhost}", "", "localhost:5005", "127.0.0.1:5005", ""},
		{"serve: edge\nregistry: {publish: '127.0.0.1:0', name: localhost}", "", "localhost:0", "127.0.0.1:0", ""},
		{"serve: edge\nregistry: {name: 'reg.build.lan:5005'}", "", "reg.build.lan:5005", "", "reg.build.lan"},
		{"serve: edge\nregistry: {publish: '192.168.1.5:5005'}", "", "192.168.1.5:5005", "", ""},
		{"serve: edge\nregistry: {publish: '0.0.0.0:5005'}", "engine.lan", "engine.lan:5005", "", "engine.lan"},
		{"serve: edge\nregistry: {publish: ''}", "", "registry:5000", "", ""},
		{"serve: edge\nregistry: {publish: '', name: 'reg.lan'}", "", "reg.lan:5000", "", "reg.lan"},
	} {
		s, f := mustRead(t, "name: yard\n"+c.config), stack.Facts{EngineHost: c.engine}
		if got := s.RegistryEndpoint(f).Address(); got != c.name {
			t.Errorf("%q: the name is %s, want %s", c.config, got, c.name)
		}
		relay := ""
		if at, ok := s.Relay(f); ok {
			relay = at.String()
		}
		if relay != c.relay {
			t.Errorf("%q: the relay is at %q, want %q", c.config, relay, c.relay)
		}
		want := strings.TrimSpace("registry yard-registry-1 " + c.aliases)
		if got := strings.Join(s.RegistryAliases(f), " "); got != want {
			t.Errorf("%q: the aliases are %s, want %s", c.config, got, want)
		}
	}
}

// TestOneNameIsCovered: whatever the one name is, the certificate holds it, and
// the builder is told to verify it.
func TestOneNameIsCovered(t *testing.T) {
	for _, config := range []string{
		"serve: edge", "serve: edge\nregistry: {name: 'reg.build.lan:5005'}", "serve: edge\nregistry: {publish: '[fd00::9]:5005', name: 'fd00::9'}",
		"serve: edge\nregistry: {publish: '', name: 'reg.lan'}", "serve: edge\nregistry: {publish: '127.0.0.2:5005'}",
	} {
		s, f := mustRead(t, config), stack.Facts{}
		plan, err := s.PKIPlan(f, stack.Clients{})
		if err != nil {
			t.Fatal(err)
		}
		e := s.RegistryEndpoint(f)
		if !plan.Leaves[0].SANs.Covers(e.Host) {
			t.Errorf("%q: the certificate does not hold %s", config, e.Host)
		}
		if hosts := s.RegistryHosts(f); !strings.Contains(" "+strings.Join(hosts, " ")+" ", " "+e.Address()+" ") {
			t.Errorf("%q: the builder knows %v, not %s", config, hosts, e.Address())
		}
	}
}

// TestServeProblems: what means nothing with a way to serve is said.
func TestServeProblems(t *testing.T) {
	for config, want := range map[string]string{
		"serve: both":                                                                         `serve: "both" is not known; want daemon, edge`,
		"registry: {name: localhost}":                                                         `registry.name: means nothing with serve "daemon": there the builder's localhost is the builder itself`,
		"builder: {clients: [ci], tls: mutual}":                                               `builder.clients: means nothing with serve "daemon": buildkitd lets in every client of its CA`,
		"serve: edge\nbuilder: {clients: [ci]}":                                               `builder.clients: means nothing with builder.tls "server", where clients have no certificate`,
		"serve: edge\nregistry: {name: 'localhost:99'}":                                       `registry.name: has port 99, and the registry is reached on port 5005`,
		"serve: edge\nregistry: {name: 'https://r:5005'}":                                     `registry.name: "https://r:5005" is not a registry host; want host or host:port`,
		"serve: edge\nregistry: {name: 'r:x'}":                                                `registry.name: "x" is not a port (1-65535)`,
		"serve: edge\nregistry: {name: '*.build.lan'}":                                        `registry.name: "*.build.lan" is a wildcard; want one name`,
		"serve: edge\nregistry: {name: '[::1]:5005'}":                                         `registry.name: the registry is not published on ::1, so that nothing answers there`,
		"serve: edge\nregistry: {publish: '', name: '10.0.0.1'}":                              `registry.name: the registry is not published on 10.0.0.1, so that nothing answers there`,
		"serve: edge\nregistry: {publish: '127.0.0.1:1234', name: r}\nbuilder: {publish: ''}": `registry.publish: with serve "edge", port 1234 is the builder's on the stack's network; publish another one`,
		"serve: edge\nregistry: {publish: '127.0.0.1:0', name: 'localhost:5005'}":             `registry.name: has a port, and registry.publish leaves its port open: leave it out, or publish port 5005`,
		"serve: edge\nregistry: {publish: '', name: 'r:5005'}":                                `registry.name: has port 5005, and the registry is reached on port 5000`,
		"serve: edge\nbuilder: {tls: mutual, clients: [ci, ci, '../x']}": `builder.clients[1]: client "ci" is listed twice
builder.clients[2]: "../x" is not a client name: want letters, digits and . _ @ -, a letter or digit first, at most 63 characters`,
	} {
		config, err := stack.ReadConfig(strings.NewReader(config), "x")
		if err != nil {
			t.Fatal(err)
		}
		_, err = stack.NewSpec(config)
		problems, ok := err.(*stack.ConfigError)
		if !ok {
			t.Errorf("got %v, want %s", err, want)
			continue
		}
		var got []string
		for _, p := range problems.Problems {
			p.Line = 0
			got = append(got, p.String())
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), want)
		}
	}
}

// TestServeLayout: with the edge, no private key of a server is below a directory
// that a daemon's container has.
func TestServeLayout(t *testing.T) {
	for _, leaf := range []string{stack.LeafRegistry, stack.LeafBuilder} {
		key := stack.ServeEdge.PairOf(leaf).Key
		if !strings.HasPrefix(key, stack.DirEdge+"/") {
			t.Errorf("the key of %s is %s", leaf, key)
		}
		if stack.ServeEdge.OwnerOf(leaf) != stack.OwnerRegistry {
			t.Errorf("the edge cannot read the key of %s", leaf)
		}
		if key == stack.ServeDaemon.PairOf(leaf).Key {
			t.Errorf("both ways to serve have %s", key)
		}
	}
}
