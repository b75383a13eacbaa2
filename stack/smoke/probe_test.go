package smoke

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
)

// serveRaw answers every connection with f and closes it.
func serveRaw(t *testing.T, f func(net.Conn)) stack.Endpoint {
	t.Helper()
	l := newFront(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); f(conn) }()
		}
	}()
	return endpoint(l, stack.Builder)
}

func hangUp(net.Conn) {}

func silence(conn net.Conn) { io.Copy(io.Discard, conn) }

// say reads first, so that closing does not become a reset.
func say(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Read(make([]byte, 1024))
		io.WriteString(conn, answer)
	}
}

// TestNegativeProbes has peers that refuse, and peers that only seem to.
func TestNegativeProbes(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	options := Options{Trust: ca.Trust()}
	registry, builder := newRegistryProbes(options), newBuilderProbes(options)
	builder.Server = ca.Server(t, "127.0.0.1")
	closed := newFront(t)
	closed.Close()
	const holds = stack.Reason("")
	nobody := endpoint(closed, stack.Builder)
	plainHTTPS := say("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	alert := say("\x15\x03\x01\x00\x02\x02\x46")
	tests := []struct {
		name  string
		probe func(context.Context, stack.Endpoint) (stack.Evidence, error)
		peer  stack.Endpoint
		want  stack.Reason
	}{
		{"plain HTTP: Go's answer", registry.plain, serveRaw(t, plainHTTPS), holds},
		{"plain HTTP: alert", registry.plain, serveRaw(t, alert), holds},
		{"plain HTTP: closed", registry.plain, serveRaw(t, hangUp), holds},
		{"plain HTTP: another 400", registry.plain, serveRaw(t, say("HTTP/1.1 400 Bad Request\r\n\r\n")), stack.ReasonAccepted},
		{"plain HTTP: 200 with such a text", registry.plain, serveRaw(t, say("HTTP/1.0 200 OK\r\n\r\nThis is an HTTPS server.")), stack.ReasonAccepted},
		{"plain HTTP: 401", registry.plain, serveRaw(t, say("HTTP/1.1 401 Unauthorized\r\n\r\n")), stack.ReasonAccepted},
		{"plain HTTP: redirect", registry.plain, serveRaw(t, say("HTTP/1.1 301 Moved\r\nLocation: https://x/\r\n\r\n")), stack.ReasonAccepted},
		{"plain HTTP: something else", registry.plain, serveRaw(t, say("220 mail ESMTP\r\n")), stack.ReasonUnexpected},
		{"plain HTTP: nobody", registry.plain, nobody, stack.ReasonUnreachable},

		{"TLS 1.1: alert", registry.oldTLS, serveRaw(t, alert), holds},
		{"TLS 1.1: another alert", registry.oldTLS, serveRaw(t, say("\x15\x03\x01\x00\x02\x02\x28")), stack.ReasonUnexpected},
		{"TLS 1.1: closed", registry.oldTLS, serveRaw(t, hangUp), stack.ReasonUnreachable},
		{"TLS 1.1: plain", registry.oldTLS, serveRaw(t, plainHTTPS), stack.ReasonUnexpected},
		{"TLS 1.1: nobody", registry.oldTLS, nobody, stack.ReasonUnreachable},

		{"no password: nobody", registry.anonymous, nobody, stack.ReasonUnreachable},
		{"no password: plain", registry.anonymous, serveRaw(t, plainHTTPS), stack.ReasonUnexpected},
		{"wrong password: closed", registry.wrongPassword, serveRaw(t, hangUp), stack.ReasonUnreachable},
		{"other CA: nobody", registry.otherCA, nobody, stack.ReasonUnreachable},
		{"other CA: plain", registry.otherCA, serveRaw(t, plainHTTPS), stack.ReasonUnexpected},

		{"plain TCP: closed", builder.plain, serveRaw(t, hangUp), holds},
		{"plain TCP: alert", builder.plain, serveRaw(t, alert), holds},
		{"plain TCP: gRPC", builder.plain, serveRaw(t, say("\x00\x00\x00\x04\x00\x00\x00\x00\x00")), stack.ReasonAccepted},
		{"plain TCP: something else", builder.plain, serveRaw(t, plainHTTPS), stack.ReasonUnexpected},
		{"plain TCP: nobody", builder.plain, nobody, stack.ReasonUnreachable},

		{"no certificate: closed", builder.noCertificate, serveRaw(t, hangUp), stack.ReasonUnreachable},
		{"no certificate: nobody", builder.noCertificate, nobody, stack.ReasonUnreachable},
		{"other CA's certificate: nobody", builder.otherCA, nobody, stack.ReasonUnreachable},
		{"server's certificate: alert of another kind", builder.serverAsClient, serveRaw(t, alert), stack.ReasonUnexpected},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			evidence, err := test.probe(t.Context(), test.peer)
			got := holds
			if err != nil {
				got = reasonOf(err)
			}
			if got != test.want {
				t.Errorf("%q: %v, want %q", got, err, test.want)
			}
			if err == nil && evidence.Answer == "" {
				t.Error("does not show the refusal")
			}
		})
	}
}

// TestSilentPeer has a peer that accepts connections and never says a word. No
// probe may take that for a refusal, or wait for ever.
func TestSilentPeer(t *testing.T) {
	options := Options{Trust: pkitest.New(t, time.Now()).Trust()}
	registry, builder := newRegistryProbes(options), newBuilderProbes(options)
	peer := serveRaw(t, silence)
	probes := map[string]func(context.Context, stack.Endpoint) (stack.Evidence, error){
		"plain HTTP": registry.plain, "TLS 1.1": registry.oldTLS, "no password": registry.anonymous,
		"wrong password": registry.wrongPassword, "other CA": registry.otherCA, "other name": registry.otherName,
		"plain TCP": builder.plain, "no certificate": builder.noCertificate, "other CA's certificate": builder.otherCA,
	}
	for name, probe := range probes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := probe(ctx, peer); err == nil || reasonOf(err) != stack.ReasonUnreachable {
				t.Errorf("got %v, want %s", err, stack.ReasonUnreachable)
			}
		})
	}
}

// TestClientCertificates says what each alert proves.
func TestClientCertificates(t *testing.T) {
	accepts := map[string][]tls.AlertError{
		"no certificate":      {alertCertificateRequired, alertHandshakeFailure, alertBadCertificate},
		"other CA's":          {alertUnknownCA},
		"server's":            {alertBadCertificate, alertUnsupportedCertificate},
		"a version too old":   {alertProtocolVersion},
		"nothing is accepted": nil,
	}
	for name, wanted := range accepts {
		for code := range 256 {
			sent := tls.AlertError(code)
			_, err := refusedWith(remoteAlert(sent), wanted...)
			accepted := false
			for _, w := range wanted {
				accepted = accepted || w == sent
			}
			if (err == nil) != accepted {
				t.Errorf("%s: alert %v: got %v", name, sent, err)
			}
		}
		for _, w := range wanted {
			ours := &net.OpError{Op: "local error", Err: errors.New(w.Error())}
			if _, err := refusedWith(ours, wanted...); err == nil {
				t.Errorf("%s: our own alert %v counts as the peer's", name, w)
			}
		}
	}
}

// TestGreetReads is about P22: with TLS 1.3 only reading shows the refusal.
func TestGreetReads(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	config := serverConfig(ca.Server(t, "127.0.0.1"), h2)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca.Trust().Pool()
	e := serveRaw(t, func(conn net.Conn) {
		if tls.Server(conn, config).Handshake() == nil {
			return // closed without a word
		}
	})
	builder := newBuilderProbes(Options{Trust: ca.Trust()})
	conn, err := dialTLS(t.Context(), e, builder.config("127.0.0.1", nil))
	if err != nil {
		t.Fatalf("the handshake alone fails already: %v", err)
	}
	conn.Close()
	for name, test := range map[string]struct {
		pair *pki.KeyPair
		want stack.Reason
	}{
		"refused":                    {nil, stack.ReasonUnauthorized},
		"let in, but without a word": {ca.Client(t, "client"), stack.ReasonUnreachable},
	} {
		_, err := builder.greet(t.Context(), e, "127.0.0.1", test.pair)
		if err == nil || reasonOf(err) != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

// TestGreetWantsHTTP2 has a server that lets everybody in and speaks something
// else.
func TestGreetWantsHTTP2(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	config := serverConfig(ca.Server(t, "127.0.0.1"), h2)
	e := serveRaw(t, func(conn net.Conn) { io.WriteString(tls.Server(conn, config), "HTTP/1.1 200 OK\r\n\r\n") })
	_, err := newBuilderProbes(Options{Trust: ca.Trust()}).greet(t.Context(), e, "127.0.0.1", nil)
	if err == nil || reasonOf(err) != stack.ReasonProtocol {
		t.Errorf("got %v, want %s", err, stack.ReasonProtocol)
	}
}
