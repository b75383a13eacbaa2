package pki_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// mode is one way of signing the servers' leaves.
type mode struct {
	name      string
	issuer    string // the CA that signs the servers, "" for themselves
	keyholder pki.Keyholder
	cas       []string // the servers' CAs
}

func modes() []mode {
	return []mode{
		{"single", pki.CAName, pki.KeyHere, []string{pki.CAName}},
		{"two-tier", pki.CAIssuing, pki.KeyHere, []string{pki.CAName, pki.CAIssuing}},
		{"given", pki.CAName, pki.KeyGiven, []string{pki.CAName}},
		{"self-signed", "", pki.KeyHere, nil},
		{"external", pki.CAName, pki.KeyExternal, []string{pki.CAName}},
		{"remote", pki.CAName, pki.KeyRemote, []string{pki.CAName}},
	}
}

// plan has a server and a client, below the CAs and a client CA, and what there
// has to be before.
func (m mode) plan(t testing.TB, key pki.KeyType) (pki.Plan, pki.Material) {
	t.Helper()
	plan := pki.Plan{}
	for _, name := range append(slices.Clone(m.cas), pki.CAClient) {
		plan.CAs = append(plan.CAs, m.caPlan(name, key))
	}
	plan.Leaves = []pki.LeafPlan{
		{Name: "registry", Role: pki.RoleServer, Issuer: m.issuer, CommonName: "yard registry", Key: key, Validity: 90 * day,
			SANs: mustSANs(t, "registry", "build.lan", "*.build.lan", "localhost", "127.0.0.1", "::1")},
		{Name: "client", Role: pki.RoleClient, Issuer: pki.CAClient, CommonName: "yard client", Key: key, Validity: 90 * day},
	}
	if m.keyholder != pki.KeyGiven {
		return plan, pki.Material{}
	}
	root := forged(t, nil, asCA)
	issuing := forged(t, root, asIssuing)
	issuing.Chain = []*x509.Certificate{root.Cert}
	return plan, pki.Material{CAs: onlyCA(issuing)}
}

func (m mode) caPlan(name string, key pki.KeyType) pki.CAPlan {
	plan := pki.CAPlan{Name: name, Stack: "yard", Key: key, Validity: 3650 * day, Constraints: yardOnly()}
	switch name {
	case pki.CAName:
		plan.Keyholder = m.keyholder
	case pki.CAIssuing:
		plan.Issuer = pki.CAName
	}
	return plan
}

// yardOnly is what the CAs of the modes may sign.
func yardOnly() pki.Constraints {
	return pki.Constraints{DNS: []string{"registry", "buildkit", "localhost", "lan"},
		IPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
}

// asIssuing is an edit for forged that makes a CA below another one.
func asIssuing(c *x509.Certificate) {
	asCA(c)
	c.Subject.CommonName, c.MaxPathLenZero = "issuing", true
}

// workshop has the keys and CAs of one key type. They are made once and used in
// every mode, since long RSA keys take long.
type workshop struct {
	key    pki.KeyType
	leaves [2]map[string]*pki.KeyPair // keys alone
	cas    [2]map[string]*pki.KeyPair // made here
	firm   [2]company
	other  *pki.KeyPair // a key for what is forged
}

// company is a CA that somebody else has: a root, and below it one that signs.
type company struct{ root, issuing *pki.KeyPair }

// newWorkshop makes two generations of everything. The CAs are a year old, so
// that there can be leaves that have expired since.
func newWorkshop(t *testing.T, key pki.KeyType) *workshop {
	t.Helper()
	w := &workshop{key: key, other: newKey(t, key)}
	single, _ := modes()[1].plan(t, key)
	for i := range w.cas {
		w.cas[i] = issued(t, pki.Plan{CAs: single.CAs}, time.Now().Add(-360*day)).CAs
		w.leaves[i] = map[string]*pki.KeyPair{}
		for _, name := range []string{"registry", "buildkit", "client"} {
			w.leaves[i][name] = newKey(t, key)
		}
		root := forgedToday(t, w.cas[i][pki.CAName], nil, func(c *x509.Certificate) {
			asCA(c)
			c.Subject.CommonName = fmt.Sprintf("company root %d", i)
		})
		issuing := forgedToday(t, w.cas[i][pki.CAIssuing], root, func(c *x509.Certificate) {
			asIssuing(c)
			c.Subject.CommonName = fmt.Sprintf("company issuing %d", i)
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, yardOnly().DNS
			c.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}, {IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)}}
		})
		issuing.Chain = []*x509.Certificate{root.Cert}
		w.firm[i] = company{root, issuing}
	}
	return w
}

// newKey returns a key without a certificate.
func newKey(t *testing.T, key pki.KeyType) *pki.KeyPair {
	t.Helper()
	kp, _, err := pki.Prepare(pki.LeafPlan{Name: "x", Role: pki.RoleClient, Key: key, Validity: day}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

// forgedToday is forged for a key, with dates around today.
func forgedToday(t testing.TB, key, parent *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	kp := forgedFor(t, key.Key, parent, func(c *x509.Certificate) {
		if edit != nil {
			edit(c)
		}
		shift := time.Since(now)
		c.SerialNumber = randomSerial(t)
		c.NotBefore, c.NotAfter = c.NotBefore.Add(shift), c.NotAfter.Add(shift)
	})
	if parent != nil {
		certs := parent.Certs()
		kp.Chain = certs[:len(certs)-1]
	}
	return kp
}

// forgedServer is a sound server with the workshop's spare key, until it is
// edited.
func (w *workshop) forgedServer(t *testing.T, issuer *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	return forgedToday(t, w.other, issuer, func(c *x509.Certificate) {
		w.asServer(c)
		if edit != nil {
			edit(c)
		}
	})
}

// asServer is an edit for forged: NSS asks RSA servers for another key usage.
func (w *workshop) asServer(c *x509.Certificate) {
	if strings.HasPrefix(string(w.key), "rsa-") {
		c.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
}

func randomSerial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}

// held are the CAs as they are here in a mode: of the company's, the key too
// where it was given.
func (w *workshop) held(m mode, generation int) map[string]*pki.KeyPair {
	firm := w.firm[generation]
	out := map[string]*pki.KeyPair{pki.CAClient: w.cas[generation][pki.CAClient]}
	for _, name := range m.cas {
		switch m.keyholder {
		case pki.KeyGiven:
			out[name] = firm.issuing
		case pki.KeyExternal, pki.KeyRemote:
			out[name] = &pki.KeyPair{Cert: firm.root.Cert}
		default:
			out[name] = w.cas[generation][name]
		}
	}
	return out
}

// issue issues leaves in a mode at a time: two servers and a client.
func (w *workshop) issue(t *testing.T, m mode, generation int, at time.Time) (pki.Plan, pki.Material) {
	t.Helper()
	plan, _ := m.plan(t, w.key)
	second := plan.Leaves[0]
	second.Name, second.CommonName, second.SANs = "buildkit", "yard buildkit", mustSANs(t, "buildkit", "localhost", "127.0.0.1")
	plan.Leaves = append(plan.Leaves, second)
	have := pki.Material{CAs: w.held(m, generation), Leaves: map[string]*pki.KeyPair{}}
	for name, key := range w.leaves[generation] {
		have.Leaves[name] = key
	}
	authorities := map[string]pki.Authority{}
	switch firm := w.firm[generation]; m.keyholder {
	case pki.KeyRemote:
		authorities[pki.CAName] = firm
	case pki.KeyExternal:
		firm.imports(t, plan, have, at)
	}
	steps, err := pki.Diff(plan, have, at)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.Apply(t.Context(), plan, have, steps, authorities, at)
	if err != nil {
		t.Fatal(err)
	}
	return plan, out
}

// imports has the company sign requests for the servers, and accepts what it
// sends.
func (c company) imports(t *testing.T, plan pki.Plan, have pki.Material, at time.Time) {
	t.Helper()
	for _, leaf := range plan.Leaves {
		if leaf.Role != pki.RoleServer {
			continue
		}
		_, request, err := pki.Prepare(leaf, have.Leaves[leaf.Name], at)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := c.Sign(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := pki.Accept(plan, have, leaf.Name+".pem", certs, at)
		if err != nil || len(accepted) != 1 || len(accepted[0].Findings) > 0 {
			t.Fatal(err, accepted)
		}
		have.Leaves[leaf.Name] = accepted[0].Pair
	}
}

// Sign does what CAs do: it takes key, subject, names and usages from the
// request.
func (c company) Sign(_ context.Context, r pki.Request) ([]*x509.Certificate, error) {
	block, _ := pem.Decode(r.CSR)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: csr.Subject, ExtraExtensions: csr.Extensions,
		NotBefore: r.NotBefore, NotAfter: r.NotAfter,
	}, c.issuing.Cert, csr.PublicKey, c.issuing.Key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return []*x509.Certificate{cert, c.issuing.Cert}, err
}

// issuer returns who signs the servers in a mode, with the key: the CA, or the
// first server itself.
func (w *workshop) issuer(m mode, out pki.Material) *pki.KeyPair {
	switch {
	case m.issuer == "":
		return out.Leaves["registry"]
	case m.keyholder == pki.KeyHere:
		return out.CAs[m.issuer]
	default:
		return w.firm[0].issuing
	}
}
