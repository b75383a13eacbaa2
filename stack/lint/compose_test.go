package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/lint"
)

// judgeText loads a compose file from a directory of its own and judges it.
func judgeText(t *testing.T, text string) (lint.Compose, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := compose.LoadFile(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	return lint.JudgeCompose("compose.yaml", []byte(text), p), dir
}

// everything is what a compose file and its configs have, where clients of the
// builder need no certificate and the registry has config.
func everything(c lint.Compose, config string) []lint.Finding {
	out := append(slices.Clone(c.Findings), c.Open(false)...)
	if config != "" {
		out = append(out, c.WithRegistry(lint.ParseRegistry("config.yml", []byte(config), nil))...)
	}
	slices.SortStableFunc(out, func(a, b lint.Finding) int { return a.Line - b.Line })
	return out
}

func serviceName(s *lint.Service) string {
	if s == nil {
		return "-"
	}
	return s.Name
}

// cheatSheetCompose is what the cheat sheet mounts, and what goes with that.
const cheatSheetCompose = `services:
  registry:
    image: registry:2
    ports:
      - "5005:5000"
    environment:
      - REGISTRY_AUTH=htpasswd
      - REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd
      - REGISTRY_HTTP_SECRET=abc
    volumes:
      - ./registry/auth:/auth
      - ./registry/certs:/certs
      - data:/var/lib/registry
  buildkit:
    image: moby/buildkit:latest
    privileged: true
    entrypoint: /entrypoint.sh
    ports:
      - "1234:1234"
    volumes:
      - ./buildkit/entrypoint.sh:/entrypoint.sh
      - ./buildkit/buildkitd.toml:/etc/buildkit/buildkitd.toml
      - ./registry/certs:/certs
      - ./buildkit/certs:/buildkit
volumes:
  data:
`

// longSyntax has everything written long, and a builder without root.
const longSyntax = `services:
  yard-registry:
    image: docker.io/library/registry:3
    ports:
      - target: 5000
        published: "5000"
        host_ip: 0.0.0.0
    stop_grace_period: 5s
    environment:
      REGISTRY_HTTP_TLS_CERTIFICATE: /run/secrets/crt
      REGISTRY_PROXY_PASSWORD: abc
    configs:
      - source: conf
        target: /etc/docker/registry/config.yml
    secrets:
      - source: crt
        uid: "1000"
        mode: 0400
  builder:
    image: ghcr.io/acme/mirror/moby/buildkit:v0.34.2-rootless
    security_opt: [seccomp=unconfined]
    stop_grace_period: 10m
    ports:
      - target: 1234
        published: "1234"
        host_ip: 127.0.0.1
    volumes:
      - type: bind
        source: ./buildkit
        target: /etc/buildkit
      - type: volume
        source: state
        target: /home/user/.local/share/buildkit
configs:
  conf:
    file: ./registry.yml
secrets:
  crt:
    file: ./reg.crt
volumes: {state: {}}
`

// anchors has its mounts from an anchor and from a service that it extends.
const anchors = `x-certs: &certs
  volumes:
    - ./certs:/certs:ro
    - ./htpasswd:/auth/htpasswd:ro
services:
  base:
    image: alpine
    ports: ["${BIND:-0.0.0.0}:${PORT:-5000}:5000/tcp"]
  reg:
    <<: *certs
    extends: {service: base}
    image: registry@sha256:0123456789012345678901234567890123456789012345678901234567890123
  bk:
    build: .
    command: ["buildkitd", "--addr", "tcp://0.0.0.0:1234", "--config", "/conf/bk.toml"]
    network_mode: host
`

// inShell has daemons that are started by a shell, with the wrong paths.
const inShell = `services:
  a:
    image: moby/buildkit
    entrypoint: ["sh", "-c", "exec buildkitd --addr unix:///run/b.sock --addr=tcp://0.0.0.0:1234 --config /conf/buildkit.toml"]
    ports: ["1234:1234", "127.0.0.1:6060:6060", "53:53/udp"]
    volumes:
      - ./conf:/config
  registry:
    image: registry:3
    privileged: true
    command: serve /conf/reg.yml
    stop_grace_period: 90s
    volumes: ["./conf:/config"]
`

// flags has a builder whose command says everything.
const flags = `services:
  client:
    image: moby/buildkit
    command: [buildctl, --addr, "tcp://builder:1234", debug, workers]
    entrypoint: []
  builder:
    image: moby/buildkit:v0.34.2
    command: --addr tcp://0.0.0.0:1234 --tlscert /certs/tls.crt --tlskey /certs/tls.key --tlscacert /certs/ca.crt --allow-insecure-entitlement security.insecure
    privileged: true
    stop_grace_period: 5m
    ports: [1234]
    volumes: ["./tls:/certs:ro"]
  open:
    image: alpine
    ports: ["9000:9000"]
`

// scripts has daemons that are started by somebody's scripts, which may do
// anything, and that have each other's files.
const scripts = `services:
  builder:
    image: moby/buildkit
    entrypoint: /start.sh
    stop_grace_period: 1m
    volumes:
      - ./b/buildkitd.toml:/conf/buildkitd.toml:ro
      - ./r/config.yml:/conf/config.yml:ro
  registry:
    image: registry:3
    entrypoint: /start.sh
    configs: [inline]
    volumes:
      - ./r/config.yml:/conf/config.yml:ro
      - ./b/buildkitd.toml:/etc/buildkitd.toml:ro
      - store.crt:/var/lib/registry
volumes: {store.crt: {}}
configs: {inline: {content: a}}
`

// writable has directories that are mounted writable, and files.
const writable = `services:
  builder:
    image: moby/buildkit
    stop_grace_period: 1m
    volumes:
      - ./b:/etc/buildkit
      - ./src:/src
  registry:
    image: registry:3
    volumes:
      - ./r:/etc/distribution
      - ./r/motd.pem:/motd.pem
      - ./data:/var/lib/registry
`

func TestJudgeCompose(t *testing.T) {
	for title, c := range map[string]struct{ file, config, builder, registry, want string }{
		"cheat sheet": {cheatSheetCompose, healthy, "buildkit", "registry", `2: compose.registry-data
2: compose.stop-grace
3: compose.old-registry
9: compose.secret-in-environment
11: compose.writable-mount
12: compose.writable-mount
14: compose.stop-grace
19: compose.published-open
22: compose.file-mount
22: compose.writable-mount
23: compose.writable-mount
24: compose.writable-mount`},
		"long syntax": {longSyntax, "version: 0.1\nstorage: filesystem\n", "builder", "yard-registry", `2: compose.registry-data
5: compose.registry-open
11: compose.secret-in-environment
13: compose.config-mount
13: compose.file-mount
16: compose.file-mount
16: compose.file-options
28: compose.config-mount`},
		"anchors": {anchors, "version: 0.1\nstorage: inmemory\n", "bk", "reg", `4: compose.file-mount
8: compose.registry-open
13: compose.stop-grace
16: compose.host-network`},
		"shell": {inShell, healthy, "a", "registry", `2: compose.stop-grace
4: compose.config-mount
4: compose.builder-plain
5: compose.published-open
8: compose.registry-data
10: compose.privileged
11: compose.config-mount`},
		"scripts": {scripts, "", "builder", "registry", `7: compose.file-mount
8: compose.file-mount
14: compose.file-mount
15: compose.file-mount`},
		"writable": {writable, "", "builder", "registry", `6: compose.writable-mount
11: compose.writable-mount
12: compose.file-mount
12: compose.writable-mount`},
		"flags":   {flags, "", "builder", "-", "9: compose.privileged"},
		"neither": {"services:\n  web: {image: nginx, ports: ['80:80']}\n  app: {image: flask, ports: ['5000:5000'], environment: {REGISTRY_URL: x}}\n  ui: {image: joxit/docker-registry-ui}\n", "", "-", "-", ""},
	} {
		judged, _ := judgeText(t, c.file)
		if serviceName(judged.Builder) != c.builder || serviceName(judged.Registry) != c.registry {
			t.Errorf("%s: builder %s and registry %s", title, serviceName(judged.Builder), serviceName(judged.Registry))
		}
		found := everything(judged, c.config)
		if got := deployList(found); got != c.want {
			var all []string
			for _, f := range found {
				all = append(all, fmt.Sprintf("%d: %s: %s; %s", f.Line, f.Rule, f.Problem, f.Mend))
			}
			t.Errorf("%s: got\n%s\nwant\n%s\n%s", title, got, c.want, strings.Join(all, "\n"))
		}
	}
}

// TestComposeHealthy: ours have no findings at all.
func TestComposeHealthy(t *testing.T) {
	for _, name := range []string{"default", "minimal", "mutual", "mutual-minimal", "edge", "edge-mutual", "ephemeral", "ephemeral-edge", "rootless", "userns", "unpublished", "ipv6", "remote"} {
		data, err := os.ReadFile(filepath.Join("..", "render", "testdata", name, "compose.yaml.golden"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		c, dir := judgeText(t, string(data))
		if c.Builder == nil || c.Builder.Name != "buildkit" || c.Registry == nil || c.Registry.Name != "registry" {
			t.Errorf("%s: builder %s, registry %s", name, serviceName(c.Builder), serviceName(c.Registry))
			continue
		}
		config, err := os.ReadFile(filepath.Join("..", "render", "testdata", "default", "registry", "config.yml.golden"))
		if err != nil {
			t.Fatal(err)
		}
		r := lint.ParseRegistry("config.yml", config, c.Registry.Environment)
		found := append(append(c.Findings, r.Findings...), c.WithRegistry(r)...)
		if found = append(found, c.Open(strings.Contains(name, "mutual") || name == "remote")...); len(found) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
		if got, ok := c.Registry.HostPath(c.Registry.RegistryConfig()); !ok || got != filepath.Join(dir, "registry", "config.yml") {
			t.Errorf("%s: the registry's config is %s, %v", name, got, ok)
		}
		if got, ok := c.Builder.HostPath(c.Builder.BuildkitdConfig()); !ok || got != filepath.Join(dir, "buildkit", "buildkitd.toml") {
			t.Errorf("%s: buildkitd's config is %s, %v", name, got, ok)
		}
	}
}

func TestComposeEdits(t *testing.T) {
	c, _ := judgeText(t, cheatSheetCompose)
	got := cheatSheetCompose
	for _, f := range slices.Backward(c.Findings) {
		got = deployEdit(got, f.Edits)
	}
	want := strings.NewReplacer("/auth:/auth\n", "/auth:/auth:ro\n", ":/certs\n", ":/certs:ro\n", ":/buildkit\n", ":/buildkit:ro\n", "buildkitd.toml\n", "buildkitd.toml:ro\n").Replace(cheatSheetCompose)
	if got != want {
		t.Errorf("got\n%s", got)
	}
	quoted, _ := judgeText(t, "services:\n  r:\n    image: registry:3\n    volumes:\n      - \"./a:/certs\" \n      - './b:/tls:rw'\n")
	if e := quoted.Findings[0].Edits; len(e) != 1 || e[0].New[0] != `      - "./a:/certs:ro"` {
		t.Errorf("quoted: %+v", quoted.Findings)
	}
	if f := quoted.Findings[1]; f.Line != 6 || f.Edits != nil {
		t.Errorf("rw: %+v", f)
	}
}

// TestConfigMend: what to add to the command is a file, also where a directory
// is mounted.
func TestConfigMend(t *testing.T) {
	for text, want := range map[string]string{
		"services: {b: {image: 'moby/buildkit:rootless', volumes: ['./b:/etc/buildkit:ro']}}":             "--config=/etc/buildkit/buildkitd.toml",
		"services: {b: {image: 'moby/buildkit', volumes: ['./b/buildkitd.toml:/conf/bk.toml:ro']}}":       "--config=/conf/bk.toml",
		"services: {b: {image: 'registry:2', volumes: ['./r:/etc/distribution:ro']}}":                     "[serve, /etc/distribution/config.yml]",
		"services: {b: {image: 'registry:3', volumes: ['./r/c.yml:/etc/docker/registry/config.yml:ro']}}": "[serve, /etc/docker/registry/config.yml]",
	} {
		c, _ := judgeText(t, text)
		if i := slices.IndexFunc(c.Findings, func(f lint.Finding) bool { return f.Rule == "compose.config-mount" }); i < 0 || !strings.Contains(c.Findings[i].Mend, want) {
			t.Errorf("%s: %+v", text, c.Findings)
		}
	}
}

func TestOpen(t *testing.T) {
	for title, c := range map[string]struct {
		file       string
		clientAuth bool
		want       string
	}{
		"the toml asks":     {cheatSheetCompose, true, ""},
		"it does not":       {cheatSheetCompose, false, "19: compose.published-open"},
		"the flags do":      {flags, false, ""},
		"no builder":        {"services: {a: {image: b}}", false, ""},
		"loopback":          {"services: {a: {image: moby/buildkit, ports: ['127.0.0.1:1:1234', '[::1]:1:1234', '127.9.9.9:2:1234']}}", false, ""},
		"one address":       {"services:\n a: {image: moby/buildkit, ports: ['192.168.1.2:1:1234']}", false, "2: compose.published-open"},
		"any address, IPv6": {"services:\n a: {image: moby/buildkit, ports: ['[::]:1:1234']}", false, "2: compose.published-open"},
		"any port":          {"services:\n a: {image: moby/buildkit, ports: [1234]}", false, "2: compose.published-open"},
	} {
		judged, _ := judgeText(t, c.file)
		if got := deployList(judged.Open(c.clientAuth)); got != c.want {
			t.Errorf("%s: got %s, want %s", title, got, c.want)
		}
	}
}

func TestServicePaths(t *testing.T) {
	s := lint.Service{Image: "registry:2.8.3", Mounts: []lint.Mount{
		{Type: "bind", Source: "/srv", Target: "/"}, {Type: "bind", Source: "/srv/certs", Target: "/certs"},
		{Type: "volume", Source: "v", Target: "/certs/live"}, {Type: "tmpfs", Target: "/tmp"}}}
	for in, want := range map[string]string{"/certs": "/srv/certs", "/certs/a/../b": "/srv/certs/b", "/certs2": "/srv/certs2", "/": "/srv", "/certs/live/x": "", "/tmp/x": ""} {
		if got, ok := s.HostPath(in); got != want || ok != (want != "") {
			t.Errorf("%s is at %q, %v, want %q", in, got, ok, want)
		}
	}
	for want, s := range map[string]lint.Service{
		"/etc/distribution/config.yml":    {Image: "registry"},
		"/etc/docker/registry/config.yml": {Image: "localhost:5000/registry:2"},
		"/a":                              {Image: "registry:2", Command: []string{"serve", "--x", "/a"}},
		"/b.yml":                          {Image: "registry:3", Command: []string{"/b.yml"}},
		"/c":                              {Image: "registry:3", Command: []string{"registry", "serve"}, Environment: map[string]string{"REGISTRY_CONFIGURATION_PATH": "/c"}},
		"/etc/distribution/config.yml, not the tag": {Image: "a:2/registry:3"},
	} {
		want, _, _ = strings.Cut(want, ",")
		if got := s.RegistryConfig(); got != want {
			t.Errorf("%+v reads %s, want %s", s, got, want)
		}
	}
	for want, s := range map[string]lint.Service{
		"/etc/buildkit/buildkitd.toml":               {Image: "moby/buildkit:v0.34.2"},
		"/home/user/.config/buildkit/buildkitd.toml": {Image: "moby/buildkit:rootless"},
		"/x/buildkit/buildkitd.toml":                 {Image: "moby/buildkit:rootless", Environment: map[string]string{"XDG_CONFIG_HOME": "/x"}},
		"/e":                                         {Environment: map[string]string{"BUILDKITD_CONFIG": "/e"}},
		"/f":                                         {Command: []string{"--config", "/f"}, Environment: map[string]string{"BUILDKITD_CONFIG": "/e"}},
	} {
		if got := s.BuildkitdConfig(); got != want {
			t.Errorf("%+v reads %s, want %s", s, got, want)
		}
	}
	a, cert, key, ca := lint.Service{Command: []string{"sh", "-c", `buildkitd --addr tcp://a:1,unix:///b --addr="tcp://c" --tlscert /d --tlskey=/e`}}.BuildkitdFlags()
	if got := strings.Join(append(a, cert, key, ca), " "); got != "tcp://a:1 unix:///b tcp://c /d /e " {
		t.Errorf("flags are %q", got)
	}
}

func TestComposeStopGrace(t *testing.T) {
	c, _ := judgeText(t, "services:\n  b: {image: moby/buildkit, stop_grace_period: 2m}\n  r: {image: 'registry:3'}\n")
	if c.Builder.StopGrace != 2*time.Minute || c.Registry.StopGrace != 10*time.Second || len(c.Findings) > 0 {
		t.Errorf("builder %v, registry %v, %+v", c.Builder.StopGrace, c.Registry.StopGrace, c.Findings)
	}
}

// TestComposeOfSeveralFiles: what another file says is judged, and has no line.
func TestComposeOfSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	base := "services:\n  b:\n    image: moby/buildkit\n    stop_grace_period: 1m\n"
	for file, text := range map[string]string{"docker-compose.yml": base, "docker-compose.override.yml": "services: {b: {ports: ['1:1234']}}\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := compose.LoadFile(t.Context(), filepath.Join(dir, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	c := lint.JudgeCompose("docker-compose.yml", []byte(base), p)
	if got := deployList(c.Open(false)); got != "0: compose.published-open" {
		t.Errorf("got %s", got)
	}
}

func FuzzDeployFiles(f *testing.F) {
	for _, seed := range []string{healthy, cheatSheetCompose, longSyntax, anchors, inShell, flags, "a: &a [*a]", "<<: &a {<<: *a}", "http: {headers: {a: [b]}}", "a:" + "$2y$05$"} {
		f.Add([]byte(seed), "REGISTRY_HTTP_TLS_CLIENTCAS_0", "x")
	}
	f.Add([]byte("version: 0.1\nstorage: {a: {b: [{c: d}]}}"), "REGISTRY_STORAGE_A_B_0_C", "[")
	f.Fuzz(func(t *testing.T, data []byte, variable, value string) {
		lint.JudgeCompose("", data, nil)
		lint.Htpasswd("", data)
		r := lint.ParseRegistry("", data, map[string]string{variable: value})
		for _, found := range append(r.Findings, lint.ParseRegistry("", nil, map[string]string{variable: value}).Findings...) {
			if found.Rule == "" || found.Problem == "" {
				t.Errorf("%+v", found)
			}
		}
		r.Line("http.tls.key")
		r.Root()
	})
}
