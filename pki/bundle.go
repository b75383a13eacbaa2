package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TrustBundle is an ordered list of CA certificates that a peer accepts,
// without duplicates. The zero value accepts nobody.
type TrustBundle struct {
	certs []*x509.Certificate
}

// NewTrustBundle returns the bundle of the given certificates in their order.
func NewTrustBundle(certs ...*x509.Certificate) TrustBundle {
	var b TrustBundle
	for _, cert := range certs {
		if !slices.ContainsFunc(b.certs, cert.Equal) {
			b.certs = append(b.certs, cert)
		}
	}
	return b
}

// ParseTrustBundle reads certificates in PEM. Text between them is ignored, as
// OpenSSL writes it. It fails when there is no certificate, when one is
// damaged, and when there is anything else in PEM, above all a private key.
func ParseTrustBundle(data []byte) (TrustBundle, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return TrustBundle{}, fmt.Errorf("it holds a %s, not a certificate", strings.ToLower(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return TrustBundle{}, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	// pem.Decode skips a block that it cannot read, so half a certificate
	// would be lost in silence.
	if len(certs) == 0 || bytes.Count(data, []byte("-----BEGIN ")) != len(certs) {
		return TrustBundle{}, errors.New("it holds no PEM, or PEM that is cut off")
	}
	return NewTrustBundle(certs...), nil
}

// PEM returns the certificates in PEM, in order.
func (b TrustBundle) PEM() []byte {
	var out []byte
	for _, cert := range b.certs {
		out = append(out, certPEM(cert)...)
	}
	return out
}

// Pool returns the certificates as crypto/tls takes them. Each call makes a new
// pool, so the caller may change it.
func (b TrustBundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range b.certs {
		pool.AddCert(cert)
	}
	return pool
}

// Certs returns the certificates in order.
func (b TrustBundle) Certs() []*x509.Certificate { return slices.Clone(b.certs) }
