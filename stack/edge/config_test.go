package edge

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// whole has every key.
const whole = `version: 1
admin: /run/edge/admin.sock
drain_timeout: 5s
listeners:
  - name: registry
    addresses: [":5000", "127.0.0.1:5005", "[::1]:5005"]
    certificates: /etc/edge/registry
    alpn: [http/1.1]
    target: unix:/run/registry/registry.sock
  - name: builder
    addresses: [":1234"]
    certificates: /etc/edge/builder
    certificate_file: other.crt
    clients: /etc/edge/builder
    alpn: [h2]
    target: tcp:builder:1234
    max_connections: 10
    handshake_timeout: 3s
    target_timeout: 1m
  - name: relay
    plain: true
    addresses: ["127.0.0.1:5006"]
    target: tcp:[::1]:5005
`

func TestConfig(t *testing.T) {
	c, err := ReadConfig(strings.NewReader(whole), "edge.yaml")
	check(t, err)
	got, problems := c.plan()
	if problems != nil {
		t.Fatal(problems)
	}
	want := plan{admin: "/run/edge/admin.sock", drain: 5 * time.Second, listeners: []listenerPlan{
		{
			name: "registry", addresses: []string{":5000", "127.0.0.1:5005", "[::1]:5005"}, certificates: "/etc/edge/registry", certificate: "tls.crt",
			alpn: []string{"http/1.1"}, target: target{"unix", "/run/registry/registry.sock"},
			maxConnections: 4096, handshakeTimeout: 10 * time.Second, targetTimeout: 10 * time.Second,
		},
		{
			name: "builder", addresses: []string{":1234"}, certificates: "/etc/edge/builder", certificate: "other.crt", clients: "/etc/edge/builder",
			alpn: []string{"h2"}, target: target{"tcp", "builder:1234"},
			maxConnections: 10, handshakeTimeout: 3 * time.Second, targetTimeout: time.Minute,
		},
		{
			name: "relay", plain: true, certificate: "tls.crt", addresses: []string{"127.0.0.1:5006"}, target: target{"tcp", "[::1]:5005"},
			maxConnections: 4096, handshakeTimeout: 10 * time.Second, targetTimeout: 10 * time.Second,
		},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// edit returns the whole config with one text in the place of another.
func edit(t *testing.T, old, by string) string {
	t.Helper()
	if strings.Count(whole, old) != 1 {
		t.Fatalf("%q is there %d times", old, strings.Count(whole, old))
	}
	return strings.Replace(whole, old, by, 1)
}

// TestConfigProblems: what is wrong, with its line, all of it at once.
func TestConfigProblems(t *testing.T) {
	e := func(old, by string) string { return edit(t, old, by) }
	for _, c := range []struct{ name, config, want string }{
		{"empty", "", "x.yaml: 2 problems\n    version: 0 is not known; want 1\n    listeners: want one at least"},
		{"only a comment", "# nothing\n", "x.yaml: 2 problems\n    version: 0 is not known; want 1\n    listeners: want one at least"},
		{"no YAML", "a: [", "x.yaml: line"},
		{"no mapping", "hello", `x.yaml: line 1: want keys and values, have "hello"`},
		{"two documents", whole + "---\nversion: 1\n", "a second document begins here; want one"},
		{"version", e("version: 1", "version: 2"), "x.yaml: line 1: version: 2 is not known; want 1"},
		{"unknown key", e("admin:", "amin:"), "x.yaml: line 2: amin: unknown key; known here: admin, drain_timeout, listeners, version"},
		{"unknown key of a listener", e("    alpn: [h2]", "    alpns: [h2]"), "x.yaml: line 15: listeners[1].alpns: unknown key; known here: access_required, addresses, alpn,"},
		{"key twice", e("    plain: true", "    plain: true\n    plain: true"), "line 22: listeners[2].plain: stands on line 21 already"},
		{"name", e("name: relay", "name: Relay"), `line 20: listeners[2].name: "Relay" is no name`},
		{"no name", e("- name: relay\n    plain", "- plain"), `line 20: listeners[2].name: "" is no name`},
		{"name twice", e("name: relay", "name: registry"), `line 20: listeners[2].name: "registry" is taken by listeners[0].name`},
		{"address twice", e("127.0.0.1:5006", "127.0.0.1:5005"), `line 22: listeners[2].addresses[0]: "127.0.0.1:5005" is taken by listeners[0].addresses[1]`},
		{"no addresses", e(`addresses: [":1234"]`, "addresses: []"), "line 11: listeners[1].addresses: want one at least"},
		{"empty address", e(`[":1234"]`, "[null]"), "line 11: listeners[1].addresses[0]: is empty"},
		{"address without a port", e(`":1234"`, `"localhost"`), `line 11: listeners[1].addresses[0]: "localhost" is no HOST:PORT`},
		{"port", e(`":1234"`, `":99999"`), `"99999" is not a port (0-65535)`},
		{"host", e(`":1234"`, `"*:1234"`), `"*" is no host name and no IP address`},
		{"addresses is text", e(`addresses: [":1234"]`, `addresses: ":1234"`), `line 11: listeners[1].addresses: want a list, have ":1234"`},
		{"no certificates", e("certificates: /etc/edge/builder", "# none"), "line 10: listeners[1].certificates: is missing; without certificates a listener needs plain: true"},
		{"plain with certificates", e("plain: true", "plain: true\n    certificates: /x"), "listeners[2].certificates: has no meaning where plain is true"},
		{"plain with a certificate file", e("plain: true", "plain: true\n    certificate_file: x"), "listeners[2].certificate_file: has no meaning where plain is true"},
		{"certificate elsewhere", e("certificate_file: other.crt", "certificate_file: ../other.crt"), "line 13: listeners[1].certificate_file: \"../other.crt\" is not the name of a file in certificates"},
		{"a list of nobody", e("alpn: [http/1.1]", "alpn: [http/1.1]\n    access_required: true"), "listeners[0].access_required: has no meaning without clients"},
		{"plain with clients", e("plain: true", "plain: true\n    clients: /x"), "listeners[2].clients: has no meaning where plain is true"},
		{"plain with alpn", e("plain: true", "plain: true\n    alpn: [h2]"), "listeners[2].alpn: has no meaning where plain is true"},
		{"plain is text", e("plain: true", "plain: maybe"), `line 21: listeners[2].plain: want true or false, have "maybe"`},
		{"alpn", e("[h2]", `["h2", "", "h2"]`), "2 problems"},
		{"no target", e("    target: tcp:builder:1234\n", ""), `line 10: listeners[1].target: "" is no target; want unix:PATH or tcp:HOST:PORT`},
		{"target", e("tcp:builder:1234", "builder:1234"), `line 16: listeners[1].target: "builder:1234" is no target`},
		{"target port", e("tcp:builder:1234", "tcp:builder:0"), `"0" is not a port (1-65535)`},
		{"target host", e("tcp:builder:1234", "tcp::1234"), `"tcp::1234" names no host`},
		{"target socket", e("/run/registry/registry.sock", "/"+strings.Repeat("x", 107)), "is 108 bytes long, and a socket's path has at most 107"},
		{"connections", e("max_connections: 10", "max_connections: 0"), "line 17: listeners[1].max_connections: 0 is too few"},
		{"connections are text", e("max_connections: 10", "max_connections: many"), `line 17: listeners[1].max_connections: want a number, have "many"`},
		{"duration", e("handshake_timeout: 3s", "handshake_timeout: 3"), `line 18: listeners[1].handshake_timeout: "3" is no duration like 10s`},
		{"negative duration", e("target_timeout: 1m", "target_timeout: -1m"), `"-1m" is no duration like 10s`},
		{"no time for handshakes", e("handshake_timeout: 3s", "handshake_timeout: 0s"), `"0s" is no duration like 10s`},
		{"listener is text", "version: 1\nlisteners: [hello]\n", `x.yaml: line 2: listeners[0]: want keys and values, have "hello"`},
		{"all at once", e("version: 1", "version: 3") + "extra: 1\n", "x.yaml: 2 problems\n    line 1: version: 3 is not known; want 1\n    line 24: extra: unknown key"},
		{"huge", strings.Repeat("#", maxFile+1), "x.yaml: it is larger than 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadConfig(strings.NewReader(c.config), "x.yaml")
			var config *ConfigError
			if !errors.As(err, &config) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestNewChecks: a config that was not read from a file is checked as well.
func TestNewChecks(t *testing.T) {
	var config *ConfigError
	if _, err := New(Config{Version: 1}, Options{}); !errors.As(err, &config) || !strings.Contains(err.Error(), "configuration: listeners: want one at least") {
		t.Errorf("got %v", err)
	}
}

// FuzzConfig: a config is read or refused with a *ConfigError, and what is read
// makes a plan.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{whole, "", "null", "version: 1", "a: [", "listeners: [&a {x: *a}]", "&a a: *a", "---\n---\n", "version: !!binary x", "listeners: [{addresses: [null, [1]]}]", "? [a]\n: b", "<<: {version: 1}", "version: 99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadConfig(strings.NewReader(text), "x")
		var config *ConfigError
		switch {
		case err != nil && (!errors.As(err, &config) || len(config.Problems) == 0):
			t.Errorf("got %v, no ConfigError with problems", err)
		case err != nil:
			return
		}
		p, problems := c.plan()
		if problems != nil || len(p.listeners) == 0 {
			t.Errorf("read, and still: %v", problems)
		}
		for _, l := range p.listeners {
			if l.name == "" || len(l.addresses) == 0 || l.target.address == "" || l.maxConnections < 1 || !l.plain && l.certificates == "" {
				t.Errorf("a listener of %+v", l)
			}
		}
	})
}
