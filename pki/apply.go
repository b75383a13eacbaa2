package pki

import (
	"fmt"
	"maps"
	"time"
)

// Apply carries out the steps that [Diff] returned for the same plan and
// material, and returns the CA and the leaves of the plan. The arguments are
// not changed, and nothing is returned unless every key pair, kept ones
// included, passes [Verify] at the given time; else the error wraps a
// *[FindingsError]. A step that would replace a key or that does not belong to
// the plan is an error.
func Apply(plan Plan, have Material, steps []Step, now time.Time) (Material, error) {
	out := Material{CA: have.CA, Leaves: map[string]*KeyPair{}}
	maps.Copy(out.Leaves, have.Leaves)
	for _, step := range steps {
		if err := out.apply(plan, step, now); err != nil {
			return Material{}, err
		}
	}
	return out.verified(plan, now)
}

// apply carries out one step.
func (m *Material) apply(plan Plan, step Step, now time.Time) error {
	if step.Name == CAName {
		return m.applyCA(plan.CA, step, now)
	}
	for _, leaf := range plan.Leaves {
		if leaf.Name == step.Name {
			return m.applyLeaf(leaf, step, now)
		}
	}
	return &PlanError{fmt.Sprintf("%s of %q", step.Action, step.Name), "is not in the plan"}
}

func (m *Material) applyCA(plan CAPlan, step Step, now time.Time) error {
	switch {
	case step.Action == Keep && m.CA != nil:
		return nil
	case step.Action == Issue && m.CA == nil:
		ca, err := newCA(plan, now)
		if err != nil {
			return fmt.Errorf("issuing CA: %w", err)
		}
		m.CA = ca
		return nil
	default:
		return impossible(step, m.CA)
	}
}

func (m *Material) applyLeaf(leaf LeafPlan, step Step, now time.Time) error {
	kp := m.Leaves[leaf.Name]
	doing := map[Action]string{Issue: "issuing", Renew: "renewing", Reissue: "reissuing"}[step.Action]
	switch {
	case step.Action == Keep && kp != nil:
		return nil
	case doing == "", (kp == nil) != (step.Action == Issue), m.CA == nil:
		return impossible(step, kp)
	case kp == nil:
		key, err := newKey(leaf.Key)
		if err != nil {
			return fmt.Errorf("%s %s: %w", doing, leaf.Title(), err)
		}
		kp = &KeyPair{Key: key}
	}
	cert, err := newLeaf(m.CA, leaf, kp.Key, now)
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, leaf.Title(), err)
	}
	m.Leaves[leaf.Name] = &KeyPair{Cert: cert, Key: kp.Key, keyPEM: kp.keyPEM}
	return nil
}

func impossible(step Step, have *KeyPair) error {
	there := "exists"
	if have == nil {
		there = "does not exist"
	}
	return &PlanError{fmt.Sprintf("%s of %q", step.Action, step.Name), "cannot be done: it " + there}
}

// verified returns what the plan names, if all of it holds.
func (m *Material) verified(plan Plan, now time.Time) (Material, error) {
	if m.CA == nil {
		return Material{}, &PlanError{"CA", "was not issued"}
	}
	findings := VerifyCA(m.CA, now)
	trust := NewTrustBundle(m.CA.Cert)
	out := Material{CA: m.CA, Leaves: map[string]*KeyPair{}}
	for _, leaf := range plan.Leaves {
		kp := m.Leaves[leaf.Name]
		if kp == nil {
			return Material{}, &PlanError{leaf.Title(), "was not issued"}
		}
		findings = append(findings, Verify(kp, trust, Want{leaf.Role, leaf.SANs}, now)...)
		out.Leaves[leaf.Name] = kp
	}
	if len(findings) > 0 {
		return Material{}, fmt.Errorf("verifying what was issued: %w", &FindingsError{findings})
	}
	return out, nil
}
