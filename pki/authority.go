package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/csr"
	cferr "github.com/cloudflare/cfssl/errors"
	"github.com/cloudflare/cfssl/log"
	cfsigner "github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"
)

// This is the only file that imports cfssl. Its habits end here: it writes log
// lines to stderr, and its errors print as JSON.

// organization is the O of every subject, so that a certificate that is found
// somewhere says where it came from.
const organization = "certyard"

// backdate lets a peer whose clock is a little late accept a new certificate.
// Five minutes is what cfssl itself uses (signer.FillTemplate).
const backdate = 5 * time.Minute

// pathLen of a root leaves room for an issuing CA, and for the roots that come
// after it one by one: each is cross-signed by the one before, and with less the
// crossed chain is refused (facts, rotation: C-cross).
const pathLen = 32

var (
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidAuthorityKeyID  = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// silence stops cfssl's log lines: results and errors are returned, and what a
// person reads is not written here. The level is a plain variable of cfssl, so
// it is set once and before its first reader, to be safe in parallel.
var silence = sync.OnceFunc(func() { log.Level = log.LevelFatal + 1 })

// SilenceCFSSL is for others who call cfssl: the level is set by one alone.
func SilenceCFSSL() { silence() }

// newKey makes a private key.
func newKey(t KeyType) (crypto.Signer, error) {
	silence()
	request, ok := map[KeyType]csr.KeyRequest{
		ECDSAP256: {A: "ecdsa", S: 256},
		ECDSAP384: {A: "ecdsa", S: 384},
		RSA2048:   {A: "rsa", S: 2048},
		RSA3072:   {A: "rsa", S: 3072},
		RSA4096:   {A: "rsa", S: 4096},
		Ed25519:   {A: "ed25519"},
	}[t]
	if !ok {
		return nil, fmt.Errorf("making key: unknown type %q", t)
	}
	key, err := request.Generate()
	if err != nil {
		return nil, fmt.Errorf("making %s key: %w", t, translate(err))
	}
	return key.(crypto.Signer), nil
}

// newCA makes a CA with a new key: self-signed, or signed by the parent.
func newCA(plan CAPlan, parent *KeyPair, now time.Time) (*KeyPair, error) {
	switch {
	case plan.Issuer != "" && parent == nil:
		return nil, &MissingError{Name: TitleOfCA(plan.Issuer)}
	case plan.Issuer != "" && parent.Key == nil:
		return nil, keyless(parent, TitleOfCA(plan.Issuer), plan.Title())
	}
	key, err := newKey(plan.Key)
	if err != nil {
		return nil, err
	}
	self := parent == nil || plan.Issuer == ""
	if self {
		parent = &KeyPair{Key: key}
	}
	ski := subjectKeyID(key.Public())
	extensions, err := caExtensions(plan.Constraints, ski, self)
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{CommonName: caCommonName(plan, ski), Organization: []string{organization}}
	notBefore, notAfter := now.UTC().Truncate(time.Second).Add(-backdate), now.UTC().Truncate(time.Second).Add(plan.Validity)
	if !self {
		notBefore, notAfter = withinCA(parent, notBefore, notAfter)
	}
	s, err := newSigner(parent, parent.Cert, caProfile(self))
	if err != nil {
		return nil, err
	}
	cert, err := s.sign(key, subject, cfsigner.SignRequest{NotBefore: notBefore, NotAfter: notAfter, Extensions: extensions})
	if err != nil {
		return nil, err
	}
	out := &KeyPair{Cert: cert, Key: key}
	if !self {
		out.Chain = parent.Certs()
	}
	return out, nil
}

// crossSign returns a root's certificate as another root signs it: the same
// subject and key, so that whoever trusts only the other one accepts what the
// first one has signed. It ends with whichever of the two ends first, and permits
// no more below it than the other one does.
func crossSign(root, other *KeyPair, now time.Time) (*x509.Certificate, error) {
	extensions, err := caExtensions(ConstraintsOf(root.Cert), nil, false)
	if err != nil {
		return nil, err
	}
	profile := caProfile(true)
	if limit := other.Cert.MaxPathLen; limited(other.Cert) && limit <= pathLen {
		profile.CAConstraint.MaxPathLen, profile.CAConstraint.MaxPathLenZero = limit-1, limit == 1
	}
	s, err := newSigner(other, other.Cert, profile)
	if err != nil {
		return nil, err
	}
	notBefore, notAfter := withinCA(other, now.UTC().Truncate(time.Second).Add(-backdate), root.Cert.NotAfter)
	subject := pkix.Name{CommonName: root.Cert.Subject.CommonName, Organization: root.Cert.Subject.Organization}
	return s.sign(root.Key, subject, cfsigner.SignRequest{NotBefore: notBefore, NotAfter: notAfter, Extensions: extensions})
}

// caProfile has no extended key usage: it would bind every leaf below it (facts
// P33). A CA below another one signs leaves only.
func caProfile(self bool) config.SigningProfile {
	constraint := config.CAConstraint{IsCA: true, MaxPathLen: pathLen}
	if !self {
		constraint = config.CAConstraint{IsCA: true, MaxPathLenZero: true}
	}
	return config.SigningProfile{Usage: []string{"cert sign", "crl sign"}, CAConstraint: constraint}
}

// caCommonName ends in the generation, so that CAs of one stack have different
// subjects: the same subject twice makes verification depend on the order of
// the bundle (facts, rotation 11). The name is cut to leave room for it.
func caCommonName(plan CAPlan, ski []byte) string {
	name := func(stack string) string {
		return fmt.Sprintf("certyard %s %s G%d %s", stack, plan.Title(), max(1, plan.Generation), shortID(ski))
	}
	room := maxCommonName - len(name(""))
	return name(plan.Stack[:min(len(plan.Stack), room)])
}

// caExtensions returns what cfssl has no field for: the name constraints, and
// the authority key id of a self-signed certificate.
func caExtensions(c Constraints, ski []byte, self bool) ([]cfsigner.Extension, error) {
	var extensions []cfsigner.Extension
	if self {
		aki, err := selfKeyID(ski)
		if err != nil {
			return nil, err
		}
		extensions = append(extensions, aki)
	}
	if c.empty() {
		return extensions, nil
	}
	constraints, err := c.extension()
	if err != nil {
		return nil, fmt.Errorf("encoding name constraints: %w", err)
	}
	return append(extensions, cfsigner.Extension{
		ID:       config.OID(oidNameConstraints),
		Critical: true,
		Value:    hex.EncodeToString(constraints),
	}), nil
}

// selfKeyID is the authority key id of a self-signed certificate, which Go
// leaves out.
func selfKeyID(ski []byte) (cfsigner.Extension, error) {
	aki, err := asn1.Marshal(struct {
		KeyID []byte `asn1:"tag:0"`
	}{ski})
	if err != nil {
		return cfsigner.Extension{}, fmt.Errorf("encoding authority key id: %w", err)
	}
	return cfsigner.Extension{ID: config.OID(oidAuthorityKeyID), Value: hex.EncodeToString(aki)}, nil
}

// sanExtension takes the SANs over from a request, as they are: cfssl leaves the
// names of a CA out.
func sanExtension(csr []byte) (cfsigner.Extension, error) {
	block, _ := pem.Decode(csr)
	if block == nil {
		return cfsigner.Extension{}, errors.New("reading request: it is no PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return cfsigner.Extension{}, fmt.Errorf("reading request: %w", err)
	}
	for _, e := range request.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			return cfsigner.Extension{ID: config.OID(e.Id), Critical: e.Critical, Value: hex.EncodeToString(e.Value)}, nil
		}
	}
	return cfsigner.Extension{}, errors.New("reading request: it has no SANs")
}

// localAuthority signs leaves with the key of a CA.
type localAuthority struct {
	ca *KeyPair

	mu      sync.Mutex
	signers map[string]*cfsslSigner // by usages: making one costs as much as a signature
}

// Local returns the authority that signs with a CA whose key is here. It may
// be used by several goroutines at once.
func Local(ca *KeyPair) Authority {
	return &localAuthority{ca: ca, signers: map[string]*cfsslSigner{}}
}

// Sign signs the request. The validity is cut to that of the CA and of those
// above it, which verifiers check too (facts P34).
func (l *localAuthority) Sign(_ context.Context, r Request) ([]*x509.Certificate, error) {
	if l.ca.Key == nil {
		return nil, keyless(l.ca, "CA", r.Leaf.Title())
	}
	s, err := l.signer(leafUsages(r.Leaf))
	if err != nil {
		return nil, err
	}
	notBefore, notAfter := withinCA(l.ca, r.NotBefore, r.NotAfter)
	cert, err := s.signRequest(cfsigner.SignRequest{Request: string(r.CSR), NotBefore: notBefore, NotAfter: notAfter})
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{cert}, l.ca.intermediates()...), nil
}

// signer returns the signer for the usages. cfssl's changes nothing of itself
// while it signs with a CA's certificate, so it is shared.
func (l *localAuthority) signer(usages []string) (*cfsslSigner, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := strings.Join(usages, ",")
	if s := l.signers[key]; s != nil {
		return s, nil
	}
	s, err := newSigner(l.ca, l.ca.Cert, config.SigningProfile{Usage: usages})
	if err == nil {
		l.signers[key] = s
	}
	return s, err
}

// selfAuthority signs a leaf with its own key.
type selfAuthority struct {
	key  crypto.Signer
	leaf LeafPlan
}

func selfSigned(key crypto.Signer, leaf LeafPlan) Authority { return &selfAuthority{key, leaf} }

// Sign signs the request. cfssl signs no leaf without a CA, so it is shown one
// that has the leaf's own name.
//
// The certificate is a CA, since GnuTLS accepts nothing else as trust anchor,
// and has no extended key usage, since NSS takes a CA with one for no server.
// It may sign its own names alone: with the key somebody can do no more than
// the server itself.
func (a *selfAuthority) Sign(_ context.Context, r Request) ([]*x509.Certificate, error) {
	ski := subjectKeyID(a.key.Public())
	extensions, err := caExtensions(onlyThese(a.leaf.SANs), ski, true)
	if err != nil {
		return nil, err
	}
	sans, err := sanExtension(r.CSR)
	if err != nil {
		return nil, err
	}
	extensions = append(extensions, sans)
	profile := config.SigningProfile{
		Usage:        append(keyUsages(r.Leaf), "cert sign"),
		CAConstraint: config.CAConstraint{IsCA: true, MaxPathLenZero: true},
	}
	self := &x509.Certificate{Subject: r.Leaf.subject(), SubjectKeyId: ski, PublicKey: a.key.Public()}
	s, err := newSigner(&KeyPair{Key: a.key}, self, profile)
	if err != nil {
		return nil, err
	}
	cert, err := s.signRequest(cfsigner.SignRequest{
		Request: string(r.CSR), NotBefore: r.NotBefore, NotAfter: r.NotAfter, Extensions: extensions,
	})
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{cert}, nil
}

// leafUsages returns the key usages of a leaf and its role.
func leafUsages(leaf LeafPlan) []string {
	return append(keyUsages(leaf), string(leaf.Role)+" auth")
}

// keyUsages gives RSA servers keyEncipherment too: TLS 1.2 suites with RSA key
// exchange need it, and NSS asks for it.
func keyUsages(leaf LeafPlan) []string {
	if leaf.Role == RoleServer && isRSA(leaf.Key) {
		return []string{"digital signature", "key encipherment"}
	}
	return []string{"digital signature"}
}

// cfsslSigner is cfssl's, with one profile.
type cfsslSigner struct{ local *local.Signer }

// newSigner returns a signer for a key. Without a certificate of the issuer it
// signs CAs that sign themselves.
func newSigner(issuer *KeyPair, cert *x509.Certificate, profile config.SigningProfile) (*cfsslSigner, error) {
	silence()
	profile.ExtensionWhitelist = map[string]bool{
		oidSubjectAltName.String():  true,
		oidNameConstraints.String(): true,
		oidAuthorityKeyID.String():  true,
	}
	// The dates are always given, but cfssl accepts no default profile
	// without an expiry.
	profile.Expiry = time.Hour
	policy := &config.Signing{Default: &profile}
	s, err := local.NewSigner(issuer.Key, cert, cfsigner.DefaultSigAlgo(issuer.Key), policy)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", translate(err))
	}
	return &cfsslSigner{s}, nil
}

// sign signs a certificate for a key.
func (s *cfsslSigner) sign(key crypto.Signer, subject pkix.Name, details cfsigner.SignRequest) (*x509.Certificate, error) {
	csr, err := requestPEM(subject, nil, key)
	if err != nil {
		return nil, err
	}
	details.Request = string(csr)
	return s.signRequest(details)
}

// signRequest signs, and returns only what no lint of RFC 5280 objects to.
// cfssl adds a random serial of 159 bits and the key ids.
//
// cfssl can lint by itself, before it signs. That fails with every CA that was
// parsed: it signs a trial certificate with a key of its own, and since Go 1.16
// x509.CreateCertificate holds the key against the CA's certificate.
func (s *cfsslSigner) signRequest(details cfsigner.SignRequest) (*x509.Certificate, error) {
	out, err := s.local.Sign(details)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", translate(err))
	}
	block, _ := pem.Decode(out)
	if block == nil {
		return nil, errors.New("signing certificate: cfssl returned no PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", err)
	}
	if findings := Lint(cert); len(findings) > 0 {
		return nil, fmt.Errorf("linting what was signed: %w", &FindingsError{findings})
	}
	return cert, nil
}

// subjectKeyID returns what cfssl will put into the certificate of a key. It is
// needed before, for the subject. The keys of this package always have one.
func subjectKeyID(pub crypto.PublicKey) []byte {
	ski, err := cfsigner.ComputeSKI(&x509.Certificate{PublicKey: pub})
	if err != nil {
		return nil
	}
	return ski
}

// translate makes plain text of a cfssl error, which prints as JSON.
func translate(err error) error {
	var cf *cferr.Error
	if errors.As(err, &cf) {
		return errors.New(cf.Message)
	}
	return err
}
