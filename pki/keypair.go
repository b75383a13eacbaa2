package pki

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
)

// KeyPair is a certificate and the private key that belongs to it.
type KeyPair struct {
	Cert *x509.Certificate
	// Chain holds the certificates above Cert, nearest first: of a leaf the
	// intermediate ones that it sends along, of a CA all up to its root.
	Chain []*x509.Certificate
	// Key is nil where the key is somewhere else: an external CA, a remote
	// one, or a root whose key was moved away.
	Key crypto.Signer

	// keyPEM is the text that the key was read from. It is given back as it
	// was, so that a key in another encoding than ours is not rewritten.
	keyPEM []byte
}

// CertPEM returns the certificate and its chain in PEM.
func (kp *KeyPair) CertPEM() []byte {
	out := certPEM(kp.Cert)
	for _, cert := range kp.Chain {
		out = append(out, certPEM(cert)...)
	}
	return out
}

// Certs returns the certificate and its chain.
func (kp *KeyPair) Certs() []*x509.Certificate {
	return append([]*x509.Certificate{kp.Cert}, kp.Chain...)
}

// Anchor returns what peers have to trust to accept what a CA signs: its root.
func (kp *KeyPair) Anchor() *x509.Certificate {
	certs := kp.Certs()
	return certs[len(certs)-1]
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// KeyPEM returns the private key in PEM: as it was read, or else as PKCS #8. It
// fails when the key is of a kind that PKCS #8 has no encoding for.
func (kp *KeyPair) KeyPEM() ([]byte, error) {
	if kp.keyPEM != nil {
		return append([]byte(nil), kp.keyPEM...), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(kp.Key)
	if err != nil {
		return nil, fmt.Errorf("encoding private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// TLS returns the pair as crypto/tls takes it.
func (kp *KeyPair) TLS() tls.Certificate {
	out := tls.Certificate{PrivateKey: kp.Key, Leaf: kp.Cert}
	for _, cert := range kp.Certs() {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out
}

// Serial returns the serial number in hexadecimal.
func (kp *KeyPair) Serial() string { return kp.Cert.SerialNumber.Text(16) }

// matches reports whether there is a key and it belongs to the certificate.
func (kp *KeyPair) matches() bool {
	if kp.Key == nil || kp.Cert == nil {
		return false
	}
	return sameKey(kp.Key.Public(), kp.Cert.PublicKey)
}

// Belongs reports whether a private key is the one of a certificate.
func Belongs(key crypto.Signer, cert *x509.Certificate) bool {
	return sameKey(key.Public(), cert.PublicKey)
}

// sameKey compares two public keys. Every type of the standard library has the
// method.
func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// hasKey reports whether the key is here, open or locked.
func (kp *KeyPair) hasKey() bool { return kp.Key != nil || kp.Locked() }

// public returns the public key: of the certificate, or while there is none, of
// the private key.
func (kp *KeyPair) public() crypto.PublicKey {
	if kp.Cert == nil {
		return kp.Key.Public()
	}
	return kp.Cert.PublicKey
}

// Fingerprint returns the SHA-256 hash of the certificate in hexadecimal, which
// is what openssl x509 -fingerprint -sha256 prints between colons.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Generation returns the short id of a CA: the first 8 hexadecimal digits of
// its subject key id, which are also the end of its common name. It tells CAs
// apart that were made for the same stack one after the other.
func Generation(ca *x509.Certificate) string { return shortID(keyID(ca)) }

func keyID(ca *x509.Certificate) []byte {
	if len(ca.SubjectKeyId) == 0 { // a CA of another maker
		return subjectKeyID(ca.PublicKey)
	}
	return ca.SubjectKeyId
}

func shortID(ski []byte) string {
	id := hex.EncodeToString(ski)
	return id[:min(8, len(id))]
}
