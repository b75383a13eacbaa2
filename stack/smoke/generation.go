package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// Generation is a CA that is there beside another one, or has just gone. What is
// nil or empty is not probed.
type Generation struct {
	ID string
	// Alone is what a client trusts that knows this CA and no other one: both
	// servers verify for it.
	Alone pki.TrustBundle
	// Client is a client of it, which the builder lets in.
	Client *pki.KeyPair
	// Server is a server of it, which clients refuse.
	Server *pki.KeyPair
}

// aloneChecks adds one probe for each generation whose clients have to accept a
// server.
func aloneChecks(t *table, generations []Generation, greet func(context.Context, stack.Endpoint, *x509.CertPool) error) {
	for _, g := range generations {
		if len(g.Alone.Certs()) == 0 {
			continue
		}
		t.add("alone:"+g.ID, "verifies for a client that trusts CA "+g.ID+" alone", verifies, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			return stack.Evidence{}, greet(ctx, e, g.Alone.Pool())
		})
	}
}

// clientChecks adds one probe for each generation whose clients the builder has
// to let in.
func (b *builderProbes) clientChecks(t *table) {
	for _, g := range b.generations {
		if g.Client == nil {
			continue
		}
		t.add("accepts:"+g.ID, "a client of CA "+g.ID+" is let in", letsIn, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			_, err := b.greet(ctx, e, e.Host, g.Client)
			return stack.Evidence{}, err
		})
	}
}

// impostorChecks adds one probe for each generation whose servers must not be
// accepted any more.
func (r *registryProbes) impostorChecks(t *table) {
	for _, g := range r.generations {
		if g.Server == nil {
			continue
		}
		t.add("impostor:"+g.ID, "a server of the replaced CA "+g.ID+" is refused", verifies, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			return r.impostor(ctx, e, g.Server)
		})
	}
}

// impostor serves with a pair on a port of the loopback, and holds when a client
// of the registry refuses that for the CA. To the client it is the registry: it
// asks for its name.
func (r *registryProbes) impostor(ctx context.Context, e stack.Endpoint, pair *pki.KeyPair) (stack.Evidence, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return stack.Evidence{}, fmt.Errorf("listening for an impostor: %w", err)
	}
	defer listener.Close()
	go shakeHands(ctx, listener, pair)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: r.trust, ServerName: e.Host}}
	conn, err := dialer.DialContext(ctx, "tcp", listener.Addr().String())
	if err == nil {
		conn.Close()
	}
	return judged[x509.UnknownAuthorityError](err)
}

// shakeHands serves one connection, as far as a client that refuses it comes.
func shakeHands(ctx context.Context, listener net.Listener, pair *pki.KeyPair) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(probeLimit))
	_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}).HandshakeContext(ctx)
}
