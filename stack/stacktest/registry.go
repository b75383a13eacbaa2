package stacktest

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/certyard/certyard/pki"
)

// RegistryServer is a registry that runs, in a stack or in the process of the test,
// and what its clients need. It is safe for use in parallel, but for Fault and Mend.
type RegistryServer struct {
	fault func(testing.TB, Fault)

	mu            sync.Mutex // guards what follows
	host, network string
	client        *http.Client
	trust         pki.TrustBundle
	auth          authn.Basic
	clients       []*http.Client // all that were handed out
}

// set takes over what clients need from now on.
func (r *RegistryServer) set(host, network string, trust pki.TrustBundle, auth authn.Basic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host, r.network, r.auth = host, network, auth
	if r.client != nil && bytes.Equal(r.trust.PEM(), trust.PEM()) {
		return
	}
	r.trust = trust
	r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust.Pool()}, ForceAttemptHTTP2: true}}
	r.clients = append(r.clients, r.client)
}

// close ends the connections that are idle.
func (r *RegistryServer) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.CloseIdleConnections()
	}
}

// Host returns the registry host, host:port, as the first part of an image
// reference, for clients on this machine.
func (r *RegistryServer) Host() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host
}

// NetworkHost returns the registry host as the stack's builder knows it, for what a
// build pulls and pushes. A registry in the process of the test has no builder, and
// the same host for everybody.
func (r *RegistryServer) NetworkHost() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.network
}

// Auth returns the user and the password that the registry lets in, each time a
// copy.
func (r *RegistryServer) Auth() *authn.Basic {
	r.mu.Lock()
	defer r.mu.Unlock()
	auth := r.auth
	return &auth
}

// TrustBundle returns the CA that the registry's certificate chains to.
func (r *RegistryServer) TrustBundle() pki.TrustBundle {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trust
}

// HTTPClient returns the client that trusts the registry's CA alone, and that sends
// no password. Its transport goes to go-containerregistry as it is.
func (r *RegistryServer) HTTPClient() *http.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client
}

// Fault has the registry show a certificate that clients must refuse, until Mend.
// Clients that are connected to one in the process of the test stay so. It is called
// from the goroutine of the test, which it fails when it cannot be done.
func (r *RegistryServer) Fault(t testing.TB, f Fault) {
	t.Helper()
	r.fault(t, f)
}

// Mend has the registry show a sound certificate again. In a stack it is
// [Stack.Mend].
func (r *RegistryServer) Mend(t testing.TB) {
	t.Helper()
	r.fault(t, sound)
}
