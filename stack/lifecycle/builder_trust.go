package lifecycle

import (
	"slices"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// bridged returns the CAs that the builder may have kept, and to which the edge
// can show it a chain of its own.
func (dr *draft) bridged() []string {
	_, relayed := dr.spec.Relay(dr.facts)
	if dr.prior.state == nil || !relayed {
		return nil
	}
	return dr.prior.state.Facts.BuilderTrust
}

// builderTrust returns the CAs that the builder's container may trust, and has
// it started again where that is not enough any more: where neither what the
// servers show nor what they will show next leads to one of them. It is also
// started again so that it forgets a CA that is compromised.
func (dr *draft) builderTrust() []string {
	root := dr.material.CAs[pki.CAName]
	if dr.spec.Serve != stack.ServeEdge || root == nil {
		return nil
	}
	trusted := []string{pki.Generation(root.Anchor())}
	for _, ca := range dr.accepted()[pki.RoleServer].Certs() {
		trusted = append(trusted, pki.Generation(ca))
	}
	var before []string
	if dr.prior.state != nil {
		before = dr.prior.state.Facts.BuilderTrust
	}
	forget := dr.rotation != nil && dr.rotation.Compromised && dr.rotation.Phase == stack.PhaseContract
	switch {
	case len(before) == 0, forget, !overlap(before, dr.material.Reach(stack.LeafRegistry)):
		return trusted
	case dr.rotation != nil && dr.rotation.Phase == stack.PhaseExpand && dr.rotation.Roots() && !overlap(before, dr.others().Reach(stack.LeafRegistry)):
		return trusted
	default:
		return before
	}
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
