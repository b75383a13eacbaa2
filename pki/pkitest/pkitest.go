// Package pkitest makes a CA and its leaves in memory, for tests. It is built
// on the interface of package pki alone, so what a test gets is what a stack
// gets. Every function fails the test on error, so it is called from the
// goroutine of the test.
package pkitest

import (
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

const (
	day      = 24 * time.Hour
	leafLife = 30 * day
	caLife   = 3650 * day
	// caAge leaves room to issue leaves that have expired by now.
	caAge = 365 * day
)

// CA signs leaves for tests. It is safe for use in parallel.
type CA struct {
	Pair *pki.KeyPair
	now  time.Time
	plan pki.CAPlan
}

// New returns a CA that may sign every name. It is a year old at the given
// time, so an expired CA is made by giving a time long past.
func New(t testing.TB, now time.Time) *CA {
	t.Helper()
	return NewConstrained(t, now, pki.Constraints{})
}

// NewConstrained returns a CA that may sign only what the constraints permit.
func NewConstrained(t testing.TB, now time.Time, c pki.Constraints) *CA {
	t.Helper()
	ca := &CA{now: now, plan: pki.CAPlan{
		Name: pki.CAName, Stack: "test", Key: pki.ECDSAP256, Validity: caLife, Constraints: c,
	}}
	ca.Pair = apply(t, pki.Plan{CAs: []pki.CAPlan{ca.plan}}, pki.Material{}, now.Add(-caAge)).CAs[pki.CAName]
	return ca
}

// Trust returns the bundle with this CA.
func (c *CA) Trust() pki.TrustBundle { return pki.NewTrustBundle(c.Pair.Cert) }

// Server returns a server leaf that is valid for the hosts.
func (c *CA) Server(t testing.TB, hosts ...string) *pki.KeyPair {
	t.Helper()
	return c.server(t, c.now, hosts)
}

// ExpiredServer returns a server leaf that was valid until a month ago.
func (c *CA) ExpiredServer(t testing.TB, hosts ...string) *pki.KeyPair {
	t.Helper()
	return c.server(t, c.now.Add(-2*leafLife), hosts)
}

// FutureServer returns a server leaf that is not valid before a month from now.
func (c *CA) FutureServer(t testing.TB, hosts ...string) *pki.KeyPair {
	t.Helper()
	return c.server(t, c.now.Add(leafLife), hosts)
}

// Client returns a client leaf with the common name.
func (c *CA) Client(t testing.TB, name string) *pki.KeyPair {
	t.Helper()
	return c.leaf(t, c.now, pki.LeafPlan{Role: pki.RoleClient, CommonName: name})
}

// ExpiredClient returns a client leaf that was valid until a month ago.
func (c *CA) ExpiredClient(t testing.TB, name string) *pki.KeyPair {
	t.Helper()
	return c.leaf(t, c.now.Add(-2*leafLife), pki.LeafPlan{Role: pki.RoleClient, CommonName: name})
}

func (c *CA) server(t testing.TB, now time.Time, hosts []string) *pki.KeyPair {
	t.Helper()
	sans, err := pki.ParseSANs(hosts...)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	return c.leaf(t, now, pki.LeafPlan{Role: pki.RoleServer, SANs: sans})
}

func (c *CA) leaf(t testing.TB, now time.Time, leaf pki.LeafPlan) *pki.KeyPair {
	t.Helper()
	ca := c.plan
	if len(c.Pair.Chain) > 0 {
		ca.Keyholder = pki.KeyGiven // its root is not in the plan
	}
	leaf.Name, leaf.Issuer, leaf.Key, leaf.Validity = "leaf", pki.CAName, pki.ECDSAP256, leafLife
	plan := pki.Plan{CAs: []pki.CAPlan{ca}, Leaves: []pki.LeafPlan{leaf}}
	return apply(t, plan, pki.Material{CAs: map[string]*pki.KeyPair{pki.CAName: c.Pair}}, now).Leaves[leaf.Name]
}

func apply(t testing.TB, plan pki.Plan, have pki.Material, now time.Time) pki.Material {
	t.Helper()
	steps, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	out, err := pki.Apply(t.Context(), plan, have, steps, nil, now)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	return out
}
