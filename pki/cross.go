package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
)

// cross settles [Material.Cross] when a root takes the place of another one.
func (a *applier) cross(plan CAPlan, root, before *KeyPair) error {
	if plan.Name != CAName || before == nil {
		return nil
	}
	a.out.Cross = nil
	if !plan.Cross || before.Key == nil || !a.reaches(before.Cert) {
		return nil
	}
	cross, err := crossSign(root, before, a.now)
	if err != nil {
		return fmt.Errorf("having CA %s sign CA %s: %w", Generation(before.Cert), Generation(root.Cert), err)
	}
	a.out.Cross = append([]*x509.Certificate{cross}, a.have.Cross...)
	return nil
}

// reaches reports whether a root permits the chain down to the leaves, and may
// sign the name of every server.
func (a *applier) reaches(root *x509.Certificate) bool {
	between := 1 // the new root
	if slices.ContainsFunc(a.plan.CAs, func(ca CAPlan) bool { return ca.Issuer == CAName }) {
		between++
	}
	if limited(root) && root.MaxPathLen < between {
		return false
	}
	c := ConstraintsOf(root)
	return !slices.ContainsFunc(a.plan.Leaves, func(leaf LeafPlan) bool {
		return leaf.Role == RoleServer && len(c.Uncovered(leaf.SANs)) > 0
	})
}

// limited reports whether a CA says how many others may be below it.
func limited(ca *x509.Certificate) bool { return ca.MaxPathLen > 0 || ca.MaxPathLenZero }

// Reach returns the generations of the roots with which a server's leaf can be
// verified until it ends, given all of [Material.Cross]: the root's own, then
// older ones, newest first; none without a root.
func (m Material) Reach(name string) []string {
	root, leaf := m.CAs[CAName], m.Leaves[name]
	if root == nil {
		return nil
	}
	out := []string{Generation(root.Anchor())}
	if leaf == nil || leaf.Cert == nil {
		return out
	}
	between := x509.NewCertPool()
	for _, cert := range leaf.Chain {
		between.AddCert(cert)
	}
	for _, cross := range m.Cross {
		// As an anchor it stands for the root that has signed it, which does
		// not end before it.
		anchor := x509.NewCertPool()
		anchor.AddCert(cross)
		_, err := leaf.Cert.Verify(x509.VerifyOptions{Roots: anchor, Intermediates: between, CurrentTime: leaf.Cert.NotAfter})
		if err != nil {
			break
		}
		out = append(out, shortID(cross.AuthorityKeyId))
		between.AddCert(cross)
	}
	return out
}

// Bridge returns a server's pair with the chain for a client that may know no
// newer root than one of a long time ago. It is for clients that build a path
// from what they are sent, as those of crypto/tls. GnuTLS does not: it retries
// once without the last certificate, and so one of it that trusts the newest root
// alone refuses more than one crossed certificate (seen with 3.7.9).
func (m Material) Bridge(name string) *KeyPair {
	out := *m.Leaves[name]
	if len(m.Cross) > 1 { // the first is in the chain already
		out.Chain = slices.Concat(out.Chain, m.Cross[1:])
	}
	return &out
}

// KeepCross returns the part of [Material.Cross] that one of the given roots
// needs to lead to the newest, and the first in any case.
func KeepCross(crossed []*x509.Certificate, generations []string) []*x509.Certificate {
	for i, cross := range crossed {
		if slices.Contains(generations, shortID(cross.AuthorityKeyId)) {
			return crossed[:i+1]
		}
	}
	return crossed[:min(1, len(crossed))]
}

// CrossPEM returns [Material.Cross] in PEM.
func (m Material) CrossPEM() []byte {
	var out []byte
	for _, cross := range m.Cross {
		out = append(out, certPEM(cross)...)
	}
	return out
}
