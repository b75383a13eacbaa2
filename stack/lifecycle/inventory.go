package lifecycle

import (
	"crypto/x509"
	"errors"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/state"
)

// Inventory returns every certificate of a recorded stack, with where it and its
// key are and which container reads it.
func Inventory(d Deps) ([]pki.Source, error) {
	p, m, err := recordedMaterial(d)
	if err != nil {
		return nil, err
	}
	var out []pki.Source
	for _, name := range append(stack.CAs(), stack.Leaves(p.clients())...) {
		kp := named(m, name)
		if kp == nil || kp.Cert == nil {
			continue
		}
		out = append(out, pki.Source{Cert: kp.Cert, Name: name, File: p.serve.PairOf(name).Cert, Key: keyState(p.state.Spec.PKI, kp), Reader: p.serve.ReaderOf(name)})
	}
	return out, nil
}

func recordedMaterial(d Deps) (prior, pki.Material, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return p, pki.Material{}, err
	}
	m, err := p.material(p.state.Spec.PKI)
	return p, m, err
}

func named(m pki.Material, name string) *pki.KeyPair {
	if ca := m.CAs[name]; ca != nil {
		return ca
	}
	return m.Leaves[name]
}

// Named returns a key pair of a recorded stack, and what its peers trust; nil
// when there is none of that name.
func Named(d Deps, name string) (*pki.KeyPair, pki.TrustBundle, error) {
	p, m, err := recordedMaterial(d)
	if err != nil {
		return nil, pki.TrustBundle{}, err
	}
	plan, err := p.state.Spec.PKIPlan(p.state.Facts, p.state.Clients)
	if err != nil {
		return nil, pki.TrustBundle{}, err
	}
	// A client's peers are the servers.
	return named(m, name), m.Trust(plan, pki.RoleServer), nil
}

// FileError says which of somebody's files, or which server, cannot be looked at.
type FileError struct {
	File string
	Err  error
}

func (e *FileError) Error() string { return "reading " + e.File + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Sources returns the certificates of files and directories that somebody named,
// with which of the files has their keys. Those that can be read are returned
// beside the error for those that cannot.
func Sources(d Deps, paths []string) ([]pki.Source, error) {
	var out []pki.Source
	var errs []error
	files := d.Find(paths...)
	for _, f := range files {
		if f.Err != nil {
			errs = append(errs, &FileError{f.File, f.Err})
		}
		for _, cert := range f.Contents.Certs {
			out = append(out, pki.Source{Cert: cert, File: f.File, Key: keyFile(cert, files)})
		}
	}
	return out, errors.Join(errs...)
}

// keyFile returns which of the files holds the key of a certificate.
func keyFile(cert *x509.Certificate, files []state.Found) string {
	for _, f := range files {
		for _, key := range f.Contents.Keys {
			if pki.Belongs(key, cert) {
				return f.File
			}
		}
	}
	return ""
}

// FromFiles returns the pair of a certificate in a file of somebody's, with the
// key in the same file, or in another one if that is named.
func FromFiles(d Deps, file, keyFile string) (*pki.KeyPair, error) {
	f := d.Find(file)[0]
	if f.Err != nil {
		return nil, &FileError{file, f.Err}
	}
	if keyFile != "" {
		data, err := d.Given(keyFile, true)
		if err != nil {
			return nil, err
		}
		key, err := pki.ParseContents(data)
		if err != nil {
			return nil, &FileError{keyFile, err}
		}
		f.Contents.Keys = key.Keys
	}
	kp, err := f.Contents.Pair()
	if err != nil {
		return nil, &FileError{file, err}
	}
	return kp, nil
}
