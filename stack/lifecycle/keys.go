package lifecycle

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// caKeys opens and closes the encrypted keys of CAs. It asks for the passphrase
// once, and only when it is needed.
type caKeys struct {
	d          Deps
	spec       stack.PKISpec
	pairs      map[string]pki.PEMPair // what is here, for messages
	passphrase []byte
}

// caKeys settles how keys are kept where nobody has said: as it was recorded. A
// flag that is left out this time must not open what is closed.
func (dr *draft) caKeys(d Deps) *caKeys {
	if before := dr.prior.state; before != nil && !d.CAKeysSet {
		dr.spec.PKI.CAKeys = before.Spec.PKI.CAKeys
	}
	return &caKeys{d: d, spec: dr.spec.PKI, pairs: dr.prior.pairs}
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
		var err error
		if have.CAs[name], err = k.open(name, ca); err != nil {
			return err
		}
	}
	return nil
}

// open opens a key, which stays encrypted where it is.
func (k *caKeys) open(name string, ca *pki.KeyPair) (*pki.KeyPair, error) {
	passphrase, err := k.ask(false)
	if err != nil {
		return nil, err
	}
	out, err := ca.Unlock(passphrase)
	if _, ok := errors.AsType[*pki.MismatchError](err); ok {
		err = k.mismatch(name)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the key of the %s: %w", pki.TitleOfCA(name), err)
	}
	return out, nil
}

// mismatch says which two files do not belong together.
func (k *caKeys) mismatch(name string) error {
	e := &pki.MismatchError{Name: pki.TitleOfCA(name), CertFile: k.pairs[name].CertFile, KeyFile: k.pairs[name].KeyFile}
	if name == pki.CAName {
		e.CertFile, e.KeyFile = cmp.Or(k.spec.CACert, e.CertFile), cmp.Or(k.spec.CAKey, e.KeyFile)
	}
	return e
}

// A rewrite is what is done to a CA key that stays the same key.
type rewrite string

const (
	reencrypt rewrite = "reencrypt"
	decrypt   rewrite = "decrypt"
)

func (r rewrite) cause() string {
	if r == reencrypt {
		return "pki.ca_keys is encrypted, and the key is not"
	}
	return "pki.ca_keys is plain, and the key is encrypted"
}

// rewriteOf returns what the spec wants done to a key that is here, "" for
// nothing.
func (k *caKeys) rewriteOf(ca *pki.KeyPair) rewrite {
	here := ca.Encrypted() || ca.Key != nil
	switch wanted := k.spec.CAKeys == stack.CAKeysEncrypted; {
	case !here || !k.d.CAKeysSet || wanted == ca.Encrypted():
		return ""
	case wanted:
		return reencrypt
	default:
		return decrypt
	}
}

// settle brings the keys of CAs into the form that the spec wants: new ones, and
// those that are here. What the user or others hold is none of ours. It returns
// what it did to keys that were here, by CA.
func (k *caKeys) settle(plan pki.Plan, steps []pki.Step, m pki.Material) (map[string]rewrite, error) {
	done := map[string]rewrite{}
	for _, ca := range plan.CAs {
		if ca.Keyholder != pki.KeyHere {
			continue
		}
		issued, how := action(steps, ca.Name) == pki.Issue, k.rewriteOf(m.CAs[ca.Name])
		if issued && k.spec.CAKeys == stack.CAKeysEncrypted {
			how = reencrypt
		}
		if how == "" {
			continue
		}
		var err error
		if m.CAs[ca.Name], err = k.rewrite(ca.Name, how, m.CAs[ca.Name]); err != nil {
			return nil, err
		}
		if !issued {
			done[ca.Name] = how
		}
	}
	return done, nil
}

// rewrite returns a CA with its key in another form.
func (k *caKeys) rewrite(name string, how rewrite, ca *pki.KeyPair) (*pki.KeyPair, error) {
	if how == decrypt {
		open, err := k.open(name, ca)
		if err != nil {
			return nil, err
		}
		return open.Decrypt()
	}
	passphrase, err := k.ask(true)
	if err != nil {
		return nil, err
	}
	closed, err := ca.Encrypt(passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypting the key of the %s: %w", pki.TitleOfCA(name), err)
	}
	return closed, nil
}

// settleRetired encrypts the keys of replaced client CAs that are still kept: as
// long as the builder was not seen to refuse their clients, they are as good as
// the others. They are never decrypted, since nobody needs them open.
func (k *caKeys) settleRetired(store Store, before *stack.State) ([]stack.File, error) {
	if before == nil || k.spec.CAKeys != stack.CAKeysEncrypted {
		return nil, nil
	}
	var out []stack.File
	for _, generation := range before.Retired {
		at := stack.RetiredPair(generation)
		pair := pki.PEMPair{Name: "replaced client CA", CertFile: filepath.Join(store.Root(), at.Cert), KeyFile: filepath.Join(store.Root(), at.Key), CertOnly: true, KeyOnly: true, MayLock: true}
		var err error
		if pair.Cert, err = store.Read(at.Cert); err == nil {
			pair.Key, err = store.Read(at.Key)
		}
		if err != nil {
			return nil, err
		}
		ca, err := pair.Parse()
		if err != nil {
			return nil, err
		}
		if ca == nil || k.rewriteOf(ca) == "" {
			continue
		}
		if ca, err = k.rewrite(pki.CAClient, reencrypt, ca); err != nil {
			return nil, err
		}
		key, err := ca.KeyPEM()
		if err != nil {
			return nil, err
		}
		out = append(out, stack.File{Path: at.Key, Mode: 0o600, Once: true, Data: key, Replaces: bytes.Clone(pair.Key)})
	}
	return out, nil
}
