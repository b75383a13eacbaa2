package doctor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// withoutCompose are two configs and a directory of certificates, as from a host
// where systemd starts the daemons.
func withoutCompose(t testing.TB) *site {
	s := newSite(t, "flags", map[string]string{
		"buildkitd.toml": `[log]
  level = "info"
[grpc]
  address = [ "unix:///run/buildkit/buildkitd.sock", "tcp://127.0.0.1:1234" ]
  [grpc.tls]
    cert = "/etc/ssl/build/buildkitd.pem"
    key = "/etc/ssl/build/buildkitd.key"
    ca = "/etc/ssl/build/clients-ca.pem"
[registry."localhost:5005"]
  http = false
  ca = [ "/etc/ssl/build/ca.pem" ]
`,
		"config.yml": `version: 0.1
log:
  fields:
    service: registry
storage:
  filesystem:
    rootdirectory: /srv/registry
http:
  addr: localhost:5005
  secret: 5f2b8d0c3e9a4f7b1d6c8e2a0b4f6d8c
  relativeurls: true
  draintimeout: 30s
  tls:
    certificate: /etc/ssl/build/registry.pem
    key: /etc/ssl/build/registry.key
    minimumtls: tls1.2
auth:
  htpasswd:
    realm: basic-realm
    path: /etc/ssl/build/htpasswd
`,
		"certs/htpasswd": password,
	}, `toml buildkitd.toml
		yml config.yml
		htpasswd certs/htpasswd
		registry.crt certs/registry.pem
		registry.key certs/registry.key
		trust certs/ca.pem
		builder.crt certs/buildkitd.pem
		builder.key certs/buildkitd.key
		clients certs/clients-ca.pem
		client.crt certs/client.pem
		client.key certs/client.key`)
	s.target = ofFlags
	return s.shell(t, strings.ReplaceAll(opensslCA("ca", "/CN=build CA")+opensslCA("clients", "/CN=build clients CA")+
		opensslLeaf("ca", "certs/registry.pem", "certs/registry.key", "/CN=localhost", serverExt+`DNS:localhost,IP:127.0.0.1\n`)+
		opensslLeaf("ca", "certs/buildkitd.pem", "certs/buildkitd.key", "/CN=localhost", serverExt+`DNS:localhost,IP:127.0.0.1\n`)+
		opensslLeaf("clients", "certs/client.pem", "certs/client.key", "/CN=ci", clientExt),
		"ec -pkeyopt ec_paramgen_curve:prime256v1", "rsa:2048")+
		"cp $AWAY/ca.crt certs/ca.pem; cp $AWAY/clients.crt certs/clients-ca.pem\n")
}

// unprivileged is a rootless builder, and a registry that is not root either.
func unprivileged(t testing.TB) *site {
	builder, registry := 1000, 65532
	if me := os.Geteuid(); me != 0 { // nobody but root gives files away
		builder, registry = me, me
	}
	s := newSite(t, "rootless", map[string]string{
		"docker-compose.yaml": fmt.Sprintf(`services:
  buildkitd:
    image: "moby/buildkit:v0.34.2-rootless"
    user: "%d"
    security_opt: ["seccomp=unconfined", "apparmor=unconfined"]
    stop_grace_period: 15m
    ports: ["127.0.0.1:1234:1234"]
    volumes:
      - "./buildkitd:/home/user/.config/buildkit:ro"
  registry:
    image: "docker.io/library/registry:3"
    user: "%d:%d"
    read_only: true
    stop_grace_period: 2m
    ports: ["127.0.0.1:5005:5000"]
    volumes:
      - "./registry:/etc/distribution:ro"
      - "images:/var/lib/registry"
volumes: {images: {}}
`, builder, registry, registry),
		"buildkitd/buildkitd.toml": `[grpc]
address = ["tcp://0.0.0.0:1234", "unix:///run/user/1000/buildkit/buildkitd.sock"]
[grpc.tls]
cert = "/home/user/.config/buildkit/tls/cert.pem"
key = "/home/user/.config/buildkit/tls/key.pem"
ca = "/home/user/.config/buildkit/tls/clients.pem"
[registry."registry:5000"]
http = false
ca = ["/home/user/.config/buildkit/tls/ca.pem"]
`,
		"registry/config.yml": `version: 0.1
storage:
  filesystem: {rootdirectory: /var/lib/registry}
http:
  addr: :5000
  secret: "0123456789abcdef0123456789abcdef"
  draintimeout: 60s
  relativeurls: true
  tls: {certificate: /etc/distribution/tls/registry.crt, key: /etc/distribution/tls/registry.key}
auth:
  htpasswd: {realm: registry, path: /etc/distribution/htpasswd}
`,
		"registry/htpasswd":     password,
		"registry/tls/.gitkeep": "", "buildkitd/tls/.gitkeep": "",
	}, `compose docker-compose.yaml
		toml buildkitd/buildkitd.toml
		yml registry/config.yml
		htpasswd registry/htpasswd
		registry.crt registry/tls/registry.crt
		registry.key registry/tls/registry.key
		trust buildkitd/tls/ca.pem
		builder.crt buildkitd/tls/cert.pem
		builder.key buildkitd/tls/key.pem
		clients buildkitd/tls/clients.pem`)
	return s.shell(t, opensslCA("ca", "/CN=servers")+opensslCA("clients", "/CN=clients")+
		opensslLeaf("ca", "registry/tls/registry.crt", "registry/tls/registry.key", "/CN=registry", serverExt+`DNS:registry,DNS:localhost\n`)+
		opensslLeaf("ca", "buildkitd/tls/cert.pem", "buildkitd/tls/key.pem", "/CN=buildkitd", serverExt+`DNS:buildkitd,DNS:localhost\n`)+
		"cp $AWAY/ca.crt buildkitd/tls/ca.pem; cp $AWAY/clients.crt buildkitd/tls/clients.pem\n"+
		fmt.Sprintf("chown %d buildkitd/tls/*; chown %d registry/tls/* registry/htpasswd\n", builder, registry))
}
