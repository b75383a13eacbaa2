package smoke

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

func running(context.Context) error { return nil }

func TestReady(t *testing.T) {
	for name, mutual := range map[string]func(*yard){"server TLS": func(*yard) {}, "mutual TLS": (*yard).mutual} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t)
			mutual(y)
			y.registry.login = func(string, string) bool { return false } // 401 is an answer
			y.start()
			if err := Ready(t.Context(), y.options, running); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReadyWaits opens the builder's port only once Ready has found it closed
// for a while.
func TestReadyWaits(t *testing.T) {
	y := newYard(t)
	y.start()
	closed := newFront(t)
	y.options.Builder.Endpoints[0] = endpoint(closed, stack.Builder)
	closed.Close()
	var asked atomic.Int32
	alive := func(context.Context) error {
		if asked.Add(1) == 1 {
			listener, err := net.Listen("tcp", y.options.Builder.Endpoints[0].Address())
			if err != nil {
				return err
			}
			t.Cleanup(func() { listener.Close() })
			serveBuilder(t, &front{Listener: listener, config: y.builderConfig}, y.builder)
		}
		return nil
	}
	if err := Ready(t.Context(), y.options, alive); err != nil {
		t.Error(err)
	}
	if asked.Load() == 0 {
		t.Error("did not ask whether the daemons run")
	}
}

func TestReadyWaitsForTheStorage(t *testing.T) {
	y := newYard(t)
	var asked atomic.Int32
	y.registry.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	y.start()
	if err := Ready(t.Context(), y.options, running); err != nil {
		t.Error(err)
	}
	if asked.Load() != 3 {
		t.Errorf("asked %d times, want 3", asked.Load())
	}
}

// TestReadyWaitsForTheTarget: a front, as the edge, ends the handshake and closes
// while what is behind it is down. Go's client has several words for that, and which
// one comes depends on when it learns of it.
func TestReadyWaitsForTheTarget(t *testing.T) {
	for name, pause := range map[string]time.Duration{"at once": 0, "later": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.start()
			var shut atomic.Int32
			down := serveRaw(t, func(conn net.Conn) {
				c := tls.Server(conn, y.registryConfig)
				if c.Handshake() == nil {
					shut.Add(1)
				}
				c.Close()
			})
			registry := newRegistryProbes(y.options)
			connected := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { time.Sleep(pause) }}
			err := registry.up(httptrace.WithClientTrace(t.Context(), connected), down)
			if err == nil || reasonOf(err) != stack.ReasonUnreachable {
				t.Errorf("got %v (%s), want %s", err, reasonOf(err), stack.ReasonUnreachable)
			}
			if shut.Load() == 0 {
				t.Error("no handshake was made")
			}
		})
	}
}

// TestReadyGivesUp is about answers that waiting does not change.
func TestReadyGivesUp(t *testing.T) {
	tests := []struct {
		name    string
		wreck   func(*yard)
		service string
		reason  stack.Reason
	}{
		{"registry of another CA", func(y *yard) { y.serveRegistry(y.other.Server(t, "127.0.0.1")) }, stack.Registry, stack.ReasonUntrusted},
		{"registry without TLS", func(y *yard) { y.registryConfig = nil }, stack.Registry, stack.ReasonPlaintext},
		{"builder without the name", func(y *yard) { y.serveBuilder(y.ca.Server(t, "buildkit")) }, stack.Builder, stack.ReasonName},
		{"builder without TLS", func(y *yard) { y.builderConfig = nil }, stack.Builder, stack.ReasonPlaintext},
		{"builder that refuses us", func(y *yard) {
			y.mutual()
			y.options.Builder.Client = y.other.Client(t, "client")
		}, stack.Builder, stack.ReasonUnauthorized},
		{"builder without h2", func(y *yard) { y.builderConfig.NextProtos = nil }, stack.Builder, stack.ReasonProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			y := newYard(t)
			test.wreck(y)
			y.start()
			checkNotReady(t, Ready(t.Context(), y.options, running), test.service, test.reason)
		})
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	y := newYard(t)
	y.noRegistry = true
	y.options.Builder = Builder{}
	y.start()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	checkNotReady(t, Ready(ctx, y.options, running), stack.Registry, stack.ReasonUnreachable)
}

// TestReadyKeepsTheCause ends the context in the middle of an attempt: the error
// is the one before, not that the context ended.
func TestReadyKeepsTheCause(t *testing.T) {
	y := newYard(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	y.registry.wrap = func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 1 {
				cancel()
				<-r.Context().Done()
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}
	y.options.Builder = Builder{}
	y.start()
	err := Ready(ctx, y.options, running)
	checkNotReady(t, err, stack.Registry, stack.ReasonUnreachable)
	if !strings.Contains(err.Error(), "answers 503") {
		t.Errorf("got %v, want the last answer", err)
	}
}

func TestReadyEndsWithTheDaemons(t *testing.T) {
	y := newYard(t)
	y.noBuilder = true
	y.start()
	gone := errors.New("buildkit exited with status 1")
	err := Ready(t.Context(), y.options, func(context.Context) error { return gone })
	checkNotReady(t, err, stack.Builder, stack.ReasonUnreachable)
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want it to wrap %v", err, gone)
	}
}

func checkNotReady(t *testing.T, err error, service string, reason stack.Reason) {
	t.Helper()
	missing, ok := errors.AsType[*NotReadyError](err)
	if !ok {
		t.Fatalf("got %v, want a *NotReadyError", err)
	}
	if missing.Endpoint.Service != service || missing.Reason != reason || missing.Err == nil {
		t.Errorf("got %s %s: %v, want %s %s", missing.Endpoint.Service, missing.Reason, err, service, reason)
	}
}
