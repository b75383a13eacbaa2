package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
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

// pathLen of 1 leaves room for cross-signing the next CA; with 0, OpenSSL and
// GnuTLS refuse the crossed chain (facts, rotation: C-cross).
const pathLen = 1

var (
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidAuthorityKeyID  = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// silence stops cfssl's log lines: results and errors are returned, and what a
// person reads is not written here. The level is a plain variable of cfssl, so
// it is set once and before its first reader, to be safe in parallel.
var silence = sync.OnceFunc(func() { log.Level = log.LevelFatal + 1 })

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

// newCA makes a self-signed CA with a new key.
func newCA(plan CAPlan, now time.Time) (*KeyPair, error) {
	key, err := newKey(plan.Key)
	if err != nil {
		return nil, err
	}
	ski := subjectKeyID(key.Public())
	extensions, err := caExtensions(plan.Constraints, ski)
	if err != nil {
		return nil, err
	}
	request := x509.CertificateRequest{Subject: pkix.Name{
		CommonName:   caCommonName(plan.Name, ski),
		Organization: []string{organization},
	}}
	// No extended key usage: it would bind every leaf below it (facts P33).
	profile := config.SigningProfile{
		Usage:        []string{"cert sign", "crl sign"},
		CAConstraint: config.CAConstraint{IsCA: true, MaxPathLen: pathLen},
	}
	now = now.UTC().Truncate(time.Second)
	cert, err := sign(&KeyPair{Key: key}, key, request, profile, cfsigner.SignRequest{
		NotBefore:  now.Add(-backdate),
		NotAfter:   now.Add(plan.Validity),
		Extensions: extensions,
	})
	if err != nil {
		return nil, err
	}
	return &KeyPair{Cert: cert, Key: key}, nil
}

// caCommonName ends in the generation, so that CAs of one stack have different
// subjects: the same subject twice makes verification depend on the order of
// the bundle (facts, rotation 11). The name is cut to leave room for it.
func caCommonName(name string, ski []byte) string {
	const format = "certyard %s CA G1 %s"
	room := maxCommonName - len(fmt.Sprintf(format, "", shortID(ski)))
	return fmt.Sprintf(format, name[:min(len(name), room)], shortID(ski))
}

// caExtensions returns what cfssl has no field for: the name constraints, and
// the authority key id, which Go leaves out of a self-signed certificate.
func caExtensions(c Constraints, ski []byte) ([]cfsigner.Extension, error) {
	aki, err := asn1.Marshal(struct {
		KeyID []byte `asn1:"tag:0"`
	}{ski})
	if err != nil {
		return nil, fmt.Errorf("encoding authority key id: %w", err)
	}
	extensions := []cfsigner.Extension{
		{ID: config.OID(oidAuthorityKeyID), Value: hex.EncodeToString(aki)},
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

// newLeaf signs a certificate for the key.
func newLeaf(ca *KeyPair, leaf LeafPlan, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	request := x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: leaf.commonName(), Organization: []string{organization}},
		DNSNames: leaf.SANs.DNS(),
	}
	// The SANs go in typed. Given as hosts, cfssl would guess what each is,
	// and make e-mail addresses and URIs of some (local.OverrideHosts).
	for _, ip := range leaf.SANs.IPs() {
		request.IPAddresses = append(request.IPAddresses, ip.AsSlice())
	}
	notBefore, notAfter := leafDates(ca.Cert, leaf.Validity, now)
	profile := config.SigningProfile{Usage: leafUsages(leaf)}
	return sign(ca, key, request, profile, cfsigner.SignRequest{NotBefore: notBefore, NotAfter: notAfter})
}

// leafUsages gives RSA servers keyEncipherment too: TLS 1.2 suites with RSA key
// exchange need it, and only those.
func leafUsages(leaf LeafPlan) []string {
	if leaf.Role == RoleClient {
		return []string{"digital signature", "client auth"}
	}
	usages := []string{"digital signature", "server auth"}
	if leaf.Key == RSA2048 || leaf.Key == RSA3072 || leaf.Key == RSA4096 {
		usages = append(usages, "key encipherment")
	}
	return usages
}

// leafDates keeps a leaf within the life of its CA: verifiers check both dates
// (facts P34).
func leafDates(ca *x509.Certificate, validity time.Duration, now time.Time) (notBefore, notAfter time.Time) {
	now = now.UTC().Truncate(time.Second)
	notBefore, notAfter = now.Add(-backdate), now.Add(validity)
	if notBefore.Before(ca.NotBefore) {
		notBefore = ca.NotBefore
	}
	if notAfter.After(ca.NotAfter) {
		notAfter = ca.NotAfter
	}
	return notBefore, notAfter
}

// sign has cfssl sign a certificate for key. An issuer without a certificate
// signs itself. cfssl adds a random serial of 159 bits and the key ids.
func sign(issuer *KeyPair, key crypto.Signer, request x509.CertificateRequest,
	profile config.SigningProfile, details cfsigner.SignRequest) (*x509.Certificate, error) {
	silence()
	der, err := x509.CreateCertificateRequest(rand.Reader, &request, key)
	if err != nil {
		return nil, fmt.Errorf("requesting certificate: %w", err)
	}
	details.Request = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))

	profile.ExtensionWhitelist = map[string]bool{
		oidNameConstraints.String(): true,
		oidAuthorityKeyID.String():  true,
	}
	// The dates are always given, but cfssl accepts no default profile
	// without an expiry.
	profile.Expiry = time.Hour
	policy := &config.Signing{Default: &profile}
	s, err := local.NewSigner(issuer.Key, issuer.Cert, cfsigner.DefaultSigAlgo(issuer.Key), policy)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", translate(err))
	}
	out, err := s.Sign(details)
	if err != nil {
		return nil, fmt.Errorf("signing certificate: %w", translate(err))
	}
	block, _ := pem.Decode(out)
	if block == nil {
		return nil, errors.New("signing certificate: cfssl returned no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
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
