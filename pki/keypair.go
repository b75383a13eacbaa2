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
	Key  crypto.Signer

	// keyPEM is the text that the key was read from. It is given back as it
	// was, so that a key in another encoding than ours is not rewritten.
	keyPEM []byte
}

// CertPEM returns the certificate in PEM.
func (kp *KeyPair) CertPEM() []byte { return certPEM(kp.Cert) }

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
	return tls.Certificate{Certificate: [][]byte{kp.Cert.Raw}, PrivateKey: kp.Key, Leaf: kp.Cert}
}

// Serial returns the serial number in hexadecimal.
func (kp *KeyPair) Serial() string { return kp.Cert.SerialNumber.Text(16) }

// matches reports whether there is a key and it belongs to the certificate.
func (kp *KeyPair) matches() bool {
	if kp.Key == nil {
		return false
	}
	// Every public key type of the standard library has this method.
	pub, ok := kp.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(kp.Cert.PublicKey)
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
func Generation(ca *x509.Certificate) string {
	ski := ca.SubjectKeyId
	if len(ski) == 0 { // a CA of another maker
		ski = subjectKeyID(ca.PublicKey)
	}
	return shortID(ski)
}

func shortID(ski []byte) string {
	id := hex.EncodeToString(ski)
	return id[:min(8, len(id))]
}
