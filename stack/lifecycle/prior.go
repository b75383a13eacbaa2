package lifecycle

import (
	"fmt"
	"path/filepath"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// prior is what an earlier run left in the state directory; zero values for
// what is not there.
type prior struct {
	state    *stack.State
	secrets  stack.Secrets
	pairs    map[string]pki.PEMPair
	htpasswd []byte
}

// NoStackError says that a state directory holds no stack.
type NoStackError struct{ Dir string }

func (e *NoStackError) Error() string { return fmt.Sprintf("there is no stack in %s", e.Dir) }

// load reads what an earlier run left. A file that is there but not readable
// as what it should be is an error: it is never taken for a missing one.
func load(store Store) (prior, error) {
	var p prior
	data, err := store.Read(stack.FileState)
	if err != nil {
		return p, err
	}
	if data != nil {
		s, err := stack.ParseState(data)
		if err != nil {
			return p, fmt.Errorf("reading %s: %w", store.Root(), err)
		}
		p.state = &s
	}
	if data, err = store.Read(stack.FileSecrets); err != nil {
		return p, err
	}
	if data != nil {
		if p.secrets, err = stack.ParseSecrets(data); err != nil {
			return p, fmt.Errorf("reading %s: %w", store.Root(), err)
		}
	}
	if p.htpasswd, err = store.Read(stack.FileHtpasswd); err != nil {
		return p, err
	}
	p.pairs, err = readPairs(store)
	return p, err
}

// readPairs reads the files of every key pair, without parsing them.
func readPairs(store Store) (map[string]pki.PEMPair, error) {
	out := map[string]pki.PEMPair{}
	for name, at := range stack.Pairs() {
		label := name + " leaf"
		if name == "ca" {
			label = "CA"
		}
		pair := pki.PEMPair{Name: label, CertFile: filepath.Join(store.Root(), at.Cert), KeyFile: filepath.Join(store.Root(), at.Key)}
		var err error
		if pair.Cert, err = store.Read(at.Cert); err != nil {
			return nil, err
		}
		if pair.Key, err = store.Read(at.Key); err != nil {
			return nil, err
		}
		out[name] = pair
	}
	return out, nil
}

// material parses every pair; a pair of which only one half is there, or whose
// halves do not match, is an error.
func (p prior) material() (pki.Material, error) {
	m := pki.Material{Leaves: map[string]*pki.KeyPair{}}
	for name, pair := range p.pairs {
		kp, err := pair.Parse()
		if err != nil {
			return pki.Material{}, err
		}
		switch {
		case name == "ca":
			m.CA = kp
		case kp != nil:
			m.Leaves[name] = kp
		}
	}
	return m, nil
}

// recorded returns the state of a stack that must be there.
func recorded(store Store) (prior, error) {
	p, err := load(store)
	if err == nil && p.state == nil {
		err = &NoStackError{Dir: store.Root()}
	}
	return p, err
}
