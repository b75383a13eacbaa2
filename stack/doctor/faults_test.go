package doctor_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"strings"
	"time"
)

// fault is one mistake, and the rule that has to be named first for it.
type fault struct {
	rule, name string
	places     []place
	// also are rules that the same mistake breaks in its own right.
	also []string
	// guessed are what it breaks where a config that says what files are for cannot
	// be read.
	guessed []string
	// mends are rules that are broken only once it is mended: its mistake hid them.
	mends []string
	// refused is set where a directory of ours is not even read: what is said then.
	refused string
}

// place is how a fault is made in some styles.
type place struct {
	styles []string
	inject injection
}

// in says where a fault is made: "cheat mkcert", or "ours".
func in(styles string, inject injection) place {
	styles = strings.ReplaceAll(styles, "ours", "daemon-server daemon-mutual edge-server edge-mutual")
	styles = strings.ReplaceAll(styles, "theirs", "cheat mkcert env flags rootless")
	return place{strings.Fields(styles), inject}
}

// at returns how the fault is made in a style, nil when it is not.
func (f fault) at(style string) injection {
	for _, p := range f.places {
		for _, s := range p.styles {
			if s == style {
				return p.inject
			}
		}
	}
	return nil
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// faults is the library.
func faults() []fault {
	var out []fault
	for _, part := range [][]fault{composeFaults(), builderFaults(), sectionFaults(), registryFaults(), fileFaults(), certificateFaults(), authorityFaults(), ownFaults()} {
		out = append(out, part...)
	}
	return out
}

func composeFaults() []fault {
	return []fault{
		{rule: "wiring.loads", name: "a tab in the compose file", places: []place{
			in("cheat", edit("compose", "    privileged: true", "\tprivileged: true")),
			in("mkcert", edit("compose", "    privileged: true", "\tprivileged: true"))}},
		{rule: "wiring.loads", name: "a key that Compose does not know", places: []place{
			in("cheat env", edit("compose", "    privileged: true", "    priviledged: true"))}},
		{rule: "wiring.loads", name: "a volume that is not declared", places: []place{
			in("cheat", edit("compose", "volumes:\n  registry-data:\n", "")),
			in("mkcert", edit("compose", "volumes:\n  images:\n", ""))}},
		{rule: "wiring.source", name: "a mistyped directory", places: []place{
			in("cheat", edit("compose", "- ./buildkit/certs:/buildkit", "- ./buildkitd/certs:/buildkit")),
			in("mkcert", edit("compose", "source: ./registry\n", "source: ./regsitry\n")),
			in("env", edit("compose", "./tls/trust:", "./tls/trusted:")),
			in("rootless", edit("compose", "./buildkitd:/home", "./buildkit:/home"))}},
		{rule: "wiring.config", name: "a directory where the config was meant", places: []place{
			in("cheat mkcert env rootless", directory("toml")), in("mkcert rootless", directory("yml"))}},
		{rule: "compose.config-mount", name: "the config is mounted where nobody looks", places: []place{
			in("mkcert", edit("compose", "target: /etc/distribution", "target: /etc/docker/registry")),
			in("rootless", edit("compose", ":/home/user/.config/buildkit:ro", ":/etc/buildkit:ro"))}},
		{rule: "compose.config-mount", name: "the command names a config that no mount brings", places: []place{
			in("env", edit("compose", "command: --addr", "command: --config /etc/buildkitd.toml --addr"))}},
		{rule: "compose.builder-plain", name: "the builder's flags have no certificate, and it has no config", places: []place{
			in("env", all(edit("compose", " --tlscert /tls/builder.pem --tlskey /tls/builder-key.pem --tlscacert /tls/clients.pem", ""), edit("compose", "      - ./conf:/etc/buildkit:ro\n", "")))},
			also: []string{"compose.published-open", "wiring.section", "buildkitd.grpc-plain"}},
		{rule: "compose.published-open", name: "a builder that asks for no certificate is published to all", places: []place{
			in("cheat", edit("compose", `"127.0.0.1:1234:1234"`, `"1234:1234"`)),
			in("mkcert", edit("toml", "  ca = \"/certs/rootCA.pem\"\n\n[", "\n[")),
			in("env", edit("compose", " --tlscacert /tls/clients.pem", ""))}},
		{rule: "compose.registry-open", name: "a registry without users is published to all", places: []place{
			in("env", edit("compose", "      - REGISTRY_AUTH_HTPASSWD_REALM=Registry Realm\n      - REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd\n", "")),
			in("cheat", all(edit("compose", "      REGISTRY_AUTH_HTPASSWD_REALM: Registry\n      REGISTRY_AUTH_HTPASSWD_PATH: /auth/htpasswd\n", ""), edit("compose", "127.0.0.1:5005", "0.0.0.0:5005")))}},
		{rule: "compose.host-network", name: "the registry on the host's network", places: []place{
			in("mkcert", edit("compose", "    image: registry:3\n", "    image: registry:3\n    network_mode: host\n"))}},
		{rule: "compose.privileged", name: "a privileged registry", places: []place{
			in("cheat", edit("compose", "    image: registry:3\n", "    image: registry:3\n    privileged: true\n"))}},
		{rule: "compose.file-mount", name: "a certificate mounted by itself", places: []place{
			in("rootless", edit("compose", `      - "images:`, "      - \"./registry/tls/registry.crt:/etc/distribution/tls/registry.crt:ro\"\n      - \"images:"))}},
		{rule: "compose.writable-mount", name: "certificates mounted writable", places: []place{
			in("env", edit("compose", "./tls/registry:/certs:ro", "./tls/registry:/certs")),
			in("rootless", edit("compose", "./registry:/etc/distribution:ro", "./registry:/etc/distribution"))}},
		{rule: "compose.secret-in-environment", name: "http.secret in the environment", places: []place{
			in("env", edit("compose", "      - OTEL", "      - REGISTRY_HTTP_SECRET=f00dbeeff00dbeeff00dbeef\n      - OTEL"))}},
		{rule: "compose.registry-data", name: "images without a volume", places: []place{
			in("cheat", edit("compose", "      - registry-data:/var/lib/registry\n", "")),
			in("rootless", edit("compose", "      - \"images:/var/lib/registry\"\n", ""))}},
		{rule: "compose.stop-grace", name: "no time for builds to end", places: []place{
			in("env", edit("compose", "    stop_grace_period: 10m\n", "")),
			in("rootless", edit("compose", "    stop_grace_period: 2m\n", ""))}},
		{rule: "compose.old-registry", name: "registry:2", places: []place{
			in("cheat", edit("compose", "image: registry:3", "image: registry:2"))}},
	}
}

func builderFaults() []fault {
	return []fault{
		{rule: "buildkitd.type", name: "a string where the list of addresses is wanted", places: []place{
			in("cheat", edit("toml", `["tcp://0.0.0.0:1234"]`, `"tcp://0.0.0.0:1234"`)),
			in("flags", edit("toml", `[ "unix:///run/buildkit/buildkitd.sock", "tcp://127.0.0.1:1234" ]`, `"tcp://127.0.0.1:1234"`))}},
		{rule: "buildkitd.type", name: "a string where the list of CAs is wanted", places: []place{
			in("mkcert", edit("toml", `ca = ["/certs/rootCA.pem"]`, `ca = "/certs/rootCA.pem"`)),
			in("env", edit("toml", `["/trust/root.pem"]`, `"/trust/root.pem"`)),
			in("rootless", edit("toml", `["/home/user/.config/buildkit/tls/ca.pem"]`, `"/home/user/.config/buildkit/tls/ca.pem"`))}},
		{rule: "buildkitd.type", name: "a list where one CA is wanted", places: []place{
			in("flags", edit("toml", `"/etc/ssl/build/clients-ca.pem"`, `["/etc/ssl/build/clients-ca.pem"]`))}},
		{rule: "buildkitd.syntax", name: "a registry with its port and without quotes", places: []place{
			in("cheat", edit("toml", `[registry."registry:5000"]`, `[registry.registry:5000]`)),
			in("env", edit("toml", `[registry."registry:5000"]`, `[registry.registry:5000]`))}},
		{rule: "buildkitd.syntax", name: "a quote that does not end", places: []place{
			in("rootless", edit("toml", `clients.pem"`, `clients.pem`)), in("mkcert", edit("toml", `buildkitd+2.pem"`, `buildkitd+2.pem`))}},
		{rule: "buildkitd.unquoted-host", name: "a name with dots and without quotes", places: []place{
			in("env", edit("toml", `[registry."docker.io"]`, `[registry.docker.io]`))}},
		{rule: "buildkitd.misplaced", name: "a table at the wrong place", places: []place{
			in("cheat", edit("toml", "[grpc.tls]", "[tls]")),
			in("mkcert", edit("toml", "[grpc.tls]", "[tls]")),
			in("flags", edit("toml", "[registry.\"localhost:5005\"]", "[worker.oci.registry.\"localhost:5005\"]"))},
			also: []string{"buildkitd.grpc-plain", "compose.published-open", "wiring.section"}},
		{rule: "buildkitd.unknown-key", name: "cacert for ca", places: []place{
			in("cheat", edit("toml", "insecure = false\nca =", "insecure = false\ncacert =")),
			in("flags", edit("toml", `ca = [ "/etc`, `cacert = [ "/etc`)),
			in("rootless", edit("toml", `ca = ["/home`, `cacerts = ["/home`))}},
		{rule: "buildkitd.value", name: "a log level that there is not", places: []place{
			in("flags", edit("toml", `level = "info"`, `level = "verbose"`))}},
		{rule: "buildkitd.address", name: "an address without a scheme", places: []place{
			in("cheat", edit("toml", `"tcp://0.0.0.0:1234"`, `"0.0.0.0:1234"`)),
			in("rootless", edit("toml", `"tcp://0.0.0.0:1234"`, `"https://0.0.0.0:1234"`))}},
		{rule: "buildkitd.grpc-keypair", name: "a certificate without its key", places: []place{
			in("cheat", edit("toml", "key = \"/buildkit/server.key\"\n", "")),
			in("mkcert", edit("toml", "  key = \"/certs/buildkitd+2-key.pem\"\n", "")),
			in("env", edit("compose", " --tlskey /tls/builder-key.pem", "")),
			in("flags", edit("toml", "    cert = \"/etc/ssl/build/buildkitd.pem\"\n", ""))}},
		{rule: "buildkitd.grpc-plain", name: "no certificate at all", places: []place{
			in("cheat", edit("toml", "cert = \"/buildkit/server.crt\"\nkey = \"/buildkit/server.key\"\n", "")),
			in("rootless", edit("toml", "cert = \"/home/user/.config/buildkit/tls/cert.pem\"\nkey = \"/home/user/.config/buildkit/tls/key.pem\"\n", ""))}},
		{rule: "buildkitd.debug-open", name: "the debug server for everybody", places: []place{
			in("cheat", edit("toml", "[grpc]\n", "[grpc]\ndebugAddress = \"0.0.0.0:6060\"\n")),
			in("flags", edit("toml", "[grpc]\n", "[grpc]\n  debugAddress = \":6060\"\n"))}},
		{rule: "buildkitd.debug-address", name: "the debug server on loopback", places: []place{
			in("mkcert", edit("toml", "[grpc]\n", "[grpc]\n  debugAddress = \"127.0.0.1:6060\"\n"))}},
		{rule: "buildkitd.tls-unused", name: "TLS for a socket alone", places: []place{
			in("flags", edit("toml", `, "tcp://127.0.0.1:1234" ]`, ` ]`))}},
		{rule: "buildkitd.default-socket", name: "no socket for health checks", places: []place{
			in("mkcert", edit("toml", `, "unix:///run/buildkit/buildkitd.sock"]`, `]`))}},
		{rule: "buildkitd.no-client-auth", name: "TLS without a CA of clients, on every address", places: []place{
			in("flags", all(edit("toml", `"tcp://127.0.0.1:1234"`, `"tcp://0.0.0.0:1234"`), edit("toml", "    ca = \"/etc/ssl/build/clients-ca.pem\"\n", "")))}},
		{rule: "buildkitd.relative-path", name: "a path from wherever it starts", places: []place{
			in("cheat", edit("toml", `cert = "/buildkit/server.crt"`, `cert = "server.crt"`))}},
		{rule: "buildkitd.history", name: "no history of builds", places: []place{
			in("rootless", more("toml", "[history]\nmaxEntries = 0\n"))}},
		{rule: "buildkitd.entitlement", name: "builds may ask for everything", places: []place{
			in("env", edit("toml", "[worker.oci]", "insecure-entitlements = [\"security.insecure\"]\n[worker.oci]"))}},
		{rule: "buildkitd.deprecated", name: "debug = true", places: []place{
			in("mkcert", edit("toml", "[grpc]\n", "debug = true\n[grpc]\n"))}},
	}
}

func sectionFaults() []fault {
	return []fault{
		{rule: "buildkitd.host-scheme", name: "a scheme in the registry's name", places: []place{
			in("cheat", edit("toml", `[registry."registry:5000"]`, `[registry."https://registry:5000"]`)),
			in("env", edit("toml", `[registry."registry:5000"]`, `[registry."https://registry:5000"]`)),
			in("flags", edit("toml", `[registry."localhost:5005"]`, `[registry."https://localhost:5005"]`))}},
		{rule: "buildkitd.mirror-scheme", name: "a scheme in a mirror", places: []place{
			in("env", edit("toml", `mirrors = ["registry:5000"]`, `mirrors = ["http://mirror.example:5000"]`))}},
		{rule: "buildkitd.loopback-http", name: "localhost without http = false", places: []place{
			in("cheat", edit("toml", "[registry.\"localhost:5005\"]\nhttp = false\n", "[registry.\"localhost:5005\"]\n")),
			in("flags", edit("toml", "  http = false\n", ""))}},
		{rule: "buildkitd.insecure", name: "nobody looks at the registry's certificate", places: []place{
			in("cheat", edit("toml", "insecure = false", "insecure = true")),
			in("mkcert", edit("toml", "  http = false\n", "  http = false\n  insecure = true\n"))}},
		{rule: "buildkitd.keypair", name: "half a keypair", places: []place{
			in("mkcert", edit("toml", "    key = \"/certs/builder-client-key.pem\"\n", ""))}},
		{rule: "wiring.keypair", name: "no keypair for a registry that asks for one", places: []place{
			in("mkcert", all(about("clientcas"), edit("toml", "  [[registry.\"registry:5000\".keypair]]\n    key = \"/certs/builder-client-key.pem\"\n    cert = \"/certs/builder-client.pem\"\n", ""))),
			in("flags", all(about("clientcas"), edit("yml", "    minimumtls: tls1.2\n", "    minimumtls: tls1.2\n    clientcas: [/etc/ssl/build/clients-ca.pem]\n")))}},
		{rule: "buildkitd.no-ca", name: "a section without its CA", places: []place{
			in("env", edit("toml", "  ca = [\"/trust/root.pem\"]\n", "")),
			in("rootless", edit("toml", "ca = [\"/home/user/.config/buildkit/tls/ca.pem\"]\n", ""))}},
		{rule: "buildkitd.mirror-section", name: "a mirror without a section", places: []place{
			in("env", edit("toml", `"/trust/root.pem"]`, "\"/trust/root.pem\"]\n  mirrors = [\"mirror.example:5000\"]"))}},
		{rule: "wiring.port", name: "the published port in the section", places: []place{
			in("cheat", edit("toml", `"registry:5000"`, `"registry:5005"`)),
			in("mkcert", all(edit("toml", `[registry."registry:5000"]`, `[registry."registry:5001"]`), edit("toml", `[[registry."registry:5000".keypair]]`, `[[registry."registry:5001".keypair]]`))),
			in("rootless", edit("toml", `"registry:5000"`, `"registry:5005"`))}},
		{rule: "wiring.section", name: "a section for another name", places: []place{
			in("env", edit("toml", `[registry."registry:5000"]`, `[registry."registry.local:5000"]`)),
			in("rootless", edit("toml", `"registry:5000"`, `"localhost:5005"`))}},
		{rule: "wiring.section", name: "the service has another name", places: []place{
			in("rootless", edit("compose", "  registry:\n    image", "  reg:\n    image"))}},
		{rule: "wiring.scheme", name: "http = true for a registry with TLS", places: []place{
			in("mkcert", edit("toml", "http = false", "http = true")),
			in("env", edit("toml", "  http = false", "  http = true")),
			in("flags", edit("toml", "  http = false", "  http = true")),
			in("rootless", edit("toml", "http = false", "http = true"))}},
		{rule: "wiring.several", name: "a second registry", places: []place{in("env", edit("compose", "  builder:\n", "  cache:\n    image: registry:3.1.2\n\n  builder:\n"))}},
		{rule: "wiring.shared-key", name: "the registry's directory in the builder", places: []place{in("env", edit("compose", "      - ./tls/trust:/trust:ro\n", "      - ./tls/trust:/trust:ro\n      - ./tls/registry:/registry:ro\n"))}},
		{rule: "wiring.localhost", name: "a section for the host's name of the registry", places: []place{
			in("rootless", more("toml", "[registry.\"localhost:5005\"]\nhttp = false\nca = [\"/home/user/.config/buildkit/tls/ca.pem\"]\n"))}},
	}
}

func registryFaults() []fault {
	return []fault{
		{rule: "registry.syntax", name: "a tab in the registry's config", places: []place{
			in("mkcert", edit("yml", "  addr: :5000", "\taddr: :5000")), in("flags", edit("yml", "  secret:", "\tsecret:"))}},
		{rule: "registry.syntax", name: "a list that is none", places: []place{
			in("mkcert", edit("yml", "    clientcas:\n      - /certs/rootCA.pem\n", "    clientcas: /certs/rootCA.pem\n"))}},
		{rule: "registry.auth-kind", name: "a variable of the clients in the registry's environment", places: []place{
			in("cheat", edit("compose", "      REGISTRY_AUTH_HTPASSWD_REALM: Registry\n", "      REGISTRY_AUTH_HTPASSWD_REALM: Registry\n      REGISTRY_AUTH: basic\n"))}},
		{rule: "registry.environment-value", name: "a variable whose value does not fit", places: []place{
			in("env", edit("compose", "DRAINTIMEOUT=5s", "DRAINTIMEOUT=five"))}},
		{rule: "registry.storage-driver", name: "a storage driver that there is not", places: []place{
			in("flags", edit("yml", "  filesystem:\n", "  file:\n")), in("rootless", edit("yml", "  filesystem: {", "  local: {"))}},
		{rule: "registry.auth-kind", name: "auth: basic", places: []place{
			in("flags", edit("yml", "  htpasswd:\n", "  basic:\n")), in("mkcert", edit("yml", "auth:\n  htpasswd:\n", "auth:\n  basic:\n"))}},
		{rule: "registry.htpasswd-options", name: "htpasswd without its realm", places: []place{
			in("mkcert", edit("yml", "    realm: local\n", "")), in("flags", edit("yml", "    realm: basic-realm\n", "")),
			in("cheat", edit("compose", "      REGISTRY_AUTH_HTPASSWD_REALM: Registry\n", "")),
			in("rootless", edit("yml", "realm: registry, ", ""))}},
		{rule: "registry.environment-off", name: "a variable takes TLS away", places: []place{
			in("mkcert", edit("compose", "    stop_grace_period: 90s\n", "    stop_grace_period: 90s\n    environment:\n      REGISTRY_HTTP_TLS_CERTIFICATE: \"\"\n      REGISTRY_HTTP_TLS_KEY: \"\"\n"))}},
		{rule: "registry.unknown-key", name: "tls beside http", places: []place{
			in("flags", all(about("clientcas"), edit("yml", "  tls:\n    certificate: /etc/ssl/build/registry.pem\n    key: /etc/ssl/build/registry.key\n    minimumtls: tls1.2\n", "tls:\n  certificate: /etc/ssl/build/registry.pem\n  key: /etc/ssl/build/registry.key\n"))),
			in("rootless", edit("yml", "  tls: {", "tls: {"))}, also: []string{"registry.plain-http"}},
		{rule: "registry.unknown-key", name: "a misspelt key", places: []place{
			in("mkcert", edit("yml", "    clientcas:", "    clientca:")), in("rootless", edit("yml", "certificate: /etc", "cert: /etc"))},
			also: []string{"registry.tls-pair"}},
		{rule: "registry.tls-pair", name: "a certificate without its key", places: []place{
			in("cheat", edit("compose", "      REGISTRY_HTTP_TLS_KEY: /certs/registry.key\n", "")),
			in("mkcert", edit("yml", "    key: /certs/registry+2-key.pem\n", "")),
			in("env", edit("compose", "      - REGISTRY_HTTP_TLS_KEY=/certs/registry-key.pem\n", "")),
			in("flags", edit("yml", "    certificate: /etc/ssl/build/registry.pem\n", ""))}},
		{rule: "registry.letsencrypt", name: "letsencrypt beside a certificate", places: []place{
			in("flags", edit("yml", "    minimumtls: tls1.2\n", "    letsencrypt: {cachefile: /srv/acme, email: a@example.com, hosts: [registry.example.com]}\n"))}},
		{rule: "registry.plain-http", name: "no TLS", places: []place{
			in("cheat", edit("compose", "      REGISTRY_HTTP_TLS_CERTIFICATE: /certs/registry.crt\n      REGISTRY_HTTP_TLS_KEY: /certs/registry.key\n", "")),
			in("env", all(about("http.tls"), edit("compose", "      - REGISTRY_HTTP_TLS_CERTIFICATE=/certs/registry-chain.pem\n      - REGISTRY_HTTP_TLS_KEY=/certs/registry-key.pem\n", ""))),
			in("rootless", edit("yml", "  tls: {certificate: /etc/distribution/tls/registry.crt, key: /etc/distribution/tls/registry.key}\n", ""))}},
		{rule: "registry.minimum-tls", name: "TLS 1.0", places: []place{
			in("flags", edit("yml", "tls1.2", "tls1.0")), in("env", all(about("http.tls"), edit("compose", "      - OTEL", "      - REGISTRY_HTTP_TLS_MINIMUMTLS=tls12\n      - OTEL")))}},
		{rule: "registry.cipher-suite", name: "a cipher suite by the name that OpenSSL has for it", places: []place{
			in("flags", edit("yml", "    minimumtls: tls1.2\n", "    ciphersuites: [ECDHE-RSA-AES128-GCM-SHA256]\n"))}},
		{rule: "registry.clientauth-ignored", name: "clientauth without a CA", places: []place{
			in("flags", all(about("clientcas"), edit("yml", "    minimumtls: tls1.2\n", "    clientauth: require-and-verify-client-cert\n"))),
			in("mkcert", all(about("clientcas"), edit("yml", "    clientcas:\n      - /certs/rootCA.pem\n", "    clientauth: require-and-verify-client-cert\n")))}},
		{rule: "registry.clientauth-lax", name: "client certificates that nobody verifies", places: []place{
			in("mkcert", edit("yml", "    clientcas:\n", "    clientauth: request-client-cert\n    clientcas:\n"))}},
		{rule: "registry.no-auth", name: "no users", places: []place{
			in("rootless", edit("yml", "auth:\n  htpasswd: {realm: registry, path: /etc/distribution/htpasswd}\n", ""))}},
		{rule: "registry.secret", name: "no http.secret", places: []place{
			in("flags", edit("yml", "  secret: 5f2b8d0c3e9a4f7b1d6c8e2a0b4f6d8c\n", ""))}},
		{rule: "registry.draintimeout", name: "no time to drain", places: []place{in("rootless", edit("yml", "  draintimeout: 60s\n", ""))}},
		{rule: "registry.debug-open", name: "the debug server for everybody", places: []place{
			in("mkcert", edit("yml", "  addr: :5000\n", "  addr: :5000\n  debug:\n    addr: :5001\n"))}},
		{rule: "registry.host-scheme", name: "http.host without its scheme", places: []place{
			in("flags", edit("yml", "http:\n", "http:\n  host: localhost:5005\n")), in("mkcert", edit("yml", "  addr: :5000\n", "  addr: :5000\n  host: http://localhost:5000\n"))}},
		{rule: "registry.duplicate-key", name: "a key twice", places: []place{
			in("flags", edit("yml", "http:\n", "http:\n  draintimeout: 10s\n"))}},
		{rule: "registry.htpasswd-missing", name: "no htpasswd file", places: []place{in("theirs", gone("htpasswd"))}},
		{rule: "registry.htpasswd-missing", name: "a directory where htpasswd was meant", places: []place{in("theirs", directory("htpasswd"))}},
		{rule: "registry.htpasswd-line", name: "a password alone", places: []place{in("theirs", more("htpasswd", "testpassword\n"))}},
		{rule: "registry.htpasswd-users", name: "nobody in htpasswd", places: []place{in("theirs", written("htpasswd", "# users\n"))}},
		{rule: "registry.htpasswd-bcrypt", name: "htpasswd without -B", places: []place{
			in("theirs", written("htpasswd", "testuser:$apr1$Zb3r5gfx$Qgp0BYUB0C.YlSUqbGeWZ0\n"))}},
		{rule: "registry.htpasswd-bcrypt", name: "a password in clear", places: []place{in("theirs", written("htpasswd", "testuser:testpassword\n"))}},
		{rule: "registry.htpasswd-twice", name: "a user twice", places: []place{in("theirs", more("htpasswd", password))}},
		{rule: "registry.htpasswd-cost", name: "a hash that takes a second", places: []place{
			in("theirs", edit("htpasswd", "$2y$05$", "$2y$14$"))}},
	}
}

// fileFaults are about certificates and keys as files.
func fileFaults() []fault {
	return []fault{
		{rule: "certs.missing", name: "the registry's key is not there", places: []place{in("theirs", gone("registry.key"))}},
		{rule: "certs.missing", name: "the builder's certificate is not there", places: []place{in("theirs", gone("builder.crt"))}},
		{rule: "certs.missing", name: "the trusted CA is not there", places: []place{in("theirs", gone("trust"))}, guessed: []string{"certs.chain"}},
		{rule: "certs.missing", name: "a mistyped path", places: []place{
			in("cheat", edit("compose", "REGISTRY_HTTP_TLS_CERTIFICATE: /certs/registry.crt", "REGISTRY_HTTP_TLS_CERTIFICATE: /certs/domain.crt")),
			in("mkcert", edit("toml", "/certs/buildkitd+2.pem", "/certs/buildkitd.pem")),
			in("flags", edit("yml", "/etc/ssl/build/registry.key", "/etc/ssl/build/reg.key"))}},
		{rule: "wiring.unmounted", name: "a path that no mount brings into the container", places: []place{
			in("cheat", edit("toml", `cert = "/buildkit/server.crt"`, `cert = "/etc/buildkit/certs/server.crt"`)),
			in("mkcert", edit("yml", "key: /certs/registry+2-key.pem", "key: /etc/ssl/registry+2-key.pem")),
			in("env", edit("toml", "/trust/root.pem", "/etc/ssl/root.pem"))}},
		{rule: "certs.missing", name: "an engine has made a directory of the certificate", places: []place{in("theirs", directory("registry.crt"))}},
		{rule: "certs.not-pem", name: "a certificate in DER", places: []place{in("theirs", changed("registry.crt", inDER))}},
		{rule: "certs.not-pem", name: "an empty CA", places: []place{in("theirs", written("trust", ""))}, guessed: []string{"certs.chain"}},
		{rule: "certs.damaged", name: "a certificate that is cut off", places: []place{in("theirs", changed("builder.crt", cutOff))}},
		{rule: "certs.damaged", name: "a key that is cut off", places: []place{in("theirs", changed("registry.key", cutOff))}},
		{rule: "certs.wrong-kind", name: "certificate and key swapped", places: []place{in("theirs", swap("registry.crt", "registry.key"))}},
		{rule: "certs.wrong-kind", name: "the key's path is the certificate's", places: []place{
			in("cheat", edit("toml", `key = "/buildkit/server.key"`, `key = "/buildkit/server.crt"`)),
			in("flags", edit("yml", "key: /etc/ssl/build/registry.key", "key: /etc/ssl/build/registry.pem"))}},
		{rule: "certs.encrypted-key", name: "a key with a passphrase", places: []place{in("theirs", changed("builder.key", encrypted))}},
		{rule: "certs.key-match", name: "the key of another certificate", places: []place{
			in("theirs", copyOf("builder.key", "registry.key"))}},
		{rule: "certs.key-match", name: "a key made anew", places: []place{in("theirs", changed("builder.key", aKey))}},
		{rule: "certs.key-reader", name: "a key of root's for a daemon that is not root", places: []place{
			in("rootless", owner("builder.key", 0))}},
		{rule: "certs.key-reader", name: "the registry's key belongs to somebody else", places: []place{in("rootless", owner("registry.key", 4711))}},
		{rule: "certs.reader", name: "a certificate that a daemon may not read", places: []place{
			in("rootless", all(owner("registry.crt", 0), mode("registry.crt", 0o600)))}},
		{rule: "certs.key-mode", name: "a key that everybody reads", places: []place{in("theirs", mode("registry.key", 0o644))}},
		{rule: "certs.writable", name: "a CA that everybody writes", places: []place{in("theirs", mode("trust", 0o666))}},
		{rule: "certs.ca-key-mounted", name: "the CA's key beside the registry's", places: []place{
			in("cheat mkcert", caKeyBeside("registry.crt", "ca"))}},
		{rule: "certs.ca-key-beside", name: "the CA's key among the certificates", places: []place{in("flags", caKeyBeside("registry.crt", "root"))}},
		{rule: "certs.key-in-bundle", name: "a key in what clients get", places: []place{
			in("theirs", func(s *site) error {
				key, err := s.read("registry.key")
				if err != nil {
					return err
				}
				return more("trust", string(key))(s)
			})}},
	}
}

// certificateFaults are about what certificates say.
func certificateFaults() []fault {
	// ended is a certificate for one hour, looked at after two: no CA is younger.
	ended := func(role string) injection {
		return all(signed(role, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) }), later(2*time.Hour))
	}
	lastWeek := all(signed("registry.crt", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(days(90)) }), later(days(85)))
	future := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(days(2)) }
	nameless := func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = nil, nil
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "registry"}
	}
	elsewhere := func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"registry.example.org"}, nil }
	quoted := func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = append(c.DNSNames, "127.0.0.1"), nil }
	forClients := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	forServers := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	return []fault{
		{rule: "certs.expired", name: "the registry's certificate has expired", places: []place{in("theirs", ended("registry.crt"))}},
		{rule: "certs.expired", name: "the builder's certificate has expired", places: []place{in("theirs", ended("builder.crt"))}},
		{rule: "certs.expired", name: "the client's certificate has expired", places: []place{in("mkcert flags", ended("client.crt"))}},
		{rule: "certs.expired", name: "everything is three years old", places: []place{in("theirs ours", later(days(3*365-30)))}, also: []string{"certs.ca-expired"}},
		{rule: "certs.soon", name: "the registry's certificate ends in a week", places: []place{
			in("theirs", lastWeek)}},
		{rule: "certs.not-yet-valid", name: "the certificate is of tomorrow", places: []place{in("theirs", all(later(0), signed("registry.crt", future)))}},
		{rule: "certs.not-yet-valid", name: "the clock is a year behind", places: []place{in("ours", later(-days(365)))}, also: []string{"certs.ca-expired"}},
		{rule: "certs.no-san", name: "a certificate with a common name alone", places: []place{in("theirs", all(alone("trust"), signed("registry.crt", nameless)))}},
		{rule: "certs.names", name: "a certificate of another name", places: []place{in("theirs", signed("registry.crt", elsewhere))}},
		{rule: "certs.names", name: "the builder is dialled by another name", places: []place{in("theirs", signed("builder.crt", elsewhere))}},
		{rule: "certs.ip-as-dns", name: "an address written as a name", places: []place{
			in("cheat", all(signed("registry.crt", quoted), edit("toml", "localhost:5005\"]", "127.0.0.1:5005\"]"))),
			in("flags", all(signed("registry.crt", quoted), edit("toml", "localhost:5005\"]", "127.0.0.1:5005\"]")))}},
		{rule: "certs.usage", name: "a client's certificate for the registry", places: []place{in("theirs", all(alone("trust"), signed("registry.crt", forClients)))}},
		{rule: "certs.usage", name: "a server's certificate for a client", places: []place{in("mkcert", signed("client.crt", forServers))}},
		{rule: "certs.order", name: "the CA in front of the certificate", places: []place{in("env", changed("registry.crt", upsideDown))}},
		{rule: "certs.missing-intermediate", name: "the CA in between is not sent along", places: []place{
			in("env", all(about("who signs the CA in between"), changed("registry.crt", leafAlone)))}, guessed: []string{"certs.chain"}},
		{rule: "certs.refused-key", name: "a key on a curve that TLS does not take", places: []place{
			in("cheat env flags rootless", newPair("registry.crt", "registry.key", elliptic.P224()))}},
		{rule: "certs.too-long", name: "a certificate for ten years", places: []place{
			in("flags", signed("registry.crt", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(days(3600)) }))}},
		{rule: "certs.ca-as-leaf", name: "a server that may sign", places: []place{
			in("cheat flags", signed("registry.crt", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }))}},
		{rule: "certs.key-usage", name: "a server whose key may not sign", places: []place{
			in("cheat flags", signed("registry.crt", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }))}},
		{rule: "certs.serial", name: "two certificates of one number", places: []place{
			in("cheat", func(s *site) error {
				data, err := s.read("builder.crt")
				if err != nil {
					return err
				}
				other, err := first(data)
				if err != nil {
					return err
				}
				return signed("registry.crt", func(c *x509.Certificate) { c.SerialNumber = other.SerialNumber })(s)
			})}},
	}
}

// authorityFaults are about CAs.
func authorityFaults() []fault {
	strange := &pkix.Name{CommonName: "Some other CA"}
	onlyOf := func(domain string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{domain}
		}
	}
	return []fault{
		{rule: "certs.chain", name: "the builder trusts another CA", places: []place{in("cheat env flags rootless", otherCA("trust", strange))}},
		{rule: "certs.chain", name: "one CA for both ways, and it is another one", places: []place{in("mkcert", otherCA("trust", strange))}},
		{rule: "certs.chain", name: "the builder lets in clients of another CA", places: []place{in("flags", otherCA("clients", strange))}},
		{rule: "certs.chain", name: "the CA of clients where that of servers is wanted", places: []place{
			in("flags", swap("clients", "trust"))}},
		{rule: "certs.same-subject", name: "a CA made anew under its name", places: []place{in("theirs", otherCA("trust", nil))}},
		{rule: "certs.trust-leaf", name: "a server's certificate where the CA is wanted", places: []place{
			in("cheat flags rootless", copyOf("builder.crt", "trust"))}, guessed: []string{"certs.chain"}},
		{rule: "certs.ca-expired", name: "the CA has expired", places: []place{
			in("theirs", signed("trust", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-days(400)), time.Now().Add(-days(2))
			}))}},
		{rule: "certs.not-a-ca", name: "a CA without CA:TRUE", places: []place{
			in("theirs", all(about("who signs the CA in between"), signed("trust", func(c *x509.Certificate) {
				c.IsCA, c.MaxPathLen, c.MaxPathLenZero, c.KeyUsage = false, -1, false, x509.KeyUsageDigitalSignature
			})))}, guessed: []string{"certs.chain", "certs.no-san"}},
		{rule: "certs.constraints", name: "a CA for another domain", places: []place{
			in("theirs", signed("trust", onlyOf("example.com")))}},
		{rule: "certs.ca-usage", name: "a CA for clients alone", places: []place{
			in("theirs", signed("trust", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }))}},
		{rule: "certs.weak-signature", name: "signed with SHA-1", places: []place{
			in("cheat", func(s *site) error {
				return signed("registry.crt", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })(s)
			}),
			in("flags mkcert", signed("registry.crt", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }))}},
		{rule: "certs.names", name: "a certificate for the address alone", places: []place{
			in("theirs", all(alone("trust"), signed("registry.crt", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(10, 1, 2, 3).To4()} })))}},
	}
}

// ownFaults are what happens to a stack of ours on the disk. Whatever it is in a
// file that certyard writes, the cause is that somebody changed it.
func ownFaults() []fault {
	return []fault{
		{rule: "compose.published-open", name: "the builder published to all by hand", places: []place{
			in("daemon-server", edit("compose", "- target: 1234\n        host_ip: \"127.0.0.1\"", "- target: 1234\n        host_ip: \"0.0.0.0\""))}},
		{rule: "own.changed", name: "a setting of the builder changed by hand", places: []place{
			in("ours", edit("toml", `[registry."registry:5000"]`, `[registry."registry:5001"]`))}, also: []string{"wiring.port"}},
		{rule: "own.changed", name: "a setting of the builder that it does not know", places: []place{
			in("ours", edit("toml", "[grpc]\n", "[grpc]\n  adress = []\n"))}, also: []string{"buildkitd.unknown-key"}},
		{rule: "own.changed", name: "the registry's config broken by hand", places: []place{in("ours", edit("yml", "  draintimeout:", "\tdraintimeout:"))}, also: []string{"registry.syntax"}},
		{rule: "own.changed", name: "the registry's config is gone", places: []place{in("ours", gone("yml"))}, also: []string{"wiring.config"}},
		{rule: "own.changed", name: "the builder's config is gone", places: []place{in("ours", gone("toml"))}, also: []string{"wiring.config"}},
		{rule: "own.changed", name: "a user added to htpasswd by hand", places: []place{in("ours", more("htpasswd", strings.Replace(password, "testuser", "me", 1)))}},
		{rule: "own.changed", name: "the CA that the builder trusts is another one", places: []place{in("ours", otherCA("trust", &pkix.Name{CommonName: "Some other CA"}))}, also: []string{"certs.chain"}},
		{refused: "are 0644, required no more than 0600", name: "a key of ours that everybody reads", places: []place{in("ours", mode("registry.key", 0o644))}},
		{rule: "own.changed", name: "a key of ours made anew", places: []place{in("ours", changed("builder.key", aKey))}, also: []string{"certs.key-match"}},
		{rule: "own.changed", name: "a certificate of ours that is gone", places: []place{in("ours", gone("registry.crt"))}, also: []string{"certs.missing"}},
		{rule: "own.changed", name: "a certificate of ours in DER", places: []place{in("ours", changed("registry.crt", inDER))}, also: []string{"certs.not-pem"}},
		{rule: "certs.key-reader", name: "a key of ours that its daemon may not read", places: []place{in("ours", owner("registry.key", 4711))}},
	}
}
