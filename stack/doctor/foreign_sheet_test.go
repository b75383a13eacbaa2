package doctor_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack/doctor"
)

const sheetCompose = `name: %NAME%
services:
  registry:
    image: %REGISTRY%
    ports:
      - "%PORT%:5000"
    environment:
      REGISTRY_AUTH: htpasswd
      REGISTRY_AUTH_HTPASSWD_REALM: Registry Realm
      REGISTRY_AUTH_HTPASSWD_PATH: /auth/htpasswd
      REGISTRY_HTTP_ADDR: :5000
      REGISTRY_HTTP_TLS_CERTIFICATE: /certs/registry.crt
      REGISTRY_HTTP_TLS_KEY: /certs/registry.key
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: /var/lib/registry
    command: ["serve", "/auth/config.yml"]
    volumes:
      - ./registry/auth:/auth
      - ./registry/certs:/certs
  buildkit:
    image: %BUILDKIT%
    ports:
      - "%BUILDER%:1234"
    cap_add: [SYS_ADMIN, NET_ADMIN]
    security_opt: ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]
    volumes:
      - ./buildkit/buildkitd.toml:/etc/buildkit/buildkitd.toml
      - ./registry/certs:/certs
      - ./buildkit/certs:/buildkit
      - /sys/fs/cgroup:/sys/fs/cgroup
`

const sheetToml = `debug = true

[grpc]
address = ["tcp://0.0.0.0:1234"]

# TLS configuration for BuildKit daemon (server-only TLS)
[grpc.tls]
cert = "/buildkit/server.crt"
key = "/buildkit/server.key"

# Secure config for proper hostname
[registry."registry:5000"]
http = false
insecure = false
ca = ["/certs/registry.crt"]

# Relaxed config for localhost access
[registry."localhost:%PORT%"]
http = false
insecure = true
ca = ["/certs/registry.crt"]
`

// TestIntegrationCheatSheet: the stack of the note that this program grew from runs
// as written there, and this is what is said of it: two ports that are open to
// everybody, and what will go wrong one day. The image of this test brings no config
// for the registry, as the official one does: it is beside the passwords.
func TestIntegrationCheatSheet(t *testing.T) {
	f := newForeign(t, composetest.Connect(t))
	f.shell(t, `set -e
mkdir -p registry/auth registry/certs buildkit/certs
self() { openssl req -x509 -newkey rsa:2048 -nodes -keyout $1.key -out $1.crt -days 365 -subj /CN=$2 -addext subjectAltName=DNS:$2,DNS:localhost,IP:127.0.0.1 2>/dev/null; }
self registry/certs/registry registry
self buildkit/certs/server buildkit
cp registry/certs/registry.crt registry/certs/registry.cert
`)
	f.write(t, "registry/auth/htpasswd", somebody)
	f.write(t, "registry/auth/config.yml", "version: 0.1\nstorage:\n  filesystem: {}\n")
	f.write(t, "buildkit/buildkitd.toml", f.fillIn(sheetToml))
	f.write(t, "docker-compose.yml", f.fillIn(sheetCompose))
	f.start(t)
	result := f.examine(t, doctor.Target{Compose: f.target().Compose})
	judged := 0
	for _, c := range result.Checks {
		if c.Group == doctor.Probes && c.Outcome == doctor.Holds {
			judged++
		}
	}
	if judged == 0 {
		t.Error("no connection was judged")
	}
	var got []string
	for _, f := range result.Findings {
		got = append(got, fmt.Sprint(result.Severity(f), " ", f.Rule, " ", filepath.Base(f.File), ":", f.Line))
	}
	want := []string{
		"error compose.published-open docker-compose.yml:22",
		"warning compose.file-mount docker-compose.yml:26",
		"warning compose.writable-mount docker-compose.yml:17",
		"warning compose.writable-mount docker-compose.yml:18",
		"warning compose.writable-mount docker-compose.yml:26",
		"warning compose.writable-mount docker-compose.yml:27",
		"warning compose.writable-mount docker-compose.yml:28",
		"warning compose.registry-data docker-compose.yml:3",
		"warning compose.stop-grace docker-compose.yml:19",
		"warning buildkitd.default-socket buildkitd.toml:4",
		"warning buildkitd.insecure buildkitd.toml:20",
		"warning buildkitd.deprecated buildkitd.toml:1",
		"warning registry.secret config.yml:0",
		"warning registry.draintimeout config.yml:0",
		"warning wiring.localhost buildkitd.toml:18",
		"warning wiring.shared-key docker-compose.yml:27",
		"warning certs.self-signed server.crt:0",
		"warning certs.self-signed registry.crt:0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s%s", strings.Join(got, "\n"), strings.Join(want, "\n"), toldOf(result))
	}
}
