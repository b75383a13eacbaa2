package explain

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/htpasswd"
)

// row is the world of the cheat sheet: a registry with TLS and passwords, a builder
// with TLS, and somebody who builds and pushes. The builder's config is broken in
// one way at a time.
type row struct {
	*real
	dir      string
	registry string // how the builder names it
	builder  string // its address
	process  *process
}

// testRows: the rows of "Common Errors & Fixes". Each is met as a user meets it, its
// whole output is pasted, and what is then printed under "by hand" is done: after that
// the same command works.
func testRows(t *testing.T, r *real) {
	t.Run("HTTP request to HTTPS server", func(t *testing.T) {
		y := r.row(t, "localhost", "localhost", "127.0.0.1")
		const config = "[registry.\"$registry\"]\n  ca = [\"/etc/buildkit/certs/ca.pem\"]\n"
		y.serve(t, "", config)
		out := y.fails(t, y.push)
		section := y.config(t, r.explains(t, out, want("http-to-https", BuilderRegistry)))
		if !strings.Contains(section, "http = false") {
			t.Errorf("the mend does not say http = false:\n%s", section)
		}
		y.serve(t, "", section)
		y.works(t, y.push)
	})
	t.Run("certificate signed by unknown authority", func(t *testing.T) {
		y := r.row(t, "localhost", "localhost", "127.0.0.1")
		y.serve(t, "", "[registry.\"$registry\"]\n  http = false\n")
		out := y.fails(t, y.push)
		section := y.config(t, r.explains(t, out, want("unknown-authority", BuilderRegistry)))
		if !strings.Contains(section, "ca = [") {
			t.Errorf("the mend names no ca:\n%s", section)
		}
		y.serve(t, "", section)
		y.works(t, y.push)
	})
	t.Run("certificate valid for X, not Y", func(t *testing.T) {
		y := r.row(t, "localhost", "registry")
		const config = "[registry.\"$registry\"]\n  http = false\n  ca = [\"/etc/buildkit/certs/ca.pem\"]\n"
		y.serve(t, "", config)
		out := y.fails(t, y.push)
		extension := y.config(t, r.explains(t, out, want("wrong-name", BuilderRegistry)))
		if !strings.Contains(extension, "DNS:localhost") {
			t.Errorf("the mend does not name localhost:\n%s", extension)
		}
		y.reissue(t, extension)
		y.works(t, y.push)
	})
	for _, certificate := range []bool{true, false} {
		t.Run(fmt.Sprintf("certificate required, %v", certificate), func(t *testing.T) {
			y := r.row(t, "localhost", "localhost", "127.0.0.1")
			y.serve(t, "  ca = \"$clientca\"\n", "")
			workers := func(t *testing.T) (string, bool) {
				return y.buildctl(t, "buildctl --tlscacert ca.pem", "debug", "workers")
			}
			result := y.untilAlert(t, workers)
			command, other, _ := strings.Cut(result.Messages[0].Mend.Hand, "\n")
			if certificate {
				y.works(t, func(t *testing.T) (string, bool) { return y.buildctl(t, command, "debug", "workers") })
				return
			}
			if !strings.Contains(other, "take the line ca = ... out of [grpc.tls]") {
				t.Fatalf("the mend does not name the line: %s", other)
			}
			y.serve(t, "", "")
			y.works(t, workers)
		})
	}
	t.Run("Can't convert string to []string", func(t *testing.T) {
		y := r.row(t, "localhost", "localhost", "127.0.0.1")
		text := "[grpc]\naddress = \"tcp://0.0.0.0:1234\"\n"
		command := y.builderCommand(t, y.dir, text)
		result := r.explains(t, r.launch(t, command...).fails(t), want("toml-list", DaemonStart))
		fixed, _, _ := strings.Cut(result.Messages[0].Mend.Hand, "  [registry.")
		if !strings.Contains(fixed, "address = [\"tcp://0.0.0.0:1234\"]") {
			t.Fatalf("the mend does not have the line: %s", fixed)
		}
		// The port is for every user of this machine only once.
		y.builder = r.start(t, y.builderCommand(t, y.dir, strings.Replace(fixed, "0.0.0.0:1234", "127.0.0.1:0", 1))...).address
		y.works(t, func(t *testing.T) (string, bool) { return y.buildctl(t, "buildctl", "debug", "workers") })
	})
}

// untilAlert has a command tried again until the client has read why the builder ended
// the connection, as it mostly has. What it says of the other times has the same mend.
func (y *row) untilAlert(t *testing.T, do func(*testing.T) (string, bool)) Result {
	t.Helper()
	const tries = 50
	for range tries {
		result := y.explains(t, y.fails(t, do), want("client-certificate-required|builder-broke-off", ClientBuilder))
		if len(result.Messages) > 0 && result.Messages[0].ID == "client-certificate-required" {
			return result
		}
		if alert, _ := Find("client-certificate-required"); len(result.Messages) > 0 && result.Messages[0].Mend.Hand != alert.Mend.Hand {
			t.Errorf("the mend is another one: %s", result.Messages[0].Mend.Hand)
		}
	}
	t.Fatalf("the client has not read the alert in %d tries", tries)
	return Result{}
}

// row makes the registry, whose certificate is for some hosts, and the files of
// everybody.
func (r *real) row(t *testing.T, name string, hosts ...string) *row {
	t.Helper()
	y := &row{real: r, dir: t.TempDir()}
	users, err := htpasswd.Render([]htpasswd.User{{Name: user, Password: password, Cost: 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, y.dir, "ca.pem", r.ca.Trust().PEM())
	key, err := r.ca.Pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, y.dir, "ca.key", key)
	write(t, y.dir, "htpasswd", users)
	client := r.ca.Client(t, "me")
	for file, kp := range map[string]func() ([]byte, error){"cert.pem": func() ([]byte, error) { return client.CertPEM(), nil }, "key.pem": client.KeyPEM} {
		data, err := kp()
		if err != nil {
			t.Fatal(err)
		}
		write(t, y.dir, file, data)
	}
	pair(t, y.dir, "builder", r.ca.Server(t, "localhost", "127.0.0.1"))
	pair(t, y.dir, "registry", r.ca.Server(t, hosts...))
	y.startRegistry(t, "127.0.0.1:0")
	y.registry = name + y.process.address[strings.LastIndexByte(y.process.address, ':'):]
	return y
}

func (y *row) startRegistry(t *testing.T, address string) {
	t.Helper()
	const config = `version: 0.1
storage: {inmemory: {}}
auth: {htpasswd: {realm: r, path: "$dir/htpasswd"}}
http:
  addr: $address
  secret: s
  tls: {certificate: "$dir/registry.crt", key: "$dir/registry.key"}
`
	y.process = y.start(t, "registry", "serve", write(t, y.dir, "config.yml", []byte(fill(config, map[string]string{"dir": y.dir, "address": address}))))
}

// serve starts a builder: "restart buildkitd". Where the config says /etc/buildkit/certs
// the files of the test are meant.
func (y *row) serve(t *testing.T, tls, registries string) {
	t.Helper()
	config := "[grpc]\naddress = [\"tcp://127.0.0.1:0\"]\n[grpc.tls]\ncert = \"$dir/builder.crt\"\nkey = \"$dir/builder.key\"\n" + tls + registries
	config = strings.ReplaceAll(config, "/etc/buildkit/certs", "$dir")
	values := map[string]string{"dir": y.dir, "registry": y.registry, "clientca": filepath.Join(y.dir, "ca.pem")}
	root := t.TempDir()
	y.builder = y.start(t, y.builderCommand(t, root, fill(config, values))...).address
}

// buildctl runs a command line as it is printed, in the directory with the files that
// it names.
func (y *row) buildctl(t *testing.T, command string, args ...string) (string, bool) {
	t.Helper()
	line := append(strings.Fields(command), args...)
	line = append([]string{"env", "-C", y.dir, y.program(line[0]), "--addr", "tcp://" + y.builder}, line[1:]...)
	return y.run(t, nil, line...)
}

// push builds and pushes, with the right password.
func (y *row) push(t *testing.T) (string, bool) {
	t.Helper()
	return y.real.push(t, y.builder, y.registry, password, "--tlscacert", filepath.Join(y.dir, "ca.pem"))
}

func (y *row) fails(t *testing.T, do func(*testing.T) (string, bool)) string {
	t.Helper()
	out, ok := do(t)
	if ok {
		t.Fatalf("it works before anything is mended:\n%s", out)
	}
	return out
}

func (y *row) works(t *testing.T, do func(*testing.T) (string, bool)) {
	t.Helper()
	if out, ok := do(t); !ok {
		t.Errorf("it does not work after what was printed was done:\n%s", out)
	}
}

// config returns the lines of config that are printed for the first message.
func (y *row) config(t *testing.T, r Result) string {
	t.Helper()
	if len(r.Messages) == 0 {
		t.FailNow() // has been said
	}
	var lines []string
	for line := range strings.Lines(r.Messages[0].Mend.Hand) {
		if strings.HasPrefix(line, "  ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// reissue issues the registry's certificate again, with the extension that was
// printed, and restarts the registry at the same address.
func (y *row) reissue(t *testing.T, extension string) {
	t.Helper()
	file := func(name string) string { return filepath.Join(y.dir, name) }
	write(t, y.dir, "extension.cnf", []byte(regexp.MustCompile(`(?m)^ +`).ReplaceAllString(extension, "")))
	for _, args := range [][]string{
		{"openssl", "req", "-new", "-key", file("registry.key"), "-subj", "/CN=registry", "-out", file("registry.csr")},
		{"openssl", "x509", "-req", "-in", file("registry.csr"), "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-set_serial", "0x1234", "-days", "1", "-extfile", file("extension.cnf"), "-out", file("registry.crt")},
	} {
		if out, ok := y.run(t, nil, args...); !ok {
			t.Fatalf("%q: %s", args, out)
		}
	}
	if _, err := os.Stat(file("registry.crt")); err != nil {
		t.Fatal(err)
	}
	y.process.stop(t)
	y.startRegistry(t, y.process.address)
}
