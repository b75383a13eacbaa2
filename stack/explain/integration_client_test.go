package explain

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// clientFiles writes what clients of a builder are called with, right and wrong.
// The client CA of the builders is the CA of their certificates.
func (r *real) clientFiles(t *testing.T) map[string]string {
	t.Helper()
	v := material(t, r.ca)
	dir, other, twin := v["dir"], pkitest.New(t, time.Now()), r.ca.Twin(t)
	v["otherca"], v["twinca"] = write(t, dir, "other-ca.pem", other.Trust().PEM()), write(t, dir, "twin-ca.pem", twin.Trust().PEM())
	for name, kp := range map[string]*pki.KeyPair{
		"client": r.ca.Client(t, "me"), "foreign": other.Client(t, "me"), "before": twin.Client(t, "me"), "server": r.ca.Server(t, "me"), "expired": r.ca.ExpiredClient(t, "me"),
	} {
		v[name+"cert"], v[name+"key"] = pair(t, dir, name+"-as-client", kp)
	}
	return v
}

const (
	trusted = "--tlscacert $ca "
	proven  = trusted + "--tlscert $clientcert --tlskey $clientkey "
)

// testClient: buildctl goes to a builder in a way that does not work.
func testClient(t *testing.T, r *real) {
	v := r.clientFiles(t)
	builders := r.builders(t, v)
	for name, c := range map[string]struct {
		builder, flags, want string
		hop                  Hop
	}{
		"another CA":                 {"server", "--tlscacert $otherca", "unknown-authority", ClientBuilder},
		"the CA made again":          {"server", "--tlscacert $twinca", "ca-regenerated", ClientBuilder},
		"no CA":                      {"server", "", "plaintext-to-builder|builder-broke-off", ClientBuilder},
		"a pair and no CA":           {"mutual", "--tlscert $clientcert --tlskey $clientkey", "unknown-authority", ClientBuilder},
		"no CA, mutual":              {"mutual", "", "plaintext-to-builder|builder-broke-off", ClientBuilder},
		"no client certificate":      {"mutual", trusted, "client-certificate-required|builder-broke-off", ClientBuilder},
		"a foreign one":              {"mutual", trusted + "--tlscert $foreigncert --tlskey $foreignkey", "client-certificate-required|builder-broke-off", ClientBuilder},
		"one of the CA before":       {"mutual", trusted + "--tlscert $beforecert --tlskey $beforekey", "client-certificate-unknown-ca|builder-broke-off", ClientBuilder},
		"a server's one":             {"mutual", trusted + "--tlscert $servercert --tlskey $serverkey", "client-certificate-refused|builder-broke-off", ClientBuilder},
		"an expired one":             {"mutual", trusted + "--tlscert $expiredcert --tlskey $expiredkey", "client-certificate-expired|builder-broke-off", ClientBuilder},
		"TLS to plain text":          {"plain", trusted, "not-tls", ClientBuilder},
		"a wrong name":               {"server", trusted + "--tlsservername build.lan", "wrong-name", ClientBuilder},
		"no address":                 {"names", trusted, "no-ip-san", ClientBuilder},
		"expired":                    {"expired", trusted, "expired", ClientBuilder},
		"not yet valid":              {"future", trusted, "not-yet-valid", ClientBuilder},
		"a client's certificate":     {"client", trusted, "wrong-usage", ClientBuilder},
		"a CA that is none":          {"server", "--tlscacert $garbage", "ca-unreadable", ClientBuilder},
		"a CA that is not there":     {"server", "--tlscacert $missing", "no-such-file", ClientBuilder},
		"a pair that is not there":   {"mutual", trusted + "--tlscert $missing --tlskey $missing", "no-such-file", ClientBuilder},
		"a certificate alone":        {"mutual", trusted + "--tlscert $clientcert", "half-a-pair", ClientBuilder},
		"a pair of two":              {"mutual", trusted + "--tlscert $clientcert --tlskey $foreignkey", "key-mismatch", ClientBuilder},
		"an exchanged pair":          {"mutual", trusted + "--tlscert $clientkey --tlskey $clientcert", "pem-swapped", ClientBuilder},
		"a directory for a CA":       {"server", "--tlscacert $directory", "is-a-directory", ClientBuilder},
		"two ways":                   {"mutual", trusted + "--tlsdir $dir", "tlsdir", ClientBuilder},
		"half a directory":           {"mutual", "--tlsdir $dir", "tlsdir", ClientBuilder},
		"nobody there":               {"stopped", trusted, "connection-refused", ClientBuilder},
		"a name that nobody knows":   {"tcp://builder.invalid:1234", trusted, "no-such-host", ClientBuilder},
		"a socket that is not there": {"unix://$missing", "", "builder-socket", ClientBuilder},
		"a registry":                 {"registry", trusted, "not-a-builder", ClientBuilder},
		"a registry of HTTP":         {"http", "", "not-a-builder", ClientBuilder},
		"waiting":                    {"server", "--tlscacert $otherca --wait --timeout 2", "builder-deadline", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := fill(c.builder, v)
			if d := builders[c.builder]; d != nil {
				address = "tcp://" + d.address
			}
			args := append([]string{"buildctl", "--addr", address}, strings.Fields(fill(c.flags, v))...)
			out, ok := r.run(t, nil, append(args, "debug", "workers")...)
			if ok {
				t.Errorf("it succeeded:\n%s", out)
			}
			result := r.explains(t, out, want(c.want, c.hop))
			for _, m := range result.Messages {
				if s := m.Values["server"]; s != "" && "tcp://"+s != address {
					t.Errorf("the server is %q, want %q", s, address)
				}
			}
		})
	}
}

// builders starts the servers that clients go to.
func (r *real) builders(t *testing.T, v map[string]string) map[string]*process {
	t.Helper()
	out := map[string]*process{}
	forge := r.ca.Forge(t, "127.0.0.1", clientsOnly)
	for name, kp := range map[string]*pki.KeyPair{
		"plain": nil, "server": r.ca.Server(t, "localhost", "127.0.0.1"), "mutual": r.ca.Server(t, "localhost", "127.0.0.1"), "names": r.ca.Server(t, "localhost"),
		"expired": r.ca.ExpiredServer(t, "127.0.0.1"), "future": r.ca.FutureServer(t, "127.0.0.1"), "client": forge, "stopped": nil,
	} {
		dir, config := t.TempDir(), "[grpc]\naddress = [\"tcp://127.0.0.1:0\"]\n"
		if kp != nil {
			cert, key := pair(t, dir, "server", kp)
			config += fmt.Sprintf("[grpc.tls]\ncert = %q\nkey = %q\n", cert, key)
		}
		if name == "mutual" {
			config += fmt.Sprintf("ca = %q\n", v["ca"])
		}
		out[name] = r.launch(t, r.builderCommand(t, dir, config)...)
	}
	for _, d := range out {
		d.listens(t)
	}
	out["stopped"].stop(t)
	for name, y := range map[string]yard{"registry": {serve: r.ca.Server(t, "127.0.0.1")}, "http": {}} {
		out[name] = r.registry(t, map[string]string{"dir": t.TempDir()}, filepath.Base(name), y)
	}
	return out
}
