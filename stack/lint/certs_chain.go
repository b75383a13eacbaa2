package lint

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
)

// trust is one list of CAs that a client or a server accepts.
type trust struct {
	Used  // where the list stands
	paths []string
	certs []*x509.Certificate
}

func (t trust) pool() *x509.CertPool { return pki.NewTrustBundle(t.certs...).Pool() }

func (t trust) has(cert *x509.Certificate) bool { return slices.ContainsFunc(t.certs, cert.Equal) }

func (t trust) files() string { return strings.Join(t.paths, " and ") }

// chainFindings judges whether those whom a leaf is shown to accept who has signed
// it. Each list of CAs is judged by itself: a client with an old one is refused,
// whatever the others have.
func (b board) chainFindings(l leaf) []Finding {
	if slices.ContainsFunc(append([]*x509.Certificate{l.cert}, l.above...), func(cert *x509.Certificate) bool {
		return !selfSigned(cert) && !verifiable(cert.SignatureAlgorithm)
	}) {
		return nil // nothing verifies it; weakFindings says so
	}
	var out []Finding
	for _, t := range b.trusts(l) {
		out = append(out, b.acceptFindings(l, t)...)
	}
	return out
}

// trusts returns the lists that a leaf is shown to. A list of which a file cannot
// be used is left out: what is wrong with the file is said, and what else would
// be is not known.
func (b board) trusts(l leaf) []trust {
	use := TrustCA
	if !l.server() {
		use = ClientCA
	}
	var out []trust
	spoiled := map[int]bool{}
	for _, p := range l.Trust {
		u := b.usedAs(p, use, l.Subject)
		i := slices.IndexFunc(out, func(t trust) bool { return t.File == u.File && element(t.Object) == element(u.Object) })
		if i < 0 {
			i = len(out)
			out = append(out, trust{Used: u})
		}
		f, ok := b.file(p)
		spoiled[i] = spoiled[i] || !ok || !f.usable() || len(f.certs) == 0
		out[i].paths = append(out[i].paths, p)
		out[i].certs = append(out[i].certs, f.certs...)
	}
	var whole []trust
	for i, t := range out {
		if !spoiled[i] {
			whole = append(whole, t)
		}
	}
	return whole
}

// element takes the index off the name of a list's element.
func element(object string) string {
	if i := strings.LastIndex(object, "["); i >= 0 && strings.HasSuffix(object, "]") {
		return object[:i]
	}
	return object
}

// usedAs returns the use of a file as a list of CAs, which the caller may have left
// out: then nothing is known of its place.
func (b board) usedAs(p string, use Use, subject Subject) Used {
	for _, u := range b.uses {
		if u.Use == use && path.Clean(u.Path) == path.Clean(p) && u.Subject == subject {
			return u
		}
	}
	return Used{Subject: subject, Use: use, Path: p, Reader: -1}
}

// acceptFindings judges a leaf by one list of CAs, at a time at which the leaf
// itself is valid: its own dates are judged elsewhere, as are its own usages.
func (b board) acceptFindings(l leaf, t trust) []Finding {
	at := within(l.cert, b.now)
	chains, err := l.verify(t, at, x509.ExtKeyUsageAny)
	if err != nil {
		return b.refusal(l, t, at, err)
	}
	out := endsFindings(l, chains)
	if _, err := l.verify(t, at, l.usage()); err != nil && allows(l.cert, l.usage()) {
		out = append(out, usageAbove(l, chains)...)
	}
	return out
}

// verify has crypto/x509 judge the leaf.
func (l leaf) verify(t trust, at time.Time, usage x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	return l.cert.Verify(x509.VerifyOptions{
		Roots: t.pool(), Intermediates: pki.NewTrustBundle(l.above...).Pool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	})
}

// within returns the time nearest to now at which a certificate is valid.
func within(cert *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(cert.NotBefore):
		return cert.NotBefore
	case now.After(cert.NotAfter):
		return cert.NotAfter
	}
	return now
}

// refusal says why a leaf is refused: at the CA that is not the one it seems to
// be, may not sign or has ended, or where the chain has a gap.
func (b board) refusal(l leaf, t trust, at time.Time, err error) []Finding {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.CANotAuthorizedForThisName {
		return constraintFindings(l, t, err)
	}
	below, parents := climb(l, t)
	switch {
	case len(parents) == 0 && onlyLeaves(t) && l.server():
		return []Finding{t.at("certs.trust-leaf", fmt.Sprintf("%s holds no CA, but the certificate %s, which is not the one that the server shows (%s): %s", t.files(), name(t.certs[0]), l.Path, l.refused(err)),
			"put the CA there that has signed the server's certificate")}
	case len(parents) == 0:
		return b.gap(l, t, below, err)
	case !slices.ContainsFunc(parents, func(ca *x509.Certificate) bool { return signed(below, ca) }):
		return []Finding{t.at("certs.same-subject", fmt.Sprintf("%s was signed by another key than that of %s, which bears the same name %q: the CA was made anew, and the copy in %s or the certificate is of the other time; %s",
			title(below, l.Path), parents[0].Subject, name(parents[0]), t.files(), l.refused(err)), mendTrust(t))}
	}
	ca := parents[slices.IndexFunc(parents, func(ca *x509.Certificate) bool { return signed(below, ca) })]
	switch {
	case below.CheckSignatureFrom(ca) != nil:
		return []Finding{l.in("certs.not-a-ca", ca, fmt.Sprintf("%s was signed by %s, which may sign nobody: it says %s; %s", title(below, l.Path), name(ca), signingLack(ca), l.refused(err)),
			"make the CA anew with basicConstraints=critical,CA:TRUE and keyUsage=keyCertSign,cRLSign, and then what it has signed")}
	case b.now.After(ca.NotAfter) || b.now.Before(ca.NotBefore):
		return []Finding{caEnded(t.Used, ca, b.now)}
	case at.After(ca.NotAfter) || at.Before(ca.NotBefore):
		return nil // the leaf has ended before its CA was renewed, or begins after it ends: its own dates are what is wrong
	}
	if i := slices.IndexFunc(l.above, func(ca *x509.Certificate) bool { return b.now.After(ca.NotAfter) || b.now.Before(ca.NotBefore) }); i >= 0 {
		return []Finding{caEnded(l.Used, l.above[i], b.now)}
	}
	return []Finding{t.at("certs.chain", fmt.Sprintf("%s is not accepted by who trusts %s: %s", l.title(), t.files(), l.refused(err)), mendTrust(t))}
}

// climb goes up from the leaf while a certificate is found that has signed the one
// below and may. It returns the last one that was reached, and whoever bears the
// name of its issuer.
func climb(l leaf, t trust) (*x509.Certificate, []*x509.Certificate) {
	cert := l.cert
	for range len(l.above) + 1 {
		parents := slices.DeleteFunc(slices.Concat(t.certs, l.above), func(ca *x509.Certificate) bool { return !named(cert, ca) || ca.Equal(cert) })
		next := slices.IndexFunc(parents, func(ca *x509.Certificate) bool { return cert.CheckSignatureFrom(ca) == nil })
		if next < 0 || t.has(parents[next]) {
			return cert, parents
		}
		cert = parents[next]
	}
	return cert, nil
}

// gap says that nobody is there who bears the issuer's name: an intermediate CA
// that lies in another file and has to be sent along, or a stranger.
func (b board) gap(l leaf, t trust, below *x509.Certificate, err error) []Finding {
	for _, f := range b.files {
		for _, ca := range f.certs {
			full := leaf{Used: l.Used, cert: l.cert, above: append(slices.Clone(l.above), ca)}
			if !named(below, ca) || ca.Equal(below) {
				continue
			}
			_, err := full.verify(t, within(l.cert, b.now), x509.ExtKeyUsageAny)
			// Something may be wrong above it too, which is seen once it is sent.
			if err == nil || isCA(ca) && !selfSigned(ca) && signed(below, ca) {
				return []Finding{l.in("certs.missing-intermediate", l.cert, fmt.Sprintf("%s was signed by the intermediate CA %s, which is not sent along: %s", l.title(), name(ca), l.unsent(x509.UnknownAuthorityError{})),
					fmt.Sprintf("append it: cat %s >> %s", f.Path, l.Path))}
			}
		}
	}
	who := fmt.Sprintf("by %q, and %s holds %s", name(&x509.Certificate{Subject: below.Issuer, SerialNumber: below.SerialNumber}), t.files(), nameAll(t.certs))
	if selfSigned(below) {
		who = "by itself, and " + t.files() + " holds " + nameAll(t.certs)
	}
	return []Finding{t.at("certs.chain", fmt.Sprintf("%s was signed %s: %s", title(below, l.Path), who, l.unsent(err)), mendTrust(t))}
}

// unsent is [leaf.refused] where nobody bears the issuer's name: a client of Go's
// does not even send such a certificate, since the server tells it whom it accepts.
func (l leaf) unsent(reason error) string {
	if l.server() {
		return l.refused(reason)
	}
	return l.alerted("certificate required")
}

func nameAll(certs []*x509.Certificate) string {
	var out []string
	for _, cert := range certs {
		out = append(out, fmt.Sprintf("%q", name(cert)))
	}
	const most = 3
	if len(out) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(out[:most], ", "), len(out)-most)
	}
	return strings.Join(out, ", ")
}

func mendTrust(t trust) string {
	return fmt.Sprintf("put the CA that has signed it into %s (openssl verify -CAfile %s CERTIFICATE says OK then), or have that CA sign it anew; who has read the file before starts anew", t.paths[0], t.paths[0])
}

// onlyLeaves reports whether no certificate of a list could sign another.
func onlyLeaves(t trust) bool {
	return !slices.ContainsFunc(t.certs, func(cert *x509.Certificate) bool { return cert.IsCA || cert.Version == 1 })
}

// signingLack says why a certificate may not sign.
func signingLack(ca *x509.Certificate) string {
	if ca.IsCA {
		return "keyUsage without keyCertSign"
	}
	return "no basicConstraints=CA:TRUE"
}

// constraintFindings names what a CA may not sign.
func constraintFindings(l leaf, t trust, err error) []Finding {
	for _, ca := range slices.Concat(l.above, t.certs) {
		names := pki.ConstraintsOf(ca).Uncovered(pki.SANsOf(l.cert))
		if len(names) == 0 || !isCA(ca) {
			continue
		}
		mend := "have it made anew with the names that the CA may sign, or make a CA that may sign these"
		if !l.server() {
			mend = "have the client's certificate made anew without subjectAltName: nobody asks for a client's names"
		}
		return []Finding{l.in("certs.constraints", l.cert, fmt.Sprintf("%s is for %s, which its CA %s may not sign by its name constraints; that spoils it for its other names too: %s",
			l.title(), strings.Join(names, ", "), name(ca), l.refused(err)), mend)}
	}
	return []Finding{l.in("certs.constraints", l.cert, fmt.Sprintf("%s holds a name that its CA may not sign by its name constraints: %s", l.title(), l.refused(err)),
		"have it made anew with the names that the CA may sign")}
}

// usageAbove names the CA whose own usages exclude the leaf's: they nest (P33).
func usageAbove(l leaf, chains [][]*x509.Certificate) []Finding {
	for _, ca := range chains[0][1:] {
		if !allows(ca, l.usage()) {
			return []Finding{l.in("certs.ca-usage", ca, fmt.Sprintf("the CA %s, which has signed %s, says extendedKeyUsage %s, and that holds for all that it signs: %s", name(ca), l.title(), usages(ca), l.refused(misused(l))),
				"make the CA anew without extendedKeyUsage")}
		}
	}
	return nil
}

// endsFindings judges which CA ends before the leaf, which is refused from then on.
// A day is nobody's mistake: CA and leaf are often made one after the other with
// the same number of days.
func endsFindings(l leaf, chains [][]*x509.Certificate) []Finding {
	var first *x509.Certificate
	for _, chain := range chains {
		i := slices.IndexFunc(chain, func(ca *x509.Certificate) bool { return l.cert.NotAfter.Sub(ca.NotAfter) > day })
		if i < 0 {
			return nil
		}
		first = chain[i]
	}
	return []Finding{l.in("certs.ca-ends-first", l.cert, fmt.Sprintf("%s says that it is valid until %s, but its CA %s ends on %s, and from then on it is refused", l.title(), date(l.cert.NotAfter), name(first), date(first.NotAfter)),
		"plan for the earlier date; have the next one made to end with its CA")}
}

// caEnded says that a CA is not valid now.
func caEnded(u Used, ca *x509.Certificate, now time.Time) Finding {
	when := "has expired on " + date(ca.NotAfter)
	if now.Before(ca.NotBefore) {
		when = "is not valid before " + ca.NotBefore.UTC().Format(time.RFC3339)
	}
	f := u.in("certs.ca-expired", ca, fmt.Sprintf("the CA %s %s, and with it ends all that it has signed, whatever dates that has", name(ca), when),
		"make a new CA, give it to all clients, and have it sign the certificates anew")
	return f
}
