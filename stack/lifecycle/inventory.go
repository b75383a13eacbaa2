package lifecycle

import (
	"slices"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// Inventory returns every certificate of a recorded stack, with where it and its
// key are and which container reads it.
func Inventory(d Deps) ([]pki.Source, error) {
	p, m, err := recordedMaterial(d)
	if err != nil {
		return nil, err
	}
	var out []pki.Source
	for _, name := range append(stack.CAs(), stack.Leaves(p.clients())...) {
		kp := named(m, name)
		if kp == nil || kp.Cert == nil {
			continue
		}
		out = append(out, pki.Source{Cert: kp.Cert, Name: name, File: stack.PairOf(name).Cert, Key: keyState(p.state.Spec.PKI, kp), Reader: stack.ReaderOf(name)})
	}
	return out, nil
}

func recordedMaterial(d Deps) (prior, pki.Material, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return p, pki.Material{}, err
	}
	m, err := p.material(p.state.Spec.PKI)
	return p, m, err
}

func named(m pki.Material, name string) *pki.KeyPair {
	if ca := m.CAs[name]; ca != nil {
		return ca
	}
	return m.Leaves[name]
}

// Named returns a key pair of a recorded stack, and what its peers trust; nil
// when there is none of that name.
func Named(d Deps, name string) (*pki.KeyPair, pki.TrustBundle, error) {
	p, m, err := recordedMaterial(d)
	if err != nil {
		return nil, pki.TrustBundle{}, err
	}
	plan, err := p.state.Spec.PKIPlan(p.state.Facts, p.state.Clients)
	if err != nil {
		return nil, pki.TrustBundle{}, err
	}
	// A client's peers are the servers.
	return named(m, name), m.Trust(plan, pki.RoleServer), nil
}

// Verified is what was found of one certificate.
type Verified struct {
	Name     string   `json:"name"`
	Source   string   `json:"source"` // a file, or an address
	Findings []string `json:"findings"`
	Notes    []string `json:"notes"` // what need not be wrong
}

// VerifyStack verifies every certificate of a recorded stack for what it is used
// for. A finding means that some peer refuses it.
func VerifyStack(d Deps) ([]Verified, error) {
	p, m, err := recordedMaterial(d)
	if err != nil {
		return nil, err
	}
	plan, err := p.state.Spec.PKIPlan(p.state.Facts, p.state.Clients)
	if err != nil {
		return nil, err
	}
	out := []Verified{}
	add := func(name string, kp *pki.KeyPair, findings []pki.Finding) {
		v := Verified{Name: name, Source: stack.PairOf(name).Cert, Findings: []string{}, Notes: []string{}}
		for _, f := range findings {
			v.Findings = append(v.Findings, f.String())
		}
		if kp != nil && kp.Cert != nil {
			for _, f := range pki.Lint(kp.Cert) {
				v.Notes = append(v.Notes, f.String())
			}
		}
		out = append(out, v)
	}
	missing := []pki.Finding{{Subject: "it", Problem: "is missing"}}
	for _, ca := range plan.CAs {
		if kp := m.CAs[ca.Name]; kp == nil {
			add(ca.Name, nil, missing)
		} else {
			add(ca.Name, kp, pki.VerifyCA(kp, d.Now()))
		}
	}
	for _, leaf := range plan.Leaves {
		kp := m.Leaves[leaf.Name]
		if kp == nil || kp.Cert == nil {
			add(leaf.Name, nil, missing)
			continue
		}
		findings := pki.Verify(kp, m.TrustOf(leaf), pki.Want{Role: leaf.Role, SANs: leaf.SANs}, d.Now())
		if changed, _, err := drifted(d.Store, *p.state, hopOf(leaf.Name)); err != nil {
			return nil, err
		} else if slices.Contains(changed, stack.PairOf(leaf.Name).Cert) {
			findings = append(findings, pki.Finding{Subject: stack.PairOf(leaf.Name).Cert, Problem: "is not what certyard wrote there"})
		}
		add(leaf.Name, kp, findings)
	}
	return out, nil
}

func hopOf(leaf string) stack.Hop {
	hop, _ := stack.HopOf(stack.PairOf(leaf).Cert)
	return hop
}
