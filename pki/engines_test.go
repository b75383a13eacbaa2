package pki_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// These tests happen today, not at the fixed time of the others: certtool and
// NSS take no other time in every version.

// question is what a peer asks an engine: is this pair good for the host and
// the role, now, if these are trusted?
type question struct {
	pair  *pki.KeyPair
	trust []*x509.Certificate
	host  string // of a server; "" of a client
	role  pki.Role
}

// engine is one verifier. It returns why it refuses, and nil if it accepts.
type engine struct {
	name string
	tool string // the command, "" for none
	ask  func(t *testing.T, q question) error
}

func engines() []engine {
	return []engine{
		{"Go", "", askGo},
		{"OpenSSL", "openssl", askOpenSSL},
		{"GnuTLS", "certtool", askGnuTLS},
		{"NSS", "certutil", askNSS},
	}
}

// needTools fails the test without the engines where everything is required, as
// in CI, and skips it elsewhere.
func needTools(t *testing.T) {
	t.Helper()
	for _, e := range engines() {
		if e.tool == "" {
			continue
		}
		if _, err := exec.LookPath(e.tool); err != nil {
			if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
				t.Fatalf("%s is required (scripts/setup test installs it): %v", e.name, err)
			}
			t.Skipf("needs %s: %v", e.name, err)
		}
	}
}

func askGo(_ *testing.T, q question) error {
	usage := x509.ExtKeyUsageServerAuth
	if q.role == pki.RoleClient {
		usage = x509.ExtKeyUsageClientAuth
	}
	_, err := q.pair.Cert.Verify(x509.VerifyOptions{
		Roots: pki.NewTrustBundle(q.trust...).Pool(), Intermediates: pki.NewTrustBundle(q.pair.Chain...).Pool(),
		KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err == nil && q.host != "" {
		err = q.pair.Cert.VerifyHostname(q.host)
	}
	return err
}

func askOpenSSL(t *testing.T, q question) error {
	purpose := map[pki.Role]string{pki.RoleServer: "sslserver", pki.RoleClient: "sslclient"}[q.role]
	args := []string{"verify", "-x509_strict", "-purpose", purpose, "-no-CApath", "-no-CAstore", "-CAfile", certsFile(t, q.trust...)}
	if len(q.pair.Chain) > 0 {
		args = append(args, "-untrusted", certsFile(t, q.pair.Chain...))
	}
	switch {
	case net.ParseIP(q.host) != nil:
		args = append(args, "-verify_ip", q.host)
	case q.host != "":
		args = append(args, "-verify_hostname", q.host)
	}
	return runTool(t, "openssl", append(args, certsFile(t, q.pair.Cert))...)
}

func askGnuTLS(t *testing.T, q question) error {
	purpose := map[pki.Role]string{pki.RoleServer: "1.3.6.1.5.5.7.3.1", pki.RoleClient: "1.3.6.1.5.5.7.3.2"}[q.role]
	args := []string{"--verify", "--load-ca-certificate", certsFile(t, q.trust...), "--infile", certsFile(t, q.pair.Certs()...), "--verify-purpose", purpose}
	if q.host != "" {
		args = append(args, "--verify-hostname", q.host)
	}
	return runTool(t, "certtool", args...)
}

// askNSS has no way to ask for a name: certutil checks chain, usage and time,
// and so the rows about names are put to the other three.
func askNSS(t *testing.T, q question) error {
	db := "sql:" + t.TempDir()
	if err := runTool(t, "certutil", "-N", "-d", db, "--empty-password"); err != nil {
		t.Fatal(err)
	}
	var unknown error
	add := func(name, trust string, cert *x509.Certificate) {
		err := runTool(t, "certutil", "-A", "-d", db, "-n", name, "-t", trust, "-i", certsFile(t, cert))
		switch {
		case err == nil:
		case cert.PublicKeyAlgorithm == x509.Ed25519 && strings.Contains(err.Error(), "SEC_ERROR_ADDING_CERT"):
			unknown = errNoEd25519
		default:
			t.Fatalf("adding %s: %v", name, err)
		}
	}
	name := "leaf"
	for i, cert := range q.trust {
		trust := "CT,," // for servers and for clients
		if cert.Equal(q.pair.Cert) {
			trust = "P,," // a peer that is trusted by itself
		}
		if cert.Equal(q.pair.Cert) {
			name = fmt.Sprintf("trusted %d", i)
		}
		add(fmt.Sprintf("trusted %d", i), trust, cert)
	}
	for i, cert := range q.pair.Chain {
		add(fmt.Sprintf("chain %d", i), ",,", cert)
	}
	if name == "leaf" {
		add(name, ",,", q.pair.Cert)
	}
	if unknown != nil {
		return unknown
	}
	usage := map[pki.Role]string{pki.RoleServer: "V", pki.RoleClient: "C"}[q.role]
	return runTool(t, "certutil", "-V", "-d", db, "-n", name, "-u", usage, "-e")
}

// errNoEd25519 is what NSS says to the one key type that it does not know; later
// versions may.
var errNoEd25519 = errors.New("this NSS knows no Ed25519")

func certsFile(t *testing.T, certs ...*x509.Certificate) string {
	t.Helper()
	var data []byte
	for _, cert := range certs {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	path := filepath.Join(t.TempDir(), "certs.pem")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func runTool(t *testing.T, name string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("running %s: %v", name, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// mode is one way of signing the servers' leaves.
type mode struct {
	name string
	plan func(t testing.TB, key pki.KeyType) (pki.Plan, pki.Material)
}

func modes() []mode {
	return []mode{
		{"single", func(t testing.TB, key pki.KeyType) (pki.Plan, pki.Material) {
			return modePlan(t, key, pki.CAName, rootPlan(key)), pki.Material{}
		}},
		{"two-tier", func(t testing.TB, key pki.KeyType) (pki.Plan, pki.Material) {
			issuing := rootPlan(key)
			issuing.Name, issuing.Issuer = pki.CAIssuing, pki.CAName
			return modePlan(t, key, pki.CAIssuing, rootPlan(key), issuing), pki.Material{}
		}},
		{"given", func(t testing.TB, key pki.KeyType) (pki.Plan, pki.Material) {
			root := forgedToday(t, nil, asCA)
			issuing := forgedToday(t, root, func(c *x509.Certificate) {
				asCA(c)
				c.Subject.CommonName, c.MaxPathLenZero = "issuing", true
			})
			issuing.Chain = []*x509.Certificate{root.Cert}
			given := rootPlan(key)
			given.Keyholder = pki.KeyGiven
			return modePlan(t, key, pki.CAName, given), pki.Material{CAs: onlyCA(issuing)}
		}},
		{"self-signed", func(t testing.TB, key pki.KeyType) (pki.Plan, pki.Material) {
			return modePlan(t, key, ""), pki.Material{}
		}},
	}
}

func rootPlan(key pki.KeyType) pki.CAPlan {
	return pki.CAPlan{Name: pki.CAName, Stack: "yard", Key: key, Validity: 3650 * day,
		Constraints: pki.Constraints{DNS: []string{"registry", "localhost", "lan"}, IPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
}

// modePlan has a server and a client, below the CAs and a client CA.
func modePlan(t testing.TB, key pki.KeyType, issuer string, cas ...pki.CAPlan) pki.Plan {
	t.Helper()
	clients := rootPlan(key)
	clients.Name = pki.CAClient
	plan := pki.Plan{CAs: append(cas, clients)}
	plan.Leaves = []pki.LeafPlan{
		{Name: "registry", Role: pki.RoleServer, Issuer: issuer, CommonName: "yard registry", Key: key, Validity: 90 * day,
			SANs: mustSANs(t, "registry", "build.lan", "*.build.lan", "localhost", "127.0.0.1", "::1")},
		{Name: "client", Role: pki.RoleClient, Issuer: pki.CAClient, CommonName: "yard client", Key: key, Validity: 90 * day},
	}
	return plan
}

// forgedToday is forged, with dates around today.
func forgedToday(t testing.TB, parent *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	return forged(t, parent, func(c *x509.Certificate) {
		if edit != nil {
			edit(c)
		}
		shift := time.Since(now)
		c.SerialNumber = new(big.Int).SetInt64(time.Now().UnixNano())
		c.NotBefore, c.NotAfter = c.NotBefore.Add(shift), c.NotAfter.Add(shift)
	})
}

// made carries a plan out today, or that much later.
func made(t testing.TB, plan pki.Plan, have pki.Material, later time.Duration) pki.Material {
	t.Helper()
	now := time.Now().Add(later)
	steps, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.Apply(t.Context(), plan, have, steps, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEnginesAccept: what is issued, in every mode and of every key type, is
// accepted by every engine.
func TestEnginesAccept(t *testing.T) {
	needTools(t)
	for _, m := range modes() {
		for _, key := range pki.KeyTypes() {
			t.Run(m.name+"/"+string(key), func(t *testing.T) {
				t.Parallel()
				plan, have := m.plan(t, key)
				out := made(t, plan, have, 0)
				server := question{out.Leaves["registry"], out.Trust(plan, pki.RoleServer).Certs(), "", pki.RoleServer}
				for _, e := range engines() {
					for _, host := range []string{"registry", "x.build.lan", "127.0.0.1"} {
						q := server
						if q.host = host; e.name == "NSS" {
							q.host = ""
						}
						if err := e.ask(t, q); err != nil && !errors.Is(err, errNoEd25519) {
							t.Errorf("%s refuses the server as %s: %v", e.name, host, err)
						}
						if e.name == "NSS" {
							break
						}
					}
					client := question{out.Leaves["client"], out.Trust(plan, pki.RoleClient).Certs(), "", pki.RoleClient}
					if err := e.ask(t, client); err != nil && !errors.Is(err, errNoEd25519) {
						t.Errorf("%s refuses the client: %v", e.name, err)
					}
				}
			})
		}
	}
}

// TestEnginesBundles: two generations of a CA are trusted in either order.
func TestEnginesBundles(t *testing.T) {
	needTools(t)
	for _, m := range modes()[:2] {
		plan, have := m.plan(t, pki.ECDSAP256)
		old, current := made(t, plan, have, 0), made(t, plan, have, 0)
		trust := []*x509.Certificate{old.CAs[pki.CAName].Cert, current.CAs[pki.CAName].Cert}
		for _, order := range []string{"old first", "new first"} {
			for _, out := range []pki.Material{old, current} {
				for _, e := range engines() {
					if err := e.ask(t, question{out.Leaves["registry"], trust, "", pki.RoleServer}); err != nil {
						t.Errorf("%s, %s: %s refuses: %v", m.name, order, e.name, err)
					}
				}
			}
			slices.Reverse(trust)
		}
	}
}

// TestEnginesRefuse: every engine refuses what is wrong. An engine that does not
// is named in the row, with the reason.
func TestEnginesRefuse(t *testing.T) {
	needTools(t)
	for _, m := range modes()[:2] {
		plan, have := m.plan(t, pki.ECDSAP256)
		out, other := made(t, plan, have, 0), made(t, plan, have, 0)
		issuer := out.CAs[plan.Leaves[0].Issuer]
		forge := func(edit func(*x509.Certificate)) *pki.KeyPair {
			kp := forgedToday(t, issuer, edit)
			kp.Chain = out.Leaves["registry"].Chain
			return kp
		}
		good := question{out.Leaves["registry"], out.Trust(plan, pki.RoleServer).Certs(), "registry", pki.RoleServer}
		with := func(change func(*question)) question { q := good; change(&q); return q }
		for _, c := range []struct {
			name    string
			q       question
			accepts map[string]string // engine -> why it does not refuse
		}{
			{"wrong name", with(func(q *question) { q.host = "other.lan" }), map[string]string{"NSS": "certutil has no way to ask for a name"}},
			{"wrong address", with(func(q *question) { q.host = "127.0.0.2" }), map[string]string{"NSS": "certutil has no way to ask for a name"}},
			{"server as client", with(func(q *question) { q.role, q.host = pki.RoleClient, "" }), nil},
			{"client as server", question{out.Leaves["client"], out.Trust(plan, pki.RoleClient).Certs(), "", pki.RoleServer}, nil},
			{"outside the constraints", with(func(q *question) {
				q.pair, q.host = forge(func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }), "example.com"
			}), nil},
			{"address outside the constraints", with(func(q *question) {
				q.pair, q.host = forge(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(8, 8, 8, 8).To4()} }), "8.8.8.8"
			}), nil},
			{"expired", with(func(q *question) { q.pair = forge(shifted(-200 * day)) }), nil},
			{"not yet valid", with(func(q *question) { q.pair = forge(shifted(30 * day)) }), nil},
			{"unknown CA", with(func(q *question) { q.trust = other.Trust(plan, pki.RoleServer).Certs() }), nil},
			{"same subject, another key", with(func(q *question) { q.trust = []*x509.Certificate{twin(t, out.CAs[pki.CAName]).Cert} }), nil},
			{"signed by a leaf", with(func(q *question) {
				leaf := out.Leaves["registry"]
				q.pair = forgedToday(t, leaf, nil)
				q.pair.Chain = leaf.Certs()
			}), nil},
		} {
			for _, e := range engines() {
				err := e.ask(t, c.q)
				if why, excused := c.accepts[e.name]; excused {
					if err != nil {
						t.Errorf("%s, %s: %s refuses now (%v), though %q: take the exception out", m.name, c.name, e.name, err, why)
					}
					continue
				}
				if err == nil {
					t.Errorf("%s, %s: %s accepts", m.name, c.name, e.name)
				}
			}
		}
	}
}

// shifted is an edit that moves the validity. NSS accepts what becomes valid
// within a day, so it has to be far.
func shifted(by time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotBefore.Add(by), c.NotAfter.Add(by) }
}

// twin is a CA with the same subject and another key.
func twin(t *testing.T, ca *pki.KeyPair) *pki.KeyPair {
	t.Helper()
	return forgedToday(t, nil, func(c *x509.Certificate) {
		asCA(c)
		c.RawSubject = ca.Cert.RawSubject
	})
}
