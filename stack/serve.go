package stack

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/certyard/certyard/pki"
)

// Serve says where TLS ends.
type Serve string

const (
	// ServeDaemon: in buildkitd and in the registry themselves.
	ServeDaemon Serve = "daemon"
	// ServeEdge: in a front of its own, which takes new certificates without
	// a restart. The daemons listen on unix sockets, and see no private key.
	ServeEdge Serve = "edge"
)

// Edge is the service name of the front of [ServeEdge].
const Edge = "edge"

// Services returns the services of a stack that serves in this way.
func (s Serve) Services() []string {
	if s == ServeEdge {
		return []string{Edge, Registry, Builder}
	}
	return []string{Registry, Builder}
}

// Publisher returns the service whose container publishes the ports of a
// service.
func (s Serve) Publisher(service string) string {
	if s == ServeEdge {
		return Edge
	}
	return service
}

// serve checks what only one way to serve has.
func (v *checker) serve(s Spec) {
	if s.Serve != ServeEdge {
		if s.Registry.Name != "" {
			v.bad("registry.name", "means nothing with serve %q: there the builder's localhost is the builder itself", s.Serve)
		}
		if len(s.Builder.Clients) > 0 {
			v.bad("builder.clients", "means nothing with serve %q: buildkitd lets in every client of its CA", s.Serve)
		}
		return
	}
	if len(s.Builder.Clients) > 0 && s.Builder.TLS != TLSMutual {
		v.bad("builder.clients", "means nothing with builder.tls %q, where clients have no certificate", s.Builder.TLS)
	}
	for i, name := range s.Builder.Clients {
		path := fmt.Sprintf("builder.clients[%d]", i)
		if err := CheckClientName(name); err != nil {
			v.bad(path, "%v", err)
		} else if slices.Index(s.Builder.Clients, name) < i {
			v.bad(path, "client %q is listed twice", name)
		}
	}
	if s.Registry.Publish.On() && s.Registry.Publish.Port == BuilderPort {
		v.bad("registry.publish", "with serve %q, port %d is the builder's on the stack's network; publish another one", s.Serve, BuilderPort)
	}
	v.registryName(s)
}

// registryName checks the one name that the builder and the host use.
func (v *checker) registryName(s Spec) {
	if s.Registry.Name == "" {
		return
	}
	host, port, err := splitName(s.Registry.Name)
	if err != nil {
		v.bad("registry.name", "%v", err)
		return
	}
	if _, err := pki.ParseSANs(host); err != nil {
		v.bad("registry.name", "%v", err)
	} else if strings.HasPrefix(host, "*") {
		v.bad("registry.name", "%q is a wildcard; want one name", host)
	} else if ip, err := netip.ParseAddr(host); err == nil && !s.Registry.Publish.answersOn(ip) {
		v.bad("registry.name", "the registry is not published on %s, so that nothing answers there", ip)
	}
	want := s.Registry.Publish.Port
	switch {
	case !s.Registry.Publish.On():
		want = RegistryPort
	case want == 0 && port != 0:
		v.bad("registry.name", "has a port, and registry.publish leaves its port open: leave it out, or publish port %d", port)
		return
	}
	if port != 0 && port != want {
		v.bad("registry.name", "has port %d, and the registry is reached on port %d", port, want)
	}
}

// answersOn reports whether clients of the machine reach the port at an address.
func (p Publish) answersOn(ip netip.Addr) bool {
	return p.On() && (p.IP == ip || p.IP.IsUnspecified() && p.IP.Is4() == ip.Is4())
}

// splitName splits host[:port], the port 0 when there is none.
func splitName(name string) (string, int, error) {
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ":") {
		return name, 0, nil
	}
	host, text, err := net.SplitHostPort(name)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not a registry host; want host or host:port", name)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q is not a port (1-65535)", text)
	}
	return host, port, nil
}

// nameHost returns the host of registry.name, "" when the config has none.
func (r RegistrySpec) nameHost() string {
	if r.Name == "" {
		return ""
	}
	host, _, err := splitName(r.Name)
	if err != nil { // of a record that somebody has edited
		return ""
	}
	return host
}

// RegistryEndpoint returns the registry as builds name it, which is where the
// builder dials. With [ServeEdge] the host dials the same name, as long as that
// leads to the published port there: names of registry.name are for the host's
// own resolver.
func (s Spec) RegistryEndpoint(f Facts) Endpoint {
	inside := NetworkEndpoint(Registry)
	if s.Serve != ServeEdge {
		return inside
	}
	port := inside.Port
	if s.Registry.Publish.On() {
		port = s.Registry.Publish.Port
	}
	if host := s.Registry.nameHost(); host != "" {
		return Endpoint{Service: Registry, Host: host, Port: port}
	}
	if e := s.HostEndpoints(Registry, f); len(e) > 0 {
		return e[0]
	}
	return inside
}

// Relay returns the loopback address inside the builder's container that has to
// lead to the registry, for [Spec.RegistryEndpoint] to mean there what it means
// on the host; none when that is not a loopback name.
func (s Spec) Relay(f Facts) (netip.AddrPort, bool) {
	e := s.RegistryEndpoint(f)
	ip, err := netip.ParseAddr(e.Host)
	switch {
	case s.Serve != ServeEdge:
		return netip.AddrPort{}, false
	case e.Host == "localhost":
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case err != nil || !ip.IsLoopback():
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, uint16(e.Port)), true
}

// RelayedNames returns the loopback address inside the builder's container that
// leads to the registry under its names on the stack's network, where [Spec.Relay]
// has one.
func RelayedNames() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), RegistryPort)
}

// Aliases returns the names that the edge has on the stack's network: those of
// both services, and the registry's one name where it is none of the loopback.
func (s Spec) Aliases(f Facts) []string {
	return append(s.RegistryAliases(f), Builder, s.ContainerName(Builder))
}

// RegistryAliases returns the names of the registry alone, which are what the
// builder has to find.
func (s Spec) RegistryAliases(f Facts) []string {
	out := []string{Registry, s.ContainerName(Registry)}
	host := s.RegistryEndpoint(f).Host
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && !slices.Contains(out, host) {
		out = append(out, host)
	}
	return out
}
