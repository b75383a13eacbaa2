package stacktest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
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
	auth := authn.Basic{Username: user, Password: password}
	leaf := &shown{ca: ca.Pair, sound: ca.Server(t, "localhost", "127.0.0.1", "::1")}
	leaf.show(leaf.sound)
	r := &RegistryServer{fault: leaf.fault}
	host := serve(t, leaf, auth)
	r.set(host, host, ca.Trust(), auth)
	t.Cleanup(r.close) // before the server waits for its connections
	return r
}

// serve starts the server, and returns where it listens.
func serve(t testing.TB, leaf *shown, auth authn.Basic) string {
	t.Helper()
	out := logTo(t)
	ctx, cancel := context.WithCancel(out)
	app := handlers.NewApp(ctx, config(t, auth))
	server := httptest.NewUnstartedServer(app)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(out.text, nil), slog.LevelInfo)
	server.TLS = &tls.Config{GetConfigForClient: leaf.config, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections() // a test that has failed may not have read all
		server.Close()
		cancel()
	})
	return server.Listener.Addr().String()
}

// shown is the certificate that the registry shows.
type shown struct {
	ca, sound *pki.KeyPair
	now       atomic.Pointer[tls.Config]
}

func (s *shown) show(kp *pki.KeyPair) {
	s.now.Store(&tls.Config{Certificates: []tls.Certificate{kp.TLS()}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
}

// config has each handshake, also one that would resume an earlier one, see the
// certificate that is shown now: a new config has new session keys.
func (s *shown) config(*tls.ClientHelloInfo) (*tls.Config, error) { return s.now.Load(), nil }

func (s *shown) fault(t testing.TB, f Fault) {
	t.Helper()
	if f == sound {
		s.show(s.sound)
		return
	}
	kp, err := f.forge(t, s.ca, s.sound, time.Now())
	if err != nil {
		t.Fatalf("having the registry serve a certificate that is %s: %v", f, err)
	}
	s.show(kp)
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
