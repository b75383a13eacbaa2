package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// TestVerify breaks one thing of a leaf at a time and wants exactly its
// findings.
func TestVerify(t *testing.T) {
	ca := issued(t, yardPlan(t), now.Add(-365*day)).CAs["ca"]
	other := issued(t, yardPlan(t), now).CAs["ca"]
	server := pki.Want{Role: pki.RoleServer, SANs: mustSANs(t, "registry")}
	client := pki.Want{Role: pki.RoleClient}
	asClient := func(c *x509.Certificate) {
		c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
	}
	for _, c := range []struct {
		name string
		want pki.Want
		edit func(*x509.Certificate)
		find []string
	}{
		{"sound server", server, nil, nil},
		{"sound client", client, asClient, nil},
		{"name missing", pki.Want{Role: pki.RoleServer, SANs: mustSANs(t, "registry", "*.b.lan", "127.0.0.1")}, nil,
			[]string{"is not valid for *.b.lan", "is not valid for 127.0.0.1"}},
		{"wildcard", pki.Want{Role: pki.RoleServer, SANs: mustSANs(t, "*.a.registry")},
			func(c *x509.Certificate) { c.DNSNames = []string{"*.a.registry"} }, nil},
		{"wildcard written out is not one", pki.Want{Role: pki.RoleServer, SANs: mustSANs(t, "*.a.registry")},
			func(c *x509.Certificate) { c.DNSNames = []string{"b.a.registry"} }, []string{"is not valid for *.a.registry"}},
		{"name in the common name only", server, func(c *x509.Certificate) { c.DNSNames = nil },
			[]string{"is not valid for registry"}},
		{"name not permitted", server, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "example.com") },
			[]string{`is not accepted: a root or intermediate certificate is not authorized to sign for this name: ` +
				`DNS name "example.com" is not permitted by any constraint`}},
		{"expired", server, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) },
			[]string{"has expired on 2026-11-23 08:30 UTC"}},
		{"not yet valid", server, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) },
			[]string{"is not valid before 2026-11-23 10:30 UTC"}},
		{"other role", server, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
			[]string{"has the extended key usage clientAuth, want serverAuth alone",
				"is not accepted: certificate specifies an incompatible key usage"}},
		{"both roles", server, func(c *x509.Certificate) {
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		}, []string{"has the extended key usage serverAuth, clientAuth, want serverAuth alone"}},
		{"role and another usage", server, func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}}
		}, []string{"has the extended key usage serverAuth, 1.2.3, want serverAuth alone"}},
		{"no role", client, func(c *x509.Certificate) { c.ExtKeyUsage, c.DNSNames = nil, nil },
			[]string{"has the extended key usage none, want clientAuth alone"}},
		{"client with a name", client, func(c *x509.Certificate) { asClient(c); c.DNSNames = []string{"registry"} },
			[]string{"is a client leaf with SANs, which name constraints are held against"}},
		{"client with a URI", client, func(c *x509.Certificate) {
			asClient(c)
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: "yard", Path: "/client"}}
		}, []string{"is a client leaf with SANs, which name constraints are held against"}},
		{"no digitalSignature", server, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment },
			[]string{"lacks the key usage digitalSignature, which TLS 1.3 needs"}},
		{"a CA", server, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true },
			[]string{"is a CA, not a leaf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kp := forged(t, ca, c.edit)
			checkFindings(t, pki.Verify(kp, pki.NewTrustBundle(other.Cert, ca.Cert), c.want, now), c.find...)
		})
	}

	kp := forged(t, ca, nil)
	const unknown = "is not accepted: certificate signed by unknown authority"
	checkFindings(t, pki.Verify(kp, pki.NewTrustBundle(other.Cert), server, now), unknown)
	checkFindings(t, pki.Verify(kp, pki.TrustBundle{}, server, now), unknown)
	late := now.Add(4000 * day)
	checkFindings(t, pki.Verify(kp, pki.NewTrustBundle(other.Cert), server, late),
		"has expired on 2027-02-11 09:30 UTC", unknown)

	const mismatch = "has a private key that does not belong to it"
	trust := pki.NewTrustBundle(ca.Cert)
	checkFindings(t, pki.Verify(&pki.KeyPair{Cert: kp.Cert, Key: ca.Key}, trust, server, now), mismatch)
	checkFindings(t, pki.Verify(&pki.KeyPair{Cert: kp.Cert}, trust, server, now), mismatch)

	// crypto/x509 neither makes nor reads such a serial any more.
	odd := *kp.Cert
	odd.SerialNumber = big.NewInt(0)
	checkFindings(t, pki.Verify(&pki.KeyPair{Cert: &odd, Key: kp.Key}, trust, server, now),
		"has a serial number that is not positive")
}

// TestVerifyExpiredCA: the chain is judged at the time of the leaf's own life,
// but never outside the CA's.
func TestVerifyExpiredCA(t *testing.T) {
	ca := forged(t, nil, func(c *x509.Certificate) { asCA(c); c.NotAfter = now.Add(-time.Minute) })
	kp := forged(t, ca, nil)
	findings := pki.Verify(kp, pki.NewTrustBundle(ca.Cert), pki.Want{Role: pki.RoleServer}, now)
	if len(findings) != 1 || !strings.Contains(findings[0].Problem, "certificate has expired or is not yet valid") {
		t.Errorf("got %v", findings)
	}
}

func checkFindings(t *testing.T, findings []pki.Finding, want ...string) {
	t.Helper()
	var got []string
	for _, f := range findings {
		if f.Subject != "registry" || f.String() != "registry "+f.Problem {
			t.Errorf("got finding %+v", f)
		}
		got = append(got, f.Problem)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTrustBundle(t *testing.T) {
	a, b := issued(t, yardPlan(t), now).CAs["ca"], issued(t, yardPlan(t), now).CAs["ca"]
	bundle := pki.NewTrustBundle(a.Cert, b.Cert, a.Cert)
	if got, want := bundle.PEM(), append(a.CertPEM(), b.CertPEM()...); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes of PEM, want %d", len(got), len(want))
	}
	read, err := pki.ParseTrustBundle(append([]byte("# our CAs\n"), bundle.PEM()...))
	if err != nil || !bytes.Equal(read.PEM(), bundle.PEM()) || !read.Pool().Equal(bundle.Pool()) {
		t.Errorf("another bundle came back: %v", err)
	}
	bundle.Certs()[0] = b.Cert
	bundle.Pool().AddCert(forged(t, nil, asCA).Cert)
	if !bundle.Certs()[0].Equal(a.Cert) || !bundle.Pool().Equal(read.Pool()) {
		t.Error("the bundle can be changed from outside")
	}
}

func TestParseTrustBundleProblems(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	for want, text := range map[string]string{
		"it holds no PEM, or PEM that is cut off":          "",
		"it holds a private key, not a certificate":        string(ca.CertPEM()) + string(keyPEM(t, ca)),
		"certificate 2: x509: malformed certificate":       string(ca.CertPEM()) + string(block("CERTIFICATE", []byte("x"))),
		"it holds no PEM, or PEM that is cut off" + "\x00": string(ca.CertPEM()) + string(ca.CertPEM()[:200]),
	} {
		_, err := pki.ParseTrustBundle([]byte(text))
		if want = strings.TrimSuffix(want, "\x00"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestFingerprint compares with what openssl x509 -fingerprint -sha256 prints:
// the hash of the DER, in hexadecimal.
func TestFingerprint(t *testing.T) {
	got := pki.Fingerprint(&x509.Certificate{Raw: []byte("abc")})
	// The SHA-256 example of FIPS 180-2, appendix B.1.
	if want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
