package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Info is what a certificate says, for people and for JSON.
type Info struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	SANs        []string  `json:"sans"`
	CA          bool      `json:"ca"`
	PathLen     *int      `json:"path_length,omitempty"` // nil: no limit, or no CA
	Permitted   []string  `json:"permitted,omitempty"`   // names and networks that a CA may sign for
	Excluded    []string  `json:"excluded,omitempty"`
	KeyUsage    []string  `json:"key_usage"`
	ExtKeyUsage []string  `json:"extended_key_usage"`
	KeyType     KeyType   `json:"key_type"`
	Serial      string    `json:"serial"`      // hexadecimal
	Fingerprint string    `json:"fingerprint"` // SHA-256, hexadecimal
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	DaysLeft    int       `json:"days_left"` // whole days, negative once expired
}

// Describe returns what a certificate says, and how long it is still valid at
// the given time.
func Describe(cert *x509.Certificate, now time.Time) Info {
	c := ConstraintsOf(cert)
	info := Info{
		Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), SANs: allSANs(cert), CA: cert.IsCA,
		Permitted: subtrees(c.DNS, c.IPs), Excluded: subtrees(c.ExcludedDNS, c.ExcludedIPs),
		KeyUsage: keyUsageNames(cert.KeyUsage), ExtKeyUsage: []string{}, KeyType: KeyTypeOf(cert.PublicKey),
		Serial: cert.SerialNumber.Text(16), Fingerprint: Fingerprint(cert),
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
		DaysLeft: DaysLeft(cert, now),
	}
	for _, usage := range cert.ExtKeyUsage {
		info.ExtKeyUsage = append(info.ExtKeyUsage, usage.String())
	}
	for _, oid := range cert.UnknownExtKeyUsage {
		info.ExtKeyUsage = append(info.ExtKeyUsage, oid.String())
	}
	if cert.IsCA && (cert.MaxPathLen > 0 || cert.MaxPathLenZero) {
		info.PathLen = &cert.MaxPathLen
	}
	return info
}

// DaysLeft returns for how many whole days a certificate is still valid; once it
// has expired the number is negative, from the first moment on.
func DaysLeft(cert *x509.Certificate, now time.Time) int {
	return int(math.Floor(cert.NotAfter.Sub(now).Hours() / 24))
}

// allSANs lists every kind of name as it is written.
func allSANs(cert *x509.Certificate) []string {
	out := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		out = append(out, ip.String())
	}
	out = append(out, cert.EmailAddresses...)
	for _, uri := range cert.URIs {
		out = append(out, uri.String())
	}
	return out
}

func subtrees(names []string, networks []netip.Prefix) []string {
	out := slices.Clone(names)
	for _, p := range networks {
		out = append(out, p.String())
	}
	return out
}

func keyUsageNames(usage x509.KeyUsage) []string {
	out := []string{}
	for i, name := range []string{
		"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	} {
		if usage&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// Contents is what a file of anybody's holds.
type Contents struct {
	Certs []*x509.Certificate
	Keys  []crypto.Signer
	// Others names PEM blocks that are neither, and keys that cannot be read.
	Others []string
}

// ErrNothing says that a file holds neither certificate nor key.
var ErrNothing = errors.New("it holds no certificate and no key, in PEM or DER")

// ParseContents reads certificates and keys in PEM, in any order and with text
// between them, or certificates in DER. A damaged certificate is an error.
func ParseContents(data []byte) (Contents, error) {
	var c Contents
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		certs, err := x509.ParseCertificates(data)
		if err != nil || len(certs) == 0 {
			return c, ErrNothing
		}
		return Contents{Certs: certs}, nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return c, fmt.Errorf("certificate %d: %w", len(c.Certs)+1, err)
			}
			c.Certs = append(c.Certs, cert)
			continue
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			if key, err := parseKey(pem.EncodeToMemory(block)); err == nil {
				c.Keys = append(c.Keys, key)
				continue
			}
		}
		c.Others = append(c.Others, strings.ToLower(block.Type))
	}
	if len(c.Certs)+len(c.Keys)+len(c.Others) == 0 {
		return c, ErrNothing
	}
	return c, nil
}

// Pair returns the certificates as a leaf with its chain, and the key that
// belongs to it, if one of the keys does. The leaf is the first certificate that
// has not signed another one.
func (c Contents) Pair() (*KeyPair, error) {
	i := slices.IndexFunc(c.Certs, func(cert *x509.Certificate) bool {
		return !slices.ContainsFunc(c.Certs, func(other *x509.Certificate) bool {
			return other != cert && !other.Equal(cert) && issuedBy(other, cert)
		})
	})
	if i < 0 {
		return nil, ErrNothing
	}
	kp := &KeyPair{Cert: c.Certs[i]}
	for j, cert := range c.Certs {
		if j != i {
			kp.Chain = append(kp.Chain, cert)
		}
	}
	for _, key := range c.Keys {
		if sameKey(key.Public(), kp.Cert.PublicKey) {
			kp.Key = key
		}
	}
	if kp.Key == nil && len(c.Keys) > 0 {
		return kp, &MismatchError{Name: kp.Cert.Subject.CommonName}
	}
	return kp, nil
}

// Source is a certificate and what is known of it besides.
type Source struct {
	Cert   *x509.Certificate `json:"-"`
	Name   string            `json:"name,omitempty"` // in a plan
	File   string            `json:"file,omitempty"`
	Key    string            `json:"key,omitempty"`    // where its key is
	Reader string            `json:"reader,omitempty"` // which container reads it
}

// Node is a certificate in a [Forest], with those that it has signed.
type Node struct {
	Info
	Source
	Problems []string `json:"problems"`
	Signed   []*Node  `json:"signed"`
}

// Forest arranges certificates by who has signed whom: a signer has the name of
// the issuer, and the signature verifies, since names can lie. A certificate that
// is there twice is one node, with both files. What is wrong with one at the
// given time is noted at it.
func Forest(sources []Source, now time.Time) []*Node {
	all := nodesOf(sources, now)
	bySubject := map[string][]*Node{}
	for _, node := range all {
		bySubject[string(node.Cert.RawSubject)] = append(bySubject[string(node.Cert.RawSubject)], node)
	}
	var roots []*Node
	parents := map[*Node]*Node{}
	for _, node := range all {
		self := issuedBy(node.Cert, node.Cert)
		var parent *Node
		if !self {
			parent = signerOf(node, bySubject[string(node.Cert.RawIssuer)])
		}
		node.Problems = append(node.Problems, nodeProblems(node, bySubject[string(node.Cert.RawSubject)], self || parent != nil, now)...)
		for up := parent; up != nil; up = parents[up] {
			if up == node { // CAs that have signed each other: one has to be the top
				parent = nil
			}
		}
		if parents[node] = parent; parent != nil {
			parent.Signed = append(parent.Signed, node)
		} else {
			roots = append(roots, node)
		}
	}
	return roots
}

// nodesOf returns a node for each certificate.
func nodesOf(sources []Source, now time.Time) []*Node {
	var all []*Node
	byPrint := map[string]*Node{}
	for _, s := range sources {
		print := Fingerprint(s.Cert)
		if have := byPrint[print]; have != nil {
			if s.File != "" && s.File != have.File {
				have.File = strings.TrimPrefix(have.File+", "+s.File, ", ")
			}
			continue
		}
		node := &Node{Info: Describe(s.Cert, now), Source: s, Problems: []string{}, Signed: []*Node{}}
		byPrint[print] = node
		all = append(all, node)
	}
	return all
}

// signerOf finds who has signed a certificate among those of the issuer's name.
func signerOf(node *Node, candidates []*Node) *Node {
	i := slices.IndexFunc(candidates, func(other *Node) bool { return other != node && issuedBy(node.Cert, other.Cert) })
	if i < 0 {
		return nil
	}
	return candidates[i]
}

// nodeProblems lists what is wrong with a certificate by itself, and among those
// of the same name.
func nodeProblems(node *Node, namesakes []*Node, signed bool, now time.Time) []string {
	var out []string
	if _, problem := withinLife(node.Cert, now); problem != "" {
		out = append(out, problem)
	}
	if !signed {
		out = append(out, "its issuer is not here")
	}
	for _, other := range namesakes {
		if other != node && node.Cert.IsCA && !sameKey(other.Cert.PublicKey, node.Cert.PublicKey) {
			out = append(out, "another CA here has the same subject and another key")
			break
		}
	}
	for _, f := range NameFindings(node.Cert) {
		out = append(out, f.Problem)
	}
	return out
}

// Sound reports whether nothing is wrong with a certificate and those that it
// has signed.
func (n *Node) Sound() bool {
	return len(n.Problems) == 0 && !slices.ContainsFunc(n.Signed, func(s *Node) bool { return !s.Sound() })
}

// RoleOf returns the role that a certificate claims. One that claims both, or
// none, is held to be a server's.
func RoleOf(cert *x509.Certificate) Role {
	if slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return RoleClient
	}
	return RoleServer
}

// IsSigningCA tells a CA from a server that has signed its own certificate,
// which has to be a CA as well.
func IsSigningCA(cert *x509.Certificate) bool {
	return cert.IsCA && (cert.KeyUsage == 0 || cert.KeyUsage&x509.KeyUsageCertSign != 0) && len(cert.DNSNames) == 0
}

// NameFindings lists what is wrong with the names of a certificate, whoever asks:
// names that no client can match, and no names at all on a server.
func NameFindings(cert *x509.Certificate) []Finding {
	var out []Finding
	add := func(format string, args ...any) {
		out = append(out, Finding{cert.Subject.CommonName, fmt.Sprintf(format, args...)})
	}
	client := len(cert.ExtKeyUsage) == 1 && cert.ExtKeyUsage[0] == x509.ExtKeyUsageClientAuth
	if !cert.IsCA && !client && !hasSANs(cert) {
		add("has no SANs: clients ignore the common name %q", cert.Subject.CommonName)
	}
	for _, name := range cert.DNSNames {
		if _, err := netip.ParseAddr(name); err == nil {
			add("has the IP address %s written as a DNS name, which no client matches", name)
		} else if why := nameProblem(normalName(name)); why != "" {
			add("has the name %q, which %s", name, why)
		}
	}
	return out
}
