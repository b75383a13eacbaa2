package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
}

// Parse returns the key pair, or nil without an error when both files are
// missing. Otherwise the error is a *[HalfError], a *[ParseError] for each file
// that cannot be read, or a *[MismatchError].
func (p PEMPair) Parse() (*KeyPair, error) {
	switch {
	case p.Cert == nil && p.Key == nil:
		return nil, nil
	case p.Cert == nil:
		return nil, &HalfError{Name: p.Name, Half: "certificate", Missing: p.CertFile, Present: p.KeyFile}
	case p.Key == nil:
		return nil, &HalfError{Name: p.Name, Half: "key", Missing: p.KeyFile, Present: p.CertFile}
	}
	cert, certErr := parseCert(p.Cert)
	if certErr != nil {
		certErr = &ParseError{Name: p.Name, File: p.CertFile, Err: certErr}
	}
	key, keyErr := parseKey(p.Key)
	if keyErr != nil {
		keyErr = &ParseError{Name: p.Name, File: p.KeyFile, Err: keyErr}
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, err
	}
	kp := &KeyPair{Cert: cert, Key: key, keyPEM: bytes.Clone(p.Key)}
	if !kp.matches() {
		return nil, &MismatchError{Name: p.Name, CertFile: p.CertFile, KeyFile: p.KeyFile}
	}
	return kp, nil
}

func parseCert(data []byte) (*x509.Certificate, error) {
	bundle, err := ParseTrustBundle(data)
	if err != nil {
		return nil, err
	}
	if len(bundle.certs) > 1 {
		return nil, errors.New("it holds more than one certificate")
	}
	return bundle.certs[0], nil
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
		return nil, errors.New("the key is encrypted")
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
