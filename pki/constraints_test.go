package pki

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// These tests are inside the package: they sign leaves that a CA must not sign,
// which Diff does not allow.

var constraintsNow = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

func TestUncovered(t *testing.T) {
	sans, err := ParseSANs("registry", "sub.registry", "myregistry", "*.a.registry", "a.build.lan",
		"127.0.0.1", "10.1.2.3", "::1")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		constraints Constraints
		want        string
	}{
		"none":             {Constraints{}, ""},
		"names only":       {Constraints{DNS: []string{"registry", "Build.LAN."}}, "myregistry"},
		"networks only":    {Constraints{IPs: prefixes("127.0.0.0/8")}, "10.1.2.3 ::1"},
		"both":             {Constraints{DNS: []string{"lan"}, IPs: prefixes("10.0.0.0/8", "::/0")}, "*.a.registry myregistry registry sub.registry 127.0.0.1"},
		"unmasked network": {Constraints{DNS: []string{"registry", "myregistry", "lan"}, IPs: prefixes("127.9.9.9/8", "10.1.2.3/32", "::1/128")}, ""},
	} {
		if got := strings.Join(c.constraints.Uncovered(sans), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// TestUncoveredAgreesWithVerifier signs leaves with random names under CAs with
// random constraints, and asks x509.Verify whether each may stand.
func TestUncoveredAgreesWithVerifier(t *testing.T) {
	domains := []string{"registry", "localhost", "lan", "build.lan", "a.build.lan", "internal"}
	networks := prefixes("127.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "172.16.0.0/12", "::1/128", "fc00::/7", "0.0.0.0/0")
	hosts := []string{"registry", "x.registry", "xregistry", "*.build.lan", "a.build.lan", "b.build.lan", "lan",
		"registry.internal", "127.0.0.1", "10.1.2.3", "10.9.9.9", "172.31.0.1", "172.32.0.1", "::1", "fd00::1", "2001:db8::1"}
	random := rand.New(rand.NewPCG(3, 4))
	key, err := newKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	var accepted, refused int
	for range 300 {
		c := Constraints{DNS: some(random, domains, 3), IPs: some(random, networks, 4)}
		ca, err := newCA(CAPlan{Name: CAName, Stack: "test", Key: ECDSAP256, Validity: time.Hour, Constraints: c}, nil, constraintsNow)
		if err != nil {
			t.Fatal(err)
		}
		sans, err := ParseSANs(some(random, hosts, 3)...)
		if err != nil || sans.Len() == 0 {
			continue
		}
		leaf := LeafPlan{Name: "leaf", Role: RoleServer, SANs: sans, Validity: time.Hour}
		request, err := NewRequest(leaf, key, constraintsNow)
		if err != nil {
			t.Fatal(err)
		}
		chain, err := Local(ca).Sign(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		cert := chain[0]
		_, verifyErr := cert.Verify(x509.VerifyOptions{Roots: NewTrustBundle(ca.Cert).Pool(), CurrentTime: constraintsNow})
		uncovered := c.Uncovered(sans)
		if (verifyErr == nil) != (len(uncovered) == 0) {
			t.Fatalf("constraints %v, SANs %v: uncovered %v, the verifier says %v", c, sans.Strings(), uncovered, verifyErr)
		}
		if fromCert := ConstraintsOf(ca.Cert).Uncovered(sans); !slices.Equal(fromCert, uncovered) {
			t.Fatalf("constraints %v: uncovered %v from the plan, %v from the certificate", c, uncovered, fromCert)
		}
		if verifyErr == nil {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 30 || refused < 30 {
		t.Errorf("%d accepted and %d refused: too few of one to prove anything", accepted, refused)
	}
}

// TestConstraintsOfForeignCA covers what other makers write and we do not: a
// leading dot, and the empty name that permits all.
func TestConstraintsOfForeignCA(t *testing.T) {
	sans := SANs{dns: []string{"build.lan", "x.build.lan"}}
	dotted := ConstraintsOf(&x509.Certificate{PermittedDNSDomains: []string{".Build.lan"}})
	if got := dotted.Uncovered(sans); !slices.Equal(got, []string{"build.lan"}) {
		t.Errorf("leading dot: got %v", got)
	}
	all := ConstraintsOf(&x509.Certificate{PermittedDNSDomains: []string{""}})
	if got := all.Uncovered(sans); got != nil {
		t.Errorf("empty name: got %v", got)
	}
}

func TestConstraintsInCertificate(t *testing.T) {
	want := Constraints{DNS: []string{"registry", "internal"}, IPs: prefixes("10.32.0.0/11", "fd00:8000::/17")}
	given := Constraints{DNS: []string{"registry", "Internal."}, IPs: prefixes("10.33.1.1/11", "fd00:8000::5/17")}
	ca, err := newCA(CAPlan{Name: CAName, Stack: "test", Key: ECDSAP256, Validity: time.Hour, Constraints: given}, nil, constraintsNow)
	if err != nil {
		t.Fatal(err)
	}
	if got := ConstraintsOf(ca.Cert); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !ca.Cert.PermittedDNSDomainsCritical {
		t.Error("the constraints are not critical")
	}
}

func TestConstraintProblems(t *testing.T) {
	c := Constraints{
		DNS: []string{"ok", "", "*.build.lan", "10.0.0.1", "https://x", ".lan"},
		IPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}, netip.MustParsePrefix("::ffff:10.0.0.0/104")},
	}
	if got := c.problems(); len(got) != 7 {
		t.Errorf("got %d problems, want 7:\n%s", len(got), fmt.Sprintln(got))
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// some returns up to n of the values, in random order.
func some[T any](random *rand.Rand, values []T, n int) []T {
	values = slices.Clone(values)
	random.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	return values[:random.IntN(n+1)]
}

// TestConstraintsUnion: what one of two permits, and an entry of none of a kind
// permits all of it.
func TestConstraintsUnion(t *testing.T) {
	a := Constraints{DNS: []string{"lan", "a.test"}, IPs: PermitNothing().IPs, ExcludedDNS: []string{"x.lan", "y.lan"}}
	b := Constraints{DNS: []string{"b.test", "lan"}, ExcludedDNS: []string{"y.lan"}}
	u := a.Union(b)
	permitted, refused := someSANs(t, "lan", "a.test", "b.test", "x.lan", "10.0.0.1"), someSANs(t, "c.test", "y.lan")
	if got := u.Uncovered(permitted); len(got) > 0 {
		t.Errorf("it does not permit %v", got)
	}
	if got := u.Uncovered(refused); len(got) != 2 {
		t.Errorf("of %v it refuses %v", refused.Strings(), got)
	}
	if got := a.Union(a).Uncovered(someSANs(t, "10.0.0.1")); len(got) != 1 {
		t.Error("it permits an address that neither does")
	}
}

func someSANs(t *testing.T, names ...string) SANs {
	t.Helper()
	out, err := ParseSANs(names...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
