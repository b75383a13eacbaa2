package lifecycle

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// enter returns what changes a draft so that the files are those of a phase. It
// fails when they are not in the phase that they were left in.
func enter(phase stack.Phase, left *stack.Rotation) func(*draft) error {
	return func(dr *draft) error {
		if dr.rotation == nil || !sameRotation(dr.rotation, left) {
			return &OtherRunError{}
		}
		dr.phase, dr.mayAge = phase, noLeaf
		switch phase {
		case stack.PhaseRetire:
			dr.rotation = nil
		case stack.PhaseExpand, stack.PhaseSwitch, stack.PhaseContract:
			if dr.rotation.Phase.Before(phase) {
				dr.rotation.Phase = phase
			}
		}
		return nil
	}
}

func sameRotation(a, b *stack.Rotation) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Started.Equal(b.Started) && a.Phase == b.Phase
}

// begin returns what makes a draft the one that stages new CAs.
func begin(r stack.Rotation, wanted *stack.Spec) func(*draft) error {
	return func(dr *draft) error {
		dr.wanted = wanted
		if dr.rotation != nil {
			return &OpenRotationError{Rotation: *dr.rotation}
		}
		dr.phase, dr.rotation, dr.mayAge = stack.PhaseStage, &r, noLeaf
		return nil
	}
}

// goBack returns what makes a draft that of the CAs before. It fails when a key of
// theirs is lost.
func goBack(left *stack.Rotation) func(*draft) error {
	return func(dr *draft) error {
		if !sameRotation(dr.rotation, left) {
			return &OtherRunError{}
		}
		dr.back, dr.rotation, dr.mayAge = true, nil, noLeaf
		dr.unproven = left.Phase != stack.PhaseStage // else no daemon has to follow
		return dr.aside.lostKey
	}
}

// halfBack returns what makes a draft the one that has the CAs before in force and
// the new ones still trusted, as it was before the leaves were switched.
func halfBack(left *stack.Rotation) func(*draft) error {
	return func(dr *draft) error {
		if !sameRotation(dr.rotation, left) {
			return &OtherRunError{}
		}
		dr.back, dr.mayAge = true, noLeaf
		dr.rotation.Phase, dr.rotation.Verified = stack.PhaseExpand, time.Time{}
		return dr.aside.lostKey
	}
}

// stage makes the CAs to come, with every leaf that they have to sign for the
// keys in force. Nothing in force changes.
func (dr *draft) stage(ctx context.Context, d Deps, keys *caKeys) error {
	if dr.phase != stack.PhaseStage {
		return nil
	}
	plan, err := dr.planNext()
	if err != nil {
		return err
	}
	have := dr.material
	have.CAs = maps.Clone(have.CAs)
	steps, err := pki.Diff(plan, have, d.Now())
	if err != nil {
		return err
	}
	if err := keys.unlock(have, pki.Signers(plan, steps)); err != nil {
		return err
	}
	next, err := pki.Apply(ctx, plan, have, steps, nil, d.Now())
	if err != nil {
		return err
	}
	if _, err := keys.settle(plan, steps, next); err != nil {
		return err
	}
	dr.aside = aside{paths: dr.aside.paths, Material: pki.Material{CAs: map[string]*pki.KeyPair{}, Leaves: map[string]*pki.KeyPair{}}}
	for _, step := range steps {
		if step.Action == pki.Keep {
			continue
		}
		dr.staged = append(dr.staged, step)
		if ca := next.CAs[step.Name]; ca != nil {
			dr.aside.CAs[step.Name] = ca
		} else {
			dr.aside.Leaves[step.Name] = next.Leaves[step.Name]
		}
	}
	if dr.rotation.Roots() {
		dr.aside.Cross = pki.KeepCross(next.Cross, dr.bridged())
	}
	return nil
}

// planNext plans the CAs to come. They may sign every name that is wanted, also
// such that the leaves do not have yet, and those that the leaves have until the
// next up.
func (dr *draft) planNext() (pki.Plan, error) {
	plan, wanted := dr.plan, dr.spec
	if dr.wanted != nil {
		wanted = *dr.wanted
	}
	names, err := wanted.PKIPlan(dr.facts, dr.clients)
	if err != nil {
		return plan, err
	}
	plan.CAs = slices.Clone(plan.CAs)
	for i := range plan.CAs {
		ca := &plan.CAs[i]
		if !slices.Contains(dr.rotation.CAs, ca.Name) {
			continue
		}
		ca.Replace, ca.Generation = causeReplaced, dr.generation(ca.Name)+1
		ca.Cross = dr.mayCross(names)
		if j := slices.IndexFunc(names.CAs, func(other pki.CAPlan) bool { return other.Name == ca.Name }); j >= 0 {
			ca.Constraints = ca.Constraints.Union(names.CAs[j].Constraints)
		}
	}
	return plan, nil
}

// mayCross reports whether the CA in force may sign the names of every planned
// server. Where it may not, whoever trusts it alone would refuse them.
func (dr *draft) mayCross(plan pki.Plan) bool {
	ca := dr.material.CAs[pki.CAName]
	return ca != nil && !slices.ContainsFunc(plan.Leaves, func(leaf pki.LeafPlan) bool {
		return len(pki.ConstraintsOf(ca.Cert).Uncovered(leaf.SANs)) > 0
	})
}

// causeReplaced is why CAs are replaced.
const causeReplaced = "asked for"

// exchange puts the other set in force, and what was in force aside: when the
// leaves are switched, and when that is taken back.
func (dr *draft) exchange(have *pki.Material) error {
	before := dr.prior.rotation()
	forward := dr.phase == stack.PhaseSwitch && before.Phase.Before(stack.PhaseSwitch)
	if back := dr.back && !before.Phase.Before(stack.PhaseSwitch); !forward && !back {
		return nil
	}
	was := pki.Material{CAs: map[string]*pki.KeyPair{}, Leaves: map[string]*pki.KeyPair{}}
	for name, ca := range dr.aside.CAs {
		was.CAs[name], have.CAs[name] = have.CAs[name], ca
	}
	for name, leaf := range have.Leaves {
		if slices.ContainsFunc(sortedKeys(was.CAs), func(ca string) bool { return signs(ca, name) }) {
			was.Leaves[name], have.Leaves[name] = leaf, dr.counterpart(name, leaf)
		}
	}
	if before.Roots() {
		was.Cross, have.Cross = have.Cross, dr.aside.Cross
	}
	if dr.exchanged = &was; forward {
		dr.clients.Generation = dr.clientGeneration()
	}
	return nil
}

// signs reports whether a leaf is below a CA.
func signs(ca, leaf string) bool {
	server := leaf == stack.LeafRegistry || leaf == stack.LeafBuilder
	return server == (ca != pki.CAClient)
}

// counterpart returns a leaf as the other set has it. What was made since the
// set was is issued again, for the same key.
func (dr *draft) counterpart(name string, leaf *pki.KeyPair) *pki.KeyPair {
	if other := dr.aside.Leaves[name]; other != nil {
		return other
	}
	return uncertified(leaf)
}

// uncertified returns the key of a leaf, which a certificate is to be issued for.
func uncertified(leaf *pki.KeyPair) *pki.KeyPair {
	waiting := *leaf
	waiting.Cert, waiting.Chain = nil, nil
	return &waiting
}

// others returns the CAs besides those in force once this draft is on the disk.
func (dr *draft) others() pki.Material {
	if dr.exchanged != nil {
		return *dr.exchanged
	}
	return dr.aside.Material
}

// accepted returns the other CAs that peers trust.
func (dr *draft) accepted() map[pki.Role]pki.TrustBundle {
	if dr.rotation == nil || !dr.rotation.TrustsBoth() {
		return nil
	}
	out := map[pki.Role]pki.TrustBundle{}
	if root := dr.others().CAs[pki.CAName]; root != nil {
		out[pki.RoleServer] = pki.NewTrustBundle(root.Anchor())
	}
	if ca := dr.others().CAs[pki.CAClient]; ca != nil {
		out[pki.RoleClient] = pki.NewTrustBundle(ca.Anchor())
	}
	return out
}

// retiring returns the client CA whose clients are refused from this draft on.
func (dr *draft) retiring() []string {
	before := dr.prior.rotation()
	contracted := dr.phase == stack.PhaseContract && before.Phase.Before(stack.PhaseContract)
	if takenBack := dr.back && dr.rotation == nil && before.TrustsBoth(); !contracted && !takenBack {
		return nil
	}
	ca := dr.others().CAs[pki.CAClient]
	if ca == nil {
		return nil
	}
	return []string{pki.Generation(ca.Cert)}
}

// endsClients reports whether the edge is going to end connections: those of
// clients of a CA that is not trusted any more. A build that began before the
// leaves were switched has such a one. For a CA that is compromised it must be so
// at once.
func (dr *draft) endsClients() bool {
	open := dr.prior.rotation()
	return dr.spec.Serve == stack.ServeEdge && len(dr.retiring()) > 0 && !open.Compromised
}

// retiringFiles keeps a client of that CA, to see that it is refused.
func (dr *draft) retiringFiles() []stack.File {
	var out []stack.File
	for _, generation := range dr.retiring() {
		if client := dr.others().Leaves[stack.LeafClient]; client != nil {
			out = append(out, stack.File{Path: stack.RetiredClient(generation), Mode: 0o644, Data: client.CertPEM()})
		}
	}
	return out
}

// recordStaged adds what was staged to the record.
func (dr *draft) recordStaged(r records) []stack.Issued {
	r.material = dr.aside.Material
	for _, step := range dr.staged {
		r.add(step)
	}
	return r.issued
}
