package explain

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/htpasswd"
)

const (
	user     = "testuser"
	password = "right"
)

// yard is a registry to push to, and what a builder is told about it.
type yard struct {
	name string
	// registry is what is special about its config; "" is none that runs.
	serve    *pki.KeyPair
	registry string // more of its config
	tls      string // and below http.tls
	clientCA *pkitest.CA
	stopped  bool
	listen   string // the address, when it is not the loopback's
	host     string // how the builder names it: localhost, 127.0.0.1

	section string // in buildkitd.toml
	login   string // the password, "" for none
	want    string
}

// section is the beginning of what belongs into buildkitd.toml.
const tlsSection = "[registry.\"$host\"]\n  http = false\n"

// trusting is a section with the right CA.
const trusting = tlsSection + "  ca = [\"$ca\"]\n"

// yards are the ways in which a push fails.
func (r *real) yards(t *testing.T) []yard {
	t.Helper()
	now := time.Now()
	twin, other := r.ca.Twin(t), pkitest.New(t, now)
	good := r.ca.Server(t, "localhost", "127.0.0.1")
	keypair := func(name string) string {
		return trusting + "  [[registry.\"$host\".keypair]]\n    key = \"$" + name + "key\"\n    cert = \"$" + name + "cert\"\n"
	}
	alone := r.ca.Issuing(t).Server(t, "localhost", "127.0.0.1")
	alone.Chain = nil
	return []yard{
		{name: "plain HTTP", section: tlsSection, want: "https-to-http"},
		{name: "no section", serve: good, want: "http-to-https"},
		{name: "no http = false", serve: good, section: "[registry.\"$host\"]\n  ca = [\"$ca\"]\n", want: "http-to-https"},
		{name: "http = true", serve: good, host: "127.0.0.1", section: "[registry.\"$host\"]\n  http = true\n", want: "http-to-https"},
		{name: "no CA", serve: good, section: tlsSection, want: "unknown-authority"},
		{name: "another CA", serve: other.Server(t, "localhost"), section: trusting, want: "unknown-authority"},
		{name: "a CA that is none", serve: good, section: tlsSection + "  ca = [\"$garbage\"]\n", want: "unknown-authority"},
		{name: "an issuing CA that is not sent", serve: alone, section: trusting, want: "unknown-authority"},
		{name: "a CA file that is not there", serve: good, section: tlsSection + "  ca = [\"$missing\"]\n", want: "no-such-file"},
		{name: "a directory for a CA", serve: good, section: tlsSection + "  ca = [\"$directory\"]\n", want: "is-a-directory"},
		{name: "the CA made again", serve: twin.Server(t, "localhost"), section: trusting, want: "ca-regenerated"},
		{name: "wrong name", serve: r.ca.Server(t, "registry", "reg.example.com"), section: trusting, want: "wrong-name"},
		{name: "no address", serve: r.ca.Server(t, "localhost"), host: "127.0.0.1", section: trusting, want: "no-ip-san"},
		{name: "no names", serve: r.ca.Forge(t, "localhost", func(c *x509.Certificate) { c.DNSNames = nil; c.Subject.CommonName = "localhost" }), section: trusting, want: "legacy-common-name"},
		{name: "expired", serve: r.ca.ExpiredServer(t, "localhost"), section: trusting, want: "expired"},
		{name: "not yet valid", serve: r.ca.FutureServer(t, "localhost"), section: trusting, want: "not-yet-valid"},
		{name: "a client's certificate", serve: r.ca.Forge(t, "localhost", clientsOnly), section: trusting, want: "wrong-usage"},
		{name: "no client certificate", serve: good, clientCA: r.ca, section: trusting, want: "client-certificate-required"},
		{name: "a foreign client certificate", serve: good, clientCA: r.ca, section: keypair("foreign"), want: "client-certificate-required"},
		{name: "a client certificate of the CA before", serve: good, clientCA: twin, section: keypair("client"), want: "client-certificate-unknown-ca"},
		{name: "a server's certificate as client", serve: good, clientCA: r.ca, section: keypair("server"), want: "client-certificate-refused"},
		{name: "an expired client certificate", serve: good, clientCA: r.ca, section: keypair("expired"), want: "client-certificate-expired"},
		{name: "a client pair that is not there", serve: good, clientCA: r.ca, section: keypair("missing"), want: "no-such-file"},
		{name: "a client pair of two", serve: good, clientCA: r.ca, section: keypair("mixed"), want: "key-mismatch"},
		{name: "no password", serve: good, registry: "auth: {htpasswd: {realm: r, path: $htpasswd}}\n", section: trusting, want: "unauthorized"},
		{name: "wrong password", serve: good, registry: "auth: {htpasswd: {realm: r, path: $htpasswd}}\n", section: trusting, login: "wrong", want: "unauthorized"},
		{name: "stopped", serve: good, stopped: true, section: trusting, want: "connection-refused"},
		{name: "a name that nobody knows", serve: good, host: "registry.invalid", section: trusting, want: "no-such-host"},
		{name: "half a line of passwords", serve: good, registry: "auth: {htpasswd: {realm: r, path: $garbage}}\n", section: trusting, login: password, want: "bad-request"},
		{name: "a storage that cannot be written", serve: good, registry: "storage: {filesystem: {rootdirectory: $garbage}}\n", section: trusting, want: "server-error"},
	}
}

func clientsOnly(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// testPush: builds whose push to a registry fails, as buildctl prints it.
func testPush(t *testing.T, r *real) {
	v := material(t, r.ca)
	dir := v["dir"]
	other := pkitest.New(t, time.Now())
	for name, kp := range map[string]*pki.KeyPair{
		"client": r.ca.Client(t, "builder"), "foreign": other.Client(t, "builder"), "server": r.ca.Server(t, "builder"), "expired": r.ca.ExpiredClient(t, "builder"),
	} {
		v[name+"cert"], v[name+"key"] = pair(t, dir, name+"-as-client", kp)
	}
	v["missingcert"], v["missingkey"], v["mixedcert"], v["mixedkey"] = v["missing"], v["missing"], v["clientcert"], v["foreignkey"]
	users, err := htpasswd.Render([]htpasswd.User{{Name: user, Password: password, Cost: 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v["htpasswd"] = write(t, dir, "htpasswd", users)

	yards, config, hosts := r.yards(t), "[grpc]\naddress = [\"tcp://127.0.0.1:0\"]\n", map[string]string{}
	registries := map[string]*process{}
	for i, y := range yards {
		d := r.registry(t, v, fmt.Sprint("registry", i), y)
		_, port, err := net.SplitHostPort(d.address)
		if err != nil {
			t.Fatal(err)
		}
		if y.host == "" {
			y.host = "localhost"
		}
		hosts[y.name], registries[y.name] = net.JoinHostPort(y.host, port), d
		v["host"] = hosts[y.name]
		config += fill(y.section, v)
	}
	builder := r.start(t, r.builderCommand(t, dir, config)...)
	for _, y := range yards {
		t.Run(y.name, func(t *testing.T) {
			t.Parallel()
			d := registries[y.name]
			if y.stopped {
				d.stop(t)
			}
			out, ok := r.push(t, builder.address, hosts[y.name], y.login)
			if ok {
				t.Errorf("the push succeeded:\n%s", out)
			}
			result := r.explains(t, out, want(y.want, BuilderRegistry))
			if y.want == "server-error" {
				r.explains(t, d.says(t, 0, regexp.MustCompile("response completed with error")), want("server-error", ServerLog))
			}
			for _, m := range result.Messages {
				if m.Values["server"] != hosts[y.name] && !strings.Contains(m.Text, "open ") && !strings.Contains(m.Text, "tls: private key") && !strings.Contains(m.Text, "is a directory") {
					t.Errorf("the server is %q, want %q: %s", m.Values["server"], hosts[y.name], m.Text)
				}
			}
		})
	}
}

// registry starts the registry of a yard.
func (r *real) registry(t *testing.T, v map[string]string, name string, y yard) *process {
	t.Helper()
	dir := filepath.Join(v["dir"], name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	config := "version: 0.1\n" + y.registry
	if !strings.Contains(y.registry, "storage:") {
		config += "storage: {inmemory: {}}\n"
	}
	config += "http:\n  addr: " + cmp.Or(y.listen, "127.0.0.1") + ":0\n  secret: s\n"
	if y.serve != nil {
		cert, key := pair(t, dir, "server", y.serve)
		config += "  tls:\n    certificate: " + cert + "\n    key: " + key + "\n" + y.tls
		if y.clientCA != nil {
			config += "    clientcas: [" + write(t, dir, "clients.pem", y.clientCA.Trust().PEM()) + "]\n"
		}
	}
	return r.start(t, "registry", "serve", write(t, dir, "config.yml", []byte(fill(config, v))))
}

// push has a builder build and push something, as somebody who has a Dockerfile
// does.
func (r *real) push(t *testing.T, builder, registry, login string, flags ...string) (string, bool) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "Dockerfile", []byte("FROM scratch\nCOPY Dockerfile /\n"))
	auths := ""
	if login != "" {
		auths = fmt.Sprintf("%q: {\"username\": %q, \"password\": %q}", registry, user, login)
	}
	write(t, dir, "config.json", []byte(`{"auths": {`+auths+`}}`))
	args := append([]string{"buildctl", "--addr", "tcp://" + builder}, flags...)
	args = append(args, "build", "--frontend", "dockerfile.v0", "--local", "context="+dir, "--local", "dockerfile="+dir,
		"--output", "type=image,name="+registry+"/app:1,push=true")
	return r.run(t, []string{"DOCKER_CONFIG=" + dir}, args...)
}
