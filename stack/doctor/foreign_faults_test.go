package doctor_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/doctor"
)

// foreignFault is something that is done to a running stack of somebody's.
type foreignFault struct {
	name, want string
	also       []string
	do         func(*testing.T, *foreign)
	compose    [2]string // a change of the compose file, from and to
	restart    []string  // what is started anew then
	dead       bool      // so that it does not run
	look       func(*testing.T, *foreign, *doctor.Target)
	prove      func(*testing.T, *foreign) // that the fault is what it is called
}

// suffer does a fault to the stack, sees what is found, and puts it back.
func (f *foreign) suffer(t *testing.T, tab *table, fault foreignFault) {
	t.Helper()
	begun := time.Now()
	defer func() {
		if took := time.Since(begun); took > 10*time.Second {
			t.Logf("%s: takes %s", fault.name, took.Round(time.Millisecond))
		}
	}()
	if fault.do != nil {
		fault.do(t, f)
	}
	if fault.compose[0] != "" {
		f.change(t, "docker-compose.yml", f.fillIn(fault.compose[0]), f.fillIn(fault.compose[1]))
		f.up(t)
	}
	if len(fault.restart) > 0 {
		must(t, f.engine.Restart(t.Context(), f.name, fault.restart))
	}
	if len(fault.restart) > 0 && !fault.dead {
		f.ready(t)
	}
	if fault.dead {
		eventually(t, "a daemon to end", func() bool { return f.ended(t) })
	}
	if fault.prove != nil {
		fault.prove(t, f)
	}
	target := f.target()
	if fault.look != nil {
		fault.look(t, f, &target)
	}
	tab.judge(t, "foreign", fault.name, fault.want, fault.also, f.examine(t, target))
	if fault.do != nil || fault.compose[0] != "" {
		f.restore(t)
	}
}

func (f *foreign) ended(t *testing.T) bool {
	t.Helper()
	list, err := f.engine.Containers(t.Context(), f.name)
	must(t, err)
	return slices.ContainsFunc(list, func(c compose.Container) bool { return c.State != "running" })
}

func foreignFaults() []foreignFault {
	both := []string{"registry", "buildkit"}
	toml := func(from, to string) func(*testing.T, *foreign) {
		return func(t *testing.T, f *foreign) { t.Helper(); f.change(t, "buildkit/buildkitd.toml", from, to) }
	}
	yml := func(from, to string) func(*testing.T, *foreign) {
		return func(t *testing.T, f *foreign) { t.Helper(); f.change(t, "registry/config.yml", from, to) }
	}
	server := func(names string, days int) func(*testing.T, *foreign) {
		return func(t *testing.T, f *foreign) {
			t.Helper()
			f.sign(t, "ca/ca", "buildkit/certs/server", "serverAuth", names, days)
		}
	}
	const names = "DNS:buildkit,DNS:localhost"
	frozen := "running.frozen"
	if os.Geteuid() != 0 {
		frozen = "running.served" // only root can look into a container
	}
	return []foreignFault{
		{name: "certificate mounted alone, and replaced", want: frozen, also: []string{"compose.file-mount"},
			do: func(t *testing.T, f *foreign) {
				t.Helper()
				toml("/etc/buildkit/certs/server", "/tls/server")(t, f)
				toml("/etc/buildkit/certs/server", "/tls/server")(t, f)
			},
			compose: [2]string{"./buildkit:/etc/buildkit:ro\n", "./buildkit:/etc/buildkit:ro\n      - ./buildkit/certs/server.crt:/tls/server.crt:ro\n      - ./buildkit/certs/server.key:/tls/server.key:ro\n"},
			prove:   func(t *testing.T, f *foreign) { f.ready(t); server(names, 300)(t, f) }},
		{name: "certificate renewed, no restart", want: "running.served", do: server(names, 300)},
		{name: "buildkitd.toml edited, no restart", want: "running.stale", do: toml("[grpc]\n", "# a comment\n[grpc]\n")},
		{name: "config.yml edited, no restart", want: "running.stale", do: yml("version", "# a comment\nversion")},
		{name: "config mounted elsewhere", want: "compose.config-mount", also: []string{"compose.file-mount"},
			compose: [2]string{"./buildkit:/etc/buildkit:ro\n", "./buildkit/certs:/etc/buildkit/certs:ro\n      - ./buildkit/buildkitd.toml:/buildkitd.toml:ro\n"}},
		{name: "config's directory mounted elsewhere", want: "compose.config-mount",
			compose: [2]string{"./buildkit:/etc/buildkit:ro\n", "./buildkit:/buildkit:ro\n"}},
		{name: "ca of clients taken out", want: "probe.accepted", do: toml(`ca = "/etc/buildkit/certs/clients.crt"`+"\n", ""), restart: both},
		{name: "ca of clients taken out, published", want: "compose.published-open", also: []string{"probe.accepted"}, do: toml(`ca = "/etc/buildkit/certs/clients.crt"`+"\n", ""),
			compose: [2]string{`"127.0.0.1:%BUILDER%:1234"`, `"%BUILDER%:1234"`}, restart: both},
		{name: "ca without cert and key", want: "buildkitd.grpc-plain", do: toml("cert = \"/etc/buildkit/certs/server.crt\"\nkey = \"/etc/buildkit/certs/server.key\"\n", ""), restart: both, prove: speaksPlain},
		{name: "registry without TLS", want: "registry.plain-http", do: yml("  tls:\n    certificate: /etc/distribution/certs/registry.crt\n    key: /etc/distribution/certs/registry.key\n", ""), restart: both},
		{name: "registry wants certificates", want: "wiring.keypair", also: []string{"registry.clients-need-certificates", "docker.loopback"}, restart: both, do: func(t *testing.T, f *foreign) {
			t.Helper()
			f.shell(t, "cp ca/clients.crt registry/certs/")
			yml("registry.key\n", "registry.key\n    clientcas: [/etc/distribution/certs/clients.crt]\n")(t, f)
		}},
		{name: "port that nothing listens on", want: "probe.unreachable", compose: [2]string{":%PORT%:5000", ":%PORT%:5001"}},
		{name: "expired", want: "certs.expired", do: func(t *testing.T, f *foreign) {
			t.Helper()
			f.shell(t, "set -e"+strings.Replace(leafScript, "openssl x509 -req", lastYear, 1)+"leaf ca/ca buildkit/certs/server serverAuth "+names+" 1")
		}, restart: both},
		{name: "wrong name", want: "certs.names", do: server("DNS:buildkit", 365), restart: both},
		{name: "no names", want: "certs.no-san", do: server("", 365), restart: both},
		{name: "CA made anew with the same subject", want: "certs.same-subject", do: func(t *testing.T, f *foreign) {
			t.Helper()
			f.shell(t, "set -e"+newCA+"newca 'My CA' ca/ca; cp ca/ca.crt buildkit/certs/registry-ca.crt; cp ca/ca.crt client/ca.pem")
		}, restart: both},
		{name: "client's certificate of another CA", want: "certs.chain", do: func(t *testing.T, f *foreign) {
			t.Helper()
			f.sign(t, "ca/ca", "client/other", "clientAuth", "", 365)
			f.shell(t, "mv client/other.crt client/cert.pem; mv client/other.key client/key.pem")
		}},
		{name: "htpasswd missing, mounted read-only", want: "registry.htpasswd-missing", do: func(t *testing.T, f *foreign) {
			t.Helper()
			must(t, os.Remove(filepath.Join(f.dir, "registry/auth/htpasswd")))
		},
			restart: []string{"registry"}, dead: true},
		{name: "htpasswd missing, mounted writable", want: "registry.htpasswd-missing", also: []string{"compose.writable-mount"},
			do: func(t *testing.T, f *foreign) {
				t.Helper()
				must(t, os.Remove(filepath.Join(f.dir, "registry/auth/htpasswd")))
			},
			// No restart: a registry that ends while it makes the file leaves it empty.
			compose: [2]string{"./registry:/etc/distribution:ro", "./registry:/etc/distribution"}, prove: func(t *testing.T, f *foreign) { t.Helper(); f.ready(t) }},
		{name: "wrong flag, restarting", want: "running.container", compose: [2]string{"  buildkit:\n", "  buildkit:\n    restart: always\n    command: [--no-such-flag]\n"}, dead: true},
		{name: "buildkitd.toml broken", want: "buildkitd.syntax", do: toml("[grpc]\n", "[grpc\n"), restart: []string{"buildkit"}, dead: true},
		{name: "key of another certificate", want: "certs.key-match", do: func(t *testing.T, f *foreign) {
			t.Helper()
			f.shell(t, "cp registry/certs/registry.key buildkit/certs/server.key")
		},
			restart: []string{"buildkit"}, dead: true},
		{name: "section with the published port", want: "wiring.port", do: toml(`"registry:5000"`, `"registry:5005"`), restart: both},
		{name: "no section", want: "wiring.section", do: toml("[registry.\"registry:5000\"]\nhttp = false\nca = [\"/etc/buildkit/certs/registry-ca.crt\"]\n", ""), restart: both},
	}
}

// speaksPlain: the builder answers gRPC without TLS.
func speaksPlain(t *testing.T, f *foreign) {
	t.Helper()
	conn, err := net.Dial("tcp", f.at(f.builder))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	must(t, err)
	header := make([]byte, 9)
	if _, err := io.ReadFull(conn, header); err != nil || header[3] != 4 {
		t.Errorf("the builder answers % x, %v, want HTTP/2's settings", header, err)
	}
}
