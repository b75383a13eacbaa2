package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// AuthorityError says that a stack was made with another authority. Changing it
// replaces what every client trusts, which no second up does by the way.
type AuthorityError struct{ Have, Want stack.Authority }

func (e *AuthorityError) Error() string {
	return fmt.Sprintf("the stack was made with pki.authority %q, and the config says %q", e.Have, e.Want)
}

// OtherCAError says that the config names another CA than the one that has signed
// what is here.
type OtherCAError struct {
	Have, Want string // generations: of the one that has signed, and of the named one
	File       string // pki.ca_cert
}

func (e *OtherCAError) Error() string {
	return fmt.Sprintf("pki.ca_cert %s is CA %s, and the certificates here were signed by CA %s", e.File, e.Want, e.Have)
}

// explained says so when certificates are foreign because the config names
// another CA than before: nobody has touched them.
func (dr *draft) explained(err error, have pki.Material) error {
	pair, given := dr.prior.pairs[pki.CAName], have.CAs[pki.CAName]
	pair.CertOnly = true
	before := parsed(pair)
	_, foreign := errors.AsType[*pki.ForeignError](err)
	if !foreign || dr.spec.PKI.CACert == "" || before == nil || given == nil || before.Cert.Equal(given.Cert) {
		return err
	}
	return &OtherCAError{Have: pki.Generation(before.Cert), Want: pki.Generation(given.Cert), File: dr.spec.PKI.CACert}
}

// certify finds out which certificates are missing or no longer fit, and has
// them issued. Every key pair is verified before this returns.
func (dr *draft) certify(ctx context.Context, d Deps) error {
	if dr.aside.lost != nil && !dr.back {
		return dr.aside.lost
	}
	have, authorities, err := dr.sources(ctx, d)
	if err != nil {
		return err
	}
	dr.unbar()
	keys := dr.caKeys(d)
	if open := dr.prior.rotation(); open != nil && (dr.replaceClientCA != "" || dr.otherCAs()) {
		return &OpenRotationError{Rotation: *open}
	}
	if err := dr.exchange(&have); err != nil {
		return err
	}
	if dr.plan, err = dr.spec.PKIPlan(dr.facts, dr.clients); err != nil {
		return err
	}
	for i := range dr.plan.Leaves {
		leaf := &dr.plan.Leaves[i]
		leaf.Within = dr.within
		leaf.Keep = dr.mayAge != nil && !dr.mayAge(*leaf)
		if dr.renew != nil {
			leaf.Renew = dr.renew(*leaf)
		}
	}
	if dr.replaceClientCA != "" {
		i := slices.IndexFunc(dr.plan.CAs, func(ca pki.CAPlan) bool { return ca.Name == pki.CAClient })
		dr.plan.CAs[i].Replace = dr.replaceClientCA
		dr.retire, dr.retireClient = have.CAs[pki.CAClient], have.Leaves[stack.LeafClient]
	}
	if dr.steps, err = pki.Diff(dr.plan, have, d.Now()); err != nil {
		return ofGiven(dr.spec.PKI, dr.explained(err, have))
	}
	if err := keys.unlock(have, pki.Signers(dr.plan, dr.steps)); err != nil {
		return err
	}
	if d.plans && len(authorities) > 0 {
		dr.material, err = dr.pretended(ctx, have, authorities, d.Now())
	} else {
		dr.material, err = pki.Apply(ctx, dr.plan, have, dr.steps, authorities, d.Now())
	}
	if err != nil {
		return err
	}
	if dr.rewritten, err = keys.settle(dr.plan, dr.steps, dr.material); err != nil {
		return err
	}
	if dr.retiredKeys, err = keys.settleRetired(d.Store, dr.prior.state); err != nil {
		return err
	}
	return dr.stage(ctx, d, keys)
}

// pretended returns what the steps would lead to where others sign, of whom a plan
// asks nothing: in their place signs a CA that is made for it, and forgotten.
func (dr *draft) pretended(ctx context.Context, have pki.Material, others map[string]pki.Authority, now time.Time) (pki.Material, error) {
	plan, empty := dr.plan, pki.Material{CAs: maps.Clone(have.CAs), Leaves: map[string]*pki.KeyPair{}}
	plan.CAs = slices.Clone(plan.CAs)
	for i, ca := range plan.CAs {
		if others[ca.Name] != nil {
			plan.CAs[i].Keyholder = pki.KeyHere
			delete(empty.CAs, ca.Name)
		}
	}
	plan.Leaves = slices.DeleteFunc(slices.Clone(plan.Leaves), func(leaf pki.LeafPlan) bool { return action(dr.steps, leaf.Name) == pki.Keep })
	for name, leaf := range have.Leaves {
		if leaf != nil {
			empty.Leaves[name] = uncertified(leaf)
		}
	}
	steps, err := pki.Diff(plan, empty, now)
	if err != nil {
		return have, err
	}
	made, err := pki.Apply(ctx, plan, empty, steps, nil, now)
	if err != nil {
		return have, err
	}
	have.CAs, have.Leaves = maps.Clone(have.CAs), maps.Clone(have.Leaves)
	for name, ca := range made.CAs {
		if others[name] == nil {
			have.CAs[name] = ca
		}
	}
	maps.Copy(have.Leaves, made.Leaves)
	return have, nil
}

// otherCAs reports whether the spec wants other CAs than those recorded, or their
// keys in another form. Two sets of CAs have to be alike.
func (dr *draft) otherCAs() bool {
	have, want := dr.prior.state.Spec.PKI, dr.spec.PKI
	return have.Hierarchy != want.Hierarchy || have.CAKeys != want.CAKeys
}

// unbar replaces the client CA where clients were removed one by one and the edge
// that refuses them goes: buildkitd would let them in again.
func (dr *draft) unbar() {
	if dr.spec.Serve == stack.ServeEdge || len(dr.clients.Removed) == 0 {
		return
	}
	dr.clients = dr.clients.Without()
	dr.clients.Removed = nil
	if dr.replaceClientCA == "" {
		dr.replaceClientCA = "buildkitd cannot refuse removed clients one by one"
	}
}

// sources returns what there is, with the CA from where the spec says it is,
// and who signs for a CA whose key is nowhere here.
func (dr *draft) sources(ctx context.Context, d Deps) (pki.Material, map[string]pki.Authority, error) {
	spec := dr.spec.PKI
	if before := dr.prior.state; before != nil && before.Spec.PKI.Authority != spec.Authority {
		return pki.Material{}, nil, &AuthorityError{Have: before.Spec.PKI.Authority, Want: spec.Authority}
	}
	have, err := dr.prior.material(spec)
	if err != nil {
		return have, nil, err
	}
	if spec.Authority == stack.AuthorityRemote {
		authorities, err := d.remoteCA(ctx, spec, have)
		return have, authorities, err
	}
	if spec.CACert == "" {
		return have, nil, nil
	}
	ca, err := d.givenCA(spec)
	if err != nil {
		return have, nil, err
	}
	have.CAs[pki.CAName] = ca
	return have, nil, nil
}

// givenCA reads the user's CA, with its key if the spec names one.
func (d Deps) givenCA(spec stack.PKISpec) (*pki.KeyPair, error) {
	pair := pki.PEMPair{Name: "CA", CertFile: spec.CACert, KeyFile: spec.CAKey, CertOnly: spec.CAKey == "", MayLock: true}
	var err error
	if pair.Cert, err = d.Given(spec.CACert, false); err != nil {
		return nil, fmt.Errorf("reading the CA's certificate: %w", err)
	}
	if spec.CAKey != "" {
		if pair.Key, err = d.Given(spec.CAKey, true); err != nil {
			return nil, fmt.Errorf("reading the CA's key: %w", err)
		}
	}
	ca, err := pair.Parse()
	return ca, ofGiven(spec, err)
}

// remoteCA connects to the cfssl server. Its CA certificate is the given one,
// or the one that an earlier run was told, or else the one that it tells now.
func (d Deps) remoteCA(ctx context.Context, spec stack.PKISpec, have pki.Material) (map[string]pki.Authority, error) {
	remote, err := d.Remote(spec.Remote)
	if err != nil {
		return nil, err
	}
	authorities := map[string]pki.Authority{pki.CAName: remote}
	switch {
	case spec.CACert != "":
		have.CAs[pki.CAName], err = d.givenCA(spec)
	case have.CAs[pki.CAName] == nil:
		cert, asked := remote.CA(ctx)
		have.CAs[pki.CAName], err = &pki.KeyPair{Cert: cert}, asked
	}
	return authorities, err
}

// action returns what the steps do to a name.
func action(steps []pki.Step, name string) pki.Action {
	for _, s := range steps {
		if s.Name == name {
			return s.Action
		}
	}
	return pki.Keep
}
