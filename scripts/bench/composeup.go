package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// composeUp lets the Compose CLI start the yard's own compose.yaml, and waits
// until both daemons complete a TLS handshake, which "up -d" does not.
func composeUp(ctx context.Context, compose string, y *yard, ports []int) (sample, error) {
	pem, err := os.ReadFile(filepath.Join(y.dir(), "client", "ca.pem"))
	if err != nil {
		return sample{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)

	start := time.Now()
	s, _, err := y.measured(ctx, y.dir(), compose, "-f", "compose.yaml", "up", "-d")
	if err != nil {
		return s, err
	}
	for _, port := range ports {
		if err := waitTLS(ctx, fmt.Sprintf("127.0.0.1:%d", port), roots); err != nil {
			return s, err
		}
	}
	s.took = time.Since(start)
	return s, nil
}

// waitTLS returns once a daemon at address has completed a handshake.
func waitTLS(ctx context.Context, address string, roots *x509.CertPool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// gRPC servers insist on h2.
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2"}}}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", address, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
