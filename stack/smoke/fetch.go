package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/certyard/certyard/pki"
)

// Shown is what a live server showed.
type Shown struct {
	Certs   []*x509.Certificate // its own first
	Version string              // of TLS, as "TLS 1.3"
}

// fetchLimit keeps a server that stays silent from stopping the command.
const fetchLimit = 10 * time.Second

// FetchError says that no certificate of a server was seen.
type FetchError struct {
	Connected bool // the server accepted the connection
	Err       error
}

func (e *FetchError) Error() string {
	if e.Connected {
		return "no certificate seen: " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// silentError says what a server did that did not get as far as its certificate.
type silentError struct {
	said  bool // it said something
	limit time.Duration
	err   error
}

func (e *silentError) Error() string {
	if e.said {
		return fmt.Sprintf("the server accepted the connection, and did not finish the handshake in %s", e.limit)
	}
	return fmt.Sprintf("the server accepted the connection and said nothing for %s", e.limit)
}

func (e *silentError) Unwrap() error { return e.err }

// Fetch dials an address with TLS and returns the certificates that the server
// shows for a name. They are not judged here: a certificate that does not stand
// up to the bundle is returned all the same. The error, a *[FetchError] unless
// the context has ended, says that no certificate was seen.
func Fetch(ctx context.Context, address, name string, trust pki.TrustBundle) (Shown, error) {
	return fetchWithin(ctx, fetchLimit, address, name, trust)
}

// fetchWithin tries twice: a server that wants HTTP/2 alone, as buildkitd,
// refuses a client that does not offer it; one that knows nothing of it may
// refuse one that does. What the first try found out is what is said: the second
// one is for servers that refused it.
func fetchWithin(ctx context.Context, limit time.Duration, address, name string, trust pki.TrustBundle) (Shown, error) {
	config := &tls.Config{ServerName: name, RootCAs: trust.Pool(), NextProtos: []string{"h2", "http/1.1"}}
	shown, err := fetchOnce(ctx, limit, address, config)
	if refused, ok := errors.AsType[*FetchError](err); ok && refused.Connected && !errors.Is(err, context.DeadlineExceeded) {
		config.NextProtos = nil
		if again, second := fetchOnce(ctx, limit, address, config); second == nil {
			return again, nil
		}
	}
	if ctx.Err() != nil {
		return Shown{}, ctx.Err()
	}
	return shown, err
}

// fetchOnce verifies the certificate as every client does. Where it does not
// hold, the error has the certificates that were shown.
func fetchOnce(ctx context.Context, limit time.Duration, address string, config *tls.Config) (Shown, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return Shown{}, &FetchError{Err: err}
	}
	defer raw.Close()
	heard := &listener{Conn: raw}
	conn := tls.Client(heard, config)
	err = conn.HandshakeContext(ctx)
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unverified):
		return Shown{Certs: unverified.UnverifiedCertificates}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return Shown{}, &FetchError{Connected: true, Err: &silentError{said: heard.said.Load(), limit: limit, err: err}}
	case err != nil:
		return Shown{}, &FetchError{Connected: true, Err: err}
	}
	state := conn.ConnectionState()
	return Shown{Certs: state.PeerCertificates, Version: tls.VersionName(state.Version)}, nil
}

// listener notes whether the other side has said anything.
type listener struct {
	net.Conn
	said atomic.Bool
}

func (l *listener) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.said.Store(true)
	}
	return n, err
}
