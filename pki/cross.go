package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// cross settles [Material.Cross] when a root takes the place of another one.
//
// One generation back is all: a chain could go on with how the root before was
// cross-signed itself, but GnuTLS retries once without the last certificate, and
// a client of it that trusts the newest root alone refuses a longer one (seen
// with 3.7.9).
func (a *applier) cross(plan CAPlan, root, before *KeyPair) error {
	if plan.Name != CAName || before == nil {
		return nil
	}
	a.out.Cross = nil
	if !plan.Cross || before.Key == nil || !a.reaches(before.Cert) {
		return nil
	}
	var err error
	if a.out.Cross, err = crossSign(root, before, a.now); err != nil {
		return fmt.Errorf("having CA %s sign CA %s: %w", Generation(before.Cert), Generation(root.Cert), err)
	}
	return nil
}

// reaches reports whether a root permits the chain down to the leaves, and may
// sign the name of every server.
func (a *applier) reaches(root *x509.Certificate) bool {
	between := 1 // the new root
	if slices.ContainsFunc(a.plan.CAs, func(ca CAPlan) bool { return ca.Issuer == CAName }) {
		between++
	}
	if limited := root.MaxPathLen > 0 || root.MaxPathLenZero; limited && root.MaxPathLen < between {
		return false
	}
	c := ConstraintsOf(root)
	return !slices.ContainsFunc(a.plan.Leaves, func(leaf LeafPlan) bool {
		return leaf.Role == RoleServer && len(c.Uncovered(leaf.SANs)) > 0
	})
}

// Reach returns the generations of the roots with which the servers can be
// verified: the root's own, and the one before if that has cross-signed it.
func (m Material) Reach(now time.Time) []string {
	ca := m.CAs[CAName]
	if ca == nil {
		return nil
	}
	out := []string{Generation(ca.Anchor())}
	if m.Cross != nil && !now.After(m.Cross.NotAfter) {
		out = append(out, shortID(m.Cross.AuthorityKeyId))
	}
	return out
}
