package pki

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// caProblems lists what keeps an existing CA from signing.
func caProblems(ca *KeyPair, roles []Role, now time.Time) []error {
	var errs []error
	add := func(problem string) {
		errs = append(errs, &CAError{Generation(ca.Cert), problem})
	}
	if ca.Key != nil && !ca.matches() {
		errs = append(errs, &MismatchError{Name: "CA"})
	}
	if !ca.Cert.BasicConstraintsValid || !ca.Cert.IsCA {
		add("is not a CA certificate")
	}
	if ca.Cert.KeyUsage != 0 && ca.Cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		add("may not sign certificates (key usage)")
	}
	if why := limitedUsage(ca.Cert, roles); why != "" {
		add(why)
	}
	if now.Before(ca.Cert.NotBefore) {
		errs = append(errs, &CAEarlyError{Generation(ca.Cert), ca.Cert.NotBefore, now})
	}
	for _, cert := range ca.Certs() {
		if now.After(cert.NotAfter) {
			errs = append(errs, &CAExpiredError{Generation(cert), cert.NotAfter, now})
		}
	}
	if len(errs) == 0 {
		if why := caChainProblem(ca, now); why != "" {
			add(why)
		}
	}
	return errs
}

// arrivalProblems lists what makes a CA of the user's useless, whatever it may
// sign: peers refuse what it signs, or our own lint does.
func arrivalProblems(plan CAPlan, ca *KeyPair) []error {
	var errs []error
	add := func(cert *x509.Certificate, format string, args ...any) {
		errs = append(errs, &CAError{Generation(cert), fmt.Sprintf(format, args...)})
	}
	if plan.Keyholder == KeyGiven && ca.Cert.IsCA && len(ca.Cert.SubjectKeyId) == 0 {
		add(ca.Cert, "has no subjectKeyIdentifier, which its leaves have to refer to (RFC 5280, 4.2.1.2)")
	}
	for _, cert := range ca.Certs() {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			add(cert, "has an RSA key of %d bits, and peers want %d or more", key.N.BitLen(), minRSA)
		}
		if slices.Contains(brokenAlgorithms(), cert.SignatureAlgorithm) {
			add(cert, "is signed with %s, which peers refuse: have it signed with SHA-256", cert.SignatureAlgorithm)
		}
	}
	return errs
}

// minRSA is what the CA/Browser Forum and NIST SP 800-131A ask for.
const minRSA = 2048

func brokenAlgorithms() []x509.SignatureAlgorithm {
	return []x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1}
}

// caChainProblem looks at what is above a CA: clients trust the root, so the
// chain has to reach it, and nothing in it may forbid this CA or its leaves.
func caChainProblem(ca *KeyPair, now time.Time) string {
	anchor := ca.Anchor()
	if !signedBy(anchor, anchor) {
		return "does not lead to a self-signed root: the certificate file has to go on with those above it, up to the root"
	}
	for i, cert := range ca.Chain {
		if !cert.IsCA || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
			return "was signed by " + cert.Subject.CommonName + ", which is no CA"
		}
		if below := i + 1; cert.MaxPathLen >= 0 && cert.MaxPathLen < below && (cert.MaxPathLen > 0 || cert.MaxPathLenZero) {
			return fmt.Sprintf("was signed by %s, whose path length %d permits no such CA below it", cert.Subject.CommonName, cert.MaxPathLen)
		}
	}
	_, err := ca.Cert.Verify(x509.VerifyOptions{
		Roots: NewTrustBundle(anchor).Pool(), Intermediates: NewTrustBundle(ca.Chain...).Pool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return "is not accepted: " + strings.TrimPrefix(err.Error(), "x509: ")
	}
	return ""
}

// limitedUsage: the extended key usages of a CA, if it has any, limit what its
// leaves are good for (facts P33). Without roles, one of the two will do.
func limitedUsage(ca *x509.Certificate, roles []Role) string {
	if len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) == 0 || slices.Contains(ca.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return ""
	}
	permits := func(r Role) bool {
		usage, _ := r.extKeyUsage()
		return slices.Contains(ca.ExtKeyUsage, usage)
	}
	if !permits(RoleServer) && !permits(RoleClient) {
		return "is limited by an extended key usage that permits neither servers nor clients"
	}
	for _, role := range roles {
		if !permits(role) {
			return "is limited by an extended key usage, which binds all its leaves, and permits no " + string(role) + "s"
		}
	}
	return ""
}

// rolesBelow returns the roles of the leaves that a CA, or one below it, signs.
func (p Plan) rolesBelow(name string) []Role {
	var out []Role
	for _, leaf := range p.Leaves {
		issuer, _ := p.ca(leaf.Issuer)
		if (issuer.Name == name || issuer.Issuer == name) && leaf.Issuer != "" && !slices.Contains(out, leaf.Role) {
			out = append(out, leaf.Role)
		}
	}
	return out
}
