package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// Authority signs leaves: a CA whose key is here ([Local]), or one that is
// somewhere else. What it returns is verified by the caller, so an authority is
// not trusted to do as it was asked.
type Authority interface {
	// Sign returns the certificate for a request, followed by the
	// intermediate certificates that a server has to send along.
	Sign(ctx context.Context, r Request) ([]*x509.Certificate, error)
}

// Request asks an [Authority] for a certificate.
type Request struct {
	// CSR is the PKCS #10 request in PEM: public key, subject, SANs, key
	// usages. It is signed by the key.
	CSR []byte
	// Leaf is what was planned, for authorities that need more than the CSR.
	Leaf LeafPlan
	// NotBefore and NotAfter are the wanted validity. The authority may cut
	// it.
	NotBefore, NotAfter time.Time
}

// NewRequest returns the request for a leaf, signed by its key, valid from the
// given time on.
func NewRequest(leaf LeafPlan, key crypto.Signer, now time.Time) (Request, error) {
	extensions, err := usageExtensions(leaf)
	if err != nil {
		return Request{}, err
	}
	if leaf.SANs.Len() > 0 {
		names, err := sanNames(leaf.SANs)
		if err != nil {
			return Request{}, err
		}
		extensions = append([]pkix.Extension{names}, extensions...)
	}
	csr, err := requestPEM(leaf.subject(), extensions, key)
	now = now.UTC().Truncate(time.Second)
	return Request{CSR: csr, Leaf: leaf, NotBefore: now.Add(-backdate), NotAfter: now.Add(leaf.Validity)}, err
}

func (l LeafPlan) subject() pkix.Name {
	return pkix.Name{CommonName: l.commonName(), Organization: []string{organization}}
}

var (
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidServerAuth  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	oidClientAuth  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// usageExtensions asks for the key usages of a leaf, which an external CA may
// take over from the request.
func usageExtensions(leaf LeafPlan) ([]pkix.Extension, error) {
	bits := asn1.BitString{Bytes: []byte{0x80}, BitLength: 1} // digitalSignature
	if leaf.Role == RoleServer && isRSA(leaf.Key) {
		bits = asn1.BitString{Bytes: []byte{0xa0}, BitLength: 3} // and keyEncipherment
	}
	usage, err := asn1.Marshal(bits)
	if err != nil {
		return nil, fmt.Errorf("encoding key usage: %w", err)
	}
	role := oidServerAuth
	if leaf.Role == RoleClient {
		role = oidClientAuth
	}
	extended, err := asn1.Marshal([]asn1.ObjectIdentifier{role})
	if err != nil {
		return nil, fmt.Errorf("encoding extended key usage: %w", err)
	}
	return []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: usage}, {Id: oidExtKeyUsage, Value: extended}}, nil
}

// withinCA cuts a validity to that of the CA and of every CA above it: a root may
// end before the CA that it signed, and with it ends what peers accept.
func withinCA(ca *KeyPair, notBefore, notAfter time.Time) (time.Time, time.Time) {
	for _, cert := range ca.Certs() {
		if notBefore.Before(cert.NotBefore) {
			notBefore = cert.NotBefore
		}
		if notAfter.After(cert.NotAfter) {
			notAfter = cert.NotAfter
		}
	}
	return notBefore, notAfter
}

// leafEnd returns when a leaf that is issued now would end.
func leafEnd(ca *KeyPair, validity time.Duration, now time.Time) time.Time {
	_, end := withinCA(ca, now, now.UTC().Truncate(time.Second).Add(validity))
	return end
}

// intermediates are the certificates that a leaf of this CA sends along: all
// from the CA up, without the root, which peers have.
func (kp *KeyPair) intermediates() []*x509.Certificate {
	certs := kp.Certs()
	return certs[:len(certs)-1]
}
