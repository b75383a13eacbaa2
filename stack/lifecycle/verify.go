package lifecycle

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/state"
)

// Verified is what was found of one certificate.
type Verified struct {
	Name     string   `json:"name"`
	Source   string   `json:"source"` // a file, or an address
	Findings []string `json:"findings"`
	Notes    []string `json:"notes"` // what need not be wrong
}

// newVerified is the result for a certificate; nil for one that is not there.
func newVerified(name, source string, cert *x509.Certificate, findings []pki.Finding) Verified {
	v := Verified{Name: name, Source: source, Findings: []string{}, Notes: []string{}}
	for _, f := range findings {
		v.Findings = append(v.Findings, f.String())
	}
	if cert != nil {
		for _, f := range pki.Lint(cert) {
			v.Notes = append(v.Notes, f.String())
		}
	}
	return v
}

// VerifyStack verifies every certificate of a recorded stack for what it is used
// for. A finding means that some peer refuses it.
func VerifyStack(d Deps) ([]Verified, error) {
	p, m, err := recordedMaterial(d)
	if err != nil {
		return nil, err
	}
	plan, err := p.state.Spec.PKIPlan(p.state.Facts, p.state.Clients)
	if err != nil {
		return nil, err
	}
	out := []Verified{}
	add := func(name string, kp *pki.KeyPair, findings []pki.Finding) {
		var cert *x509.Certificate
		if kp != nil {
			cert = kp.Cert
		}
		out = append(out, newVerified(name, p.serve.PairOf(name).Cert, cert, findings))
	}
	missing := []pki.Finding{{Subject: "it", Problem: "is missing"}}
	for _, ca := range plan.CAs {
		if kp := m.CAs[ca.Name]; kp == nil {
			add(ca.Name, nil, missing)
		} else {
			add(ca.Name, kp, pki.VerifyCA(kp, d.Now()))
		}
	}
	for _, leaf := range plan.Leaves {
		kp := m.Leaves[leaf.Name]
		if kp == nil || kp.Cert == nil {
			add(leaf.Name, nil, missing)
			continue
		}
		findings := pki.Verify(kp, m.TrustOf(leaf), pki.Want{Role: leaf.Role, SANs: leaf.SANs}, d.Now())
		if changed, _, err := drifted(d.Store, *p.state, hopOf(p.serve, leaf.Name)); err != nil {
			return nil, err
		} else if slices.Contains(changed, p.serve.PairOf(leaf.Name).Cert) {
			findings = append(findings, pki.Finding{Subject: p.serve.PairOf(leaf.Name).Cert, Problem: "is not what certyard wrote there"})
		}
		add(leaf.Name, kp, findings)
	}
	return out, nil
}

func hopOf(serve stack.Serve, leaf string) stack.Hop {
	hop, _ := stack.HopOf(serve.PairOf(leaf).Cert)
	return hop
}

// Wanted is what the certificates of somebody are held against.
type Wanted struct {
	Hosts pki.SANs        // empty: for a live server the name that it was asked for, else any
	Role  pki.Role        // "": what the certificate says
	Trust pki.TrustBundle // empty: the stack's CA for the role, and roots in the same file
}

// VerifyTargets verifies what somebody named: the leaf of each file, of each file
// of a directory, and what a live server shows. A finding means that a peer
// refuses it; the error is for what could not be looked at. Without a store
// there is no stack whose CAs are trusted.
func VerifyTargets(ctx context.Context, d Deps, targets []string, want Wanted) ([]Verified, error) {
	out := []Verified{}
	var errs []error
	for _, target := range targets {
		found := []state.Found{}
		address, name, live := liveURL(target)
		if !live {
			found = d.Find(target)
			// What could be both is the file, if there is one.
			if errors.Is(found[0].Err, fs.ErrNotExist) {
				address, name, live = liveAddress(target)
			}
		}
		if live {
			v, err := d.verifyLive(ctx, target, address, name, want)
			if err != nil {
				errs = append(errs, &FileError{target, err})
			} else {
				out = append(out, v)
			}
			continue
		}
		for _, f := range found {
			if f.Err != nil {
				errs = append(errs, &FileError{f.File, f.Err})
			} else if len(f.Contents.Certs) > 0 {
				out = append(out, d.verifyFile(f, want))
			}
		}
	}
	return out, errors.Join(errs...)
}

// liveURL reads an address as "certyard env" and browsers write it.
func liveURL(target string) (address, name string, live bool) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || !slices.Contains([]string{"https", "tcp", "tls"}, u.Scheme) {
		return "", "", false
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")), u.Hostname(), true
}

func liveAddress(target string) (address, name string, live bool) {
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" || port == "" || strings.Contains(host, "/") {
		return "", "", false
	}
	return target, host, true
}

func (d Deps) verifyLive(ctx context.Context, target, address, name string, want Wanted) (Verified, error) {
	trust := d.trustFor(pki.RoleServer, nil, want)
	asked := name
	if hosts := want.Hosts.Strings(); len(hosts) > 0 && !strings.HasPrefix(hosts[0], "*") {
		asked = hosts[0]
	}
	shown, err := d.Fetch(ctx, address, asked, trust)
	if err != nil {
		return Verified{}, err
	}
	hosts := want.Hosts
	if hosts.Len() == 0 {
		if hosts, err = pki.ParseSANs(name); err != nil {
			return Verified{}, err
		}
	}
	kp := &pki.KeyPair{Cert: shown[0], Chain: shown[1:]}
	findings := pki.VerifyShown(kp, trust, pki.Want{Role: pki.RoleServer, SANs: hosts}, d.Now())
	return newVerified(kp.Cert.Subject.CommonName, target, kp.Cert, append(findings, pki.NameFindings(kp.Cert)...)), nil
}

// verifyFile verifies a CA as one, and a leaf for what it says that it is for. A
// certificate without its key is a sound one.
func (d Deps) verifyFile(f state.Found, want Wanted) Verified {
	kp, err := f.Contents.Pair()
	if kp == nil {
		return Verified{Source: f.File, Findings: []string{err.Error()}, Notes: []string{}}
	}
	var findings []pki.Finding
	role := cmp.Or(want.Role, pki.RoleOf(kp.Cert))
	trust, wanted := d.trustFor(role, kp.Chain, want), pki.Want{Role: role, SANs: want.Hosts}
	switch {
	case pki.IsSigningCA(kp.Cert):
		findings = pki.VerifyCA(kp, d.Now())
	case kp.Key != nil:
		findings = append(pki.Verify(kp, trust, wanted, d.Now()), pki.NameFindings(kp.Cert)...)
	default:
		findings = append(pki.VerifyShown(kp, trust, wanted, d.Now()), pki.NameFindings(kp.Cert)...)
	}
	v := newVerified(kp.Cert.Subject.CommonName, f.File, kp.Cert, findings)
	if err != nil {
		v.Findings = append(v.Findings, err.Error())
	}
	return v
}

// trustFor returns what the peers of a role trust: what was named, else the
// stack's CA for that role and the roots that came with the certificate.
// Clients and servers have CAs of their own, and neither is good for the other.
func (d Deps) trustFor(role pki.Role, chain []*x509.Certificate, want Wanted) pki.TrustBundle {
	if len(want.Trust.Certs()) > 0 {
		return want.Trust
	}
	certs := d.stackTrust(role)
	for _, cert := range chain {
		if cert.CheckSignatureFrom(cert) == nil {
			certs = append(certs, cert)
		}
	}
	return pki.NewTrustBundle(certs...)
}

// stackTrust returns the stack's CAs for a role, none if there is no stack or
// its file is no bundle: then the findings say that nobody trusts it.
func (d Deps) stackTrust(role pki.Role) []*x509.Certificate {
	if d.Store == nil {
		return nil
	}
	file := stack.FileClientCA
	if role == pki.RoleClient {
		file = stack.FileClientCACert
	}
	data, err := d.Store.Read(file)
	if err != nil {
		return nil
	}
	bundle, err := pki.ParseTrustBundle(data)
	if err != nil {
		return nil
	}
	return bundle.Certs()
}
