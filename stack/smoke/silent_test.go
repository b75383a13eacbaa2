package smoke

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// TestFetchFailures: what keeps a certificate from being seen is said as the
// first try found it, once the limit is over and not twice that.
func TestFetchFailures(t *testing.T) {
	const limit = 200 * time.Millisecond
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, c := range map[string]struct {
		address   string
		want      string
		connected bool
	}{
		"silent":     {answering(t, nil), "no certificate seen: the server accepted the connection and said nothing for 200ms", true},
		"stuck":      {answering(t, []byte{0x16, 0x03}), "no certificate seen: the server accepted the connection, and did not finish the handshake in 200ms", true},
		"plain HTTP": {plain.Listener.Addr().String(), "no certificate seen: tls: first record does not look like a TLS handshake", true},
		"a banner":   {answering(t, []byte("220 mail.test ESMTP\r\n")), "first record does not look like a TLS handshake", true},
		"nobody":     {"127.0.0.1:1", "connection refused", false},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := fetchWithin(t.Context(), limit, c.address, "x", pki.TrustBundle{})
			var failed *FetchError
			if !errors.As(err, &failed) || failed.Connected != c.connected || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if took := time.Since(start); took > 2*limit {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestFetchInterrupted: a context that ends is not the server's fault.
func TestFetchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := Fetch(ctx, answering(t, nil), "x", pki.TrustBundle{})
	var failed *FetchError
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
}

// answering starts a server that says one thing to everybody and then waits.
func answering(t *testing.T, data []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			if _, err := conn.Write(data); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}
