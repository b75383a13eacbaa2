package pki

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// ExportPEM returns the certificate, its chain, and the key, if it is here, in
// one PEM.
func ExportPEM(kp *KeyPair) ([]byte, error) {
	out := kp.CertPEM()
	if !kp.hasKey() {
		return out, nil
	}
	key, err := kp.KeyPEM()
	return append(out, key...), err
}

// ErrLockedExport says that an encrypted key has to be opened to be written in
// another format.
var ErrLockedExport = errors.New("the key is encrypted; PEM can hold it as it is, other formats cannot")

// ExportP12 returns a PKCS #12 file with the key pair, its chain and the CAs, or
// with the certificates alone where there is no key. It is encrypted with AES
// and SHA-256, as OpenSSL 3 does; the password may be empty, which protects
// nothing.
func ExportP12(kp *KeyPair, trust TrustBundle, password string) ([]byte, error) {
	switch {
	case kp.Locked():
		return nil, ErrLockedExport
	case kp.Key == nil:
		return pkcs12.Modern.EncodeTrustStore(NewTrustBundle(append(kp.Certs(), trust.certs...)...).certs, password)
	}
	var above []*x509.Certificate
	for _, cert := range NewTrustBundle(append(kp.Chain, trust.certs...)...).certs {
		if !cert.Equal(kp.Cert) {
			above = append(above, cert)
		}
	}
	out, err := pkcs12.Modern.Encode(kp.Key, kp.Cert, above, password)
	if err != nil {
		return nil, fmt.Errorf("encoding PKCS #12: %w", err)
	}
	return out, nil
}

// SecretNameError says why a text cannot name a Kubernetes secret.
type SecretNameError struct{ Name string }

func (e *SecretNameError) Error() string {
	return fmt.Sprintf("%q is no name of a Kubernetes object: want lower-case letters, digits, - and ., a letter or digit first and last, at most 253 characters", e.Name)
}

// secretName is the RFC 1123 subdomain that Kubernetes wants of names.
var secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// ExportK8sSecret returns the manifest of a Kubernetes secret of the type
// kubernetes.io/tls, with the CAs as ca.crt.
func ExportK8sSecret(name string, kp *KeyPair, trust TrustBundle) ([]byte, error) {
	switch {
	case len(name) > 253 || !secretName.MatchString(name):
		return nil, &SecretNameError{name}
	case kp.Locked():
		return nil, ErrLockedExport
	case kp.Key == nil:
		return nil, errors.New("a secret of type kubernetes.io/tls needs the key, and it is not here")
	}
	key, err := kp.KeyPEM()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\ntype: kubernetes.io/tls\ndata:\n", name)
	for _, entry := range []struct {
		key  string
		data []byte
	}{{"ca.crt", trust.PEM()}, {"tls.crt", kp.CertPEM()}, {"tls.key", key}} {
		fmt.Fprintf(&b, "  %s: %s\n", entry.key, base64.StdEncoding.EncodeToString(entry.data))
	}
	return []byte(b.String()), nil
}
