package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// helloConn is what crypto/tls reads from: it lets it find the connection that a
// hello has come on, and tells the end of TCP from the end of TLS. crypto/tls
// takes both for io.EOF between two records (readRecordOrCCS in conn.go).
type helloConn struct {
	*net.TCPConn
	conn  *conn
	ended bool // TCP has

	mu    sync.Mutex
	batch []byte // records that are not written yet; nil: they are written at once
}

func (h *helloConn) Read(b []byte) (int, error) {
	n, err := h.TCPConn.Read(b)
	if err == io.EOF {
		h.ended = true
	}
	return n, err
}

// tlsReader reads from a connection until its close_notify. An end of TCP before
// that is io.ErrUnexpectedEOF.
type tlsReader struct {
	*tls.Conn
	below *helloConn
}

func (r *tlsReader) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if err == io.EOF && r.below.ended {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// takeSnapshot is crypto/tls's GetConfigForClient.
func takeSnapshot(info *tls.ClientHelloInfo) (*tls.Config, error) {
	c := info.Conn.(*helloConn).conn
	c.snapshot = c.l.source.snapshot()
	c.hello = c.snapshot.hello(info)
	if c.hello == ALPN {
		return c.snapshot.refuseALPN(), nil
	}
	return c.snapshot.config, nil
}

// handshake makes TLS of the connection. It reports whether that succeeded, and
// has said why not.
func (c *conn) handshake(ctx context.Context) bool {
	_ = c.raw.SetDeadline(time.Now().Add(c.l.plan.handshakeTimeout)) // fails only when it is closed
	secured := tls.Server(&helloConn{TCPConn: c.raw, conn: c}, c.l.config)
	// Without a cancellation: crypto/tls would watch it with a goroutine for each
	// handshake. Who wants to end it closes the connection.
	err := secured.HandshakeContext(context.WithoutCancel(ctx))
	if err != nil {
		c.certs = shown(err)
		reason := reasonOfHandshake(err, c.hello)
		c.end(reason)
		if reason != Timeout && reason != ClientGone {
			c.sayGoodbye()
		}
		return false
	}
	_ = c.raw.SetDeadline(time.Time{}) // as above
	c.tls, c.certs, c.verified = secured, secured.ConnectionState().PeerCertificates, c.l.source.now()
	return true
}

// shown returns the certificates of a client that was refused.
func shown(err error) []*x509.Certificate {
	if verifier, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verifier.UnverifiedCertificates
	}
	if refused, ok := errors.AsType[*refusal](err); ok && refused.client != nil {
		return []*x509.Certificate{refused.client}
	}
	return nil
}

// Bounds of a goodbye.
const (
	goodbyeTime  = time.Second
	goodbyeBytes = 64 << 10
)

// sayGoodbye ends the sending side, and reads for a moment: the kernel answers
// unread bytes with a reset, which would overtake the alert or the close_notify
// that the client is to see.
func (c *conn) sayGoodbye() {
	if c.tls != nil {
		_ = c.tls.CloseWrite() // nobody is told if the client is gone as well
	}
	_ = c.raw.CloseWrite()
	_ = c.raw.SetReadDeadline(time.Now().Add(goodbyeTime))
	_, _ = io.CopyN(io.Discard, c.raw, goodbyeBytes)
}
