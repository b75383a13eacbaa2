package pki_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/certyard/certyard/pki"
)

// many are n servers' plans.
func many(t testing.TB, n int) iter.Seq[pki.LeafPlan] {
	sans := mustSANs(t, "registry", "127.0.0.1")
	return func(yield func(pki.LeafPlan) bool) {
		for i := range n {
			leaf := pki.LeafPlan{Name: fmt.Sprintf("leaf-%d", i), Role: pki.RoleServer, Issuer: pki.CAName, SANs: sans, Key: pki.ECDSAP256, Validity: 90 * day}
			if !yield(leaf) {
				return
			}
		}
	}
}

// TestIssueEach: every leaf comes once, sound, and with a serial number of its
// own.
func TestIssueEach(t *testing.T) {
	ca := issued(t, pki.Plan{CAs: yardPlan(t).CAs}, now).CAs["ca"]
	names, serials := map[string]bool{}, map[string]bool{}
	err := pki.IssueEach(t.Context(), ca, many(t, 200), now, func(leaf pki.LeafPlan, kp *pki.KeyPair) error {
		names[leaf.Name], serials[kp.Serial()] = true, true
		checkFindings(t, pki.Verify(kp, pki.NewTrustBundle(ca.Cert), pki.Want{Role: leaf.Role, SANs: leaf.SANs}, now))
		return nil
	})
	if err != nil || len(names) != 200 || len(serials) != 200 {
		t.Errorf("%d names, %d serials, %v", len(names), len(serials), err)
	}
}

// TestIssueEachStops: the first error ends it, whoever makes it.
func TestIssueEachStops(t *testing.T) {
	ca := issued(t, pki.Plan{CAs: yardPlan(t).CAs}, now).CAs["ca"]
	full := errors.New("the disk is full")
	given := 0
	err := pki.IssueEach(t.Context(), ca, many(t, 1000), now, func(pki.LeafPlan, *pki.KeyPair) error {
		if given++; given == 5 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || given != 5 {
		t.Errorf("after %d: %v", given, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = pki.IssueEach(ctx, ca, many(t, 1000), now, func(pki.LeafPlan, *pki.KeyPair) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	bad := func(yield func(pki.LeafPlan) bool) {
		yield(pki.LeafPlan{Name: "x", Role: pki.RoleServer, Issuer: pki.CAName, Key: pki.ECDSAP256, Validity: day})
	}
	err = pki.IssueEach(t.Context(), ca, bad, now, func(pki.LeafPlan, *pki.KeyPair) error { return nil })
	wantError[*pki.PlanError](t, err)
	outside := func(yield func(pki.LeafPlan) bool) {
		yield(pki.LeafPlan{Name: "x", Role: pki.RoleServer, Issuer: pki.CAName, SANs: mustSANs(t, "example.com"), Key: pki.ECDSAP256, Validity: day})
	}
	err = pki.IssueEach(t.Context(), ca, outside, now, func(pki.LeafPlan, *pki.KeyPair) error { return nil })
	wantError[*pki.FindingsError](t, err)
}
