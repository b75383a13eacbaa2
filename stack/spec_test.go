package stack_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

const day = 24 * time.Hour

// TestSpecDefaults writes the defaults out: they are in people's state
// directories and scripts, so a change has to be meant.
func TestSpecDefaults(t *testing.T) {
	want := stack.Spec{
		Name: "certyard", Serve: stack.ServeDaemon,
		Registry: stack.RegistrySpec{
			Image: "registry:3", Publish: stack.Publish{IP: netip.MustParseAddr("127.0.0.1"), Port: 5005},
			Users: []stack.UserSpec{{Name: "testuser"}},
		},
		Builder: stack.BuilderSpec{
			Image: "moby/buildkit:v0.34.2", Publish: stack.Publish{IP: netip.MustParseAddr("127.0.0.1"), Port: 1234},
			TLS: stack.TLSServer, Privileges: stack.PrivilegesAuto,
		},
		PKI: stack.PKISpec{Key: pki.ECDSAP256, CAValidity: 3650 * day, LeafValidity: 90 * day,
			Authority: stack.AuthorityLocal, Hierarchy: stack.HierarchySingle, CAKeys: stack.CAKeysPlain},
		Images: stack.ImagesAuto,
	}
	got := mustRead(t, "")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !got.Registry.Users[0].Generated() {
		t.Error("the default user's password is not generated")
	}
}

func TestSpecTakesEveryKey(t *testing.T) {
	got := mustRead(t, `
version: 1
name: yard_2
serve: edge
registry:
  name: reg.build.lan
  image: ghcr.io/x/registry@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  publish: 192.168.1.5:0
  hosts: [Registry.Build.LAN., "*.build.lan", 10.1.2.3, "fd00::1"]
  users:
    - name: ci@example.com
      password_file: /run/secrets/ci
    - name: dev
      password_env: DEV_PASSWORD
    - name: bot
builder:
  image: localhost:5000/buildkit
  publish: "[::]:443"
  tls: mutual
  clients: [ci]
  hosts: [build.example.com]
  privileges: minimal
pki:
  key: rsa-4096
  ca_validity: 87600h
  leaf_validity: 36h30m
  authority: remote
  ca_keys: encrypted
  passphrase_file: /run/secrets/passphrase
  ca_cert: ca.pem
  remote: {url: "https://ca.lan:8888", ca: tls.pem, auth_key_file: auth.hex, profile: server, label: main}
images: bundled
`)
	want := stack.Spec{
		Name: "yard_2", Serve: stack.ServeEdge,
		Registry: stack.RegistrySpec{
			Name:    "reg.build.lan",
			Image:   "ghcr.io/x/registry@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			Publish: stack.Publish{IP: netip.MustParseAddr("192.168.1.5")},
			Hosts:   []string{"Registry.Build.LAN", "*.build.lan", "10.1.2.3", "fd00::1"},
			Users: []stack.UserSpec{
				{Name: "ci@example.com", PasswordFile: "/run/secrets/ci"},
				{Name: "dev", PasswordEnv: "DEV_PASSWORD"},
				{Name: "bot"},
			},
		},
		Builder: stack.BuilderSpec{
			Image: "localhost:5000/buildkit", Publish: stack.Publish{IP: netip.IPv6Unspecified(), Port: 443},
			TLS: stack.TLSMutual, Clients: []string{"ci"}, Hosts: []string{"build.example.com"}, Privileges: stack.PrivilegesMinimal,
		},
		PKI: stack.PKISpec{Key: pki.RSA4096, CAValidity: 87600 * time.Hour, LeafValidity: 36*time.Hour + 30*time.Minute,
			Authority: stack.AuthorityRemote, Hierarchy: stack.HierarchySingle, CAKeys: stack.CAKeysEncrypted,
			PassphraseFile: "/run/secrets/passphrase", CACert: "ca.pem",
			Remote: stack.RemoteSpec{URL: "https://ca.lan:8888", CA: "tls.pem", AuthKeyFile: "auth.hex", Profile: "server", Label: "main"}},
		Images: stack.ImagesBundled,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for i, generated := range []bool{false, false, true} {
		if u := got.Registry.Users[i]; u.Generated() != generated {
			t.Errorf("%s: generated is %v", u.Name, u.Generated())
		}
	}
}

// TestSpecAcceptsEveryChoice has each value of each key with a fixed set.
func TestSpecAcceptsEveryChoice(t *testing.T) {
	for _, tls := range []string{"server", "mutual"} {
		if got := mustRead(t, "builder: {tls: "+tls+"}").Builder.TLS; string(got) != tls {
			t.Errorf("builder.tls: got %q, want %q", got, tls)
		}
	}
	for _, p := range []string{"auto", "privileged", "minimal"} {
		if got := mustRead(t, "builder: {privileges: "+p+"}").Builder.Privileges; string(got) != p {
			t.Errorf("builder.privileges: got %q, want %q", got, p)
		}
	}
	for _, i := range []string{"auto", "pull", "bundled"} {
		if got := mustRead(t, "images: "+i).Images; string(got) != i {
			t.Errorf("images: got %q, want %q", got, i)
		}
	}
	for _, k := range pki.KeyTypes() {
		if got := mustRead(t, "pki: {key: "+string(k)+"}").PKI.Key; got != k {
			t.Errorf("pki.key: got %q, want %q", got, k)
		}
	}
}

func TestSpecProblems(t *testing.T) {
	const name = " is not a compose project name: want lower-case letters, digits, - and _, a letter or digit first, at most 52 characters"
	const open = ` lets everybody who reaches it use the builder, RUN steps included, because builder.tls is "server": set builder.tls to "mutual", or publish it on 127.0.0.1`
	const address = " is not an IP address to publish on; want 127.0.0.1, or 0.0.0.0 for every interface"
	const port = " is not a port (0-65535, 0 for any free one)"
	const chars = ": want letters, digits and . _ @ + -, a letter or digit first"
	for text, want := range map[string][]string{
		"version: 0\n":       {"line 1: version: 0 is not known; this certyard reads version 1"},
		"\nversion: 2\n":     {"line 2: version: 2 is not known; this certyard reads version 1"},
		"version: -1\n":      {"line 1: version: -1 is not known; this certyard reads version 1"},
		"name: Yard\n":       {`line 1: name: "Yard"` + name},
		"name: -yard\n":      {`line 1: name: "-yard"` + name},
		"name: a.b\n":        {`line 1: name: "a.b"` + name},
		"name: a/../b\n":     {`line 1: name: "a/../b"` + name},
		"name: \"a\\nb\"\n":  {`line 1: name: "a\nb"` + name},
		"name: \"ab\\n\"\n":  {`line 1: name: "ab\n"` + name},
		"name: ä\n":          {`line 1: name: "ä"` + name},
		"images: never\n":    {`line 1: images: "never" is not known; want auto, pull, bundled`},
		"images: Pull\n":     {`line 1: images: "Pull" is not known; want auto, pull, bundled`},
		"pki: {key: dsa}\n":  {`line 1: pki.key: "dsa" is not known; want ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519`},
		"pki: {key: 2048}\n": {`line 1: pki.key: "2048" is not known; want ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519`},

		"registry: {image: 'a b'}\n":            {`line 1: registry.image: "a b" is not an image reference; want name:tag`},
		"registry: {image: 'a$b'}\n":            {`line 1: registry.image: "a$b" is not an image reference; want name:tag`},
		"builder: {image: 'https://ghcr.io/a'}": {`line 1: builder.image: "https://ghcr.io/a" is not an image reference; want name:tag`},

		"registry: {publish: '5000'}\n":          {`line 1: registry.publish: "5000": want ip:port, as "127.0.0.1:5005"`},
		"registry: {publish: 5000}\n":            {`line 1: registry.publish: "5000": want ip:port, as "127.0.0.1:5005"`},
		"registry: {publish: '127.0.0.1'}\n":     {`line 1: registry.publish: "127.0.0.1": want ip:port, as "127.0.0.1:5005"`},
		"registry: {publish: '::1:5000'}\n":      {`line 1: registry.publish: "::1:5000": want ip:port, as "127.0.0.1:5005"`},
		"registry: {publish: '8080:5000/tcp'}\n": {`line 1: registry.publish: "5000/tcp"` + port, `line 1: registry.publish: "8080"` + address},
		"registry: {publish: '127.0.0.1:'}\n":    {`line 1: registry.publish: ""` + port},
		"registry: {publish: '127.0.0.1:-1'}\n":  {`line 1: registry.publish: "-1"` + port},
		"registry: {publish: '127.0.0.1:65536'}": {`line 1: registry.publish: "65536"` + port},
		"registry: {publish: '127.0.0.1:http'}":  {`line 1: registry.publish: "http"` + port},
		"registry: {publish: ':5000'}\n":         {`line 1: registry.publish: ""` + address},
		"registry: {publish: 'build.lan:5000'}":  {`line 1: registry.publish: "build.lan"` + address},
		"registry: {publish: '[fe80::1%eth0]:1'}": {
			`line 1: registry.publish: "fe80::1%eth0"` + address},
		"registry: {publish: '127.0.0.1:1'}\nbuilder: {publish: '127.0.0.1:1'}\n": {
			"line 2: builder.publish: port 1 is registry.publish's already"},
		"registry: {publish: '0.0.0.0:1234'}\n":        {"builder.publish: port 1234 is registry.publish's already"},
		"registry: {publish: '::ffff:127.0.0.1:1234'}": {`line 1: registry.publish: "::ffff:127.0.0.1:1234": want ip:port, as "127.0.0.1:5005"`},
		"registry: {publish: '[::ffff:127.0.0.1]:1234'}": {
			"builder.publish: port 1234 is registry.publish's already"},

		"builder: {publish: '0.0.0.0:1234'}\n":            {"line 1: builder.publish: 0.0.0.0:1234" + open},
		"builder: {publish: '[::]:1234', tls: server}\n":  {"line 1: builder.publish: [::]:1234" + open},
		"builder:\n  publish: 192.168.1.2:0\n":            {"line 2: builder.publish: 192.168.1.2:0" + open},
		"builder: {publish: '[::ffff:0.0.0.0]:1234'}\n":   {"line 1: builder.publish: 0.0.0.0:1234" + open},
		"builder: {publish: '[2001:db8::1]:1234'}\n":      {"line 1: builder.publish: [2001:db8::1]:1234" + open},
		"builder: {tls: mtls}\n":                          {`line 1: builder.tls: "mtls" is not known; want server, mutual`},
		"builder: {tls: mtls, publish: '0.0.0.0:1234'}\n": {`line 1: builder.tls: "mtls" is not known; want server, mutual`},
		"builder: {privileges: root}\n":                   {`line 1: builder.privileges: "root" is not known; want auto, privileged, minimal`},

		"builder:\n  hosts:\n    - ok.lan\n    - https://build.lan\n    - ''\n": {
			`line 4: builder.hosts[1]: "https://build.lan" is a URL; want a host name or an IP address`,
			`line 5: builder.hosts[2]: "" is empty; want a host name or an IP address`},
		"registry: {hosts: ['r.lan:5000']}\n":    {`line 1: registry.hosts[0]: "r.lan:5000" has a port; want the host alone`},
		"registry: {hosts: ['fe80::1%eth0']}\n":  {`line 1: registry.hosts[0]: "fe80::1%eth0" has a zone, which means nothing on another machine`},
		"registry: {hosts: ['a\"]\\ninsecure']}": {`line 1: registry.hosts[0]: "a\"]\\ninsecure" has a character that no host name has`},

		"registry: {users: [{}]}\n":                             {"line 1: registry.users[0]: has no name"},
		"registry: {users: [{password_env: X}]}\n":              {"line 1: registry.users[0]: has no name"},
		"registry:\n  users:\n    - name: a\n    - name: 'b:c'": {`line 4: registry.users[1]: user name "b:c" holds a colon, which ends the name in htpasswd and in HTTP basic authentication`},
		"registry: {users: [{name: ' a'}]}\n":                   {`line 1: registry.users[0]: user name " a"` + chars},
		"registry: {users: [{name: '#a'}]}\n":                   {`line 1: registry.users[0]: user name "#a"` + chars},
		"registry: {users: [{name: \"a\\n\"}]}\n":               {`line 1: registry.users[0]: user name "a\n"` + chars},
		"registry: {users: [{name: 'ü'}]}\n":                    {`line 1: registry.users[0]: user name "ü"` + chars},
		"registry: {users: [{name: a$b}]}\n":                    {`line 1: registry.users[0]: user name "a$b"` + chars},
		"registry: {users: [{name: a}, {name: a}]}\n":           {`line 1: registry.users[1]: user "a" is listed twice`},
		"registry: {users: [{name: a, password_file: f, password_env: E}]}\n": {
			`line 1: registry.users[0]: user "a" has password_file and password_env; want one of them, or none for a generated password`},

		"pki: {ca_validity: 10y}\n":       {`line 1: pki.ca_validity: "10y" is not a duration; want days as 90d, or hours as 12h`},
		"pki: {leaf_validity: 90}\n":      {`line 1: pki.leaf_validity: "90" is not a duration; want days as 90d, or hours as 12h`},
		"pki: {leaf_validity: 1.5d}\n":    {`line 1: pki.leaf_validity: "1.5d" is not a duration; want days as 90d, or hours as 12h`},
		"pki: {leaf_validity: 59m}\n":     {`line 1: pki.leaf_validity: "59m" is too short; want at least 1h`},
		"pki: {leaf_validity: 0d}\n":      {`line 1: pki.leaf_validity: "0d" is too short; want at least 1h`},
		"pki: {leaf_validity: -24h}\n":    {`line 1: pki.leaf_validity: "-24h" is too short; want at least 1h`},
		"pki: {leaf_validity: -1d}\n":     {`line 1: pki.leaf_validity: "-1d" is not a duration; want days as 90d, or hours as 12h`},
		"pki: {ca_validity: 36501d}\n":    {`line 1: pki.ca_validity: "36501d" is too long; want at most 36500d`},
		"pki: {ca_validity: 100001d}\n":   {`line 1: pki.ca_validity: "100001d" is not a duration; want days as 90d, or hours as 12h`},
		"pki: {ca_validity: 9999999999h}": {`line 1: pki.ca_validity: "9999999999h" is not a duration; want days as 90d, or hours as 12h`},
		"pki: {ca_validity: 30d}\n":       {"pki.leaf_validity: 90d is longer than pki.ca_validity; a certificate cannot outlive its CA"},
		"pki: {leaf_validity: 3651d}\n":   {"line 1: pki.leaf_validity: 3651d is longer than pki.ca_validity; a certificate cannot outlive its CA"},
		"images: a\npki: {key: b}\n\nbuilder:\n  tls: c\n  publish: d\nname: E\n": {
			`line 1: images: "a" is not known; want auto, pull, bundled`,
			`line 2: pki.key: "b" is not known; want ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519`,
			`line 5: builder.tls: "c" is not known; want server, mutual`,
			`line 6: builder.publish: "d": want ip:port, as "127.0.0.1:1234"`,
			`line 7: name: "E"` + name,
		},
	} {
		t.Run(strings.TrimSpace(text), func(t *testing.T) {
			s, err := read(text)
			if got := problems(t, err); !slices.Equal(got, want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
			if !reflect.DeepEqual(s, stack.Spec{}) {
				t.Errorf("an error and a spec: %+v", s)
			}
		})
	}
}

func TestNameLimits(t *testing.T) {
	long := strings.Repeat("a", 52)
	s := mustRead(t, "name: "+long)
	// The container's name is one label of a DNS name.
	if got := s.ContainerName(stack.Registry); len(got) != 63 {
		t.Errorf("%s has %d characters, want room for 63", got, len(got))
	}
	checkCovered(t, s, stack.Facts{})
	if _, err := read("name: " + long + "a"); err == nil {
		t.Error("53 characters are accepted")
	}
	for _, name := range []string{"a", "1", "0x10", "true", "null_", "a-", "a_", "1e5"} {
		checkCovered(t, mustRead(t, fmt.Sprintf("name: %q", name)), stack.Facts{})
	}
}

func TestPublishForms(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"127.0.0.1:5000":          "127.0.0.1:5000",
		"localhost:5000":          "127.0.0.1:5000",
		"127.0.0.1:0":             "127.0.0.1:0",
		"127.8.9.10:1":            "127.8.9.10:1",
		"0.0.0.0:65535":           "0.0.0.0:65535",
		"[::1]:5000":              "[::1]:5000",
		"[::]:5000":               "[::]:5000",
		"[2001:DB8:0::1]:5000":    "[2001:db8::1]:5000",
		"[::ffff:127.0.0.1]:5000": "127.0.0.1:5000",
		"[::ffff:0.0.0.0]:5000":   "0.0.0.0:5000",
	} {
		got := mustRead(t, fmt.Sprintf("registry: {publish: %q}", text)).Registry.Publish
		if got.String() != want || got.On() != (want != "") {
			t.Errorf("%q: got %q (on: %v), want %q", text, got, got.On(), want)
		}
		loopback := strings.HasPrefix(want, "127.") || strings.HasPrefix(want, "[::1]")
		if got.Loopback() != loopback {
			t.Errorf("%q: Loopback is %v", text, got.Loopback())
		}
	}
}

// TestBuilderBeyondLoopback: the builder without client certificates is reached
// from this machine only, and every other combination is somebody's to choose.
func TestBuilderBeyondLoopback(t *testing.T) {
	for _, c := range []struct {
		publish, tls string
		ok           bool
	}{
		{"127.0.0.1:1234", "server", true},
		{"127.1.2.3:1234", "server", true},
		{"[::1]:1234", "server", true},
		{"localhost:1234", "server", true},
		{"", "server", true},
		{"0.0.0.0:1234", "server", false},
		{"[::]:1234", "server", false},
		{"10.0.0.1:0", "server", false},
		{"[fe80::1]:1234", "server", false},
		{"0.0.0.0:1234", "mutual", true},
		{"[::]:1234", "mutual", true},
		{"10.0.0.1:0", "mutual", true},
	} {
		_, err := read(fmt.Sprintf("builder: {publish: %q, tls: %s}", c.publish, c.tls))
		if (err == nil) != c.ok {
			t.Errorf("%s with %s: got %v, want accepted: %v", c.publish, c.tls, err, c.ok)
		}
	}
	// The registry asks for a password anywhere.
	mustRead(t, "registry: {publish: '0.0.0.0:5000'}")
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * day, "0d": 0, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "100000d": 100000 * day, "1500ms": 1500 * time.Millisecond,
	} {
		if got, err := stack.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "90", "90 d", "-1d", "1.5d", "1d12h", "100001d", "99999999999999999999d", "2w", "1y", "ten days"} {
		if got, err := stack.ParseDuration(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestNewSpecCopiesItsConfig(t *testing.T) {
	c, err := stack.ReadConfig(strings.NewReader("registry: {hosts: [a.lan.]}"), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.NewSpec(c)
	if err != nil {
		t.Fatal(err)
	}
	if c.Registry.Hosts[0] != "a.lan." {
		t.Error("the config was changed")
	}
	c.Registry.Hosts[0] = "b.lan"
	if s.Registry.Hosts[0] != "a.lan" {
		t.Error("the spec shares the config's hosts")
	}
}
