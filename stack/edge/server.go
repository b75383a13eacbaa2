package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a server needs besides its config.
type Options struct {
	// Now is the clock that certificates are held against.
	Now func() time.Time
	// Log gets one line for each connection that has ended, and lines for what
	// happens to the server itself. Of connections that did not end with [OK]
	// it gets at most 20 at once and 2 a second for each listener and reason;
	// the next line says how many were left out ("suppressed"). It never gets
	// keys or what is copied.
	Log *slog.Logger
	// Idle is called when bytes have flowed and none have for a few seconds:
	// the time to give memory back. It may be nil.
	Idle func()
}

// Server is a TLS front. Its methods are safe for use in parallel.
type Server struct {
	listeners []*listener
	admin     *admin // nil: none
	drain     time.Duration
	log       *slog.Logger
	now       func() time.Time
	metrics   *metrics
	buffers   *buffers
	idle      func()
	stopping  atomic.Bool
}

// ListenError says that an address cannot be listened on.
type ListenError struct {
	Listener string // "" = the admin socket
	Address  string
	Err      error
}

func (e *ListenError) Error() string {
	if e.Listener == "" {
		return fmt.Sprintf("listening on the admin socket %s: %v", e.Address, e.Err)
	}
	return fmt.Sprintf("listening on %s for listener %s: %v", e.Address, e.Listener, e.Err)
}

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// New makes a server of a config, and loads what its listeners are to serve. It
// opens no socket. The error is a *[ConfigError], or holds a *[LoadError] for
// each directory that does not load. A certificate that has expired is no error:
// it is logged and served, and clients say so themselves.
func New(c Config, o Options) (*Server, error) {
	p, problems := c.plan()
	if problems != nil {
		return nil, configError(c.File, problems)
	}
	s := &Server{drain: p.drain, log: o.Log, now: o.Now, metrics: newMetrics(), buffers: newBuffers(), idle: o.Idle}
	var errs []error
	for _, lp := range p.listeners {
		l, err := newListener(lp, o, s.metrics, s.buffers)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.listeners = append(s.listeners, l)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.metrics.registry.MustRegister(newGauges(s))
	if p.admin != "" {
		s.admin = newAdmin(p.admin, s)
	}
	return s, nil
}

// Listen opens all sockets. After an error, which is a *[ListenError], none is
// open. Connections are taken once [Server.Serve] runs; before that the kernel
// keeps them waiting.
func (s *Server) Listen(ctx context.Context) error {
	for _, l := range s.listeners {
		if err := l.listen(ctx); err != nil {
			s.closeSockets()
			return err
		}
	}
	if s.admin == nil {
		return nil
	}
	if err := s.admin.listen(ctx); err != nil {
		s.closeSockets()
		return &ListenError{Address: s.admin.path, Err: err}
	}
	return nil
}

// Addresses returns what a listener listens on, in the order of its config. It
// is for ports that the system has chosen, and for after [Server.Listen].
func (s *Server) Addresses(listener string) []net.Addr {
	var out []net.Addr
	for _, l := range s.listeners {
		for _, socket := range l.sockets {
			if l.plan.name == listener {
				out = append(out, socket.Addr())
			}
		}
	}
	return out
}

// rejudgeEvery is how often access lists and accepted CAs are looked at while
// clients are connected that depend on them.
const rejudgeEvery = 250 * time.Millisecond

// Serve takes connections until the context ends. Then it takes no more, lets
// those that are open end for the config's drain_timeout, and cuts the rest. It
// returns once all of them have ended. [Server.Listen] comes before it, and it
// runs once.
func (s *Server) Serve(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var accepting, others sync.WaitGroup
	for _, l := range s.listeners {
		for _, socket := range l.sockets {
			accepting.Go(func() { l.accept(work, socket) })
		}
		s.log.Info("listening", l.attrs()...)
	}
	others.Go(func() { s.watch(work) })
	if s.admin != nil {
		others.Go(s.admin.serve)
	}
	<-ctx.Done()
	s.stopping.Store(true)
	s.log.Info("stopping", "drain_seconds", s.drain.Seconds())
	for _, l := range s.listeners {
		l.closeSockets()
	}
	accepting.Wait()
	s.drained()
	stop()
	s.closeSockets()
	others.Wait()
	s.log.Info("stopped")
}

// idleTime is how long nothing has to flow for a server to be idle.
const idleTime = 3 * time.Second

// watch disconnects clients that may not be connected any more, and tells when
// traffic has ended.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(rejudgeEvery)
	defer ticker.Stop()
	var flowed time.Time // when bytes were last seen to flow; zero when that was told
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, l := range s.listeners {
				l.rejudge()
			}
			switch {
			case s.buffers.lent.Load() > 0 || s.buffers.used.Swap(false):
				flowed = time.Now()
			case s.idle != nil && !flowed.IsZero() && time.Since(flowed) > idleTime:
				s.idle()
				flowed = time.Time{}
			}
		}
	}
}

// Cut ends all connections at once, without a clean end, and lets none in any
// more.
func (s *Server) Cut() {
	for _, l := range s.listeners {
		l.stop()
	}
}

// closeSockets closes everything that Listen has opened.
func (s *Server) closeSockets() {
	for _, l := range s.listeners {
		l.closeSockets()
	}
	if s.admin != nil {
		s.admin.close()
	}
}

// attrs describes a listener when it starts.
func (l *listener) attrs() []any {
	var addresses []string
	for _, socket := range l.sockets {
		addresses = append(addresses, socket.Addr().String())
	}
	attrs := []any{"listener", l.plan.name, "addresses", addresses, "target", l.plan.target.String(), "plain", l.plan.plain}
	if l.source == nil {
		return attrs
	}
	now := l.source.last()
	return append(attrs, "clients", now.gate != nil, "generation", now.generation,
		"serial", now.pair.Serial(), "not_after", now.pair.Cert.NotAfter)
}
