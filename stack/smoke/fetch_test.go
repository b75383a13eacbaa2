package smoke_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/smoke"
)

// show starts a TLS server that shows the pair.
func show(t *testing.T, config *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestFetch: what a server shows is seen, whatever it is, and a server that
// wants HTTP/2 or a client certificate shows its own too.
func TestFetch(t *testing.T) {
	ca, stranger := pkitest.New(t, time.Now()), pkitest.New(t, time.Now())
	below := ca.Issuing(t).Server(t, "registry.test")
	for name, c := range map[string]struct {
		pair   *pki.KeyPair
		change func(*tls.Config)
		certs  int
	}{
		"sound":               {ca.Server(t, "registry.test"), nil, 1},
		"with a chain":        {below, nil, 2},
		"unknown CA":          {stranger.Server(t, "registry.test"), nil, 1},
		"expired":             {ca.ExpiredServer(t, "registry.test"), nil, 1},
		"another name":        {ca.Server(t, "other.test"), nil, 1},
		"HTTP/2 alone":        {ca.Server(t, "registry.test"), func(c *tls.Config) { c.NextProtos = []string{"h2"} }, 1},
		"another protocol":    {ca.Server(t, "registry.test"), func(c *tls.Config) { c.NextProtos = []string{"imap"} }, 1},
		"client certificates": {ca.Server(t, "registry.test"), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{Certificates: []tls.Certificate{c.pair.TLS()}}
			if c.change != nil {
				c.change(config)
			}
			shown, err := smoke.Fetch(t.Context(), show(t, config), "registry.test", ca.Trust())
			if err != nil || len(shown.Certs) != c.certs || !shown.Certs[0].Equal(c.pair.Cert) {
				t.Errorf("got %d certificates, %v", len(shown.Certs), err)
			}
		})
	}
}

// TestFetchNothing: a server without TLS, or none, is an error and not a wait.
func TestFetchNothing(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	if _, err := smoke.Fetch(t.Context(), plain.Listener.Addr().String(), "x", pki.TrustBundle{}); err == nil {
		t.Error("a certificate of a server without TLS")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := l.Addr().String()
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := smoke.Fetch(ctx, silent, "x", pki.TrustBundle{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent server: %v", err)
	}
}
