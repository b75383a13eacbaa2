package pki_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

const day = 24 * time.Hour

// now is the time at which all tests of the package happen.
var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func mustSANs(t testing.TB, hosts ...string) pki.SANs {
	t.Helper()
	s, err := pki.ParseSANs(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// yardPlan is the plan of a small stack: one server and one client.
func yardPlan(t testing.TB) pki.Plan {
	t.Helper()
	return pki.Plan{
		CAs: []pki.CAPlan{{Name: pki.CAName, Stack: "yard", Key: pki.ECDSAP256, Validity: 3650 * day,
			Constraints: pki.Constraints{DNS: []string{"registry", "localhost"}}}},
		Leaves: []pki.LeafPlan{
			{Name: "registry", Role: pki.RoleServer, Issuer: pki.CAName, SANs: mustSANs(t, "registry", "localhost", "127.0.0.1"),
				Key: pki.ECDSAP256, Validity: 90 * day},
			{Name: "client", Role: pki.RoleClient, Issuer: pki.CAName, CommonName: "yard client",
				Key: pki.ECDSAP256, Validity: 90 * day},
		},
	}
}

// onlyCA is the map of one CA.
func onlyCA(ca *pki.KeyPair) map[string]*pki.KeyPair {
	return map[string]*pki.KeyPair{pki.CAName: ca}
}

// issued returns what the plan asks for, made at the given time.
func issued(t testing.TB, plan pki.Plan, at time.Time) pki.Material {
	t.Helper()
	steps, err := pki.Diff(plan, pki.Material{}, at)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.Apply(t.Context(), plan, pki.Material{}, steps, nil, at)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// forged returns a key pair that package pki would not make. Without a parent
// it signs itself; without an edit it is a sound leaf for "registry".
func forged(t testing.TB, parent *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return forgedFor(t, key, parent, edit)
}

// forgedFor is forged for a key that is there.
func forgedFor(t testing.TB, key crypto.Signer, parent *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: "registry"},
		NotBefore:    now.Add(-day),
		NotAfter:     now.Add(80 * day),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"registry"},
	}
	if edit != nil {
		edit(template)
	}
	issuer, signer := template, any(key)
	if parent != nil {
		issuer, signer = parent.Cert, parent.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pki.KeyPair{Cert: cert, Key: key}
}

// asCA is an edit for forged that makes a sound CA.
func asCA(c *x509.Certificate) {
	c.Subject.CommonName = "another CA"
	c.IsCA, c.BasicConstraintsValid = true, true
	c.KeyUsage = x509.KeyUsageCertSign
	c.ExtKeyUsage, c.DNSNames = nil, nil
	c.NotBefore, c.NotAfter = now.Add(-365*day), now.Add(365*day)
}

// wantError fails the test unless err holds an error of type E, which it
// returns.
func wantError[E error](t *testing.T, err error) E {
	t.Helper()
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("got error %v, want a %T", err, want)
	}
	return want
}
