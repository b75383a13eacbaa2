package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
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

// Fetch dials an address with TLS and returns the certificates that the server
// shows for a name. They are not judged here: a certificate that does not stand
// up to the bundle is returned all the same. The error says that no certificate
// was seen.
func Fetch(ctx context.Context, address, name string, trust pki.TrustBundle) (Shown, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	var shown Shown
	var err error
	// A server that wants HTTP/2 alone, as buildkitd, refuses a client that
	// does not offer it; one that knows nothing of it may refuse one that does.
	for _, protocols := range [][]string{{"h2", "http/1.1"}, nil} {
		if shown, err = fetchOnce(ctx, address, &tls.Config{ServerName: name, RootCAs: trust.Pool(), NextProtos: protocols}); err == nil {
			return shown, nil
		}
	}
	return shown, err
}

// fetchOnce verifies the certificate as every client does. Where it does not
// hold, the error has the certificates that were shown.
func fetchOnce(ctx context.Context, address string, config *tls.Config) (Shown, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return Shown{}, err
	}
	defer raw.Close()
	conn := tls.Client(raw, config)
	err = conn.HandshakeContext(ctx)
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unverified):
		return Shown{Certs: unverified.UnverifiedCertificates}, nil
	case err != nil:
		return Shown{}, fmt.Errorf("no certificate seen: %w", err)
	}
	state := conn.ConnectionState()
	return Shown{Certs: state.PeerCertificates, Version: tls.VersionName(state.Version)}, nil
}
