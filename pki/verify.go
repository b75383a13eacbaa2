package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Want is what a leaf has to be good for.
type Want struct {
	Role Role
	SANs SANs // of a server: every one must hold. A client must have none.
}

// Finding is one defect of a certificate.
type Finding struct {
	Subject string // the common name of the certificate
	Problem string // as "is not valid for build.lan"
}

// String returns subject and problem as one sentence.
func (f Finding) String() string { return f.Subject + " " + f.Problem }

// Verify lists every defect of a leaf, as peers that accept the bundle would
// see it at the given time; no finding means that it holds. It judges with the
// verifier of the standard library, which the registry and buildkitd use too,
// and is stricter in one point: the role must be the leaf's only one.
func Verify(kp *KeyPair, trust TrustBundle, want Want, now time.Time) []Finding {
	out := VerifyShown(kp, trust, want, now)
	if !kp.Locked() && !kp.matches() {
		mismatch := Finding{kp.Cert.Subject.CommonName, "has a private key that does not belong to it"}
		out = append([]Finding{mismatch}, out...)
	}
	return out
}

// VerifyShown is [Verify] for somebody who sees the certificates alone, as they
// are shown by a server or found in a file.
func VerifyShown(kp *KeyPair, trust TrustBundle, want Want, now time.Time) []Finding {
	cert := kp.Cert
	var out []Finding
	add := func(problem string) {
		if problem != "" {
			out = append(out, Finding{cert.Subject.CommonName, problem})
		}
	}
	if cert.SerialNumber.Sign() <= 0 {
		add("has a serial number that is not positive")
	}
	if cert.IsCA && !signedBy(cert, cert) { // a self-signed server has to be one
		add("is a CA, not a leaf")
	}
	if cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		add("lacks the key usage digitalSignature, which TLS 1.3 needs")
	}
	add(roleProblem(cert, want.Role))
	at, problem := withinLife(cert, now)
	add(problem)
	add(chainProblem(kp, trust, want.Role, at))
	for _, host := range want.SANs.Strings() {
		add(hostProblem(cert, host))
	}
	if want.Role == RoleClient && hasSANs(cert) {
		add("is a client leaf with SANs, which name constraints are held against")
	}
	return out
}

// VerifyCA lists every defect that keeps a key pair from being a CA at the
// given time.
func VerifyCA(ca *KeyPair, now time.Time) []Finding {
	var out []Finding
	for _, err := range caProblems(ca, nil, now) {
		out = append(out, Finding{ca.Cert.Subject.CommonName, "cannot be the CA: " + err.Error()})
	}
	return out
}

func roleProblem(cert *x509.Certificate, role Role) string {
	usage, _ := role.extKeyUsage()
	if len(cert.ExtKeyUsage) == 1 && cert.ExtKeyUsage[0] == usage && len(cert.UnknownExtKeyUsage) == 0 {
		return ""
	}
	if role == RoleServer && cert.IsCA && signedBy(cert, cert) && len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return "" // a self-signed server; see selfAuthority
	}
	var have []string
	for _, usage := range cert.ExtKeyUsage {
		have = append(have, usage.String())
	}
	for _, oid := range cert.UnknownExtKeyUsage {
		have = append(have, oid.String())
	}
	if have == nil {
		have = []string{"none"}
	}
	return fmt.Sprintf("has the extended key usage %s, want %s alone", strings.Join(have, ", "), usage)
}

// withinLife judges the dates. It also returns the time nearest to now at which
// the certificate is valid, so that the chain of an expired leaf can still be
// judged for everything else.
func withinLife(cert *x509.Certificate, now time.Time) (time.Time, string) {
	switch {
	case now.Before(cert.NotBefore):
		return cert.NotBefore, "is not valid before " + date(cert.NotBefore)
	case now.After(cert.NotAfter):
		return cert.NotAfter, "has expired on " + date(cert.NotAfter)
	default:
		return now, ""
	}
}

func chainProblem(kp *KeyPair, trust TrustBundle, role Role, at time.Time) string {
	usage, _ := role.extKeyUsage()
	chains, err := kp.Cert.Verify(x509.VerifyOptions{
		Roots:         trust.Pool(),
		Intermediates: NewTrustBundle(kp.Chain...).Pool(),
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	if err == nil {
		return outlives(kp.Cert, chains)
	}
	return "is not accepted: " + strings.TrimPrefix(err.Error(), "x509: ")
}

// outlives says which CA ends before the leaf: from then on the leaf is refused,
// long before the date that it shows.
func outlives(cert *x509.Certificate, chains [][]*x509.Certificate) string {
	for _, chain := range chains {
		i := slices.IndexFunc(chain, func(ca *x509.Certificate) bool { return cert.NotAfter.After(ca.NotAfter) })
		if i < 0 {
			return ""
		}
	}
	ca := chains[0][slices.IndexFunc(chains[0], func(ca *x509.Certificate) bool { return cert.NotAfter.After(ca.NotAfter) })]
	return fmt.Sprintf("is valid until %s, longer than its CA %s (%s)", date(cert.NotAfter), ca.Subject.CommonName, date(ca.NotAfter))
}

// hostProblem asks whether the certificate holds for a host. A wildcard, which
// no client asks for, is matched as it is written.
func hostProblem(cert *x509.Certificate, host string) string {
	if cert.VerifyHostname(host) == nil {
		return ""
	}
	return "is not valid for " + host
}

func hasSANs(cert *x509.Certificate) bool {
	return len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses)+len(cert.URIs) > 0
}
