package pki_test

import (
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// replaceServerCAs makes the next generation of a stack's server CAs.
func replaceServerCAs(t *testing.T, plan pki.Plan, have pki.Material, generation int) pki.Material {
	t.Helper()
	plan.CAs = slices.Clone(plan.CAs)
	for i := range plan.CAs {
		if ca := &plan.CAs[i]; ca.Name != pki.CAClient {
			ca.Replace, ca.Generation, ca.Cross = "asked for", generation, true
		}
	}
	out, err := pki.Apply(t.Context(), plan, have, steps(t, plan, have), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCross: a client that trusts the root before, or the new one alone, accepts
// the servers through the chain that they send; every engine does, also after
// several generations. One that is further back does so through the bridge, and
// not through what everybody is sent.
func TestCross(t *testing.T) {
	needTools(t)
	for i, m := range modes()[:2] {
		t.Run(m.name, func(t *testing.T) {
			plan, have := modeAt(t, i)
			first := have.CAs[pki.CAName].Anchor()
			reached := []string{pki.Generation(first)}
			for generation := 2; generation <= 4; generation++ {
				before := have.CAs[pki.CAName].Anchor()
				have = replaceServerCAs(t, plan, have, generation)
				after := have.CAs[pki.CAName].Anchor()
				reached = append([]string{pki.Generation(after)}, reached...)
				if got := have.Reach("registry"); !slices.Equal(got, reached) {
					t.Errorf("generation %d reaches %v, want %v", generation, got, reached)
				}
				for title, root := range map[string]*x509.Certificate{"before": before, "after": after} {
					q := question{pair: have.Leaves["registry"], trust: []*x509.Certificate{root}, host: "localhost", role: pki.RoleServer}
					for _, e := range engines() {
						if err := e.ask(t, q); err != nil {
							t.Errorf("%s, which trusts the root %s generation %d: %v", e.name, title, generation, err)
						}
					}
				}
			}
			for name, pair := range map[string]*pki.KeyPair{"leaf": have.Leaves["registry"], "bridge": have.Bridge("registry")} {
				f := pki.Verify(pair, pki.NewTrustBundle(first), pki.Want{Role: pki.RoleServer, SANs: plan.Leaves[0].SANs}, now)
				if (len(f) == 0) != (name == "bridge") {
					t.Errorf("a client that trusts the first root alone, shown the %s: %v", name, f)
				}
			}
			if kept := pki.KeepCross(have.Cross, reached[2:3]); len(kept) != 2 || len(pki.KeepCross(have.Cross, nil)) != 1 {
				t.Errorf("of %d crossed certificates %d are kept for the root two before", len(have.Cross), len(kept))
			}
			if n := len(have.Leaves["client"].Chain); n != 0 {
				t.Errorf("the client sends %d certificates of the servers' roots", n)
			}
			if findings := pki.Lint(have.Cross[0]); len(findings) > 0 {
				t.Errorf("lint: %v", findings)
			}
		})
	}
}

// TestCrossCannot: where the chain would lead nowhere there is none.
func TestCrossCannot(t *testing.T) {
	plan, have := modeAt(t, 0)
	have = replaceServerCAs(t, plan, have, 2)
	soon, ending := have, *have.Cross[0]
	ending.NotAfter = have.Leaves["registry"].Cert.NotAfter.Add(-time.Second)
	soon.Cross = []*x509.Certificate{&ending}
	if got := soon.Reach("registry"); len(got) != 1 {
		t.Errorf("where it ends before the leaf it reaches %v", got)
	}
	wide := plan
	wide.CAs, wide.Leaves = slices.Clone(plan.CAs), slices.Clone(plan.Leaves)
	wide.CAs[0].Constraints.DNS = append(slices.Clone(wide.CAs[0].Constraints.DNS), "example.org")
	wide.Leaves[0].SANs = mustSANs(t, "registry", "ci.example.org")
	away, flat := have, have
	away.CAs = map[string]*pki.KeyPair{pki.CAName: {Cert: have.CAs[pki.CAName].Cert}, pki.CAClient: have.CAs[pki.CAClient]}
	short := forged(t, nil, func(c *x509.Certificate) { asCA(c); c.MaxPathLenZero, c.MaxPathLen = true, 0 })
	flat.CAs = map[string]*pki.KeyPair{pki.CAName: short, pki.CAClient: have.CAs[pki.CAClient]}
	flat.Leaves = nil
	for name, c := range map[string]struct {
		plan pki.Plan
		have pki.Material
	}{"the old root may not sign a name": {wide, have}, "its key is elsewhere": {plan, away}, "its path length forbids it": {plan, flat}} {
		if out := replaceServerCAs(t, c.plan, c.have, 3); len(out.Cross) != 0 || len(out.Leaves["registry"].Chain) != 0 {
			t.Errorf("%s, and it has signed", name)
		}
	}
}

// TestCrossRenewed: a leaf that is renewed later sends the chain too, and the
// next run finds nothing to do.
func TestCrossRenewed(t *testing.T) {
	plan, have := modeAt(t, 1)
	old := have.CAs[pki.CAName].Anchor()
	have = replaceServerCAs(t, plan, have, 2)
	checkSteps(t, steps(t, plan, have), "keep\nkeep\nkeep\nkeep\nkeep")
	plan.Leaves[0].Renew = "asked for"
	out, err := pki.Apply(t.Context(), plan, have, steps(t, plan, have), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := out.Leaves["registry"]
	if f := pki.Verify(leaf, pki.NewTrustBundle(old), pki.Want{Role: pki.RoleServer, SANs: plan.Leaves[0].SANs}, now); len(f) > 0 {
		t.Errorf("a client that trusts the old root: %v", f)
	}
	if len(leaf.Chain) != 2 {
		t.Errorf("it sends %s", fmt.Sprint(len(leaf.Chain)))
	}
}
