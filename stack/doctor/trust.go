package doctor

import (
	"crypto/x509"
	"slices"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack/lint"
)

// trust returns what clients of a daemon trust: the CAs that the configs name, and
// where none is known, what is in the file of its certificate. Then nothing can be
// said of who signed it, and all the rest can.
func (p *patient) trust(subject lint.Subject) pki.TrustBundle {
	var certs []*x509.Certificate
	for _, u := range p.uses {
		own := u.Use == lint.ServerCert && u.Subject == subject
		if u.Use == lint.TrustCA || own && len(u.Trust) == 0 {
			certs = append(certs, p.certsIn(u.Path)...)
		}
	}
	return pki.NewTrustBundle(certs...)
}

// certsIn returns the certificates of a file, none when it has none.
func (p *patient) certsIn(path string) []*x509.Certificate {
	i := slices.IndexFunc(p.certs, func(f lint.CertFile) bool { return f.Path == path })
	if i < 0 {
		return nil
	}
	found, err := pki.ParseContents(p.certs[i].Data)
	if err != nil {
		return nil // lint has said so
	}
	return found.Certs
}

// client returns a key pair that the builder may let in, nil for none.
func (p *patient) client() *pki.KeyPair {
	for _, u := range p.uses {
		if u.Use != lint.ClientCert || u.Pair == "" {
			continue
		}
		cert, _ := readFile(u.Path)
		key, _ := readFile(u.Pair)
		if kp, err := (pki.PEMPair{Cert: cert, Key: key}).Parse(); err == nil {
			return kp
		}
	}
	return nil
}
