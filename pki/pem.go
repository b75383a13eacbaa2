package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PEMPair is a key pair as it is on disk, before it was looked at. The file
// names are only for messages.
type PEMPair struct {
	Name     string // as "CA" or "registry server leaf"
	CertFile string
	KeyFile  string
	Cert     []byte // nil: there is no such file
	Key      []byte // nil: there is no such file
	// CertOnly accepts a certificate without a key: the key is elsewhere on
	// purpose. KeyOnly accepts a key that still waits for its certificate;
	// the pair has no Cert then.
	CertOnly, KeyOnly bool
	// MayLock accepts an encrypted key: the pair is locked then.
	MayLock bool
}

// Parse returns the key pair, or nil without an error when both files are
// missing. Otherwise the error is a *[HalfError], a *[ParseError] for each file
// that cannot be read, or a *[MismatchError].
func (p PEMPair) Parse() (*KeyPair, error) {
	switch {
	case p.Cert == nil && p.Key == nil:
		return nil, nil
	case p.Cert == nil && !p.KeyOnly:
		return nil, &HalfError{Name: p.Name, Half: "certificate", Missing: p.CertFile, Present: p.KeyFile}
	case p.Key == nil && !p.CertOnly:
		return nil, &HalfError{Name: p.Name, Half: "key", Missing: p.KeyFile, Present: p.CertFile}
	}
	kp := &KeyPair{keyPEM: bytes.Clone(p.Key)}
	if err := errors.Join(p.parseCerts(kp), p.parseKey(kp)); err != nil {
		return nil, err
	}
	if p.Cert != nil && p.Key != nil && !kp.Locked() && !kp.matches() {
		return nil, &MismatchError{Name: p.Name, CertFile: p.CertFile, KeyFile: p.KeyFile}
	}
	return kp, nil
}

// parseCerts reads the certificate and the chain behind it.
func (p PEMPair) parseCerts(kp *KeyPair) error {
	if p.Cert == nil {
		return nil
	}
	bundle, err := ParseTrustBundle(p.Cert)
	if err == nil {
		err = chainOrder(bundle.certs)
	}
	if err != nil {
		return &ParseError{Name: p.Name, File: p.CertFile, Err: err}
	}
	kp.Cert, kp.Chain = bundle.certs[0], bundle.certs[1:]
	return nil
}

func (p PEMPair) parseKey(kp *KeyPair) (err error) {
	if p.Key == nil || p.MayLock && isEncrypted(p.Key) {
		return nil
	}
	if kp.Key, err = parseKey(p.Key); err != nil {
		return &ParseError{Name: p.Name, File: p.KeyFile, Err: err}
	}
	return nil
}

// chainOrder refuses certificates of which one has not signed the one before
// it: TLS peers send them as they stand, and not every client sorts them.
func chainOrder(certs []*x509.Certificate) error {
	for i := 1; i < len(certs); i++ {
		// The library does not check these signatures at all.
		if below := certs[i-1]; slices.Contains(brokenAlgorithms(), below.SignatureAlgorithm) {
			return fmt.Errorf("certificate %d (%s) is signed with %s, which peers refuse: have it signed with SHA-256", i, below.Subject.CommonName, below.SignatureAlgorithm)
		}
		if !signedBy(certs[i-1], certs[i]) {
			return fmt.Errorf("certificate %d (%s) has not signed the one before it", i+1, certs[i].Subject.CommonName)
		}
	}
	return nil
}

// parseKey reads the three encodings that tools write. Errors never quote the
// content.
func parseKey(data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	// OpenSSL writes the parameters of a curve in front of the key.
	if block != nil && block.Type == "EC PARAMETERS" {
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("it holds no PEM")
	}
	if block.Headers["DEK-Info"] != "" {
		return nil, errors.New("the key is encrypted in the old way: " + convert)
	}
	switch block.Type {
	case "PRIVATE KEY":
		return signer(x509.ParsePKCS8PrivateKey(block.Bytes))
	case "EC PRIVATE KEY":
		return signer(x509.ParseECPrivateKey(block.Bytes))
	case "RSA PRIVATE KEY":
		return signer(x509.ParsePKCS1PrivateKey(block.Bytes))
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the key is encrypted")
	default:
		return nil, errors.New("it holds a " + strings.ToLower(block.Type) + ", not a private key")
	}
}

func signer[K any](key K, err error) (crypto.Signer, error) {
	if err != nil {
		return nil, errors.New("the key is damaged")
	}
	if s, ok := any(key).(crypto.Signer); ok {
		return s, nil
	}
	return nil, errors.New("the key cannot sign")
}
