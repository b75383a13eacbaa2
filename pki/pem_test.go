package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/certyard/certyard/pki"
)

// caPair is a pair as it would be read from disk.
func caPair(cert, key []byte) pki.PEMPair {
	return pki.PEMPair{Name: "CA", CertFile: "ca/ca.crt", KeyFile: "ca/ca.key", Cert: cert, Key: key}
}

func keyPEM(t testing.TB, kp *pki.KeyPair) []byte {
	t.Helper()
	out, err := kp.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// sec1 writes a key as openssl ecparam -genkey does.
func sec1(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return append(block("EC PARAMETERS", []byte{6, 1, 1}), block("EC PRIVATE KEY", der)...)
}

func p521Key(t testing.TB) crypto.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

func TestParseRoundTrip(t *testing.T) {
	for _, keyType := range []pki.KeyType{pki.ECDSAP256, pki.ECDSAP384, pki.RSA2048, pki.Ed25519} {
		plan := yardPlan(t)
		plan.CAs[0].Key, plan.Leaves = keyType, nil
		want := issued(t, plan, now).CAs["ca"]
		text := keyPEM(t, want)
		if !bytes.HasPrefix(text, []byte("-----BEGIN PRIVATE KEY-----\n")) {
			t.Errorf("%s: the key is not in PKCS #8", keyType)
		}
		got, err := caPair(want.CertPEM(), text).Parse()
		if err != nil {
			t.Fatalf("%s: %v", keyType, err)
		}
		if !got.Cert.Equal(want.Cert) || !want.Key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(got.Key) {
			t.Errorf("%s: another pair came back", keyType)
		}
		keyPEM(t, got)[0] = 'x' // a copy, not the pair's own
		if !bytes.Equal(keyPEM(t, got), text) || !bytes.Equal(got.CertPEM(), want.CertPEM()) {
			t.Errorf("%s: the text has changed", keyType)
		}
	}
}

func TestParseForeignEncodings(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	cert := append([]byte("Certificate:\n    Data: what openssl x509 -text writes\n"), ca.CertPEM()...)
	if _, err := caPair(cert, sec1(t, ca.Key)).Parse(); err != nil {
		t.Errorf("SEC 1: %v", err)
	}
	// An RSA key parses, and is then found to be of another certificate.
	_, err = caPair(cert, block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))).Parse()
	got := wantError[*pki.MismatchError](t, err)
	if got.Error() != "CA key ca/ca.key does not belong to certificate ca/ca.crt" {
		t.Errorf("got %v", got)
	}
}

func TestParseNothing(t *testing.T) {
	if kp, err := caPair(nil, nil).Parse(); kp != nil || err != nil {
		t.Errorf("got %v, %v", kp, err)
	}
}

func TestParseHalf(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	for want, pair := range map[string]pki.PEMPair{
		"CA key ca/ca.key does not exist (ca/ca.crt does)":         caPair(ca.CertPEM(), nil),
		"CA certificate ca/ca.crt does not exist (ca/ca.key does)": caPair(nil, keyPEM(t, ca)),
	} {
		_, err := pair.Parse()
		if got := wantError[*pki.HalfError](t, err); got.Error() != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func TestParseDamaged(t *testing.T) {
	ca, other := issued(t, yardPlan(t), now).CAs["ca"], issued(t, yardPlan(t), now).CAs["ca"]
	cert, key := ca.CertPEM(), keyPEM(t, ca)
	half := len(cert) / 2
	dh, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dhDER, err := x509.MarshalPKCS8PrivateKey(dh)
	if err != nil {
		t.Fatal(err)
	}
	const inCert, inKey = "parsing CA ca/ca.crt: ", "parsing CA ca/ca.key: "
	for _, c := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"empty certificate", []byte{}, key, inCert + "it holds no PEM, or PEM that is cut off"},
		{"cut certificate", cert[:half], key, inCert + "it holds no PEM, or PEM that is cut off"},
		{"second one cut", append(bytes.Clone(cert), cert[:half]...), key, inCert + "it holds no PEM, or PEM that is cut off"},
		{"two certificates", append(bytes.Clone(cert), other.CertPEM()...), key, inCert + "certificate 2 (" + other.Cert.Subject.CommonName + ") has not signed the one before it"},
		{"key as certificate", key, key, inCert + "it holds a private key, not a certificate"},
		{"garbage in PEM", block("CERTIFICATE", []byte("garbage")), key, inCert + "certificate 1: x509: malformed certificate"},
		{"empty key", cert, []byte{}, inKey + "it holds no PEM"},
		{"cut key", cert, key[:len(key)/2], inKey + "it holds no PEM"},
		{"certificate as key", cert, cert, inKey + "it holds a certificate, not a private key"},
		{"damaged PKCS #8", cert, block("PRIVATE KEY", []byte("garbage")), inKey + "the key is damaged"},
		{"damaged SEC 1", cert, block("EC PRIVATE KEY", []byte("garbage")), inKey + "the key is damaged"},
		{"damaged PKCS #1", cert, block("RSA PRIVATE KEY", []byte("garbage")), inKey + "the key is damaged"},
		{"key that cannot sign", cert, block("PRIVATE KEY", dhDER), inKey + "the key cannot sign"},
		{"encrypted", cert, block("ENCRYPTED PRIVATE KEY", []byte("x")), inKey + "the key is encrypted"},
		{"encrypted, old form", cert, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}}), inKey + `the key is encrypted in the old way: convert it with "openssl pkcs8 -topk8 -v2 aes-256-cbc"`},
		{"both", []byte{}, []byte{}, inCert + "it holds no PEM, or PEM that is cut off\n" + inKey + "it holds no PEM"},
	} {
		kp, err := caPair(c.cert, c.key).Parse()
		if err == nil || err.Error() != c.want || kp != nil {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if got := wantError[*pki.ParseError](t, err); got.Name != "CA" || got.Unwrap() == nil {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

// TestErrorsHoldNoKey: whatever is wrong with a key, its content is not told.
func TestErrorsHoldNoKey(t *testing.T) {
	secret := []byte("correct horse battery staple, which is no ASN.1")
	cert := issued(t, yardPlan(t), now).CAs["ca"].CertPEM()
	for _, kind := range []string{"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"} {
		text := block(kind, secret)
		_, err := caPair(cert, text).Parse()
		if err == nil || strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), string(text[30:60])) {
			t.Errorf("%s: got %v", kind, err)
		}
	}
}

func TestKeyPEMOfUnknownKey(t *testing.T) {
	kp := &pki.KeyPair{Key: struct{ crypto.Signer }{}}
	if _, err := kp.KeyPEM(); err == nil || !strings.HasPrefix(err.Error(), "encoding private key: ") {
		t.Errorf("got %v", err)
	}
}
