package edge

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// maxPending is how many handshakes of one listener go on at once. The oldest
// one is ended for the next, so that those who never finish keep nobody out.
const maxPending = 512

// lingerTime is how long a client that sends nothing and does not close is
// waited for after its target has ended.
const lingerTime = time.Minute

// listener takes the connections of its addresses.
type listener struct {
	plan    listenerPlan
	source  *source // nil: plain
	target  *dialer
	config  *tls.Config
	log     *slog.Logger
	lines   *lineLimit
	metrics *metrics
	buffers *buffers
	batches *batches

	maxPending int
	linger     time.Duration

	sockets []net.Listener
	conns   sync.WaitGroup

	mu      sync.Mutex
	pending list.List // of *conn, the oldest first
	open    map[*conn]struct{}
	judged  *gate // the last that all open connections were held against
	stopped bool  // nobody is let in any more
}

func newListener(p listenerPlan, o Options, m *metrics, b *buffers) (*listener, error) {
	log := o.Log.With("listener", p.name)
	l := &listener{
		plan: p, log: log, lines: newLineLimit(), metrics: m, buffers: b, batches: &batches{},
		target:     &dialer{target: p.target, wait: p.targetTimeout, start: time.Now(), log: log},
		maxPending: maxPending, linger: lingerTime,
		open: map[*conn]struct{}{},
	}
	m.listener(p)
	if p.plain {
		return l, nil
	}
	var err error
	if l.source, err = newSource(p, o, m); err != nil {
		return nil, err
	}
	l.judged = l.source.current.gate
	l.config = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: takeSnapshot, Time: o.Now}
	return l, nil
}

// listen opens the sockets.
func (l *listener) listen(ctx context.Context) error {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	for _, address := range l.plan.addresses {
		socket, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return &ListenError{l.plan.name, address, err}
		}
		l.sockets = append(l.sockets, socket)
	}
	return nil
}

// closeSockets stops accepting.
func (l *listener) closeSockets() {
	for _, socket := range l.sockets {
		_ = socket.Close() // nothing is lost with it
	}
}

// accept takes connections from one socket until it is closed. The context is
// that of the connections.
func (l *listener) accept(ctx context.Context, socket net.Listener) {
	const longest = time.Second
	for pause := time.Millisecond; ; {
		raw, err := socket.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// No descriptors or no memory: it gets better when connections end.
			if n, ok := l.lines.allow(acceptLine, time.Now()); ok {
				l.log.Error("accepting a connection", "error", err.Error(), "suppressed", n)
			}
			pause = min(2*pause, longest)
			time.Sleep(pause)
			continue
		}
		pause = time.Millisecond
		l.take(ctx, &conn{l: l, raw: raw.(*net.TCPConn), began: time.Now()})
	}
}

// take starts a connection, or refuses it.
func (l *listener) take(ctx context.Context, c *conn) {
	l.mu.Lock()
	full := len(l.open) >= l.plan.maxConnections
	var oldest *conn
	var place *list.Element
	if !full && !l.plan.plain {
		if l.pending.Len() >= l.maxPending {
			oldest = l.pending.Remove(l.pending.Front()).(*conn)
		}
		place = l.pending.PushBack(c)
	}
	l.mu.Unlock()
	if oldest != nil {
		oldest.cut(Evicted)
	}
	if full {
		c.end(Limit)
		l.finish(ctx, c)
		return
	}
	l.conns.Go(func() {
		defer l.finish(ctx, c)
		l.serve(ctx, c, place)
	})
}

// serve is the life of a connection that was taken.
func (l *listener) serve(ctx context.Context, c *conn, place *list.Element) {
	if place != nil {
		ok := c.handshake(ctx)
		l.mu.Lock()
		l.pending.Remove(place) // does nothing when it was evicted
		l.mu.Unlock()
		if !ok {
			return
		}
	}
	if !l.admit(c) {
		return
	}
	if err := c.dial(ctx); err != nil {
		c.end(TargetDown) // where nothing else has ended it before
		c.sayGoodbye()
		return
	}
	c.relay()
}

// admit makes a connection an open one, unless there are too many, or its client
// may not connect any more. It has said why then.
func (l *listener) admit(c *conn) bool {
	if reason := l.enter(c); reason != OK {
		c.end(reason)
		return false
	}
	// The gate may have changed between the handshake and here. Whoever changes
	// it from now on finds the connection among the open ones.
	if c.snapshot != nil && c.snapshot.gate != nil {
		if g := l.source.last().gate; g != c.snapshot.gate {
			if reason := g.judge(c.certs, c.verified); reason != OK {
				c.end(reason)
				return false
			}
		}
	}
	c.opened = true
	return true
}

// enter puts a connection among the open ones. It returns why not, else OK.
func (l *listener) enter(c *conn) Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
		return Stopped
	case len(l.open) >= l.plan.maxConnections:
		return Limit
	}
	l.open[c] = struct{}{}
	return OK
}

// finish closes a connection, counts it, and writes its line.
func (l *listener) finish(ctx context.Context, c *conn) {
	c.close()
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	result := c.why()
	l.metrics.connections.WithLabelValues(l.plan.name, string(result)).Inc()
	if !l.plan.plain {
		handshake := result
		if c.opened {
			handshake = OK
		}
		l.metrics.handshakes.WithLabelValues(l.plan.name, string(handshake)).Inc()
	}
	suppressed := 0
	if result != OK {
		var ok bool
		if suppressed, ok = l.lines.allow(result, time.Now()); !ok {
			return
		}
	}
	l.log.LogAttrs(ctx, slog.LevelInfo, "connection", c.attrs(result, suppressed)...)
}

// rejudge disconnects the clients that may not connect any more. It looks for
// changes only while there are such clients.
func (l *listener) rejudge() {
	if l.source == nil || l.plan.clients == "" {
		return
	}
	if open, _ := l.counts(); open == 0 {
		return
	}
	gate := l.source.snapshot().gate
	l.mu.Lock()
	var open []*conn
	if gate != l.judged {
		l.judged = gate
		for c := range l.open {
			open = append(open, c)
		}
	}
	l.mu.Unlock()
	answers := map[string]Reason{} // by certificate: one client has many connections
	for _, c := range open {
		key := string(c.certs[0].Raw)
		reason, ok := answers[key]
		if !ok {
			reason = gate.judge(c.certs, c.verified)
			answers[key] = reason
		}
		if reason != OK {
			c.cut(reason)
		}
	}
}

// counts returns how many connections are open, and how many handshakes go on.
func (l *listener) counts() (open, pending int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open), l.pending.Len()
}

// stop ends every connection, and lets none in any more.
func (l *listener) stop() {
	l.mu.Lock()
	l.stopped = true
	var all []*conn
	for c := range l.open {
		all = append(all, c)
	}
	for e := l.pending.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*conn))
	}
	l.mu.Unlock()
	for _, c := range all {
		c.cut(Stopped)
	}
}
