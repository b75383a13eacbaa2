package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// AuthorityError says that a stack was made with another authority. Changing it
// replaces what every client trusts, which no second up does by the way.
type AuthorityError struct{ Have, Want stack.Authority }

func (e *AuthorityError) Error() string {
	return fmt.Sprintf("the stack was made with pki.authority %q, and the config says %q", e.Have, e.Want)
}

// certify finds out which certificates are missing or no longer fit, and has
// them issued. Every key pair is verified before this returns.
func (dr *draft) certify(ctx context.Context, d Deps) error {
	have, authorities, err := dr.sources(ctx, d)
	if err != nil {
		return err
	}
	if dr.plan, err = dr.spec.PKIPlan(dr.facts, dr.clients); err != nil {
		return err
	}
	if dr.replaceClientCA != "" {
		i := slices.IndexFunc(dr.plan.CAs, func(ca pki.CAPlan) bool { return ca.Name == pki.CAClient })
		dr.plan.CAs[i].Replace = dr.replaceClientCA
		dr.retire, dr.retireClient = have.CAs[pki.CAClient], have.Leaves[stack.LeafClient]
	}
	if dr.steps, err = pki.Diff(dr.plan, have, d.Now()); err != nil {
		return ofGiven(dr.spec.PKI, err)
	}
	keys := caKeys{d: d, spec: dr.spec.PKI}
	if err := keys.unlock(have, pki.Signers(dr.plan, dr.steps)); err != nil {
		return err
	}
	if dr.material, err = pki.Apply(ctx, dr.plan, have, dr.steps, authorities, d.Now()); err != nil {
		return err
	}
	return keys.encrypt(dr.plan, dr.steps, dr.material)
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

// caKeys opens and closes the encrypted keys of CAs. It asks for the passphrase
// once, and only when it is needed.
type caKeys struct {
	d          Deps
	spec       stack.PKISpec
	passphrase []byte
}

func (k *caKeys) ask(twice bool) ([]byte, error) {
	if k.passphrase == nil {
		var err error
		if k.passphrase, err = k.d.Passphrase(k.spec, twice); err != nil {
			return nil, fmt.Errorf("reading the passphrase of the CA key: %w", err)
		}
	}
	return k.passphrase, nil
}

// unlock opens the keys of the CAs that have to sign.
func (k *caKeys) unlock(have pki.Material, signers []string) error {
	for _, name := range signers {
		ca := have.CAs[name]
		if ca == nil || !ca.Locked() {
			continue
		}
		passphrase, err := k.ask(false)
		if err != nil {
			return err
		}
		if have.CAs[name], err = ca.Unlock(passphrase); err != nil {
			return fmt.Errorf("opening the key of the %s: %w", pki.TitleOfCA(name), err)
		}
	}
	return nil
}

// encrypt closes the keys of new CAs, if the spec wants that.
func (k *caKeys) encrypt(plan pki.Plan, steps []pki.Step, m pki.Material) error {
	if k.spec.CAKeys != stack.CAKeysEncrypted {
		return nil
	}
	for _, ca := range plan.CAs {
		if action(steps, ca.Name) != pki.Issue {
			continue
		}
		passphrase, err := k.ask(true)
		if err == nil {
			m.CAs[ca.Name], err = m.CAs[ca.Name].Encrypt(passphrase)
		}
		if err != nil {
			return fmt.Errorf("encrypting the key of the %s: %w", ca.Title(), err)
		}
	}
	return nil
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
