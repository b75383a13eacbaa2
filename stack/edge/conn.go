package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection of a client, from accept to close.
type conn struct {
	l     *listener
	raw   *net.TCPConn
	began time.Time

	// What the handshake finds out; only its own goroutine uses it before the
	// connection is open, and nobody changes it afterwards.
	tls      *tls.Conn // nil: plain, or no handshake yet
	snapshot *snapshot // nil: no hello yet
	hello    Reason
	certs    []*x509.Certificate // of the client, as it sent them
	verified time.Time           // when they were verified
	opened   bool                // it was let in

	toTarget, toClient atomic.Int64
	// broken: the target takes no more, so its end is not a clean one.
	broken atomic.Bool

	mu     sync.Mutex
	reason Reason // "" while nothing has ended it
	target stream // nil: none yet
	closed bool
	abort  context.CancelFunc // ends the dial of the target; nil: none yet
}

// end says why the connection ends. The first reason stays.
func (c *conn) end(reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == "" {
		c.reason = reason
	}
}

// cut ends the connection from outside, or in the middle: neither side sees a
// clean end. Closing without close_notify says so in TLS, a reset in plain TCP. A
// unix socket has no such sign.
func (c *conn) cut(reason Reason) {
	c.end(reason)
	if c.l.plan.plain {
		_ = c.raw.SetLinger(0) // fails only when it is closed
	}
	c.mu.Lock()
	if tcp, ok := c.target.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // as above
	}
	c.mu.Unlock()
	c.close()
}

// close closes both sides. What that returns says nothing that matters now.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	_ = c.raw.Close()
	if c.abort != nil {
		c.abort()
	}
	if c.target != nil {
		_ = c.target.Close()
	}
}

// dial connects to the target, unless the connection is closed before that is
// done.
func (c *conn) dial(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.abort = cancel
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	target, err := c.l.target.dial(ctx)
	if err != nil {
		return err
	}
	if !c.setTarget(target) {
		return net.ErrClosed
	}
	return nil
}

// setTarget hands over the target, unless the connection was closed meanwhile.
func (c *conn) setTarget(t stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = t.Close() // nothing was said on it
		return false
	}
	c.target = t
	return true
}

// why returns the reason, OK if nothing else was said.
func (c *conn) why() Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == "" {
		return OK
	}
	return c.reason
}

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

// relay copies both ways until both have ended.
func (c *conn) relay() {
	client := &reader{Reader: c.raw, conn: c.raw, patience: c.l.linger}
	if c.tls != nil {
		client.Reader = &tlsReader{c.tls, c.tls.NetConn().(*helloConn)}
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		c.backward(client)
	}()
	c.forward(client)
	<-back
}

// forward copies what the client sends.
func (c *conn) forward(client *reader) {
	count := c.counter(&c.toTarget, toTarget)
	err := c.copy(c.target, client, count)
	var failed *writeError
	switch {
	case err == nil:
		_ = c.target.CloseWrite() // the way back shows what became of the target
	case errors.Is(err, errLingered):
	case errors.As(err, &failed) || c.tls == nil && brokenPipe(err):
		// What the target has said before may still be on its way back, and
		// unread bytes would destroy it.
		c.broken.Store(true)
		c.discard(client)
	case isAlert(err):
		c.cut(ClientAlert)
	default:
		c.cut(ClientGone)
	}
}

// discard reads on from a client whose bytes nobody takes any more.
func (c *conn) discard(client *reader) {
	if err := c.copy(io.Discard, client, func(int) {}); err != nil && !errors.Is(err, errLingered) {
		c.cut(ClientGone)
	}
}

// backward copies what the target sends, and after its end waits only so long
// for the client.
func (c *conn) backward(client *reader) {
	from := &reader{Reader: c.target, conn: c.target}
	count := c.counter(&c.toClient, toClient)
	to := io.Writer(c.raw)
	if c.tls != nil {
		to = &batchWriter{c.tls, c.tls.NetConn().(*helloConn), c.l.batches}
	}
	err := c.copy(to, from, count)
	var failed *writeError
	switch {
	case err == nil && !c.broken.Load():
		if c.tls != nil {
			_ = c.tls.CloseWrite() // nobody is told if the client is gone
		}
		_ = c.raw.CloseWrite() // as above
		client.linger()
	case err == nil:
		// An end, but not one that the client may take for complete.
		c.end(TargetFailed)
		_ = c.raw.CloseWrite() // as above
		client.linger()
	case errors.As(err, &failed) || c.tls == nil && brokenPipe(err):
		c.cut(ClientGone)
	default:
		c.cut(TargetFailed)
	}
}

// copy copies one way: in the kernel where there is no TLS.
func (c *conn) copy(to io.Writer, from *reader, count func(int)) error {
	if c.tls == nil {
		return splice(to, from, count)
	}
	p := pump{from: from, to: to, buffers: c.l.buffers, count: count}
	return p.run()
}

// counter counts bytes of one direction, for the log and for the metrics.
func (c *conn) counter(own *atomic.Int64, direction string) func(int) {
	total := c.l.metrics.bytes.WithLabelValues(c.l.plan.name, direction)
	return func(n int) {
		own.Add(int64(n))
		total.Add(float64(n))
	}
}

// isAlert reports whether the client has ended TLS with an alert.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}
