package pki_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// modeAt carries a mode's plan out at the fixed time.
func modeAt(t *testing.T, i int) (pki.Plan, pki.Material) {
	t.Helper()
	plan, have := modes()[i].plan(t, pki.ECDSAP256)
	steps, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.Apply(t.Context(), plan, have, steps, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return plan, out
}

func steps(t *testing.T, plan pki.Plan, have pki.Material) []pki.Step {
	t.Helper()
	out, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTwoTier: the chain has the issuing CA and not the root, the root is what
// is trusted, and it may be without its key until something new is to be signed.
func TestTwoTier(t *testing.T) {
	plan, out := modeAt(t, 1)
	root, issuing, leaf := out.CAs[pki.CAName], out.CAs[pki.CAIssuing], out.Leaves["registry"]
	if len(leaf.Chain) != 1 || !leaf.Chain[0].Equal(issuing.Cert) || len(leaf.TLS().Certificate) != 2 {
		t.Errorf("the leaf sends %d certificates", len(leaf.TLS().Certificate))
	}
	if trust := out.Trust(plan, pki.RoleServer).Certs(); len(trust) != 1 || !trust[0].Equal(root.Cert) {
		t.Errorf("trusted are %d certificates", len(trust))
	}
	if root.Cert.MaxPathLen != 32 || issuing.Cert.MaxPathLen != 0 || !issuing.Cert.MaxPathLenZero || issuing.Cert.NotAfter.After(root.Cert.NotAfter) {
		t.Error("path lengths or dates are wrong")
	}
	out.CAs[pki.CAName] = &pki.KeyPair{Cert: root.Cert}
	checkSteps(t, steps(t, plan, out), "keep\nkeep\nkeep\nkeep\nkeep")
	plan.Leaves[0].SANs = mustSANs(t, "registry")
	if _, err := pki.Apply(t.Context(), plan, out, steps(t, plan, out), nil, now); err != nil {
		t.Errorf("the issuing CA alone: %v", err)
	}
	delete(out.CAs, pki.CAIssuing)
	delete(out.Leaves, "registry")
	_, err := pki.Diff(plan, out, now)
	wantError[*pki.OfflineError](t, err)
}

// TestHierarchyChange: from one tier to two and back the root stays, and leaves
// are signed by another CA of the plan.
func TestHierarchyChange(t *testing.T) {
	one, have := modeAt(t, 0)
	two, _ := modes()[1].plan(t, pki.ECDSAP256)
	got := steps(t, two, have)
	checkSteps(t, got, "keep\nissue issuing-ca: there is none\nkeep\nreissue registry: it is to be signed by a new issuing CA\nkeep")
	out, err := pki.Apply(t.Context(), two, have, got, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if !out.CAs[pki.CAName].Cert.Equal(have.CAs[pki.CAName].Cert) || !pki.Belongs(have.Leaves["registry"].Key, out.Leaves["registry"].Cert) {
		t.Error("the root or the leaf's key has changed")
	}
	checkSteps(t, steps(t, two, out), "keep\nkeep\nkeep\nkeep\nkeep")
	checkSteps(t, steps(t, one, out), "keep\nkeep\nreissue registry: it is to be signed by the CA\nkeep")
}

// TestClientsOfOneCA: a client leaf that the server CA has signed, as stacks of
// earlier versions have, gets a certificate of the client CA for its key.
func TestClientsOfOneCA(t *testing.T) {
	have := issued(t, yardPlan(t), now)
	plan := yardPlan(t)
	plan.CAs = append(plan.CAs, pki.CAPlan{Name: pki.CAClient, Stack: "yard", Key: pki.ECDSAP256, Validity: 3650 * day})
	plan.Leaves[1].Issuer = pki.CAClient
	got := steps(t, plan, have)
	checkSteps(t, got, "keep\nissue client-ca: there is none\nkeep\nreissue client: it is to be signed by a new client CA")
	out, err := pki.Apply(t.Context(), plan, have, got, nil, now)
	if err != nil || !pki.Belongs(have.Leaves["client"].Key, out.Leaves["client"].Cert) {
		t.Errorf("the client has another key, %v", err)
	}
}

// TestReplaceCA: a CA is replaced because the plan says so; what it signed is
// signed again for the same keys, and nothing else changes.
func TestReplaceCA(t *testing.T) {
	plan, have := modeAt(t, 0)
	i := slices.IndexFunc(plan.CAs, func(c pki.CAPlan) bool { return c.Name == pki.CAClient })
	plan.CAs[i].Replace, plan.CAs[i].Generation = "removed: bob", 2
	got := steps(t, plan, have)
	checkSteps(t, got, "keep\nissue client-ca: removed: bob\nkeep\nreissue client: its CA is replaced: removed: bob")
	out, err := pki.Apply(t.Context(), plan, have, got, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	old, current := have.CAs[pki.CAClient], out.CAs[pki.CAClient]
	if old.Cert.Equal(current.Cert) || !strings.Contains(current.Cert.Subject.CommonName, "client CA G2 ") || pki.Belongs(old.Key, current.Cert) {
		t.Errorf("the client CA is %s", current.Cert.Subject)
	}
	if out.Leaves["registry"] != have.Leaves["registry"] || out.CAs[pki.CAName] != have.CAs[pki.CAName] || !pki.Belongs(have.Leaves["client"].Key, out.Leaves["client"].Cert) {
		t.Error("something else has changed")
	}
	want := pki.Want{Role: pki.RoleClient}
	if f := pki.Verify(have.Leaves["client"], pki.NewTrustBundle(current.Cert), want, now); len(f) == 0 {
		t.Error("the new CA accepts the old certificate")
	}
}

// withoutKeyID is the CA without the extension that names its key, as openssl
// makes one when nobody asks for it.
func withoutKeyID(t *testing.T, parent, ca *pki.KeyPair) *pki.KeyPair {
	t.Helper()
	cert := *ca.Cert
	cert.SubjectKeyId = nil // what Go would write by itself
	return &pki.KeyPair{Cert: &cert, Chain: parent.Certs(), Key: ca.Key}
}

// signedWith is the CA as if another algorithm had signed it: Go makes none that
// are broken.
func signedWith(ca *pki.KeyPair, algorithm x509.SignatureAlgorithm) *pki.KeyPair {
	cert := *ca.Cert
	cert.SignatureAlgorithm = algorithm
	return &pki.KeyPair{Cert: &cert, Chain: ca.Chain, Key: ca.Key}
}

// withRSA is a root with a key of so many bits.
func withRSA(t *testing.T, bits int) *pki.KeyPair {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return forgedFor(t, key, nil, asCA)
}

// TestGivenCA: what is wrong with a CA that somebody brings is said about the
// one certificate that it is about.
func TestGivenCA(t *testing.T) {
	root := forged(t, nil, asCA)
	below := func(parent *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
		kp := forged(t, parent, func(c *x509.Certificate) {
			asCA(c)
			c.Subject.CommonName = "issuing"
			if edit != nil {
				edit(c)
			}
		})
		kp.Chain = parent.Certs()
		return kp
	}
	narrow := forged(t, nil, func(c *x509.Certificate) { asCA(c); c.PermittedDNSDomains = []string{"registry"} })
	flat := forged(t, nil, func(c *x509.Certificate) { asCA(c); c.MaxPathLenZero = true })
	old := forged(t, nil, func(c *x509.Certificate) { asCA(c); c.NotAfter = now.Add(-day) })
	noRoot := below(root, nil)
	noRoot.Chain = nil
	for name, c := range map[string]struct {
		ca   *pki.KeyPair
		want string
	}{
		"sound":                 {below(root, nil), ""},
		"a root by itself":      {flat, ""},
		"without its root":      {noRoot, "does not lead to a self-signed root"},
		"root of path length 0": {below(flat, nil), "whose path length 0 permits no such CA below it"},
		"expired root":          {below(old, nil), "has expired on"},
		"narrow root":           {below(narrow, nil), "may not sign *.build.lan, build.lan, localhost for registry server leaf"},
		"excluded by itself":    {below(root, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"x.build.lan"} }), "may not sign *.build.lan for"},
		"excluded address": {below(root, func(c *x509.Certificate) {
			c.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}}
		}), "may not sign 127.0.0.1 for"},
		"may not sign":      {below(root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "may not sign certificates (key usage)"},
		"no CA":             {below(root, func(c *x509.Certificate) { c.IsCA = false }), "is not a CA certificate"},
		"no key id":         {withoutKeyID(t, root, below(root, nil)), "has no subjectKeyIdentifier"},
		"small RSA":         {withRSA(t, 1024), "has an RSA key of 1024 bits, and peers want 2048 or more"},
		"small RSA above":   {below(withRSA(t, 1024), nil), "has an RSA key of 1024 bits"},
		"SHA-1":             {signedWith(below(root, nil), x509.ECDSAWithSHA1), "is signed with ECDSA-SHA1, which peers refuse"},
		"MD5 above":         {below(signedWith(root, x509.MD5WithRSA), nil), "is signed with MD5-RSA, which peers refuse"},
		"not yet":           {below(root, func(c *x509.Certificate) { c.NotBefore = now.Add(day) }), "is not valid before"},
		"for servers alone": {below(root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), ""},
		"for clients alone": {below(root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "permits no servers"},
	} {
		plan, _ := modes()[2].plan(t, pki.ECDSAP256)
		_, err := pki.Diff(plan, pki.Material{CAs: onlyCA(c.ca)}, now)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	plan, _ := modes()[2].plan(t, pki.ECDSAP256)
	_, err := pki.Diff(plan, pki.Material{}, now)
	wantError[*pki.MissingError](t, err)
}

// TestGivenCAOfAShorterRoot: a leaf ends with the first CA above it that ends, be
// it the root, and near that end it is not renewed again and again.
func TestGivenCAOfAShorterRoot(t *testing.T) {
	ends, begins := now.Add(40*day), now.Add(-time.Minute)
	root := forged(t, nil, func(c *x509.Certificate) { asCA(c); c.NotBefore, c.NotAfter = begins, ends })
	issuing := forged(t, root, func(c *x509.Certificate) { asCA(c); c.Subject.CommonName = "issuing" })
	issuing.Chain = root.Certs()
	plan, _ := modes()[2].plan(t, pki.ECDSAP256)
	have := pki.Material{CAs: onlyCA(issuing)}
	out, err := pki.Apply(t.Context(), plan, have, steps(t, plan, have), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := out.Leaves["registry"].Cert
	if !leaf.NotAfter.Equal(ends) || !leaf.NotBefore.Equal(begins) {
		t.Errorf("valid from %s until %s, want the root's %s and %s", leaf.NotBefore, leaf.NotAfter, begins, ends)
	}
	late, err := pki.Diff(plan, out, now.Add(35*day))
	if err != nil || late[2].Name != "registry" || late[2].Action != pki.Keep {
		t.Errorf("near the end of the root: %v, %v", late, err)
	}
}

// TestAccept: what an external CA sends is taken in any order, for the key that
// it is for, and only when it holds.
func TestAccept(t *testing.T) {
	root := forged(t, nil, asCA)
	issuing := forged(t, root, func(c *x509.Certificate) { asCA(c); c.Subject.CommonName = "issuing" })
	plan, _ := modes()[2].plan(t, pki.ECDSAP256)
	plan.CAs[0].Keyholder = pki.KeyExternal
	have := pki.Material{CAs: onlyCA(&pki.KeyPair{Cert: root.Cert}), Leaves: map[string]*pki.KeyPair{}}
	got := steps(t, plan, have)
	checkSteps(t, got, "keep\nissue\nawait registry: there is none\nissue")
	_, err := pki.Apply(t.Context(), plan, have, got, nil, now)
	wantError[*pki.UnsignedError](t, err)
	key, request, err := pki.Prepare(plan.Leaves[0], nil, now)
	if err != nil || !bytes.Contains(request.CSR, []byte("CERTIFICATE REQUEST")) {
		t.Fatal(err)
	}
	have.Leaves["registry"] = key
	sign := func(edit func(*x509.Certificate)) *x509.Certificate {
		return signedFor(t, issuing, key, func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = plan.Leaves[0].SANs.DNS(), []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
			if edit != nil {
				edit(c)
			}
		})
	}
	sound := sign(nil)
	for name, certs := range map[string][]*x509.Certificate{
		"in order": {sound, issuing.Cert, root.Cert}, "twice": {sound, issuing.Cert, sound}, "reversed": {root.Cert, issuing.Cert, sound}, "without the root": {issuing.Cert, sound},
	} {
		got, err := pki.Accept(plan, have, "x.pem", certs, now)
		if err != nil || len(got) != 1 || len(got[0].Findings) > 0 || got[0].Leaf.Name != "registry" || len(got[0].Pair.Chain) != 1 || !got[0].Pair.Cert.Equal(sound) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for want, cert := range map[string]*x509.Certificate{
		"is not valid for localhost": sign(func(c *x509.Certificate) { c.DNSNames = []string{"registry"} }),
		"want serverAuth alone":      sign(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }),
		"lacks the key usage":        sign(func(c *x509.Certificate) { c.KeyUsage = 0 }),
		"has expired on":             sign(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }),
		"longer than its CA":         sign(func(c *x509.Certificate) { c.NotAfter = now.Add(4000 * day) }),
		"is not accepted":            signedFor(t, forged(t, nil, asCA), key, nil),
		"is a CA, not a leaf":        sign(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }),
	} {
		got, err := pki.Accept(plan, have, "x.pem", []*x509.Certificate{cert, issuing.Cert}, now)
		if err != nil || len(got) != 1 || !strings.Contains((&pki.FindingsError{Findings: got[0].Findings}).Error(), want) {
			t.Errorf("want %q, got %+v, %v", want, got, err)
		}
	}
	_, err = pki.Accept(plan, have, "x.pem", []*x509.Certificate{issuing.Cert}, now)
	wantError[*pki.UnrequestedError](t, err)
	_, err = pki.Accept(plan, have, "x.pem", []*x509.Certificate{sound, issuing.Cert, sign(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(8) })}, now)
	wantError[*pki.TwiceError](t, err)
}

// signedFor is a certificate for somebody else's key.
func signedFor(t *testing.T, parent, key *pki.KeyPair, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	cert := forged(t, parent, edit).Cert
	template := *cert
	template.PublicKey, template.Raw = nil, nil
	der, err := x509.CreateCertificate(nil, &template, parent.Cert, key.Key.Public(), parent.Key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSameSerial: two leaves of one issuer with one serial number are found,
// when they are issued and when one is imported.
func TestSameSerial(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	ca := have.CAs["ca"]
	twin := func(name string, role x509.ExtKeyUsage, names ...string) *pki.KeyPair {
		return forged(t, ca, func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage, c.DNSNames = name, []x509.ExtKeyUsage{role}, names
		})
	}
	plan.Leaves[0].SANs = mustSANs(t, "registry")
	have.Leaves["registry"], have.Leaves["client"] = twin("registry", x509.ExtKeyUsageServerAuth, "registry"), twin("yard client", x509.ExtKeyUsageClientAuth)
	_, err := pki.Apply(t.Context(), plan, have, nil, nil, now)
	if wantError[*pki.FindingsError](t, err); !strings.Contains(err.Error(), "yard client has the serial number of registry") {
		t.Errorf("got %v", err)
	}
}
