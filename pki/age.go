package pki

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// changes lists in what a leaf differs from its plan. What others sign may have
// more names, and a subject and a validity of their choice.
func (d *differ) changes(leaf LeafPlan, cert *x509.Certificate) []string {
	ca, _ := d.plan.ca(leaf.Issuer)
	if ca.Keyholder != KeyExternal && ca.Keyholder != KeyRemote {
		return changes(leaf, cert)
	}
	var causes []string
	if missing := leaf.SANs.without(SANsOf(cert)); len(missing) > 0 {
		causes = append(causes, strings.Join(missing, ", ")+" missing from the names")
	}
	if why := roleProblem(cert, leaf.Role); why != "" {
		causes = append(causes, why)
	}
	return causes
}

// changes lists in what a leaf that we sign differs from its plan.
func changes(leaf LeafPlan, cert *x509.Certificate) []string {
	var causes []string
	add := func(format string, args ...any) { causes = append(causes, fmt.Sprintf(format, args...)) }
	have := SANsOf(cert)
	if missing := leaf.SANs.without(have); len(missing) > 0 {
		add("%s missing from the names", strings.Join(missing, ", "))
	}
	if extra := have.without(leaf.SANs); len(extra) > 0 {
		add("%s no longer among the names", strings.Join(extra, ", "))
	}
	if len(cert.EmailAddresses)+len(cert.URIs) > 0 {
		add("it has names that are no hosts")
	}
	if why := roleProblem(cert, leaf.Role); why != "" {
		add("%s", why)
	}
	if cn := cert.Subject.CommonName; cn != leaf.commonName() {
		add("its common name is %q, want %q", cn, leaf.commonName())
	}
	if life := cert.NotAfter.Sub(cert.NotBefore) - backdate; life > leaf.Validity.Truncate(time.Second) {
		add("it is valid for %s, want %s", span(life), span(leaf.Validity))
	}
	return causes
}

// age says why a leaf has to be renewed now, or "". The last third of a life is
// the time to do it, so that a stack that runs once a month still gets there.
func age(leaf LeafPlan, cert *x509.Certificate, ca *KeyPair, now time.Time) string {
	if now.Before(cert.NotBefore) {
		return "it is not valid before " + date(cert.NotBefore)
	}
	left := cert.NotAfter.Sub(now)
	life := cert.NotAfter.Sub(cert.NotBefore)
	if left > max(life/3, leaf.Within) || leaf.Keep && left > 0 {
		return ""
	}
	// Near the end of the CA a new leaf would end with it, as this one does.
	if ca != nil {
		if !leafEnd(ca, leaf.Validity, now).After(cert.NotAfter) {
			return ""
		}
	}
	if left < 0 {
		return "it has expired on " + date(cert.NotAfter)
	}
	return fmt.Sprintf("%s of %s left", span(left), span(life-backdate))
}

// span writes a duration in the largest unit that it has at least two of.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
}
