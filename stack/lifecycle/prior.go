package lifecycle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// prior is what an earlier run left in the state directory; zero values for
// what is not there.
type prior struct {
	state    *stack.State
	serve    stack.Serve // where the files of the servers are
	secrets  stack.Secrets
	pairs    map[string]pki.PEMPair
	cross    []byte
	htpasswd []byte
	aside    aside
}

// NoStackError says that a state directory holds no stack.
type NoStackError struct{ Dir string }

func (e *NoStackError) Error() string { return fmt.Sprintf("there is no stack in %s", e.Dir) }

// load reads what an earlier run left. A file that is there but not readable
// as what it should be is an error: it is never taken for a missing one.
//
// A stack without a record has its files, if any, where one that is served in
// the given way has them.
func load(store Store, fresh stack.Serve) (prior, error) {
	p := prior{serve: fresh}
	data, err := store.Read(stack.FileState)
	if err != nil {
		return p, err
	}
	if data != nil {
		s, err := stack.ParseState(data)
		if err != nil {
			return p, fmt.Errorf("reading %s: %w", store.Root(), err)
		}
		p.state, p.serve = &s, s.Spec.Serve
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
	if p.cross, err = store.Read(stack.FileCross); err != nil {
		return p, err
	}
	if p.pairs, err = readPairs(store, p.serve, append(stack.CAs(), stack.Leaves(p.clients())...)); err != nil {
		return p, err
	}
	p.aside, err = p.loadAside(store)
	return p, err
}

// rotation returns the open replacement of CAs, nil for none.
func (p prior) rotation() *stack.Rotation {
	if p.state == nil {
		return nil
	}
	return p.state.Rotation
}

// clients returns the clients that were added so far.
func (p prior) clients() stack.Clients {
	if p.state == nil {
		return stack.Clients{}
	}
	return p.state.Clients
}

// readPairs reads the files of key pairs, without parsing them.
func readPairs(store Store, serve stack.Serve, names []string) (map[string]pki.PEMPair, error) {
	out := map[string]pki.PEMPair{}
	for _, name := range names {
		at, label := serve.PairOf(name), name+" leaf"
		if slices.Contains(stack.CAs(), name) {
			label = pki.TitleOfCA(name)
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

// material parses every pair. A pair of which only one half is there is an
// error, unless the spec says that the other is somewhere else: the key of a CA
// of others, or a certificate that an external CA has yet to sign.
func (p prior) material(spec stack.PKISpec) (pki.Material, error) {
	m := pki.Material{CAs: map[string]*pki.KeyPair{}, Leaves: map[string]*pki.KeyPair{}}
	var errs []error
	for _, name := range sortedKeys(p.pairs) {
		pair := p.pairs[name]
		pair.CertOnly, pair.MayLock = p.keyElsewhere(spec, name), slices.Contains(stack.CAs(), name)
		pair.KeyOnly = spec.Authority == stack.AuthorityExternal && p.serve.ReaderOf(name) != ""
		kp, err := pair.Parse()
		switch {
		case err != nil:
			errs = append(errs, err)
		case kp == nil:
		case slices.Contains(stack.CAs(), name):
			m.CAs[name] = kp
		default:
			m.Leaves[name] = kp
		}
	}
	m.Used = p.usedSerials()
	var err error
	m.Cross, err = parseCross(stack.FileCross, p.cross)
	return m, errors.Join(append(errs, err)...)
}

// keyElsewhere reports whether a key may be missing. A root that was moved away
// stays away when the config goes back to one tier: then it is the root that has
// to sign, and that is said, not that a file is lost.
func (p prior) keyElsewhere(spec stack.PKISpec, name string) bool {
	return spec.KeyElsewhere(name) || p.state != nil && p.state.Spec.PKI.KeyElsewhere(name)
}

// recorded returns the state of a stack that must be there.
func recorded(store Store) (prior, error) {
	p, err := load(store, stack.ServeDaemon)
	if err == nil && p.state == nil {
		err = &NoStackError{Dir: store.Root()}
	}
	return p, err
}
