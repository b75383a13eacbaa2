package lint_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

// TestCertificatesOfMkcert: what mkcert makes is fine for a registry and for a
// builder with mutual TLS, whether a config says what is what or not.
func TestCertificatesOfMkcert(t *testing.T) {
	y := &yard{now: time.Now().Add(time.Minute), files: mkcert(t)}
	names := map[lint.Subject][]string{lint.Builder: {"localhost", "127.0.0.1", "::1"}}
	y.uses = lint.Guess(y.files, names)
	want := []string{
		"client certificate dev-client.pem dev-client-key.pem root/rootCA.pem", "client key dev-client-key.pem",
		"server certificate localhost+2.pem localhost+2-key.pem root/rootCA.pem", "server key localhost+2-key.pem",
		"client CA root/rootCA.pem", "trusted CA root/rootCA.pem",
	}
	if got := uses(y.uses); !slices.Equal(got, want) {
		t.Errorf("guessed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := y.causes(t); len(got) > 0 {
		t.Error(show(got))
	}
}

// uses prints what was guessed.
func uses(list []lint.Used) []string {
	var out []string
	for _, u := range list {
		out = append(out, strings.Join(strings.Fields(strings.Join([]string{string(u.Use), u.Path, u.Pair, strings.Join(u.Trust, " ")}, " ")), " "))
	}
	return out
}

// mkcert has mkcert make a server's and a client's certificate, or where it cannot
// be had makes them as it does.
func mkcert(t *testing.T) []lint.CertFile {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(t.TempDir(), "bin")
	install := exec.CommandContext(t.Context(), "go", "install", "filippo.io/mkcert@v1.4.4")
	install.Dir, install.Env = dir, append(os.Environ(), "GOBIN="+bin, "GOFLAGS=-mod=mod")
	if testing.Short() {
		return asMkcert(t)
	}
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("mkcert is imitated: %v\n%s", err, out)
		return asMkcert(t)
	}
	for _, args := range [][]string{{"localhost", "127.0.0.1", "::1"}, {"-client", "dev"}} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "mkcert"), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CAROOT="+filepath.Join(dir, "root"))
		if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return readDir(t, dir)
}

// asMkcert makes the files of mkcert v1.4.4 by its profile (cert.go).
func asMkcert(t *testing.T) []lint.CertFile {
	t.Helper()
	y := &yard{}
	now := time.Now()
	root := made(t, nil, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "mkcert root@vm", Organization: []string{"mkcert development CA"}}
		c.IsCA, c.MaxPathLenZero, c.KeyUsage, c.NotBefore, c.NotAfter = true, true, x509.KeyUsageCertSign, now, now.AddDate(10, 0, 0)
	})
	leaf := func(c *x509.Certificate) {
		c.Subject, c.BasicConstraintsValid = pkix.Name{Organization: []string{"mkcert development certificate"}}, false
		c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.NotBefore, c.NotAfter, c.DNSNames = now, now.AddDate(2, 3, 0), []string{"localhost"}
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	}
	client := made(t, root, func(c *x509.Certificate) {
		leaf(c)
		c.DNSNames, c.IPAddresses = []string{"dev"}, nil
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	})
	server := made(t, root, leaf)
	for _, f := range []struct {
		path string
		data []byte
	}{
		{"dev-client-key.pem", keyPEM(t, client)}, {"dev-client.pem", client.CertPEM()},
		{"localhost+2-key.pem", keyPEM(t, server)}, {"localhost+2.pem", server.CertPEM()},
		{"root/rootCA-key.pem", keyPEM(t, root)}, {"root/rootCA.pem", root.CertPEM()},
	} {
		y.put(f.path, f.data)
	}
	return y.files
}

// TestGuess: sets of files as the documentation of the daemons has them.
func TestGuess(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, clients := pkitest.New(t, now), pkitest.New(t, now)
	names := map[lint.Subject][]string{lint.Registry: {"registry"}, lint.Builder: {"buildkit"}}
	pair := func(y *yard, cert, key string, kp *pki.KeyPair) {
		y.put(cert, kp.CertPEM())
		y.put(key, keyPEM(t, kp))
	}
	selfSigned := func(name string) *pki.KeyPair {
		return made(t, nil, func(c *x509.Certificate) {
			asServer(c)
			c.IsCA, c.DNSNames = true, []string{name}
		})
	}
	for _, c := range []struct {
		name  string
		files func(*yard)
		want  []string // with the subject in front
		broke []string
	}{
		{"the cheat sheet", func(y *yard) {
			pair(y, "registry/certs/registry.crt", "registry/certs/registry.key", selfSigned("registry"))
			pair(y, "buildkit/certs/server.crt", "buildkit/certs/server.key", selfSigned("buildkit"))
		}, []string{
			"registry: server certificate registry/certs/registry.crt registry/certs/registry.key registry/certs/registry.crt", "registry: server key registry/certs/registry.key", "registry: trusted CA registry/certs/registry.crt",
			"builder: server certificate buildkit/certs/server.crt buildkit/certs/server.key buildkit/certs/server.crt", "builder: server key buildkit/certs/server.key", "builder: trusted CA buildkit/certs/server.crt",
		}, []string{"certs.self-signed", "certs.self-signed"}},
		{"buildkit's examples/create-certs", func(y *yard) {
			y.put("daemon/ca.pem", clients.Trust().PEM())
			pair(y, "daemon/cert.pem", "daemon/key.pem", ca.Server(t, "buildkit"))
			y.put("client/ca.pem", ca.Trust().PEM())
			pair(y, "client/cert.pem", "client/key.pem", clients.Client(t, "dev"))
		}, []string{
			"builder: client CA daemon/ca.pem", "builder: server certificate daemon/cert.pem daemon/key.pem client/ca.pem", "builder: server key daemon/key.pem",
			"builder: trusted CA client/ca.pem", "builder: client certificate client/cert.pem client/key.pem daemon/ca.pem", "builder: client key client/key.pem",
		}, nil},
		{"names tell whose it is", func(y *yard) {
			y.put("ca.crt", ca.Trust().PEM())
			pair(y, "tls.crt", "tls.key", ca.Server(t, "buildkit"))
		}, []string{"builder: trusted CA ca.crt", "builder: server certificate tls.crt tls.key ca.crt", "builder: server key tls.key"}, nil},
		{"names tell whose it is, the registry's", func(y *yard) {
			y.put("ca.crt", ca.Trust().PEM())
			pair(y, "tls.crt", "tls.key", ca.Server(t, "registry"))
		}, []string{"registry: trusted CA ca.crt", "registry: server certificate tls.crt tls.key ca.crt", "registry: server key tls.key"}, nil},
		{"a CA and its key alone", func(y *yard) {
			pair(y, "myca.crt", "myca.key", ca.Pair)
		}, []string{": trusted CA myca.crt"}, nil},
		{"a key that is not the certificate's", func(y *yard) {
			y.put("ca.crt", ca.Trust().PEM())
			y.put("domain.crt", ca.Server(t, "registry").CertPEM())
			y.put("domain.key", keyPEM(t, ca.Server(t, "registry")))
		}, []string{"registry: trusted CA ca.crt", "registry: server certificate domain.crt domain.key ca.crt", "registry: server key domain.key"}, []string{"certs.key-match"}},
		{"a CA that was made anew", func(y *yard) {
			y.put("ca.crt", ca.Twin(t).Trust().PEM())
			pair(y, "registry.crt", "registry.key", ca.Server(t, "registry"))
		}, []string{": trusted CA ca.crt", "registry: server certificate registry.crt registry.key ca.crt", "registry: server key registry.key"}, []string{"certs.same-subject"}},
		{"an intermediate CA in a file of its own", func(y *yard) {
			kp := ca.Issuing(t).Server(t, "registry")
			y.put("ca.crt", ca.Trust().PEM())
			y.put("issuing.crt", pki.NewTrustBundle(kp.Chain...).PEM())
			pair(y, "registry.crt", "registry.key", kp)
			y.put("registry.crt", certPEM(kp))
		}, []string{"registry: trusted CA ca.crt", "registry: server certificate registry.crt registry.key ca.crt", "registry: server key registry.key"}, []string{"certs.missing-intermediate"}},
		{"what cannot be read is named like a server's", func(y *yard) {
			y.put("ca.crt", []byte("-----BEGIN CERTIFICATE-----\nMII"))
			y.put("registry.crt", der(ca.Server(t, "registry").CertPEM()))
			y.put("notes.txt", []byte("nothing"))
		}, []string{": trusted CA ca.crt", "registry: server certificate registry.crt"}, []string{"certs.not-pem", "certs.damaged"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := &yard{now: now}
			c.files(y)
			y.uses = lint.Guess(y.files, names)
			var got []string
			for i, line := range uses(y.uses) {
				got = append(got, string(y.uses[i].Subject)+": "+line)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if got := y.causes(t); !slices.Equal(sortedIDs(got), slices.Sorted(slices.Values(c.broke))) {
				t.Errorf("got %v, want %v%s", ids(got), c.broke, show(got))
			}
		})
	}
}

// TestCertificatesMends: where a finding about a file gives a command, the command
// makes of the file what is wanted.
func TestCertificatesMends(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kp := pkitest.New(t, now).Server(t, "registry")
	p7 := func() []byte {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "c.pem"), kp.CertPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "openssl", "crl2pkcs7", "-nocrl", "-certfile", filepath.Join(dir, "c.pem"), "-outform", "der").Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct {
		name, made string // the file that the command makes
		use        lint.Use
		data       []byte
		says       string
	}{
		{"DER", "cert.pem", lint.ServerCert, kp.Cert.Raw, "a certificate in DER"},
		{"DER key", "key.pem", lint.ServerKey, der(keyPEM(t, kp)), "a key in DER"},
		{"PKCS #7", "cert.pem", lint.ServerCert, p7(), "PKCS #7"},
		{"UTF-16", "cert.pem", lint.ServerCert, asUTF16(kp.CertPEM()), "UTF-16"},
		{"a byte order mark", "file", lint.ServerCert, append([]byte("\xef\xbb\xbf"), kp.CertPEM()...), "byte order mark"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := lint.Used{Use: c.use, Path: "file", Names: []string{"registry"}, Reader: -1}
			got := lint.Certificates([]lint.CertFile{{Path: "file", Data: c.data}}, []lint.Used{u}, now)
			if !slices.Equal(ids(got), []string{"certs.not-pem"}) || !strings.Contains(got[0].Problem, c.says) {
				t.Fatal(show(got))
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", got[0].Mend)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", got[0].Mend, err, out)
			}
			mended, err := os.ReadFile(filepath.Join(dir, c.made))
			if err != nil {
				t.Fatal(err)
			}
			if left := lint.Certificates([]lint.CertFile{{Path: "file", Data: mended}}, []lint.Used{u}, now); len(left) > 0 {
				t.Errorf("after %s:%s", got[0].Mend, show(left))
			}
		})
	}
}
