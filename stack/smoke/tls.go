package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"time"

	"github.com/certyard/certyard/stack"
)

// dial opens a TCP connection. The caller closes it.
func dial(ctx context.Context, e stack.Endpoint) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", e.Address())
}

// endWith makes every read and write on conn fail once ctx has ended.
func endWith(ctx context.Context, conn net.Conn) {
	context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// dialTLS opens a TLS connection that ends with ctx, and verifies the server
// as config says. The caller closes it.
func dialTLS(ctx context.Context, e stack.Endpoint, config *tls.Config) (*tls.Conn, error) {
	conn, err := dial(ctx, e)
	if err != nil {
		return nil, err
	}
	endWith(ctx, conn)
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// seen returns what a connection shows of the server.
func seen(state *tls.ConnectionState) stack.Evidence {
	evidence := shown(state.PeerCertificates)
	evidence.TLSVersion = tls.VersionName(state.Version)
	evidence.ALPN = state.NegotiatedProtocol
	return evidence
}

// seenIn returns what a refused server has shown.
func seenIn(err error) stack.Evidence {
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) {
		return shown(refused.UnverifiedCertificates)
	}
	return stack.Evidence{}
}

func shown(chain []*x509.Certificate) stack.Evidence {
	if len(chain) == 0 {
		return stack.Evidence{}
	}
	leaf := chain[0]
	return stack.Evidence{
		Serial:   leaf.SerialNumber.Text(16),
		Issuer:   leaf.Issuer.CommonName,
		NotAfter: &leaf.NotAfter,
	}
}

// served checks that the server shows the leaf that it should have loaded.
func served(state *tls.ConnectionState, want *x509.Certificate) error {
	if want == nil {
		return nil
	}
	if have := state.PeerCertificates[0]; !have.Equal(want) {
		return failing(stack.ReasonStale, "serves the certificate with serial %x, want %x", have.SerialNumber, want.SerialNumber)
	}
	return nil
}

// refusedWith checks that err is one of the alerts with which a server refuses
// a client.
func refusedWith(err error, want ...tls.AlertError) (stack.Evidence, error) {
	alert, ok := alertIn(err)
	if !ok {
		return stack.Evidence{}, otherRefusal(err)
	}
	for _, w := range want {
		if alert == w {
			return stack.Evidence{Answer: alert.Error()}, nil
		}
	}
	return stack.Evidence{}, failing(stack.ReasonUnexpected, "refused for another reason: %w", err)
}

// otherRefusal says that what is probed was refused, but not as it should be.
func otherRefusal(err error) error {
	if silent(err) {
		return failing(stack.ReasonUnreachable, "no refusal, but no answer either: %w", err)
	}
	return failing(stack.ReasonUnexpected, "refused for another reason: %w", err)
}

// settingsFrame is the type of the frame that an HTTP/2 server sends first
// (RFC 9113 section 3.4), and its length is that of every frame's header.
const (
	settingsFrame = 0x4
	frameHeader   = 9
)

// readSettings waits for the first word of an HTTP/2 server. gRPC's server says
// it as soon as the handshake is over, so nothing has to be sent first, and
// that matters: a server that closes a connection with unread data on it makes
// the kernel send a reset, which can overtake the alert that a probe is after.
func readSettings(conn net.Conn) error {
	header := make([]byte, frameHeader)
	if _, err := io.ReadFull(conn, header); err != nil {
		return err
	}
	if header[3] != settingsFrame {
		return failing(stack.ReasonProtocol, "answers % x, which is no HTTP/2 settings frame", header)
	}
	return nil
}

// sayPlain sends something without TLS and returns what comes back, until the
// peer closes the connection or max bytes are there. Often that is nothing. It
// fails when the peer cannot be reached or neither happens.
func sayPlain(ctx context.Context, e stack.Endpoint, say string, max int64) ([]byte, error) {
	conn, err := dial(ctx, e)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	endWith(ctx, conn)
	if _, err := io.WriteString(conn, say); err != nil && !closed(err) {
		return nil, err
	}
	said, err := io.ReadAll(io.LimitReader(conn, max))
	if err != nil && !closed(err) {
		return said, otherRefusal(err)
	}
	return said, nil
}

// isAlert reports whether a peer that was spoken to without TLS answers with a
// TLS alert record (RFC 8446 section 5.1).
func isAlert(said []byte) bool {
	return len(said) == 7 && said[0] == 21 && said[1] == 3
}

// plainAnswer puts a refusal of plain text into words.
func plainAnswer(said []byte) string {
	if isAlert(said) {
		return tls.AlertError(said[6]).Error()
	}
	return "connection closed"
}
