package smoke

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"google.golang.org/grpc"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// front is a listener on a loopback port that speaks TLS, or not, or both.
type front struct {
	net.Listener
	config *tls.Config // nil: no TLS
	both   bool        // let clients without TLS in as well
}

func newFront(t *testing.T) *front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return &front{Listener: listener}
}

// endpoint returns where the front listens, also after it was closed.
func endpoint(l net.Listener, service string) stack.Endpoint {
	return stack.Endpoint{Service: service, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

func (f *front) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil || f.config == nil {
			return conn, err
		}
		if !f.both {
			return tls.Server(conn, f.config), nil
		}
		peeked := &peekedConn{conn, bufio.NewReader(conn)}
		first, err := peeked.reader.Peek(1)
		if err != nil {
			conn.Close()
			continue
		}
		if first[0] == 22 { // a TLS handshake record
			return tls.Server(peeked, f.config), nil
		}
		return peeked, nil
	}
}

type peekedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *peekedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// serverConfig is how the daemons of a stack are configured.
func serverConfig(pair *pki.KeyPair, protocols ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, NextProtos: protocols}
}

// fakeRegistry is a registry in this process, behind a password.
type fakeRegistry struct {
	front *front
	// login decides about a request's credentials.
	login func(user, password string) bool
	// wrap, if set, stands before everything.
	wrap func(http.Handler) http.Handler

	store http.Handler
	mu    sync.Mutex
	names []string // paths of manifests that were put
}

func newFakeRegistry(t *testing.T, user, password string) *fakeRegistry {
	return &fakeRegistry{
		front: newFront(t),
		login: func(u, p string) bool { return u == user && p == password },
		store: registry.New(registry.Logger(log.New(io.Discard, "", 0))),
	}
}

func (r *fakeRegistry) start(t *testing.T) {
	t.Helper()
	var handler http.Handler = r
	if r.wrap != nil {
		handler = r.wrap(handler)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	t.Cleanup(func() { server.Close() })
	go server.Serve(r.front)
}

func (r *fakeRegistry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	user, password, _ := request.BasicAuth()
	if !r.login(user, password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="fake"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if request.Method == http.MethodPut && strings.Contains(request.URL.Path, "/manifests/") {
		r.mu.Lock()
		r.names = append(r.names, request.URL.Path)
		r.mu.Unlock()
	}
	r.store.ServeHTTP(w, request)
}

// left returns the manifests that were put and are still there.
func (r *fakeRegistry) left() (put int, left []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.names {
		answer := httptest.NewRecorder()
		r.store.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, name, nil))
		if answer.Code != http.StatusNotFound {
			left = append(left, name)
		}
	}
	return len(r.names), left
}

// serveBuilder serves BuildKit's control service. TLS is the front's business.
func serveBuilder(t *testing.T, f *front, control controlapi.ControlServer) {
	t.Helper()
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, control)
	t.Cleanup(server.Stop)
	go server.Serve(f)
}
