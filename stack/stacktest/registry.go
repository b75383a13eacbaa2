package stacktest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/google/go-containerregistry/pkg/authn"

	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"           // registers itself
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers itself

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/htpasswd"
)

// user is the name that the password is for, as in a stack without a config.
const user = "testuser"

// quickest is bcrypt's least cost. The password is random and lives as long as the
// test, and every request pays for it.
const quickest = 4

// RegistryServer is a registry that runs, and what its clients need. It is safe
// for use in parallel.
type RegistryServer struct {
	server *httptest.Server
	client *http.Client
	trust  pki.TrustBundle
	auth   authn.Basic
}

// Registry starts a registry in this process, which ends with the test: TLS 1.2 or
// later with a certificate for localhost, 127.0.0.1 and ::1, one user, content in
// memory. What it logs is shown when the test fails. It is called from the
// goroutine of the test, which it fails when the registry cannot be started.
//
// One idle goroutine of each registry outlives it, of 6 KiB, without a hold on
// what was pushed: distribution v3.1.2 begins it to tell of events, and has no way to end
// it (registry/handlers/app.go, configureEvents and Shutdown).
func Registry(t testing.TB) *RegistryServer {
	t.Helper()
	password, err := htpasswd.Generate(rand.Reader)
	if err != nil {
		t.Fatalf("making a password for the registry: %v", err)
	}
	ca := pkitest.New(t, time.Now())
	r := &RegistryServer{trust: ca.Trust(), auth: authn.Basic{Username: user, Password: password}}
	out := logTo(t)
	ctx, cancel := context.WithCancel(out)
	app := handlers.NewApp(ctx, config(t, r.auth))
	r.server = httptest.NewUnstartedServer(app)
	r.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	r.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(out.text, nil), slog.LevelInfo)
	r.server.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.Server(t, "localhost", "127.0.0.1", "::1").TLS()},
		MinVersion:   tls.VersionTLS12,
	}
	r.server.StartTLS()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.trust.Pool()}, ForceAttemptHTTP2: true}
	r.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		r.server.Close()
		cancel()
	})
	return r
}

// config is the registry's, as a stack has it, with content in memory.
func config(t testing.TB, auth authn.Basic) *configuration.Configuration {
	t.Helper()
	users, err := htpasswd.Render([]htpasswd.User{{Name: auth.Username, Password: auth.Password, Cost: quickest}}, nil)
	if err != nil {
		t.Fatalf("hashing the registry's password: %v", err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, users, 0o600); err != nil {
		t.Fatalf("writing the registry's passwords: %v", err)
	}
	var c configuration.Configuration
	c.Storage = configuration.Storage{
		"inmemory": {},
		"delete":   {"enabled": true},
		// It would begin an hour later, and nobody would end it.
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}
	c.Auth = configuration.Auth{"htpasswd": {"realm": "certyard", "path": file}}
	c.HTTP.Secret = rand.Text()
	return &c
}

// Host returns the registry host, host:port, as the first part of an image
// reference.
func (r *RegistryServer) Host() string { return r.server.Listener.Addr().String() }

// Auth returns the user and the password that the registry lets in, each time a
// copy.
func (r *RegistryServer) Auth() *authn.Basic {
	auth := r.auth
	return &auth
}

// TrustBundle returns the CA that the registry's certificate chains to.
func (r *RegistryServer) TrustBundle() pki.TrustBundle { return r.trust }

// HTTPClient returns the client that trusts the registry's CA alone, and that sends
// no password. Its transport goes to go-containerregistry as it is.
func (r *RegistryServer) HTTPClient() *http.Client { return r.client }
