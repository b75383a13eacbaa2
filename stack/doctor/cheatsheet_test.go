package doctor_test

import (
	"strings"
	"testing"
)

// toTheLetter builds what the note that this product grew from says, and nothing
// that it does not say: its tree, its buildkitd.toml, its mounts and its variables,
// with certificates that have signed themselves.
func toTheLetter(t testing.TB, image, more string) *site {
	t.Helper()
	s := newSite(t, "to the letter", map[string]string{
		"docker-compose.yml": `services:
  registry:
    image: ` + image + `
    environment:
      REGISTRY_AUTH: htpasswd
      REGISTRY_AUTH_HTPASSWD_REALM: Registry Realm
      REGISTRY_AUTH_HTPASSWD_PATH: /auth/htpasswd
      REGISTRY_HTTP_TLS_CERTIFICATE: /certs/registry.crt
      REGISTRY_HTTP_TLS_KEY: /certs/registry.key
` + more + `    ports:
      - "5005:5000"
    volumes:
      - ./registry/auth:/auth
      - ./registry/certs:/certs

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
`,
		"buildkit/entrypoint.sh": "#!/bin/sh\nset -e\nexec buildkitd \"$@\"\n",
		"buildkit/buildkitd.toml": `debug = true

[grpc]
address = ["tcp://0.0.0.0:1234"]

# TLS configuration for BuildKit daemon (server-only TLS)
[grpc.tls]
cert = "/buildkit/server.crt"
key = "/buildkit/server.key"
# Note: No 'ca' field = server-only TLS (client verifies server)
# To enable mutual TLS, add: ca = "/buildkit/ca.crt"

# Secure config for proper hostname
[registry."registry:5000"]
http = false
insecure = false
ca = ["/certs/registry.crt"]

# Relaxed config for localhost access
[registry."localhost:5005"]
http = false
insecure = true
ca = ["/certs/registry.crt"]
`,
		".env": `# Registry configuration
DOCKER_REGISTRY=localhost:5005
REGISTRY_TLS_VERIFY=true
REGISTRY_CERT=./registry/certs/registry.crt
REGISTRY_AUTH_TYPE=basic
REGISTRY_AUTH_USERNAME=testuser
REGISTRY_AUTH_PASSWORD=testpassword

# BuildKit configuration
BUILDKIT_HOST=tcp://localhost:1234
BUILDKIT_TLS_CA=./buildkit/certs/server.crt
`,
		"registry/auth/htpasswd":  password,
		"registry/certs/.gitkeep": "", "buildkit/certs/.gitkeep": "",
	}, "compose docker-compose.yml")
	return s.shell(t, `openssl req -newkey rsa:2048 -nodes -sha256 -keyout registry/certs/registry.key -x509 -days 365 -out registry/certs/registry.crt -subj /CN=registry -addext "subjectAltName=DNS:registry" 2>/dev/null
cp registry/certs/registry.crt registry/certs/registry.cert
openssl req -newkey rsa:2048 -nodes -sha256 -keyout buildkit/certs/server.key -x509 -days 3650 -out buildkit/certs/server.crt -subj /CN=localhost -addext "subjectAltName=DNS:localhost" 2>/dev/null
`)
}

// found is one line of what is told: how bad, which rule, of what.
func found(s *site, t *testing.T) string {
	t.Helper()
	var out []string
	r := s.examined(t)
	for _, f := range r.Findings {
		out = append(out, string(r.Severity(f))+" "+f.Rule+" "+strings.ReplaceAll(f.Object, s.root, ""))
	}
	return strings.Join(out, "\n") + "\n"
}

// TestCheatSheet: a stack that was built by following the note to the letter. Doctor
// says what is wrong with it, and what will be.
func TestCheatSheet(t *testing.T) {
	for _, c := range []struct{ name, image, more, want string }{
		// "tcp://localhost:1234" is reached because the port is published to all, and
		// nobody asks clients for a certificate: the note's "recommended" is this.
		// The certificate is for "registry", and the note has clients verify it at
		// localhost:5005. The rest works today: a config that is mounted alone and is
		// not seen when it is replaced, mounts that the containers write to, images
		// without a volume, builds that a restart kills, a registry that is no longer
		// made, health checks without a socket, a section that verifies nothing and
		// one that the builder cannot use, debug = true, uploads that a restart
		// breaks, a certificate for ten years, and two that nobody but they themselves
		// has signed.
		{"registry:2", "registry:2", "", `error compose.published-open buildkit
error certs.names http.tls.certificate
warning compose.file-mount buildkit
warning compose.writable-mount registry
warning compose.writable-mount registry
warning compose.writable-mount buildkit
warning compose.writable-mount buildkit
warning compose.writable-mount buildkit
warning compose.registry-data registry
warning compose.stop-grace buildkit
warning compose.old-registry registry
warning buildkitd.default-socket grpc.address
warning buildkitd.insecure registry."localhost:5005".insecure
warning buildkitd.deprecated debug
warning registry.secret http.secret
warning registry.draintimeout http.draintimeout
warning wiring.localhost registry."localhost:5005"
warning wiring.shared-key buildkit: /certs
warning certs.too-long localhost
warning certs.self-signed localhost
warning certs.self-signed registry
`},
		// The note's variables are for clients. Given to the registry, those that
		// begin with REGISTRY_ are settings of it, and it ends with a panic: what its
		// config says beyond that is not judged. The password is in the environment.
		{"the variables of the clients given to the registry", "registry:3", "    env_file: .env\n", `error registry.environment-value REGISTRY_AUTH_PASSWORD
error compose.published-open buildkit
warning compose.file-mount buildkit
warning compose.writable-mount registry
warning compose.writable-mount registry
warning compose.writable-mount buildkit
warning compose.writable-mount buildkit
warning compose.writable-mount buildkit
warning compose.secret-in-environment REGISTRY_AUTH_PASSWORD
warning compose.stop-grace buildkit
warning buildkitd.default-socket grpc.address
warning buildkitd.insecure registry."localhost:5005".insecure
warning buildkitd.deprecated debug
warning wiring.localhost registry."localhost:5005"
warning certs.too-long localhost
warning certs.self-signed localhost
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := found(toTheLetter(t, c.image, c.more), t); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
