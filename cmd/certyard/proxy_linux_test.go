package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The moments of a request to the Docker API.
const (
	kindRequest = "request" // before the engine gets it
	kindAnswer  = "answer"  // when the engine has answered, and nobody saw it
)

// engineProxy is a Docker API that passes everything on to the real one, also
// connections that are taken over, and has decide say what becomes of each
// moment. Where that is not to go on, the connection ends.
type engineProxy struct {
	decide func(kind, what string) fate
	host   string
	dir    string
	server *http.Server
	served chan struct{}
}

var errCut = errors.New("the connection is cut")

// newEngineProxy returns a proxy that listens until it is closed.
func newEngineProxy(t *testing.T, decide func(kind, what string) fate) *engineProxy {
	t.Helper()
	upstream, ok := strings.CutPrefix(cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"), "unix://")
	if !ok {
		t.Fatalf("the proxy speaks to engines on Unix sockets, not to %s", os.Getenv("DOCKER_HOST"))
	}
	dir, err := os.MkdirTemp("", "cy-proxy-") // sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	p := &engineProxy{decide: decide, host: "unix://" + socket, dir: dir, served: make(chan struct{})}
	quiet := log.New(io.Discard, "", 0)
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		Transport: &http.Transport{
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", upstream)
			},
		},
		FlushInterval:  -1,
		ErrorLog:       quiet,
		ModifyResponse: func(r *http.Response) error { return p.at(kindAnswer, r.Request) },
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = &http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.at(kindRequest, r) != nil {
			panic(http.ErrAbortHandler)
		}
		pass.ServeHTTP(w, r)
	})}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener)
	}()
	return p
}

func (p *engineProxy) close() {
	p.server.Close()
	<-p.served
	os.RemoveAll(p.dir)
}

func (p *engineProxy) at(kind string, r *http.Request) error {
	if f := p.decide(kind, r.Method+" "+r.URL.Path); f != (fate{}) {
		return errCut
	}
	return nil
}
