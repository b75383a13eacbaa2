package lint

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// nameFindings judges whether a server's certificate is valid for what clients
// dial it by.
func nameFindings(l leaf) []Finding {
	if !l.server() {
		return nil
	}
	if len(l.cert.DNSNames)+len(l.cert.IPAddresses) == 0 {
		return noNames(l)
	}
	var refused, written []string
	for _, name := range l.Names {
		switch {
		case l.cert.VerifyHostname(name) == nil:
		case asDNS(l.cert, name):
			written = append(written, name)
		default:
			refused = append(refused, name)
		}
	}
	var out []Finding
	if len(written) > 0 {
		out = append(out, l.at("certs.ip-as-dns", fmt.Sprintf("%s has the address %s as a DNS name, where no client looks for it: %s", l.title(), strings.Join(written, ", "), l.refused(hostError(l.cert, written[0]))),
			"have it made anew with the address as an address: subjectAltName="+altNames(l.cert, written)))
	}
	if len(refused) > 0 {
		out = append(out, l.at("certs.names", fmt.Sprintf("%s is not valid for %s%s: %s", l.title(), strings.Join(refused, ", "), whyNot(l.cert, refused), l.refused(hostError(l.cert, refused[0]))),
			"have it made anew with subjectAltName="+altNames(l.cert, refused)+", or dial it by a name that it has"))
	}
	return out
}

// noNames is the finding about a server without SANs: the common name counts for
// no client.
func noNames(l leaf) []Finding {
	asked := l.Names
	if len(asked) == 0 && l.cert.Subject.CommonName != "" {
		asked = []string{l.cert.Subject.CommonName}
	}
	reason := errors.New("x509: certificate is not valid for any names")
	if len(asked) > 0 {
		reason = hostError(l.cert, asked[0])
	}
	return []Finding{l.at("certs.no-san", fmt.Sprintf("%s has its name in the common name only, where clients do not look: %s", l.title(), l.refused(reason)),
		"have it made anew with subjectAltName="+altNames(l.cert, asked)+`; openssl req -x509 takes it with -addext, openssl x509 -req with -extfile`)}
}

// asDNS reports whether an address stands among the DNS names.
func asDNS(cert *x509.Certificate, name string) bool {
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return ip != nil && slices.ContainsFunc(cert.DNSNames, func(dns string) bool { return ip.Equal(net.ParseIP(strings.Trim(dns, "[]"))) })
}

func hostError(cert *x509.Certificate, name string) error { return cert.VerifyHostname(name) }

// whyNot explains a wildcard that looks as if it were valid for a name.
func whyNot(cert *x509.Certificate, names []string) string {
	for _, dns := range cert.DNSNames {
		base, ok := strings.CutPrefix(dns, "*.")
		if !ok {
			continue
		}
		for _, name := range names {
			if strings.EqualFold(name, base) || strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(base)) {
				return fmt.Sprintf(" (%s stands for one label, not for none or two)", dns)
			}
		}
	}
	return ""
}

// altNames writes what a new certificate has to hold, as openssl takes it.
func altNames(cert *x509.Certificate, more []string) string {
	var out []string
	add := func(host string) {
		entry := "DNS:" + host
		if net.ParseIP(strings.Trim(host, "[]")) != nil {
			entry = "IP:" + strings.Trim(host, "[]")
		}
		if !slices.Contains(out, entry) {
			out = append(out, entry)
		}
	}
	for _, host := range cert.DNSNames {
		add(host)
	}
	for _, ip := range cert.IPAddresses {
		add(ip.String())
	}
	for _, host := range more {
		add(host)
	}
	return strings.Join(out, ",")
}
