package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
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

// TwiceError says that there are two different certificates for one key.
type TwiceError struct {
	Leaf        string // title of the leaf
	File, Other string
}

func (e *TwiceError) Error() string {
	if e.File == e.Other {
		return fmt.Sprintf("%s holds two different certificates of the %s", e.File, e.Leaf)
	}
	return fmt.Sprintf("%s and %s hold two different certificates of the %s", e.Other, e.File, e.Leaf)
}

// ParseSigned reads what a CA sends back: certificates in PEM, or one in DER.
// The error says what it is otherwise.
func ParseSigned(data []byte) ([]*x509.Certificate, error) {
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		bundle, err := ParseTrustBundle(data)
		return bundle.certs, err
	}
	certs, err := x509.ParseCertificates(data)
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("it is empty")
	case err == nil:
		return certs, nil
	case isRequest(data):
		return nil, errors.New("it is a certificate request: the CA has to sign it first")
	case bytes.Contains(data[:min(len(data), 32)], pkcs7SignedData):
		return nil, errors.New(`it is PKCS #7: convert it with "openssl pkcs7 -inform DER -print_certs"`)
	default:
		return nil, errors.New("it is no certificate, in PEM or DER")
	}
}

// pkcs7SignedData is the DER of the type with which a file of certificates in
// PKCS #7 begins (RFC 2315, section 14).
var pkcs7SignedData = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}

func isRequest(der []byte) bool {
	_, err := x509.ParseCertificateRequest(der)
	return err == nil
}

// Accepted is a leaf that an external CA has signed for a key that is here, with
// every defect that keeps it from being used.
type Accepted struct {
	Leaf     LeafPlan
	Pair     *KeyPair
	Findings []Finding
}

// Accept takes what an external CA has signed: the leaves for the keys that are
// here, in any place among the certificates above them. Without one the error is
// an *[UnrequestedError], and with two for one key a *[TwiceError].
func Accept(plan Plan, have Material, file string, certs []*x509.Certificate, now time.Time) ([]Accepted, error) {
	var out []Accepted
	have.Leaves = maps.Clone(have.Leaves) // the caller keeps its own
	for _, leaf := range plan.Leaves {
		kp := have.Leaves[leaf.Name]
		ca, _ := plan.ca(leaf.Issuer)
		if kp == nil || ca.Keyholder != KeyExternal {
			continue
		}
		mine := slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool { return !sameKey(kp.Key.Public(), c.PublicKey) })
		mine = NewTrustBundle(mine...).certs // each once
		switch len(mine) {
		case 0:
			continue
		case 1:
		default:
			return nil, &TwiceError{Leaf: leaf.Title(), File: file, Other: file}
		}
		issuer := have.CAs[leaf.Issuer]
		pair := &KeyPair{Cert: mine[0], Key: kp.Key, keyPEM: kp.keyPEM, Chain: chainTo(mine[0], certs, issuer)}
		findings := Verify(pair, NewTrustBundle(issuer.Anchor()), Want{leaf.Role, leaf.SANs}, now)
		findings = append(findings, have.serialTaken(pair, leaf.Name)...)
		have.Leaves[leaf.Name] = pair
		out = append(out, Accepted{leaf, pair, findings})
	}
	if out == nil {
		unrequested := &UnrequestedError{File: file}
		for _, cert := range certs {
			unrequested.Subjects = append(unrequested.Subjects, cert.Subject.CommonName)
		}
		return nil, unrequested
	}
	return out, nil
}

// chainTo orders the certificates between a leaf and the root, taking them from
// the given ones and from what is known of the CA.
func chainTo(leaf *x509.Certificate, given []*x509.Certificate, ca *KeyPair) []*x509.Certificate {
	var chain []*x509.Certificate
	pool := slices.Concat(given, ca.Certs())
	for at := leaf; !signedBy(at, at) && len(chain) < len(pool); {
		i := slices.IndexFunc(pool, func(c *x509.Certificate) bool { return c.IsCA && !c.Equal(at) && issuedBy(at, c) })
		if i < 0 || signedBy(pool[i], pool[i]) { // the root, which peers have
			return chain
		}
		at = pool[i]
		chain = append(chain, at)
	}
	return chain
}
