package lint_test

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack/lint"
)

// tutorials are sets of files as people make them, with what is said of them: the
// rules that are broken, and the names that clients dial.
func tutorials() []struct {
	name, script string
	names        []string
	want         []string
} {
	const leaf = `openssl req -newkey rsa:2048 -nodes -keyout server.key -subj /CN=registry -out server.csr 2>/dev/null
`
	const ca = `openssl req -x509 -newkey rsa:2048 -nodes -keyout ca/ca.key -subj "/CN=My CA" -days 3650 -out ca/ca.crt 2>/dev/null
`
	return []struct {
		name, script string
		names        []string
		want         []string
	}{
		{"self-signed with names", `openssl req -x509 -newkey rsa:2048 -nodes -sha256 -keyout registry.key -out registry.crt -days 365 -subj /CN=registry -addext "subjectAltName=DNS:registry,DNS:localhost,IP:127.0.0.1" 2>/dev/null`,
			[]string{"registry", "localhost", "127.0.0.1"}, []string{"certs.self-signed"}},
		{"self-signed without names", `openssl req -x509 -newkey rsa:2048 -nodes -keyout domain.key -out domain.crt -days 365 -subj /CN=registry 2>/dev/null`,
			[]string{"registry"}, []string{"certs.no-san", "certs.self-signed"}},
		{"self-signed for ten years", `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.crt -days 3650 -subj /CN=registry -addext "subjectAltName=DNS:registry" 2>/dev/null`,
			[]string{"registry"}, []string{"certs.self-signed", "certs.too-long"}},
		{"CA and leaf with a file of extensions", "mkdir ca\n" + ca + leaf + `printf "subjectAltName=DNS:registry,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n" > ext
openssl x509 -req -in server.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 365 -sha256 -extfile ext -out server.crt 2>/dev/null`,
			[]string{"registry", "127.0.0.1"}, nil},
		{"CA and leaf, the extensions forgotten", "mkdir ca\n" + ca + leaf + `openssl x509 -req -in server.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 365 -out server.crt 2>/dev/null`,
			[]string{"registry"}, []string{"certs.no-san"}},
		{"all in one directory", "mkdir ca\n" + ca + leaf + `printf "subjectAltName=DNS:registry\n" > ext
openssl x509 -req -in server.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 365 -extfile ext -out server.crt 2>/dev/null
mv ca/* . && rmdir ca`,
			[]string{"registry"}, []string{"certs.ca-key-beside"}},
	}
}

func TestCertificatesOfTutorials(t *testing.T) {
	for _, c := range tutorials() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := &yard{files: shell(t, c.script), now: time.Now().Add(time.Minute)}
			y.uses = lint.Guess(y.files, map[lint.Subject][]string{lint.Registry: c.names})
			got := ids(y.causes(t))
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v; uses %+v%s", got, c.want, y.uses, show(y.findings()))
			}
		})
	}
}

// TestCertificatesOfOpenSSL: what only other tools still make, with what the
// clients of OpenSSL and GnuTLS say of it.
func TestCertificatesOfOpenSSL(t *testing.T) {
	const ca = `openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj "/CN=My CA" -days 3650 -out ca.crt 2>/dev/null
printf "subjectAltName=DNS:registry\nbasicConstraints=CA:FALSE\n" > ext
`
	sign := func(newkey, digest string) string {
		return ca + newkey + `
openssl req -new -key server.key -subj /CN=registry -out server.csr
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 ` + digest + ` -extfile ext -out server.crt 2>/dev/null
mkdir away && mv ca.key away/`
	}
	for _, c := range []struct {
		name, script, want string
		verified           bool // Go makes a connection
	}{
		{"RSA of 1024 bits", sign("openssl genrsa -out server.key 1024 2>/dev/null", "-sha256"), "certs.weak-key", true},
		{"RSA of 768 bits", sign("openssl genrsa -out server.key 768 2>/dev/null", "-sha256"), "certs.refused-key", false},
		{"P-224", sign("openssl ecparam -name secp224r1 -genkey -out server.key 2>/dev/null", "-sha256"), "certs.refused-key", false},
		{"a curve that Go does not know", sign("openssl ecparam -name secp256k1 -genkey -out server.key 2>/dev/null", "-sha256"), "certs.damaged", false},
		{"SHA-1", sign("openssl genrsa -out server.key 2048 2>/dev/null", "-sha1"), "certs.weak-signature", false},
		{"SHA-1 on the root alone, which is sent along", sign("openssl genrsa -out server.key 2048 2>/dev/null\nopenssl x509 -in ca.crt -signkey ca.key -sha1 -days 3650 -out sha1.crt 2>/dev/null && mv sha1.crt ca.crt", "-sha256") + "\ncat ca.crt >> server.crt", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := &yard{files: shell(t, c.script), now: time.Now().Add(time.Minute)}
			y.uses = []lint.Used{
				{Subject: lint.Registry, Use: lint.ServerCert, Path: "server.crt", Names: []string{"registry"}, Pair: "server.key", Trust: []string{"ca.crt"}, Reader: -1},
				{Subject: lint.Registry, Use: lint.TrustCA, Path: "ca.crt", Reader: -1},
			}
			got := y.causes(t)
			if strings.Join(ids(got), " ") != c.want {
				t.Errorf("got %v, want %s%s", ids(got), c.want, show(got))
			}
			server, err := tls.X509KeyPair(y.file("server.crt").Data, y.file("server.key").Data)
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(y.file("ca.crt").Data)
			if err == nil {
				err = roundTrip(t, &tls.Config{Certificates: []tls.Certificate{server}}, &tls.Config{RootCAs: pool, Time: y.clock()}, "registry")
			}
			if (err == nil) != c.verified {
				t.Errorf("Go says %v", err)
			}
			for _, f := range got {
				quote := said.FindStringSubmatch(f.Problem)
				if quote != nil && (err == nil || !strings.Contains(err.Error(), quote[1])) {
					t.Errorf("quotes %q, Go says %v", quote[1], err)
				}
			}
		})
	}
}
