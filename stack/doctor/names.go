package doctor

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/certyard/certyard/stack/lint"
)

// registryNames returns the names and addresses by which the registry is dialled:
// those of the builder's sections that mean it, and the published one.
func (p *patient) registryNames() []string {
	names := slices.Clone(p.target.Names)
	if host, _, err := net.SplitHostPort(p.target.Registry); err == nil {
		names = append(names, host)
	}
	for _, host := range p.sections() {
		if p.meansRegistry(host) {
			names = append(names, hostOf(host))
		}
	}
	names = append(names, published(p.compose.Registry)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// builderNames returns the names and addresses by which the builder is dialled.
func (p *patient) builderNames() []string {
	var names []string
	if host, _, err := net.SplitHostPort(p.target.Builder); err == nil {
		names = append(names, host)
	}
	names = append(names, published(p.compose.Builder)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// published returns by which name clients on the engine's machine dial a service.
func published(s *lint.Service) []string {
	if s == nil {
		return nil
	}
	var out []string
	for _, port := range s.Ports {
		switch ip, err := netip.ParseAddr(port.HostIP); {
		case err != nil, ip.IsLoopback(), ip.IsUnspecified():
			out = append(out, "localhost")
		default:
			out = append(out, ip.String())
		}
	}
	return out
}

// sections returns the registry hosts that buildkitd.toml has a section for.
func (p *patient) sections() []string {
	if p.buildkitd == nil {
		return nil
	}
	return slices.DeleteFunc(sortedKeys(p.buildkitd.Config.Registries), func(host string) bool {
		return strings.Contains(host, "/") // no image has such a registry, which is a rule of its own
	})
}

// meansRegistry reports whether a section is about the registry that is looked at.
// Where nothing tells, one with a CA of its own is.
func (p *patient) meansRegistry(host string) bool {
	s := p.compose.Registry
	if s == nil {
		return len(p.buildkitd.Config.Registries[host].RootCAs) > 0
	}
	if slices.Contains(p.networkNames(), hostOf(host)) {
		return true
	}
	return isLoopback(hostOf(host)) && slices.ContainsFunc(s.Ports, func(port lint.Port) bool { return port.Published == portOf(host) })
}

func hostOf(registry string) string {
	if host, _, err := net.SplitHostPort(registry); err == nil {
		return host
	}
	return registry
}

func portOf(registry string) string {
	if _, port, err := net.SplitHostPort(registry); err == nil {
		return port
	}
	return "443"
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
