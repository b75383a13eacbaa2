package edge

import (
	"sync"
	"time"
)

// drained waits for the connections to end, and cuts those that do not in time.
func (s *Server) drained() {
	timer := time.AfterFunc(s.drain, s.Cut)
	defer timer.Stop()
	over := make(chan struct{})
	var helpers sync.WaitGroup
	for _, l := range s.listeners {
		if l.plan.drainIdle > 0 {
			helpers.Go(func() { l.endIdle(over) })
		}
	}
	for _, l := range s.listeners {
		l.conns.Wait()
	}
	close(over)
	helpers.Wait()
}

// endIdle ends connections over which nothing has come for drain_idle: those
// that clients of HTTP/1.1 keep between two requests would otherwise last until
// the end of the drain. What is copied tells nothing, so it is for protocols in
// which silence means that nobody waits.
func (l *listener) endIdle(over <-chan struct{}) {
	type seen struct {
		bytes int64
		since time.Time
	}
	last := map[*conn]seen{}
	ticker := time.NewTicker(min(l.plan.drainIdle/4+1, rejudgeEvery))
	defer ticker.Stop()
	for {
		now := time.Now()
		for _, c := range l.all() {
			bytes := c.toTarget.Load() + c.toClient.Load()
			s, known := last[c]
			switch {
			case !known || s.bytes != bytes:
				last[c] = seen{bytes, now}
			case now.Sub(s.since) >= l.plan.drainIdle:
				c.dismiss()
			}
		}
		select {
		case <-over:
			return
		case <-ticker.C:
		}
	}
}

// all returns the open connections.
func (l *listener) all() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*conn
	for c := range l.open {
		out = append(out, c)
	}
	return out
}

// dismiss ends a connection with a clean end, which clients take for what it is:
// a server that has closed a connection that was not in use.
func (c *conn) dismiss() {
	c.end(Stopped)
	if c.tls != nil {
		_ = c.tls.CloseWrite() // nobody is told if the client is gone
	}
	c.close()
}
