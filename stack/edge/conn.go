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
