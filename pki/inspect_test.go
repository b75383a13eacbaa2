package pki_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// outline writes a forest as one line: names, those that they have signed in
// brackets.
func outline(nodes []*pki.Node) string {
	var out []string
	for _, n := range nodes {
		text := n.Cert.Subject.CommonName
		if len(n.Signed) > 0 {
			text += "(" + outline(n.Signed) + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func sourcesOf(pairs ...*pki.KeyPair) []pki.Source {
	var out []pki.Source
	for i, kp := range pairs {
		out = append(out, pki.Source{Cert: kp.Cert, File: fmt.Sprint(i)})
	}
	return out
}

// called makes a CA of a name.
func called(t *testing.T, name string, parent *pki.KeyPair) *pki.KeyPair {
	return forged(t, parent, func(c *x509.Certificate) { asCA(c); c.Subject.CommonName = name })
}

// TestForest: a certificate stands below the one whose name and key have signed
// it, in any order of the files.
func TestForest(t *testing.T) {
	root := called(t, "root", nil)
	other := called(t, "root", nil) // the same name, another key
	issuing := called(t, "issuing", root)
	leaf := forged(t, issuing, nil)
	orphan := forged(t, called(t, "gone", nil), nil)
	for name, c := range map[string]struct {
		have []*pki.KeyPair
		want string
	}{
		"in order":           {[]*pki.KeyPair{root, issuing, leaf}, "root(issuing(registry))"},
		"reversed":           {[]*pki.KeyPair{leaf, issuing, root}, "root(issuing(registry))"},
		"twice":              {[]*pki.KeyPair{root, root, issuing}, "root(issuing)"},
		"the right namesake": {[]*pki.KeyPair{other, root, issuing}, "root root(issuing)"},
		"only the wrong one": {[]*pki.KeyPair{other, issuing}, "root issuing"},
		"issuer not here":    {[]*pki.KeyPair{root, orphan}, "root registry"},
	} {
		if got := outline(pki.Forest(sourcesOf(c.have...), now)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	for _, n := range pki.Forest(sourcesOf(other, root, orphan), now) {
		if n.Sound() {
			t.Errorf("nothing is wrong with %s", n.Subject)
		}
	}
	if nodes := pki.Forest(sourcesOf(root, issuing), now); !nodes[0].Sound() {
		t.Errorf("%v", nodes[0].Problems)
	}
}

// TestForestOfEachOther: two CAs that have signed each other are both shown.
func TestForestOfEachOther(t *testing.T) {
	a, b := called(t, "a", nil), called(t, "b", nil)
	cross := func(kp, by *pki.KeyPair) *pki.KeyPair {
		return signedPair(t, by, kp, func(c *x509.Certificate) { asCA(c); c.Subject = kp.Cert.Subject })
	}
	got := outline(pki.Forest(sourcesOf(cross(a, b), cross(b, a)), now))
	if got != "a(b)" && got != "b(a)" {
		t.Errorf("got %q", got)
	}
}

func signedPair(t *testing.T, by, kp *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	return &pki.KeyPair{Cert: signedFor(t, by, kp, edit), Key: kp.Key}
}

// TestManyCertificates: strangers cost nothing but a look at their names. With a
// signature verified for each pair, this takes a quarter of a minute.
func TestManyCertificates(t *testing.T) {
	var c pki.Contents
	for i := range 400 {
		kp := forged(t, called(t, fmt.Sprint("gone ", i), nil), nil)
		c.Certs = append(c.Certs, kp.Cert)
	}
	var sources []pki.Source
	for _, cert := range c.Certs {
		sources = append(sources, pki.Source{Cert: cert})
	}
	start := time.Now()
	if n := len(pki.Forest(sources, now)); n != 400 {
		t.Errorf("%d trees", n)
	}
	if _, err := c.Pair(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestDaysLeft: whole days, and less than none as soon as it has expired.
func TestDaysLeft(t *testing.T) {
	for end, want := range map[time.Duration]int{
		2 * day: 2, 2*day - time.Second: 1, time.Hour: 0, 0: 0, -time.Second: -1, -day: -1, -day - time.Second: -2,
	} {
		cert := &x509.Certificate{NotAfter: now.Add(end)}
		if got := pki.DaysLeft(cert, now); got != want {
			t.Errorf("%s before its end: %d days left, want %d", end, got, want)
		}
	}
}
