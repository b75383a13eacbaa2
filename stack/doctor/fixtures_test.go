package doctor_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

// password is a line for "testuser" with bcrypt, as htpasswd -nbBC 5 prints it.
const password = "testuser:$2y$05$abcdefghijklmnopqrstuuOZ2zqfvyFmLxgwgsRnEDbRRSoWAkXHe\n"

// sites writes every style anew, healthy.
func sites(t testing.TB) []*site {
	t.Helper()
	out := []*site{cheatSheet(t), withMkcert(t), byEnvironment(t), withoutCompose(t), unprivileged(t)}
	return append(out, ours(t)...)
}

// newSite writes the files of a style. What is for a role is written after it, as
// "compose docker-compose.yml".
func newSite(t testing.TB, style string, files map[string]string, roles ...string) *site {
	t.Helper()
	s := &site{style: style, root: t.TempDir(), away: t.TempDir(), now: time.Now().Add(time.Minute), roles: map[string]string{}, target: ofCompose}
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		file := filepath.Join(s.root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range roles {
		for _, row := range strings.Split(strings.TrimSpace(line), "\n") {
			role, rel, _ := strings.Cut(strings.TrimSpace(row), " ")
			s.roles[role] = strings.TrimSpace(rel)
		}
	}
	return s
}

// shell runs commands in the directory of a site, with AWAY for the keys of CAs.
func (s *site) shell(t testing.TB, script string) *site {
	t.Helper()
	pkitest.NeedProgram(t, "openssl")
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", "umask 022\n"+script)
	cmd.Dir, cmd.Env = s.root, append(os.Environ(), "AWAY="+s.away)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", s.style, err, out)
	}
	return s
}

// opensslCA and opensslLeaf are what tutorials have people type.
func opensslCA(name, subject string) string {
	return fmt.Sprintf(`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $AWAY/%[1]s.key -out $AWAY/%[1]s.crt -days 3650 -subj %[2]q 2>/dev/null
`, name, subject)
}

func opensslLeaf(ca, cert, key, subject, extensions string) string {
	return fmt.Sprintf(`openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout %[3]s -out $AWAY/csr -subj %[4]q 2>/dev/null
printf %[5]q > $AWAY/ext
openssl x509 -req -in $AWAY/csr -CA $AWAY/%[1]s.crt -CAkey $AWAY/%[1]s.key -CAcreateserial -days 365 -sha256 -extfile $AWAY/ext -out %[2]s 2>/dev/null
chmod 600 %[3]s
`, ca, cert, key, subject, extensions)
}

const (
	serverExt = `basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=`
	clientExt = `basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n`
)

// cheatSheet is the layout of the note that this product grew from, with what it
// lacks: names in the certificates, a CA, and a builder on loopback.
func cheatSheet(t testing.TB) *site {
	s := newSite(t, "cheat", map[string]string{
		"docker-compose.yml": `services:
  registry:
    image: registry:3
    environment:
      REGISTRY_HTTP_TLS_CERTIFICATE: /certs/registry.crt
      REGISTRY_HTTP_TLS_KEY: /certs/registry.key
      REGISTRY_AUTH_HTPASSWD_REALM: Registry
      REGISTRY_AUTH_HTPASSWD_PATH: /auth/htpasswd
      OTEL_TRACES_EXPORTER: none
    volumes:
      - ./registry/certs:/certs
      - ./registry/auth:/auth
      - registry-data:/var/lib/registry
    ports:
      - "127.0.0.1:5005:5000"

  buildkit:
    image: moby/buildkit:v0.34.2
    privileged: true
    entrypoint: /entrypoint.sh
    volumes:
      - ./buildkit/entrypoint.sh:/entrypoint.sh
      - ./buildkit/buildkitd.toml:/etc/buildkit/buildkitd.toml
      - ./registry/certs:/certs
      - ./buildkit/certs:/buildkit
    ports:
      - "127.0.0.1:1234:1234"

volumes:
  registry-data:
`,
		"buildkit/entrypoint.sh": "#!/bin/sh\nexec buildkitd \"$@\"\n",
		"buildkit/buildkitd.toml": `debug = true

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
ca = ["/certs/ca.crt"]

# The host's name of the same registry
[registry."localhost:5005"]
http = false
ca = ["/certs/ca.crt"]
`,
		"registry/auth/htpasswd":   password,
		"registry/certs/.gitkeep":  "",
		"buildkit/certs/.gitkeep":  "",
		".gitignore":               "*.key\n",
		"registry/auth/.gitignore": "htpasswd\n",
	}, `compose docker-compose.yml
		toml buildkit/buildkitd.toml
		htpasswd registry/auth/htpasswd
		registry.crt registry/certs/registry.crt
		registry.key registry/certs/registry.key
		trust registry/certs/ca.crt
		builder.crt buildkit/certs/server.crt
		builder.key buildkit/certs/server.key
		entrypoint buildkit/entrypoint.sh`)
	s.deserved = []string{
		"wiring.localhost",                                                       // the section for localhost:5005
		"wiring.shared-key",                                                      // /certs has the registry's key
		"compose.file-mount",                                                     // buildkitd.toml by itself
		"compose.writable-mount",                                                 // no :ro anywhere
		"compose.stop-grace", "buildkitd.default-socket", "buildkitd.deprecated", // debug = true
		"registry.secret", "registry.draintimeout", "registry.debug-open", // the image's own config
	}
	return s.shell(t, opensslCA("ca", "/O=Example/CN=Example CA")+
		opensslLeaf("ca", "registry/certs/registry.crt", "registry/certs/registry.key", "/CN=registry", serverExt+`DNS:registry,DNS:localhost,IP:127.0.0.1\n`)+
		opensslLeaf("ca", "buildkit/certs/server.crt", "buildkit/certs/server.key", "/CN=buildkit", serverExt+`DNS:buildkit,DNS:localhost,IP:127.0.0.1\n`)+
		"cp $AWAY/ca.crt registry/certs/ca.crt\n")
}

// byEnvironment is a registry without a config of its own, a CA with another one
// in between, and a builder that has its TLS from flags.
func byEnvironment(t testing.TB) *site {
	s := newSite(t, "env", map[string]string{
		"compose.yaml": `name: build
services:
  registry:
    image: registry:3.1.2
    restart: unless-stopped
    environment:
      - REGISTRY_HTTP_ADDR=0.0.0.0:5000
      - REGISTRY_HTTP_TLS_CERTIFICATE=/certs/registry-chain.pem
      - REGISTRY_HTTP_TLS_KEY=/certs/registry-key.pem
      - REGISTRY_AUTH_HTPASSWD_REALM=Registry Realm
      - REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd
      - REGISTRY_HTTP_DRAINTIMEOUT=5s
      - REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data
      - OTEL_TRACES_EXPORTER=none
    ports:
      - "5000:5000"
    volumes:
      - data:/data
      - ./tls/registry:/certs:ro
      - ./auth:/auth:ro

  builder:
    image: moby/buildkit:v0.34.2
    restart: unless-stopped
    privileged: true
    command: --addr tcp://0.0.0.0:1234 --addr unix:///run/buildkit/buildkitd.sock --tlscert /tls/builder.pem --tlskey /tls/builder-key.pem --tlscacert /tls/clients.pem
    stop_grace_period: 10m
    ports:
      - "1234:1234"
    volumes:
      - ./conf:/etc/buildkit:ro
      - ./tls/builder:/tls:ro
      - ./tls/trust:/trust:ro

volumes:
  data: {}
`,
		"conf/buildkitd.toml": `[worker.oci]
  gc = true
  max-parallelism = 4

[registry."registry:5000"]
  http = false
  ca = ["/trust/root.pem"]

[registry."docker.io"]
  mirrors = ["registry:5000"]
`,
		"auth/htpasswd":         password,
		"tls/registry/.gitkeep": "", "tls/builder/.gitkeep": "", "tls/trust/.gitkeep": "",
	}, `compose compose.yaml
		toml conf/buildkitd.toml
		htpasswd auth/htpasswd
		registry.crt tls/registry/registry-chain.pem
		registry.key tls/registry/registry-key.pem
		trust tls/trust/root.pem
		builder.crt tls/builder/builder.pem
		builder.key tls/builder/builder-key.pem
		clients tls/builder/clients.pem`)
	s.deserved = []string{"registry.secret", "registry.debug-open"}
	return s.shell(t, opensslCA("root", "/C=DE/O=Example/CN=Example Root CA")+opensslCA("clients", "/C=DE/O=Example/CN=Example Client CA")+
		opensslLeaf("root", "$AWAY/issuing.crt", "$AWAY/issuing.key", "/C=DE/O=Example/CN=Example Issuing CA", `basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n`)+
		opensslLeaf("issuing", "$AWAY/registry.pem", "tls/registry/registry-key.pem", "/CN=registry", serverExt+`DNS:registry,DNS:localhost,IP:127.0.0.1\n`)+
		opensslLeaf("issuing", "$AWAY/builder.pem", "tls/builder/builder-key.pem", "/CN=builder", serverExt+`DNS:builder,DNS:localhost,IP:127.0.0.1\n`)+
		`cat $AWAY/registry.pem $AWAY/issuing.crt > tls/registry/registry-chain.pem
cat $AWAY/builder.pem $AWAY/issuing.crt > tls/builder/builder.pem
cp $AWAY/root.crt tls/trust/root.pem
cp $AWAY/clients.crt tls/builder/clients.pem
rm $AWAY/registry.pem $AWAY/builder.pem
`)
}

// TestHealthy: on no style there is a false alarm, and the warnings are those that
// it deserves.
func TestHealthy(t *testing.T) {
	t.Parallel()
	for _, s := range sites(t) {
		r := s.examined(t)
		if got := rulesOf(r, lint.Error); len(got) > 0 {
			t.Errorf("%s: false alarms %v%s", s.style, got, told(r))
		}
		got := rulesOf(r, lint.Warning)
		slices.Sort(got)
		slices.Sort(s.deserved)
		if !slices.Equal(got, s.deserved) {
			t.Errorf("%s: warnings\n%v, want\n%v%s", s.style, got, s.deserved, told(r))
		}
	}
}
