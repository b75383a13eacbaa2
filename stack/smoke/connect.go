package smoke

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// h2 is the only protocol that gRPC speaks (P23).
const h2 = "h2"

// config is how a client with a certificate connects; without one if it is nil.
func (b *builderProbes) config(name string, pair *pki.KeyPair) *tls.Config {
	config := &tls.Config{RootCAs: b.trust, ServerName: name, NextProtos: []string{h2}}
	if pair != nil {
		// Go sends a certificate only if its issuer is on the server's list.
		// This sends it always, so that the server has to judge it.
		shown := pair.TLS()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
	}
	return config
}

// pair is what a client of this builder shows.
func (b *builderProbes) pair() *pki.KeyPair {
	if b.Mutual {
		return b.Client
	}
	return nil
}

// greet connects without gRPC and waits for the server's first word, which it
// says only to a client that it has let in.
func (b *builderProbes) greet(ctx context.Context, e stack.Endpoint, name string, pair *pki.KeyPair) (*tls.ConnectionState, error) {
	conn, err := dialTLS(ctx, e, b.config(name, pair))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != h2 {
		return &state, failing(stack.ReasonProtocol, "negotiates no %s", h2)
	}
	return &state, readSettings(conn)
}

// connect returns BuildKit's client for the builder that listens at e and is
// asked for as name. Nothing is dialled yet. The caller closes it.
func (b *builderProbes) connect(ctx context.Context, e stack.Endpoint, name string) (*client.Client, error) {
	return client.New(ctx, "tcp://"+e.Address(),
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, e) }),
		// Not WithServerConfig and WithCredentials, because they take files.
		client.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewTLS(b.config(name, b.pair())))),
		client.WithGRPCDialOption(grpc.WithAuthority(name)),
	)
}
