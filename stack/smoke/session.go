package smoke

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"sync"

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

// session is a BuildKit client over a connection that it watches.
type session struct {
	*client.Client
	*wire
}

// connect returns a client of the builder that listens at e and is asked for as
// name. Nothing is dialled yet. The caller closes it.
func (b *builderProbes) connect(ctx context.Context, e stack.Endpoint, name string) (*session, error) {
	w := &wire{config: b.config(name, b.pair())}
	c, err := client.New(ctx, "tcp://"+e.Address(),
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := dial(ctx, e)
			return conn, w.note(err)
		}),
		// WithServerConfig and WithCredentials take files, and gRPC's own
		// credentials turn errors into text.
		client.WithGRPCDialOption(grpc.WithTransportCredentials(w)),
		client.WithGRPCDialOption(grpc.WithAuthority(net.JoinHostPort(name, strconv.Itoa(e.Port)))),
	)
	if err != nil {
		return nil, err
	}
	return &session{c, w}, nil
}

// wire is TLS for gRPC that keeps what it sees: the state of the connection,
// and the first thing that goes wrong.
type wire struct {
	config *tls.Config

	mu    sync.Mutex
	state *tls.ConnectionState
	err   error
}

var _ credentials.TransportCredentials = (*wire)(nil)

// note keeps the first error and returns the given one.
func (w *wire) note(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return err
}

// cause returns what went wrong on the connection, and otherwise err.
func (w *wire) cause(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	return err
}

func (w *wire) evidence() stack.Evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == nil {
		return seenIn(w.err)
	}
	return seen(w.state)
}

// ClientHandshake implements credentials.TransportCredentials.
func (w *wire) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn := tls.Client(raw, w.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, w.note(err)
	}
	state := conn.ConnectionState()
	w.mu.Lock()
	w.state = &state
	w.mu.Unlock()
	if state.NegotiatedProtocol != h2 {
		raw.Close()
		return nil, nil, w.note(failing(stack.ReasonProtocol, "the server does not speak h2"))
	}
	level := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return &watched{conn, w}, credentials.TLSInfo{State: state, CommonAuthInfo: level}, nil
}

// ServerHandshake implements credentials.TransportCredentials.
func (w *wire) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are credentials for clients")
}

// Info implements credentials.TransportCredentials.
func (w *wire) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials. It returns the same wire,
// because what the copy sees has to be seen here.
func (w *wire) Clone() credentials.TransportCredentials { return w }

// OverrideServerName implements credentials.TransportCredentials.
func (w *wire) OverrideServerName(string) error {
	return errors.New("the server name is fixed")
}

// watched notes read errors. A server that refuses a client's certificate says
// so after the client's handshake is over (P22).
type watched struct {
	net.Conn
	wire *wire
}

func (c *watched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.wire.note(err)
}
