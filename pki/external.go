package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Prepare returns the key for a leaf, the one that is there or a new one, and
// the request for its certificate. The pair has no certificate yet.
func Prepare(leaf LeafPlan, have *KeyPair, now time.Time) (*KeyPair, Request, error) {
	out := &KeyPair{}
	if have != nil {
		out.Key, out.keyPEM = have.Key, have.keyPEM
	} else {
		key, err := newKey(leaf.Key)
		if err != nil {
			return nil, Request{}, err
		}
		out.Key = key
	}
	request, err := NewRequest(leaf, out.Key, now)
	return out, request, err
}

// UnrequestedError says that none of the certificates of a file belongs to a key
// that is here.
type UnrequestedError struct {
	File     string
	Subjects []string
}

func (e *UnrequestedError) Error() string {
	return fmt.Sprintf("%s: no server's key belongs to a certificate in it (it holds %q)", e.File, e.Subjects)
}

// Accept takes what an external CA has signed: a leaf for one of the keys that
// are here, in any place among the certificates above it. It returns the leaf's
// plan and the pair, with every defect that keeps it from being used.
func Accept(plan Plan, have Material, file string, certs []*x509.Certificate, now time.Time) (LeafPlan, *KeyPair, []Finding, error) {
	for _, leaf := range plan.Leaves {
		kp := have.Leaves[leaf.Name]
		ca, _ := plan.ca(leaf.Issuer)
		if kp == nil || ca.Keyholder != KeyExternal {
			continue
		}
		i := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return sameKey(kp.Key.Public(), c.PublicKey) })
		if i < 0 {
			continue
		}
		issuer := have.CAs[leaf.Issuer]
		out := &KeyPair{Cert: certs[i], Key: kp.Key, keyPEM: kp.keyPEM, Chain: chainTo(certs[i], certs, issuer)}
		findings := Verify(out, NewTrustBundle(issuer.Anchor()), Want{leaf.Role, leaf.SANs}, now)
		return leaf, out, append(findings, have.serialTaken(out, leaf.Name)...), nil
	}
	unrequested := &UnrequestedError{File: file}
	for _, cert := range certs {
		unrequested.Subjects = append(unrequested.Subjects, cert.Subject.CommonName)
	}
	return LeafPlan{}, nil, nil, unrequested
}

// chainTo orders the certificates between a leaf and the root, taking them from
// the given ones and from what is known of the CA.
func chainTo(leaf *x509.Certificate, given []*x509.Certificate, ca *KeyPair) []*x509.Certificate {
	var chain []*x509.Certificate
	pool := slices.Concat(given, ca.Certs())
	for at := leaf; !signedBy(at, at) && len(chain) < len(pool); {
		i := slices.IndexFunc(pool, func(c *x509.Certificate) bool { return c.IsCA && !c.Equal(at) && signedBy(at, c) })
		if i < 0 || signedBy(pool[i], pool[i]) { // the root, which peers have
			return chain
		}
		at = pool[i]
		chain = append(chain, at)
	}
	return chain
}
