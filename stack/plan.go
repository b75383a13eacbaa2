package stack

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/certyard/certyard/pki"
)

// privateNames are names that nobody can own on the internet: RFC 6761
// (localhost, test), RFC 6762 (local, and lan from its appendix G), RFC 8375
// (home.arpa), and ICANN's reservation of internal for private use (2024).
func privateNames() []string {
	return []string{"localhost", "local", "internal", "lan", "test", "home.arpa"}
}

// privateNetworks are loopback, private and link-local addresses: RFC 1122,
// 1918, 3927, 4193, 4291.
func privateNetworks() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
		"::1/128", "fc00::/7", "fe80::/10",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// PKIPlan returns the certificates that a spec needs: one CA, a server leaf for
// each service, and a client leaf. The CA is constrained to private names and
// networks and to what the spec names, so that a leaked key cannot impersonate
// the internet.
func (s Spec) PKIPlan(f Facts) (pki.Plan, error) {
	registry, err := pki.ParseSANs(s.Names(Registry, f)...)
	if err != nil {
		return pki.Plan{}, err
	}
	builder, err := pki.ParseSANs(s.Names(Builder, f)...)
	if err != nil {
		return pki.Plan{}, err
	}
	leaf := func(name string, role pki.Role, sans pki.SANs) pki.LeafPlan {
		return pki.LeafPlan{Name: name, Role: role, CommonName: s.Name + " " + name, SANs: sans, Key: s.PKI.Key, Validity: s.PKI.LeafValidity}
	}
	return pki.Plan{
		CA: pki.CAPlan{Name: s.Name, Key: s.PKI.Key, Validity: s.PKI.CAValidity, Constraints: constraints(registry, builder)},
		Leaves: []pki.LeafPlan{
			leaf(LeafRegistry, pki.RoleServer, registry),
			leaf(LeafBuilder, pki.RoleServer, builder),
			// No SAN: under name constraints Go refuses a client
			// certificate whose name the CA may not sign, and nothing
			// looks at a client's names (P32).
			leaf(LeafClient, pki.RoleClient, pki.SANs{}),
		},
	}, nil
}

// constraints permits the private names and networks, and beyond them exactly
// the names and addresses given.
func constraints(all ...pki.SANs) pki.Constraints {
	c := pki.Constraints{DNS: privateNames(), IPs: privateNetworks()}
	for _, sans := range all {
		for _, name := range sans.DNS() {
			name = strings.TrimPrefix(name, "*.")
			if !underAny(name, c.DNS) {
				c.DNS = append(c.DNS, name)
			}
		}
		for _, ip := range sans.IPs() {
			inside := slices.ContainsFunc(c.IPs, func(p netip.Prefix) bool { return p.Contains(ip) })
			if !inside {
				c.IPs = append(c.IPs, netip.PrefixFrom(ip, ip.BitLen()))
			}
		}
	}
	return c
}

// underAny reports whether a name is one of the domains or below one.
func underAny(name string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool {
		return name == d || strings.HasSuffix(name, "."+d)
	})
}
