package pki_test

import (
	"crypto"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/certyard/certyard/pki"
)

// TestExport reads every format back.
func TestExport(t *testing.T) {
	_, out := modeAt(t, 1)
	leaf, trust := out.Leaves["registry"], pki.NewTrustBundle(out.CAs[pki.CAName].Cert)
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}

	all, err := pki.ExportPEM(leaf)
	if err != nil || string(all) != string(leaf.CertPEM())+string(key) {
		t.Errorf("PEM: %v", err)
	}

	p12, err := pki.ExportP12(leaf, trust, "sesame")
	if err != nil {
		t.Fatal(err)
	}
	gotKey, cert, above, err := pkcs12.DecodeChain(p12, "sesame")
	if err != nil || !cert.Equal(leaf.Cert) || len(above) != 2 || !pki.Belongs(gotKey.(crypto.Signer), leaf.Cert) {
		t.Errorf("PKCS #12: %d above, %v", len(above), err)
	}
	if _, _, _, err := pkcs12.DecodeChain(p12, "wrong"); err == nil {
		t.Error("PKCS #12 opens with any password")
	}
	store, err := pki.ExportP12(&pki.KeyPair{Cert: leaf.Cert}, trust, "sesame")
	if err != nil {
		t.Fatal(err)
	}
	if certs, err := pkcs12.DecodeTrustStore(store, "sesame"); err != nil || len(certs) != 2 {
		t.Errorf("trust store: %d certificates, %v", len(certs), err)
	}

	secret, err := pki.ExportK8sSecret("registry-tls.v1", leaf, trust)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ca.crt": string(trust.PEM()), "tls.crt": string(leaf.CertPEM()), "tls.key": string(key)} {
		_, rest, _ := strings.Cut(string(secret), "\n  "+name+": ")
		line, _, _ := strings.Cut(rest, "\n")
		if data, err := base64.StdEncoding.DecodeString(line); err != nil || string(data) != want {
			t.Errorf("%s of the secret: %v", name, err)
		}
	}
	for _, name := range []string{"", "Upper", "-a", "a-", "a..b", "a_b", strings.Repeat("a", 254), "a\n  x: y"} {
		_, err := pki.ExportK8sSecret(name, leaf, trust)
		wantError[*pki.SecretNameError](t, err)
	}
	if _, err := pki.ExportK8sSecret("x", &pki.KeyPair{Cert: leaf.Cert}, trust); err == nil {
		t.Error("a secret without a key")
	}
}

// TestExportLocked: an encrypted key stays encrypted.
func TestExportLocked(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	key, err := pki.EncryptKey(ca.Key, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	locked := lockedPair(t, ca, key)
	if all, err := pki.ExportPEM(locked); err != nil || !strings.HasSuffix(string(all), string(key)) {
		t.Errorf("PEM: %v", err)
	}
	_, p12 := pki.ExportP12(locked, pki.TrustBundle{}, "x")
	_, secret := pki.ExportK8sSecret("x", locked, pki.TrustBundle{})
	if !errors.Is(p12, pki.ErrLockedExport) || !errors.Is(secret, pki.ErrLockedExport) {
		t.Errorf("PKCS #12: %v, secret: %v", p12, secret)
	}
}
