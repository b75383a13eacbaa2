package stack

import (
	"net/netip"
	"slices"
	"strings"
	"time"

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

// PKIPlan returns the certificates that a spec needs: a server leaf for each
// service, a client leaf, one for each client that was added, and the CAs above
// them. A CA that is made here is constrained to private names and networks and
// to what the spec names, so that a leaked key cannot impersonate the internet.
func (s Spec) PKIPlan(f Facts, clients Clients) (pki.Plan, error) {
	registry, err := pki.ParseSANs(s.Names(Registry, f)...)
	if err != nil {
		return pki.Plan{}, err
	}
	builder, err := pki.ParseSANs(s.Names(Builder, f)...)
	if err != nil {
		return pki.Plan{}, err
	}
	plan := pki.Plan{CAs: s.serverCAs(constraints(registry, builder))}
	issuer := ""
	if n := len(plan.CAs); n > 0 {
		issuer = plan.CAs[n-1].Name
	}
	plan.CAs = append(plan.CAs, s.clientCA(clients.Generation))
	server := func(name string, sans pki.SANs) pki.LeafPlan {
		return pki.LeafPlan{Name: name, Role: pki.RoleServer, Issuer: issuer, CommonName: s.Name + " " + name, SANs: sans, Key: s.PKI.Key, Validity: s.PKI.LeafValidity}
	}
	plan.Leaves = []pki.LeafPlan{server(LeafRegistry, registry), server(LeafBuilder, builder), s.client(LeafClient, s.Name+" "+LeafClient, 0)}
	if s.Serve == ServeEdge && s.Builder.TLS == TLSMutual {
		plan.Leaves = append(plan.Leaves, s.client(LeafRemoved, s.Name+" removed client", 0))
	}
	for _, c := range clients.Named {
		plan.Leaves = append(plan.Leaves, s.client(ClientLeaf(c.Name), c.Name, c.Validity))
	}
	return plan, nil
}

// serverCAs returns the CAs above the servers' certificates, the one that signs
// them last; none when they sign themselves.
func (s Spec) serverCAs(c pki.Constraints) []pki.CAPlan {
	root := pki.CAPlan{Name: pki.CAName, Stack: s.Name, Key: s.PKI.Key, Validity: s.PKI.CAValidity, Constraints: c}
	switch s.PKI.Authority {
	case AuthoritySelfSigned:
		return nil
	case AuthorityFiles:
		root.Keyholder = pki.KeyGiven
	case AuthorityExternal:
		root.Keyholder = pki.KeyExternal
	case AuthorityRemote:
		root.Keyholder = pki.KeyRemote
	}
	if s.PKI.Hierarchy != HierarchyTwoTier {
		return []pki.CAPlan{root}
	}
	issuing := root
	issuing.Name, issuing.Issuer = pki.CAIssuing, pki.CAName
	return []pki.CAPlan{root, issuing}
}

// clientCA may sign no name that anybody can reach: client certificates have
// none.
func (s Spec) clientCA(generation int) pki.CAPlan {
	return pki.CAPlan{
		Name: pki.CAClient, Stack: s.Name, Key: s.PKI.Key, Validity: s.PKI.CAValidity, Generation: generation,
		Constraints: pki.PermitNothing(),
	}
}

// client plans a client leaf. It has no SAN: under name constraints Go refuses
// a client certificate whose name the CA may not sign, and nothing looks at a
// client's names (P32).
func (s Spec) client(name, commonName string, validity time.Duration) pki.LeafPlan {
	if validity == 0 {
		validity = s.PKI.LeafValidity
	}
	return pki.LeafPlan{Name: name, Role: pki.RoleClient, Issuer: pki.CAClient, CommonName: commonName, Key: s.PKI.Key, Validity: validity}
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
