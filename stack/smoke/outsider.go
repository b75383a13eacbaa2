package smoke

import (
	"time"

	"github.com/certyard/certyard/pki"
)

// outsider is what a stranger has: a CA that no part of the stack accepts, and
// a client leaf of it. It lives as long as one proof.
type outsider struct {
	trust  pki.TrustBundle
	client *pki.KeyPair
}

func newOutsider(now time.Time) (*outsider, error) {
	plan := pki.Plan{
		CA:     pki.CAPlan{Name: "outsider", Key: pki.ECDSAP256, Validity: time.Hour},
		Leaves: []pki.LeafPlan{{Name: "client", Role: pki.RoleClient, Key: pki.ECDSAP256, Validity: time.Hour}},
	}
	steps, err := pki.Diff(plan, pki.Material{}, now)
	if err != nil {
		return nil, err
	}
	material, err := pki.Apply(plan, pki.Material{}, steps, now)
	if err != nil {
		return nil, err
	}
	return &outsider{pki.NewTrustBundle(material.CA.Cert), material.Leaves["client"]}, nil
}
