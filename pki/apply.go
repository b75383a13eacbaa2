package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Apply carries out the steps that [Diff] returned for the same plan and
// material, and returns the CAs and the leaves of the plan. CAs whose key is
// here sign by themselves; for the others the authorities sign, by the name of
// the CA. The arguments are not changed, and nothing is returned unless every
// key pair, kept ones included, passes [Verify] at the given time; else the
// error wraps a *[FindingsError], or for leaves that wait for an external CA
// an *[UnsignedError] each. A step that would replace a key or that does not
// belong to the plan is an error.
func Apply(ctx context.Context, plan Plan, have Material, steps []Step, authorities map[string]Authority, now time.Time) (Material, error) {
	out := Material{CAs: map[string]*KeyPair{}, Leaves: map[string]*KeyPair{}, Cross: have.Cross, Used: have.Used}
	maps.Copy(out.CAs, have.CAs)
	maps.Copy(out.Leaves, have.Leaves)
	a := applier{plan: plan, have: have, out: out, authorities: maps.Clone(authorities), now: now}
	for _, step := range steps {
		if err := a.apply(ctx, step); err != nil {
			return Material{}, err
		}
	}
	return a.verified()
}

// applier is one run of Apply.
type applier struct {
	plan        Plan
	have, out   Material
	authorities map[string]Authority // those of local CAs are added when first used
	now         time.Time
	unsigned    []error
}

// apply carries out one step.
func (a *applier) apply(ctx context.Context, step Step) error {
	if ca, ok := a.plan.ca(step.Name); ok {
		return a.ca(ca, step)
	}
	for _, leaf := range a.plan.Leaves {
		if leaf.Name == step.Name {
			return a.leaf(ctx, leaf, step)
		}
	}
	return &PlanError{fmt.Sprintf("%s of %q", step.Action, step.Name), "is not in the plan"}
}

func (a *applier) ca(plan CAPlan, step Step) error {
	have := a.have.CAs[plan.Name]
	switch {
	case step.Action == Keep && have != nil && plan.Replace == "":
		return nil
	case step.Action == Issue && (have == nil || plan.Replace != "") && plan.Keyholder == KeyHere:
		ca, err := newCA(plan, a.out.CAs[plan.Issuer], a.now)
		if err != nil {
			return fmt.Errorf("issuing %s: %w", plan.Title(), err)
		}
		a.out.CAs[plan.Name] = ca
		return a.cross(plan, ca, have)
	default:
		return impossible(step, have)
	}
}

func (a *applier) leaf(ctx context.Context, leaf LeafPlan, step Step) error {
	kp := a.have.Leaves[leaf.Name]
	exists := kp != nil && kp.Cert != nil
	doing := map[Action]string{Issue: "issuing", Renew: "renewing", Reissue: "reissuing"}[step.Action]
	switch {
	case step.Action == Keep && exists:
		return nil
	case step.Action == Await:
		a.await(leaf, step)
		return nil
	case doing == "", exists == (step.Action == Issue):
		return impossible(step, kp)
	}
	out, err := a.issue(ctx, leaf, kp)
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, leaf.Title(), err)
	}
	a.out.Leaves[leaf.Name] = out
	return nil
}

// await accepts what an external CA will replace, as long as it still holds.
func (a *applier) await(leaf LeafPlan, step Step) {
	kp := a.have.Leaves[leaf.Name]
	if kp == nil || kp.Cert == nil || len(Verify(kp, a.trust(leaf), Want{leaf.Role, leaf.SANs}, a.now)) > 0 {
		a.unsigned = append(a.unsigned, &UnsignedError{Leaf: leaf.Title(), Why: step.Cause})
	}
}

// issue makes a key, unless there is one, and has a certificate signed for it.
func (a *applier) issue(ctx context.Context, leaf LeafPlan, have *KeyPair) (*KeyPair, error) {
	out, request, err := Prepare(leaf, have, a.now)
	if err != nil {
		return nil, err
	}
	authority, err := a.authority(leaf, out)
	if err != nil {
		return nil, err
	}
	if out, err = complete(ctx, authority, out, request); err == nil && len(a.out.Cross) > 0 && a.belowRoot(leaf) {
		out.Chain = append(out.Chain, a.out.Cross[0])
	}
	return out, err
}

// belowRoot reports whether a leaf is verified with the root of the servers.
func (a *applier) belowRoot(leaf LeafPlan) bool {
	ca, _ := a.plan.ca(leaf.Issuer)
	return ca.Name == CAName || ca.Issuer == CAName
}

// complete has a request signed, and adds what comes back to the key.
func complete(ctx context.Context, authority Authority, kp *KeyPair, request Request) (*KeyPair, error) {
	chain, err := authority.Sign(ctx, request)
	if err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, errors.New("the authority returned no certificate")
	}
	return &KeyPair{Cert: chain[0], Chain: chain[1:], Key: kp.Key, keyPEM: kp.keyPEM}, nil
}

// authority returns who signs a leaf: itself, the CA whose key is here, or
// whoever was given for the CA.
func (a *applier) authority(leaf LeafPlan, self *KeyPair) (Authority, error) {
	if leaf.Issuer == "" {
		return selfSigned(self.Key, leaf), nil
	}
	if authority := a.authorities[leaf.Issuer]; authority != nil {
		return authority, nil
	}
	ca := a.out.CAs[leaf.Issuer]
	if ca == nil {
		return nil, &MissingError{Name: TitleOfCA(leaf.Issuer)}
	}
	if ca.Key == nil {
		return nil, keyless(ca, TitleOfCA(leaf.Issuer), leaf.Title())
	}
	if a.authorities == nil {
		a.authorities = map[string]Authority{}
	}
	a.authorities[leaf.Issuer] = Local(ca)
	return a.authorities[leaf.Issuer], nil
}

func impossible(step Step, have *KeyPair) error {
	there := "exists"
	if have == nil {
		there = "does not exist"
	}
	return &PlanError{fmt.Sprintf("%s of %q", step.Action, step.Name), "cannot be done: it " + there}
}

// trust returns what peers of a leaf have to trust.
func (a *applier) trust(leaf LeafPlan) TrustBundle { return a.out.TrustOf(leaf) }

// TrustOf returns what peers of a leaf have to trust: the root above its issuer,
// or the leaf itself.
func (m Material) TrustOf(leaf LeafPlan) TrustBundle {
	if ca := m.CAs[leaf.Issuer]; ca != nil {
		return NewTrustBundle(ca.Anchor())
	}
	if kp := m.Leaves[leaf.Name]; leaf.Issuer == "" && kp != nil && kp.Cert != nil {
		return NewTrustBundle(kp.Cert)
	}
	return TrustBundle{}
}

// Trust returns what peers have to trust to accept the leaves of a role: roots,
// or where leaves are self-signed, the leaves.
func (m Material) Trust(plan Plan, role Role) TrustBundle {
	var certs []*x509.Certificate
	for _, leaf := range plan.Leaves {
		if leaf.Role == role {
			certs = append(certs, m.TrustOf(leaf).certs...)
		}
	}
	return NewTrustBundle(certs...)
}

// verified returns what the plan names, if all of it holds.
func (a *applier) verified() (Material, error) {
	if err := errors.Join(a.unsigned...); err != nil {
		return Material{}, err
	}
	out := Material{CAs: map[string]*KeyPair{}, Leaves: map[string]*KeyPair{}, Cross: a.out.Cross, Used: a.out.Used}
	var findings []Finding
	for _, plan := range a.plan.CAs {
		ca := a.out.CAs[plan.Name]
		if ca == nil {
			return Material{}, &PlanError{plan.Title(), "was not issued"}
		}
		findings = append(findings, VerifyCA(ca, a.now)...)
		out.CAs[plan.Name] = ca
	}
	for _, leaf := range a.plan.Leaves {
		kp := a.out.Leaves[leaf.Name]
		if kp == nil || kp.Cert == nil {
			return Material{}, &PlanError{leaf.Title(), "was not issued"}
		}
		findings = append(findings, Verify(kp, a.trust(leaf), Want{leaf.Role, leaf.SANs}, a.now)...)
		out.Leaves[leaf.Name] = kp
	}
	findings = append(findings, out.sameSerials(a.plan)...)
	if len(findings) > 0 {
		return Material{}, fmt.Errorf("verifying what was issued: %w", &FindingsError{findings})
	}
	return out, nil
}
