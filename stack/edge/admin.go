package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin answers about a server on a unix socket.
type admin struct {
	path   string
	server *http.Server
	log    *slog.Logger

	mu     sync.Mutex
	socket net.Listener // nil: not open
}

// Bounds of the admin socket.
const (
	socketMode   = 0o660
	adminTimeout = 10 * time.Second
	healthTime   = 2 * time.Second
)

func newAdmin(path string, s *Server) *admin {
	return &admin{path: path, log: s.log, server: &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: adminTimeout,
		WriteTimeout:      adminTimeout,
		IdleTimeout:       adminTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}}
}

// listen opens the socket beside its place and moves it there with its mode set:
// nobody finds it without, and one that was left behind is replaced. One that
// somebody answers on is not.
func (a *admin) listen(ctx context.Context) error {
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "unix", a.path); err == nil {
		conn.Close()
		return errors.New("another process answers there")
	}
	info, err := os.Lstat(a.path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return errors.New("it exists and is no socket")
	}
	const beside = "~"
	if err := os.Remove(a.path + beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "unix", a.path+beside)
	if err != nil {
		return err
	}
	socket.(*net.UnixListener).SetUnlinkOnClose(false) // by then it has another name
	err = os.Chmod(a.path+beside, socketMode)
	if err == nil {
		err = os.Rename(a.path+beside, a.path)
	}
	if err != nil {
		socket.Close()
		os.Remove(a.path + beside)
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.socket = socket
	return nil
}

func (a *admin) serve() {
	a.mu.Lock()
	socket := a.socket
	a.mu.Unlock()
	if socket == nil { // closed before this began
		return
	}
	if err := a.server.Serve(socket); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		a.log.Error("the admin socket has failed", "error", err.Error())
	}
}

// close closes and removes the socket. It may be called more than once.
func (a *admin) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket == nil {
		return
	}
	_ = a.server.Close() // ends requests, which only look
	_ = a.socket.Close()
	_ = os.Remove(a.path) // the next start replaces what stays behind
	a.socket = nil
}

// Handler answers /healthz and /metrics, as the admin socket does. /healthz is
// 200 when every target answers a dial and no certificate has expired, else 503
// with one line for each thing that is wrong.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{DisableCompression: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		problems := s.problems(r.Context())
		if problems == nil {
			io.WriteString(w, "ok\n")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, strings.Join(problems, "\n")+"\n")
	})
	return mux
}

// problems returns what keeps the server from serving.
func (s *Server) problems(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	found := make([][]string, len(s.listeners))
	var group sync.WaitGroup
	for i, l := range s.listeners {
		group.Go(func() { found[i] = l.problems(ctx) })
	}
	group.Wait()
	var out []string
	if s.stopping.Load() {
		out = append(out, "stopping")
	}
	for _, problems := range found {
		out = append(out, problems...)
	}
	return out
}

func (l *listener) problems(ctx context.Context) []string {
	var out []string
	conn, err := l.target.once(ctx)
	if err != nil {
		out = append(out, fmt.Sprintf("listener %s: target %s: %v", l.plan.name, l.plan.target, err))
	} else {
		_ = conn.Close() // nothing was said on it
	}
	if l.source == nil {
		return out
	}
	if leaf := l.source.snapshot().pair.Cert; l.source.now().After(leaf.NotAfter) {
		out = append(out, fmt.Sprintf("listener %s: the certificate has expired on %s", l.plan.name, date(leaf.NotAfter)))
	}
	return out
}

// UnhealthyError is what a running edge says about itself when it is not well.
type UnhealthyError struct{ Why string }

func (e *UnhealthyError) Error() string { return e.Why }

// Health asks a running edge on its admin socket. The error is an
// *[UnhealthyError] when it answers that it is not well.
func Health(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var dialer net.Dialer
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://edge/healthz", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("asking the edge at %s: %w", socket, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxFile))
	if err != nil {
		return fmt.Errorf("asking the edge at %s: %w", socket, err)
	}
	if response.StatusCode != http.StatusOK {
		return &UnhealthyError{strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "; ")}
	}
	return nil
}
