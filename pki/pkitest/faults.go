package pkitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// Fault is a server that a client has to refuse, for one reason.
type Fault struct {
	Name  string          // as "expired", fit for t.Run
	Pair  *pki.KeyPair    // what the server shows: Pair.TLS()
	Trust pki.TrustBundle // what the client trusts: Trust.Pool()
	Host  string          // the name that the client asks for
	// Why is what is wrong, in words.
	Why string
}

// Faults returns every way in which a server's certificate can be wrong, each
// for a client that trusts Fault.Trust and asks for the host. A client that
// accepts one of them does not verify what it should. [CA.Server] makes the
// sound one to compare with.
func Faults(t testing.TB, host string, now time.Time) []Fault {
	t.Helper()
	ca := New(t, now)
	constrained := NewConstrained(t, now, pki.Constraints{DNS: []string{"permitted.test"}, IPs: pki.PermitNothing().IPs})
	stranger, twin := New(t, now), ca.Twin(t)
	return []Fault{
		{"expired", ca.ExpiredServer(t, host), ca.Trust(), host, "was valid until a month ago"},
		{"not-yet-valid", ca.FutureServer(t, host), ca.Trust(), host, "is valid in a month"},
		{"wrong-name", ca.Server(t, "other.test"), ca.Trust(), host, "is for another name"},
		{"no-san", ca.Forge(t, host, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), ca.Trust(), host,
			"has its name in the common name only"},
		{"ip-as-dns", ca.Forge(t, "127.0.0.1", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"127.0.0.1"}, nil }), ca.Trust(), "127.0.0.1",
			"has an IP address where a DNS name belongs"},
		{"wrong-usage", ca.Forge(t, host, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), ca.Trust(), host,
			"is a client's certificate"},
		{"unknown-ca", stranger.Server(t, host), ca.Trust(), host, "was signed by a CA that is not trusted"},
		{"same-subject-ca", twin.Server(t, host), ca.Trust(), host, "was signed by a CA of the trusted one's name, with another key"},
		{"outside-constraints", constrained.Forge(t, host, nil), constrained.Trust(), host, "was signed by a CA that may not sign the name"},
		{"mismatched-key", mismatched(t, ca.Server(t, host)), ca.Trust(), host, "is shown by a server that has another key"},
		{"signed-by-leaf", underLeaf(t, ca, host), ca.Trust(), host, "was signed by a server's key, which is no CA"},
	}
}

// Forge returns a server leaf for the host that the CA has signed without any
// of the checks of package pki. edit changes the template before; nil leaves it
// a sound one.
func (c *CA) Forge(t testing.TB, host string, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: host, Organization: []string{"pkitest"}},
		NotBefore: c.now.Add(-day), NotAfter: c.now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	if edit != nil {
		edit(template)
	}
	return forge(t, template, c.Pair)
}

// Twin returns a CA with the same subject and another key, as it comes to be
// when somebody makes "the CA" again.
func (c *CA) Twin(t testing.TB) *CA {
	t.Helper()
	old := c.Pair.Cert
	template := &x509.Certificate{
		SerialNumber: serial(t), RawSubject: old.RawSubject, NotBefore: old.NotBefore, NotAfter: old.NotAfter,
		KeyUsage: old.KeyUsage, BasicConstraintsValid: true, IsCA: true, MaxPathLen: old.MaxPathLen,
	}
	return &CA{Pair: forge(t, template, nil), now: c.now, plan: c.plan}
}

// Issuing returns a CA that this one has signed. Its leaves come with the chain.
func (c *CA) Issuing(t testing.TB) *CA {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "pkitest issuing CA", Organization: []string{"pkitest"}},
		NotBefore: c.Pair.Cert.NotBefore, NotAfter: c.Pair.Cert.NotAfter,
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	pair := forge(t, template, c.Pair)
	pair.Chain = c.Pair.Certs()
	return &CA{Pair: pair, now: c.now, plan: c.plan}
}

// mismatched returns the certificate with a key that does not belong to it.
func mismatched(t testing.TB, kp *pki.KeyPair) *pki.KeyPair {
	t.Helper()
	return &pki.KeyPair{Cert: kp.Cert, Chain: kp.Chain, Key: newKey(t)}
}

// underLeaf returns a leaf that another leaf has signed, with that one as its
// chain.
func underLeaf(t testing.TB, ca *CA, host string) *pki.KeyPair {
	t.Helper()
	leaf := ca.Forge(t, host, nil)
	out := (&CA{Pair: leaf, now: ca.now}).Forge(t, host, nil)
	out.Chain = []*x509.Certificate{leaf.Cert}
	return out
}

// forge signs a template; without a parent it signs itself.
func forge(t testing.TB, template *x509.Certificate, parent *pki.KeyPair) *pki.KeyPair {
	t.Helper()
	key := newKey(t)
	issuer, signer := template, any(key)
	if parent != nil {
		issuer, signer = parent.Cert, parent.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	return &pki.KeyPair{Cert: cert, Key: key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	return n.Add(n, big.NewInt(1))
}
