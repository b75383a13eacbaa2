package lint

import (
	"crypto/x509"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/certyard/certyard/pki"
)

// bundleFindings judges the files of CAs by themselves and together.
func (b board) bundleFindings() []Finding {
	var out []Finding
	leaves := b.leaves()
	for _, u := range b.uses {
		f, ok := b.file(u.Path)
		if !ok || !u.bundle() || !f.usable() || len(f.certs) == 0 {
			continue
		}
		out = append(out, b.endedFindings(u, f, leaves)...)
		out = append(out, extraFindings(u, f, leaves)...)
		out = append(out, twinFindings(u, f, leaves)...)
		if u.Use == ClientCA {
			out = append(out, b.letInFindings(u, f, leaves)...)
		}
	}
	return out
}

// endedFindings finds CAs that are not valid any more, or not yet, where no other
// one is: an old one beside a new one is left over from a change.
func (b board) endedFindings(u Used, f held, leaves []leaf) []Finding {
	var out []Finding
	for _, cert := range f.certs {
		switch {
		case isShown(cert, leaves): // judged as a leaf
			return nil
		case b.now.After(cert.NotAfter) || b.now.Before(cert.NotBefore):
			if cert.IsCA {
				out = append(out, caEnded(u, cert, b.now))
			}
		default:
			return nil
		}
	}
	return out
}

func isShown(cert *x509.Certificate, leaves []leaf) bool {
	return slices.ContainsFunc(leaves, func(l leaf) bool { return l.cert.Equal(cert) })
}

// extraFindings finds leaves among the CAs. As long as the server that is dialled
// does not show one of them, they do nothing.
func extraFindings(u Used, f held, leaves []leaf) []Finding {
	served := slices.DeleteFunc(slices.Clone(leaves), func(l leaf) bool { return l.Use != ServerCert || l.Subject != u.Subject })
	if u.Use != TrustCA || len(served) == 0 || onlyLeaves(trust{certs: f.certs}) {
		return nil // who trusts leaves alone is refused, and that is said there
	}
	for _, cert := range f.certs {
		if !cert.IsCA && cert.Version != 1 && !isShown(cert, served) {
			return []Finding{u.in("certs.trust-extra", cert, fmt.Sprintf("%s in a list of CAs is no CA, and not what the server shows: it does nothing there", title(cert, u.Path)), "take it out")}
		}
	}
	return nil
}

// twinFindings finds CAs of one name with different keys. Go tries both. OpenSSL
// takes the first and GnuTLS the last, unless the leaf says by its authority key
// id which one it is of; to OpenSSL it may say so by the CA's serial number too.
func twinFindings(u Used, f held, leaves []leaf) []Finding {
	for i, ca := range f.certs {
		for _, other := range f.certs[i+1:] {
			if !slices.Equal(ca.RawSubject, other.RawSubject) || pki.KeyTypeOf(ca.PublicKey) == pki.KeyTypeOf(other.PublicKey) && slices.Equal(ca.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) {
				continue
			}
			for _, l := range leaves {
				if named(l.cert, ca) && len(l.cert.AuthorityKeyId) == 0 && (signed(l.cert, ca) || signed(l.cert, other)) {
					return []Finding{l.in("certs.no-aki", l.cert, fmt.Sprintf("%s does not say which of the CAs named %s in %s has signed it (no authority key id): OpenSSL mostly tries the first alone and GnuTLS the last, so that their order decides who refuses it",
						l.title(), name(ca), u.Path), "have it made anew with authorityKeyIdentifier=keyid, or take the other CA out once nothing of it is in use")}
				}
			}
			if len(ca.SubjectKeyId) == 0 || len(other.SubjectKeyId) == 0 {
				return []Finding{u.in("certs.twin-cas", ca, fmt.Sprintf("%s holds two CAs named %s with different keys and without subject key ids: OpenSSL tries the first alone and GnuTLS the last, so which certificates are accepted depends on their order", u.Path, name(ca)),
					"make CAs with a name each, as with the year in it, and with subjectKeyIdentifier=hash")}
			}
		}
	}
	return nil
}

// letInFindings finds servers whose certificate and key would be let in as a
// client's: without usages, or with both, by a CA that signs servers too (P16).
func (b board) letInFindings(u Used, f held, leaves []leaf) []Finding {
	t := trust{Used: u, paths: []string{u.Path}, certs: f.certs}
	for _, l := range leaves {
		if !l.server() {
			continue
		}
		if _, err := l.verify(t, within(l.cert, b.now), x509.ExtKeyUsageClientAuth); err == nil {
			return []Finding{u.at("certs.server-as-client", fmt.Sprintf("%s accepts whom %s has signed as clients, and %s is one of those: whoever has a server's key of this CA is let in as a client, and no list of names says otherwise",
				u.Subject.daemon(), u.Path, l.title()), "have a CA of its own sign the clients, or give servers extendedKeyUsage=serverAuth alone")}
		}
	}
	return nil
}

// serialFindings finds certificates of one CA with one serial number.
func (b board) serialFindings() []Finding {
	type id struct{ issuer, serial string }
	type seen struct {
		cert *x509.Certificate
		file string
	}
	have := map[id][]seen{}
	var out []Finding
	for _, f := range b.files {
		for _, cert := range f.certs {
			i := id{string(cert.RawIssuer), cert.SerialNumber.String()}
			if slices.ContainsFunc(have[i], func(s seen) bool { return s.cert.Equal(cert) }) {
				continue
			}
			if len(have[i]) > 0 && !selfSigned(cert) {
				other := have[i][0]
				out = append(out, b.user(f).in("certs.serial", cert, fmt.Sprintf("%s has the serial number %s, which its CA has given to %s too: Firefox and others refuse the second that they see, and neither can be told from the other in logs",
					title(cert, f.Path), cert.SerialNumber.Text(16), title(other.cert, other.file)), "have one made anew with a number of its own: openssl x509 -req takes a random one when neither -set_serial nor a .srl file says otherwise"))
			}
			have[i] = append(have[i], seen{cert, f.Path})
		}
	}
	return out
}

// beside reports whether two files lie in one directory.
func beside(a, b string) bool { return path.Dir(path.Clean(a)) == path.Dir(path.Clean(b)) }

// stem is a file's name without what says of what kind it is, so that the names of
// a certificate and of its key have the same.
func stem(file string) string {
	s := strings.ToLower(path.Base(path.Clean(file)))
	s = strings.TrimSuffix(s, path.Ext(s))
	for _, end := range []string{"-key", "_key", ".key", "-cert", "_cert", ".cert", "-crt"} {
		s = strings.TrimSuffix(s, end)
	}
	if s == "key" || s == "cert" || s == "privkey" || s == "fullchain" {
		return ""
	}
	return s
}
