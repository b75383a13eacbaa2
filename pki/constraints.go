package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Constraints are the names and addresses that a CA may sign for (RFC 5280,
// section 4.2.1.10). DNS names permit themselves and everything below them.
// The two lists are independent: a CA with names only may sign for every
// address, and the other way around (facts P32). The zero value permits all.
//
// What is excluded is taken away from what is permitted. This package reads it
// from the CAs of others and never writes it.
type Constraints struct {
	DNS []string
	IPs []netip.Prefix

	ExcludedDNS []string
	ExcludedIPs []netip.Prefix
}

// ConstraintsOf returns the names and addresses that a CA certificate permits
// and excludes.
func ConstraintsOf(ca *x509.Certificate) Constraints {
	return Constraints{
		DNS: lower(ca.PermittedDNSDomains), IPs: networks(ca.PermittedIPRanges),
		ExcludedDNS: lower(ca.ExcludedDNSDomains), ExcludedIPs: networks(ca.ExcludedIPRanges),
	}
}

func lower(names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, strings.ToLower(name))
	}
	return out
}

func networks(ranges []*net.IPNet) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range ranges {
		if addr, ok := netip.AddrFromSlice(r.IP); ok {
			ones, _ := r.Mask.Size()
			out = append(out, netip.PrefixFrom(addr, ones))
		}
	}
	return out
}

// Uncovered lists the SANs that the constraints do not permit, in the order of
// [SANs.Strings]. It judges as Go's verifier does, which the tests hold it to.
func (c Constraints) Uncovered(s SANs) []string {
	var out []string
	for _, name := range s.dns {
		if !c.permitsName(name) {
			out = append(out, name)
		}
	}
	for _, ip := range s.ips {
		if !c.permitsIP(ip) {
			out = append(out, ip.String())
		}
	}
	return out
}

func (c Constraints) permitsName(name string) bool {
	permitted := func(domain string) bool { return belongs(name, domain) }
	excluded := func(domain string) bool {
		// A wildcard stands for every name below it, the excluded one too.
		parent, wild := strings.CutPrefix(name, "*.")
		return belongs(name, domain) || wild && belongs(domain, parent)
	}
	return (len(c.DNS) == 0 || slices.ContainsFunc(c.DNS, permitted)) && !slices.ContainsFunc(c.ExcludedDNS, excluded)
}

// belongs reports whether a name is a domain or below one. A leading dot, which
// CAs of other makers may have, leaves the domain itself out.
func belongs(name, domain string) bool {
	domain = normalName(domain)
	below := "." + strings.TrimPrefix(domain, ".")
	return domain == "" || name == domain || strings.HasSuffix(name, below)
}

func (c Constraints) permitsIP(ip netip.Addr) bool {
	within := func(prefixes []netip.Prefix) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	return (len(c.IPs) == 0 || within(c.IPs)) && !within(c.ExcludedIPs)
}

// onlyThese permits exactly the names and addresses, and nothing where there is
// none of a kind: what is not constrained would be permitted.
func onlyThese(s SANs) Constraints {
	c := PermitNothing()
	if len(s.dns) > 0 {
		c.DNS = nil
	}
	if len(s.ips) > 0 {
		c.IPs = nil
	}
	for _, name := range s.dns {
		c.DNS = append(c.DNS, strings.TrimPrefix(name, "*."))
	}
	for _, ip := range s.ips {
		c.IPs = append(c.IPs, netip.PrefixFrom(ip, ip.BitLen()))
	}
	return c
}

// PermitNothing returns constraints that permit no name and no address that
// anybody has, only reserved ones (RFC 6761, 5737 and 3849): without an entry of
// a kind everything of that kind would be permitted.
func PermitNothing() Constraints {
	return Constraints{DNS: []string{"invalid"}, IPs: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}}
}

// problems lists what is wrong with constraints that are to be written.
func (c Constraints) problems() []error {
	var errs []error
	for _, name := range c.DNS {
		if _, err := netip.ParseAddr(name); err == nil {
			errs = append(errs, &PlanError{"CA", "constraint " + name + " is an address, not a DNS name"})
		} else if why := nameProblem(normalName(name)); why != "" || strings.Contains(name, "*") {
			errs = append(errs, &PlanError{"CA", "constraint " + name + " is not a DNS name"})
		}
	}
	for _, p := range c.IPs {
		if !p.IsValid() || p.Addr().Is4In6() {
			errs = append(errs, &PlanError{"CA", "constraint " + p.String() + " is not a network"})
		}
	}
	return errs
}

// subtree is the GeneralSubtree of RFC 5280. Its base is a choice, so exactly
// one of the fields is set.
type subtree struct {
	DNS string `asn1:"optional,ia5,tag:2"`
	IP  []byte `asn1:"optional,tag:7"`
}

// extension returns the value of the name constraints extension. The caller
// leaves the extension out when the constraints are empty: an empty one would
// be malformed.
func (c Constraints) extension() ([]byte, error) {
	var value struct {
		Permitted []subtree `asn1:"tag:0"`
	}
	for _, name := range c.DNS {
		value.Permitted = append(value.Permitted, subtree{DNS: normalName(name)})
	}
	for _, p := range c.IPs {
		p = p.Masked()
		ip := append(p.Addr().AsSlice(), mask(p)...)
		value.Permitted = append(value.Permitted, subtree{IP: ip})
	}
	return asn1.Marshal(value)
}

// mask returns the netmask of a prefix, in as many bytes as its address has.
func mask(p netip.Prefix) []byte {
	out := make([]byte, p.Addr().BitLen()/8)
	for bit := range p.Bits() {
		out[bit/8] |= 0x80 >> (bit % 8)
	}
	return out
}

// Union returns what permits every name and address that one of the two does. What
// both exclude is excluded.
func (c Constraints) Union(other Constraints) Constraints {
	return Constraints{
		DNS: either(c.DNS, other.DNS), IPs: either(c.IPs, other.IPs),
		ExcludedDNS: both(c.ExcludedDNS, other.ExcludedDNS), ExcludedIPs: both(c.ExcludedIPs, other.ExcludedIPs),
	}
}

// either adds up what is permitted of a kind, where no entry permits all of it.
func either[T comparable](a, b []T) []T {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func both[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(v T) bool { return !slices.Contains(b, v) })
}

func (c Constraints) empty() bool { return len(c.DNS)+len(c.IPs) == 0 }
