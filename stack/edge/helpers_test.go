package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// host is the name that the servers of tests have.
const host = "edge.test"

// front is a running server with one listener, its target, and its CAs.
type front struct {
	idle    func() // Options.Idle
	t       testing.TB
	dir     string // what the listener serves is below it
	ca      *pkitest.CA
	clients *pkitest.CA
	target  *fakeTarget
	log     *lineLog
	server  *Server
	config  Config
	stop    context.CancelFunc
	served  chan struct{}
	clock   func() time.Time
	tune    func(*listener)
}

// newFront prepares a front whose listener asks for client certificates where
// mutual is set. Its target echoes.
func newFront(t testing.TB, mutual bool) *front {
	t.Helper()
	dir := shortDir(t)
	f := &front{t: t, dir: dir, ca: pkitest.New(t, time.Now()), clients: pkitest.New(t, time.Now()), log: &lineLog{}, clock: time.Now}
	f.target = newTarget(t, filepath.Join(dir, "target.sock"), echo)
	f.config = Config{Version: 1, Admin: filepath.Join(dir, "admin.sock"), DrainTimeout: "0s", Listeners: []ListenerConfig{{
		Name: "front", Addresses: []string{"127.0.0.1:0"}, Certificates: filepath.Join(dir, "served"),
		ALPN: []string{"h2"}, Target: "unix:" + f.target.path,
	}}}
	f.makeDir("served")
	f.writePair(f.ca.Server(t, host))
	if mutual {
		f.makeDir("clients")
		f.config.Listeners[0].Clients = filepath.Join(dir, "clients")
		f.write("clients/clients.crt", f.clients.Trust().PEM())
	}
	return f
}

// shortDir is a directory whose sockets fit into a socket address.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "edge")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *front) listener() *ListenerConfig { return &f.config.Listeners[0] }

func (f *front) makeDir(name string) {
	f.t.Helper()
	check(f.t, os.MkdirAll(filepath.Join(f.dir, name), 0o755))
}

// write replaces a file in one step.
func (f *front) write(name string, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	check(f.t, os.WriteFile(path+".new", data, 0o600))
	check(f.t, os.Rename(path+".new", path))
}

func (f *front) writePair(pair *pki.KeyPair) {
	f.t.Helper()
	key, err := pair.KeyPEM()
	check(f.t, err)
	f.write("served/tls.crt", pair.CertPEM())
	f.write("served/tls.key", key)
}

func (f *front) writeAccess(format string, args ...any) {
	f.t.Helper()
	f.write("clients/access.json", fmt.Appendf(nil, format, args...))
}

// new makes the server.
func (f *front) new() (*Server, error) {
	s, err := New(f.config, Options{Now: func() time.Time { return f.clock() }, Log: slog.New(slog.NewJSONHandler(f.log, nil)), Idle: f.idle})
	if err == nil && f.tune != nil {
		f.tune(s.listeners[0])
	}
	return s, err
}

// start runs the server until the test ends.
func (f *front) start() *front {
	f.t.Helper()
	var err error
	f.server, err = f.new()
	check(f.t, err)
	ctx, stop := context.WithCancel(f.t.Context())
	check(f.t, f.server.Listen(ctx))
	f.stop, f.served = stop, make(chan struct{})
	go func() {
		defer close(f.served)
		f.server.Serve(ctx)
	}()
	f.t.Cleanup(func() { f.halt() })
	return f
}

// halt ends the server and waits for it.
func (f *front) halt() {
	f.t.Helper()
	f.stop()
	await(f.t, "the server's end", f.served)
}

func (f *front) address() string { return f.server.Addresses("front")[0].String() }

// tlsConfig is that of a client; the pair may be nil.
func (f *front) tlsConfig(pair *pki.KeyPair) *tls.Config {
	c := &tls.Config{RootCAs: f.ca.Trust().Pool(), ServerName: host, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS10}
	if pair != nil {
		// Not Certificates: that leaves out what the server will refuse.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert := pair.TLS()
			return &cert, nil
		}
	}
	return c
}

// dial connects a client, and closes it when the test ends.
func (f *front) dial(c *tls.Config) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", f.address())
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(&eofConn{Conn: raw}, c)
	f.t.Cleanup(func() { raw.Close() })
	return conn, conn.Handshake()
}

// eofConn notes the end of TCP, which crypto/tls takes for the end of TLS.
type eofConn struct {
	net.Conn
	ended bool
}

func (e *eofConn) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	e.ended = e.ended || err != nil
	return n, err
}

// readToEnd reads all that comes, and reports whether the end was a clean one.
func readToEnd(conn *tls.Conn) (string, bool) {
	data, err := io.ReadAll(conn)
	return string(data), err == nil && !conn.NetConn().(*eofConn).ended
}

// mustDial connects a client that has to be let in, and says hello.
func (f *front) mustDial(pair *pki.KeyPair) *tls.Conn {
	f.t.Helper()
	conn, err := f.dial(f.tlsConfig(pair))
	check(f.t, err)
	check(f.t, ping(conn))
	return conn
}

// try connects a client and passes a word both ways: with TLS 1.3 a refusal
// comes only with the first read.
func (f *front) try(c *tls.Config) error {
	conn, err := f.dial(c)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	return ping(conn)
}

func ping(conn io.ReadWriter) error {
	if _, err := io.WriteString(conn, "ping"); err != nil {
		return err
	}
	answer := make([]byte, 4)
	_, err := io.ReadFull(conn, answer)
	return err
}

// count returns the value of a metric, by its name and labels as they are
// written.
func (f *front) count(series string) string {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// awaitCount waits until a metric has a value.
func (f *front) awaitCount(series, want string) {
	f.t.Helper()
	eventually(f.t, series+" "+want, func() bool { return f.count(series) == want })
}

// ended is the series of connections that ended with a reason.
func ended(r Reason) string {
	return fmt.Sprintf(`certyard_edge_connections_total{listener="front",result="%s"}`, r)
}

// shook is the series of handshakes that ended with a reason.
func shook(r Reason) string {
	return fmt.Sprintf(`certyard_edge_handshakes_total{listener="front",result="%s"}`, r)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond) // of a poll, not of an expectation
	}
}

func await[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
	return v
}

func plusOne(t testing.TB, count string) string {
	t.Helper()
	n, err := strconv.Atoi(count)
	check(t, err)
	return strconv.Itoa(n + 1)
}

// wantAlert checks what a client got: nothing, an alert, or with "*" anything.
func wantAlert(t testing.TB, err error, alert string) {
	t.Helper()
	switch {
	case alert == "" && err != nil:
		t.Errorf("got %v, want no error", err)
	case alert != "" && alert != "*" && (err == nil || !strings.Contains(err.Error(), alert)):
		t.Errorf("got %v, want %q", err, alert)
	case alert == "*" && err == nil:
		t.Error("got no error")
	}
}
