package lint_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

// TestLeafOlderThanItsCA: a certificate whose dates end before its CA's begin has
// expired, and its CA has not.
func TestLeafOlderThanItsCA(t *testing.T) {
	y, a := sound(t)
	y.serve(t, forge(t, a.servers, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = a.servers.Pair.Cert.NotBefore.Add(-30*day), a.servers.Pair.Cert.NotBefore.Add(-time.Hour)
	}))
	if got := ids(y.causes(t)); !slices.Equal(got, []string{"certs.expired"}) {
		t.Errorf("got %v%s", got, show(y.findings()))
	}
}

// TestGuessOfTLSDir: in a directory as buildctl --tlsdir takes it, the CA is the
// server's, and what has signed the client's certificate lies elsewhere.
func TestGuessOfTLSDir(t *testing.T) {
	now := time.Now()
	client := pkitest.New(t, now).Client(t, "client")
	file := func(path string, data []byte) lint.CertFile {
		return lint.CertFile{Path: path, Data: data, Mode: 0o600, UID: -1, GID: -1}
	}
	for ca, want := range map[string]int{"client/ca.pem": 0, "ca/ca.pem": 1} {
		files := []lint.CertFile{file(ca, pkitest.New(t, now).Pair.CertPEM()), file("client/cert.pem", client.CertPEM()), file("client/key.pem", keyPEM(t, client))}
		uses := lint.Guess(files, map[lint.Subject][]string{lint.Builder: {"localhost"}})
		if got := lint.Certificates(files, uses, now); len(got) != want {
			t.Errorf("%s: got %d findings, want %d%s", ca, len(got), want, show(got))
		}
	}
}
