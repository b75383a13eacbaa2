package lifecycle

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// aside is the other set of CAs while CAs are replaced: those to come or those
// that were, with the leaves that they have signed for the keys in force.
type aside struct {
	pki.Material
	paths []string // of all files of both sets
	// lost is why the set cannot come into force. Before the leaves are switched
	// nothing depends on it: it can be taken back, and not go on.
	lost error
	// lostKey is the same of the CAs that were, whose keys nothing but the way back
	// needs: it can go on, and not be taken back.
	lostKey error
}

// loadAside reads the set of an open replacement. A set that is not what its
// phase needs is an error: it is never taken for a missing one.
func (p prior) loadAside(store Store) (aside, error) {
	out := aside{Material: pki.Material{CAs: map[string]*pki.KeyPair{}, Leaves: map[string]*pki.KeyPair{}}}
	open := p.rotation()
	if open == nil {
		return out, nil
	}
	files, err := store.ReadAll()
	if err != nil {
		return out, err
	}
	for _, path := range sortedKeys(files) {
		if strings.HasPrefix(path, stack.SetNext+"/") || strings.HasPrefix(path, stack.SetPrevious+"/") {
			out.paths = append(out.paths, path)
		}
	}
	open.Phase = observed(*open, out.paths, files)
	err = p.readAside(store, files, *open, &out)
	if open.Phase.Before(stack.PhaseSwitch) {
		out.lost, err = err, nil
	}
	return out, err
}

// readAside reads the CAs and the leaves of a set.
func (p prior) readAside(store Store, files map[string][]byte, open stack.Rotation, out *aside) error {
	for _, name := range open.CAs {
		ca, err := p.asideCA(store, files, open, name)
		if ca != nil && open.Set() == stack.SetPrevious {
			out.lostKey, err = errors.Join(out.lostKey, err), nil
		}
		if err != nil {
			return err
		}
		out.CAs[name] = ca
	}
	for _, name := range stack.Leaves(p.clients()) {
		leaf, err := p.asidePair(store, files, open.Set(), name)
		if _, other := errors.AsType[*pki.MismatchError](err); other {
			continue // its key is another one since then: it is issued again
		}
		if err != nil {
			return err
		}
		if leaf != nil {
			out.Leaves[name] = leaf
		}
	}
	var err error
	cross := stack.CrossIn(open.Set())
	out.Cross, err = parseCross(cross, files[cross])
	return err
}

// asideCA returns a CA of a set, which has to be there. With an error it is one
// that lacks nothing but its key.
func (p prior) asideCA(store Store, files map[string][]byte, open stack.Rotation, name string) (*pki.KeyPair, error) {
	at := p.serve.PairIn(open.Set(), name)
	ca, err := p.asidePair(store, files, open.Set(), name)
	if err != nil {
		return nil, err
	}
	if ca == nil {
		return nil, &LostSetError{File: filepath.Join(store.Root(), at.Cert), Phase: open.Phase}
	}
	// Only a root that was moved away before may lack its key: a key that is
	// taken for such a one would take the other one with it.
	away := open.Set() == stack.SetPrevious && p.keyElsewhere(p.state.Spec.PKI, name)
	if ca.Key == nil && !ca.Locked() && !away {
		return ca, &LostSetError{File: filepath.Join(store.Root(), at.Key), Phase: open.Phase}
	}
	return ca, nil
}

// observed returns the phase that the files are in. It is the recorded one, since
// both are written in one transaction; where somebody has changed the record, the
// files tell, and of two phases that they allow the one that trusts more.
func observed(r stack.Rotation, paths []string, files map[string][]byte) stack.Phase {
	has := func(set string) bool {
		return slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, set+"/") })
	}
	both, known := trustTwo(r, files)
	switch next, previous := has(stack.SetNext), has(stack.SetPrevious); {
	case next == previous:
		return r.Phase // something is lost, and that is said later
	case previous && (r.Phase != stack.PhaseContract || both):
		return stack.PhaseSwitch
	case previous:
		return stack.PhaseContract
	case both:
		return stack.PhaseExpand
	case known || !r.Phase.Before(stack.PhaseSwitch):
		return stack.PhaseStage
	default:
		return r.Phase
	}
}

// trustTwo reports whether both CAs are trusted by those whose CA is replaced, and
// whether any file tells.
func trustTwo(r stack.Rotation, files map[string][]byte) (both, known bool) {
	var bundles []string
	if r.Roots() {
		bundles = append(bundles, stack.FileClientCA)
	}
	if r.Clients() {
		bundles = append(bundles, stack.FileEdgeClients, stack.FileBuilderClientCA)
	}
	for _, path := range bundles {
		parsed, err := pki.ParseTrustBundle(files[path])
		known = known || err == nil
		both = both || err == nil && len(parsed.Certs()) > 1
	}
	return both, known
}

// LostSetError says that a file is missing that an open replacement of CAs needs
// to go on, or to go back: for a key of the CAs that were, it is only the way back.
type LostSetError struct {
	File  string
	Phase stack.Phase
}

func (e *LostSetError) Error() string {
	return fmt.Sprintf("the replacement of the CA stands at %s, and %s is missing", e.Phase, e.File)
}

// asidePair returns a CA of a set with its key, or a leaf with the key that is
// in force; nil when it is not in the set.
func (p prior) asidePair(store Store, files map[string][]byte, set, name string) (*pki.KeyPair, error) {
	at := p.serve.PairIn(set, name)
	pair := pki.PEMPair{Name: name, CertFile: filepath.Join(store.Root(), at.Cert), Cert: files[at.Cert]}
	if pair.Cert == nil {
		return nil, nil
	}
	if slices.Contains(stack.CAs(), name) {
		pair.KeyFile, pair.Key = filepath.Join(store.Root(), at.Key), files[at.Key]
		pair.CertOnly, pair.MayLock = true, true
	} else {
		pair.KeyFile, pair.Key = p.pairs[name].KeyFile, p.pairs[name].Key
	}
	return pair.Parse()
}

// asideFiles adds the files of the sets as this draft leaves them, and removes
// those that it has no use for.
func (dr *draft) asideFiles(files []stack.File) ([]stack.File, error) {
	var set []stack.File
	var err error
	switch {
	case dr.phase == stack.PhaseStage:
		set, err = dr.setFiles(stack.SetNext, dr.aside.Material, true)
	case dr.exchanged != nil && dr.rotation != nil:
		if set, err = dr.setFiles(dr.rotation.Set(), *dr.exchanged, false); err == nil {
			files, err = dr.caKeyFiles(files, dr.rotation.Set())
		}
	case dr.exchanged != nil: // back again
		files, err = dr.caKeyFiles(files, "")
	case dr.rotation != nil:
		return files, nil
	}
	if err != nil {
		return nil, err
	}
	here := map[string]bool{}
	for _, f := range slices.Concat(files, set) {
		here[f.Path], here[f.Retire] = true, true
	}
	for _, path := range dr.aside.paths {
		if !here[path] {
			set = append(set, stack.File{Path: path, Gone: true})
		}
	}
	return append(files, set...), nil
}

// setFiles returns the files of a set. Without its keys, those of the CAs are
// moved there, see caKeyFiles.
func (dr *draft) setFiles(set string, m pki.Material, keys bool) ([]stack.File, error) {
	var out []stack.File
	add := func(path string, data []byte) { out = append(out, stack.File{Path: path, Mode: 0o644, Data: data}) }
	for _, name := range sortedKeys(m.CAs) {
		at := dr.spec.Serve.PairIn(set, name)
		add(at.Cert, m.CAs[name].CertPEM())
		if !keys {
			continue
		}
		key, err := m.CAs[name].KeyPEM()
		if err != nil {
			return nil, fmt.Errorf("rendering %s: %w", at.Key, err)
		}
		out = append(out, stack.File{Path: at.Key, Mode: 0o600, Once: true, Data: key})
	}
	for _, name := range sortedKeys(m.Leaves) {
		add(dr.spec.Serve.PairIn(set, name).Cert, m.Leaves[name].CertPEM())
	}
	if len(m.Cross) > 0 {
		add(stack.CrossIn(set), m.CrossPEM())
	}
	return out, nil
}

// caKeyFiles has the keys of the CAs that are in force now take the place of
// those that were: these are kept in a set, or with "" written over, by nothing
// else than what was read. With a set every CA in force has its key here.
func (dr *draft) caKeyFiles(files []stack.File, keep string) ([]stack.File, error) {
	for _, name := range sortedKeys(dr.exchanged.CAs) {
		at := dr.spec.Serve.PairOf(name)
		files = slices.DeleteFunc(files, func(f stack.File) bool { return f.Path == at.Key })
		f := stack.File{Path: at.Key, Mode: 0o600, Once: true, Replaces: dr.prior.pairs[name].Key}
		if keep != "" {
			f.Replaces, f.Retire = nil, dr.spec.Serve.PairIn(keep, name).Key
		}
		ca := dr.material.CAs[name]
		if keep == "" && ca.Key == nil && !ca.Locked() { // moved away, and the other one was here
			f = stack.File{Path: at.Key, Gone: true, Data: dr.prior.pairs[name].Key}
		} else {
			var err error
			if f.Data, err = ca.KeyPEM(); err != nil {
				return nil, fmt.Errorf("rendering %s: %w", at.Key, err)
			}
		}
		files = append(files, f)
	}
	return files, nil
}

// parseCross reads cross-signed certificates; nil when there are none.
func parseCross(file string, data []byte) ([]*x509.Certificate, error) {
	if data == nil {
		return nil, nil
	}
	bundle, err := pki.ParseTrustBundle(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return bundle.Certs(), nil
}
