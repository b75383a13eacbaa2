package pki

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// SANs is a set of DNS names and IP addresses, sorted and without duplicates.
// Names are in lower case and have no trailing dot. The zero value is empty. A
// value never changes, so it may be copied and shared freely.
type SANs struct {
	dns []string
	ips []netip.Addr
}

// ParseSANs returns the set of the given hosts. Each is a DNS name, a wildcard
// such as *.build.lan, or an IP address. All hosts that are none of these are
// reported at once, as joined errors of type *[SANError].
func ParseSANs(hosts ...string) (SANs, error) {
	return SANs{}.Add(hosts...)
}

// SANsOf returns the DNS names and IP addresses of a certificate as they are,
// without judging them.
func SANsOf(cert *x509.Certificate) SANs {
	var s SANs
	for _, name := range cert.DNSNames {
		s.dns = append(s.dns, normalName(name))
	}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			s.ips = append(s.ips, addr.Unmap())
		}
	}
	return s.sorted()
}

// Add returns the set with the hosts added. The errors are those of
// [ParseSANs].
func (s SANs) Add(hosts ...string) (SANs, error) {
	var errs []error
	out := SANs{dns: slices.Clone(s.dns), ips: slices.Clone(s.ips)}
	for _, host := range hosts {
		addr, err := netip.ParseAddr(host)
		switch {
		case err == nil && addr.Zone() != "":
			errs = append(errs, &SANError{host, "has a zone, which means nothing on another machine"})
		case err == nil:
			out.ips = append(out.ips, addr.Unmap())
		default:
			name := normalName(host)
			if why := nameProblem(name); why != "" {
				errs = append(errs, &SANError{host, why})
			}
			out.dns = append(out.dns, name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return SANs{}, err
	}
	return out.sorted(), nil
}

// Strings returns the DNS names, then the IP addresses, each sorted.
func (s SANs) Strings() []string {
	out := slices.Clone(s.dns)
	for _, ip := range s.ips {
		out = append(out, ip.String())
	}
	return out
}

// DNS returns the DNS names, sorted.
func (s SANs) DNS() []string { return slices.Clone(s.dns) }

// IPs returns the IP addresses, sorted: IPv4 first.
func (s SANs) IPs() []netip.Addr { return slices.Clone(s.ips) }

// Len returns how many names and addresses there are.
func (s SANs) Len() int { return len(s.dns) + len(s.ips) }

// Covers reports whether a certificate with these SANs is valid for the host.
// It asks the verifier that clients written in Go use, so that wildcards,
// trailing dots and letter case cannot be judged in two ways.
func (s SANs) Covers(host string) bool {
	cert := &x509.Certificate{DNSNames: s.dns}
	for _, ip := range s.ips {
		cert.IPAddresses = append(cert.IPAddresses, ip.AsSlice())
	}
	return cert.VerifyHostname(host) == nil
}

// Contains reports whether every member of other is a member of s. A wildcard
// contains only itself here; see [SANs.Covers] for what it is valid for.
func (s SANs) Contains(other SANs) bool {
	return len(other.without(s)) == 0
}

// Equal reports whether both sets have the same members.
func (s SANs) Equal(other SANs) bool {
	return slices.Equal(s.dns, other.dns) && slices.Equal(s.ips, other.ips)
}

// without lists the members of s that are not members of other.
func (s SANs) without(other SANs) []string {
	have := other.Strings()
	return slices.DeleteFunc(s.Strings(), func(host string) bool {
		return slices.Contains(have, host)
	})
}

func (s SANs) sorted() SANs {
	slices.Sort(s.dns)
	slices.SortFunc(s.ips, netip.Addr.Compare)
	return SANs{dns: slices.Compact(s.dns), ips: slices.Compact(s.ips)}
}

func normalName(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
