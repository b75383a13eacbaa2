package smoke

import (
	"context"
	"time"

	"github.com/certyard/certyard/pki"
)

// outsider is what a stranger has: a CA that no part of the stack accepts, and
// a client leaf of it. It lives as long as one proof.
type outsider struct {
	trust  pki.TrustBundle
	client *pki.KeyPair
}

func newOutsider(ctx context.Context, now time.Time) (*outsider, error) {
	plan := pki.Plan{
		CAs:    []pki.CAPlan{{Name: pki.CAClient, Stack: "outsider", Key: pki.ECDSAP256, Validity: time.Hour}},
		Leaves: []pki.LeafPlan{{Name: "client", Role: pki.RoleClient, Issuer: pki.CAClient, Key: pki.ECDSAP256, Validity: time.Hour}},
	}
	steps, err := pki.Diff(plan, pki.Material{}, now)
	if err != nil {
		return nil, err
	}
	material, err := pki.Apply(ctx, plan, pki.Material{}, steps, nil, now)
	if err != nil {
		return nil, err
	}
	return &outsider{pki.NewTrustBundle(material.CAs[pki.CAClient].Cert), material.Leaves["client"]}, nil
}
