package stack

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Service names of the compose project. They are also names on its network.
const (
	Registry = "registry"
	Builder  = "buildkit"
)

// Ports inside the containers.
const (
	RegistryPort = 5000 // distribution's own default
	BridgePort   = 5001 // the registry as the builder reaches it behind the edge
	BuilderPort  = 1234 // the cheat sheet's, and BuildKit's examples'
)

// Endpoint is what one side dials to reach a service.
type Endpoint struct {
	Service string // Registry or Builder
	Host    string // a name or an address without brackets
	Port    int
}

// Address returns host:port, with brackets around an IPv6 address.
func (e Endpoint) Address() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// String returns the endpoint as a client takes it: https://host:port for the
// registry, tcp://host:port for the builder.
func (e Endpoint) String() string {
	if e.Service == Registry {
		return "https://" + e.Address()
	}
	return "tcp://" + e.Address()
}

// Publish is a port of a service on the engine's host. The zero value means
// not published.
type Publish struct {
	IP   netip.Addr `json:"ip"`
	Port int        `json:"port"` // 0 = any free port, chosen once and kept
}

// On reports whether the port is published at all.
func (p Publish) On() bool { return p.IP.IsValid() }

// Loopback reports whether only the engine's host itself can reach the port.
func (p Publish) Loopback() bool { return p.IP.IsLoopback() }

// String returns ip:port, or "" when not published.
func (p Publish) String() string {
	if !p.On() {
		return ""
	}
	return net.JoinHostPort(p.IP.String(), strconv.Itoa(p.Port))
}

// Facts is what the spec leaves open, and the engine and the caller's account
// decide. It is kept in state.json, so that a later run need not find out again.
type Facts struct {
	// EngineHost is the name or address of the engine's machine, "" when it
	// is this one.
	EngineHost string `json:"engine_host,omitempty"`
	// Privileges is what the builder's container is really given: never auto.
	Privileges Privileges `json:"privileges"`
	// RegistryUID and RegistryGID are what the registry's process runs as
	// inside its container.
	RegistryUID int `json:"registry_uid"`
	RegistryGID int `json:"registry_gid"`
	// HostUserNS makes the containers use the host's user namespace, on an
	// engine that remaps users (dockerd --userns-remap).
	HostUserNS bool `json:"host_userns,omitempty"`
	// Images is the reference that each service runs, by service.
	Images map[string]string `json:"images"`
	// BuilderBase is the image that Images[Builder] was made from, by adding
	// certyard to it. Only with [ServeEdge].
	BuilderBase string `json:"builder_base,omitempty"`
	// Owner is the process that an ephemeral stack ends with, as a person is told;
	// "" for a stack that stays.
	Owner string `json:"owner,omitempty"`
	// Subnets are the address ranges of the project's networks, by name, where
	// certyard has chosen them; the engine chooses the others.
	Subnets map[string]netip.Prefix `json:"subnets,omitempty"`
	// BuilderTrust are the generations of the CAs that the builder was started
	// with: what it may still trust, and nothing later. Only with [ServeEdge].
	BuilderTrust []string `json:"builder_trust,omitempty"`
}

// Published returns where a service's port is published.
func (s Spec) Published(service string) Publish {
	if service == Registry {
		return s.Registry.Publish
	}
	return s.Builder.Publish
}

// WithPort returns the spec with another published port for a service.
func (s Spec) WithPort(service string, port int) Spec {
	if service == Registry {
		s.Registry.Publish.Port = port
	} else {
		s.Builder.Publish.Port = port
	}
	return s
}

// Names of the networks of the compose project.
const (
	NetworkDefault = "default"
	NetworkBuilder = "builder" // only with [ServeEdge]
)

// Networks returns the names of the project's networks.
func (s Serve) Networks() []string {
	if s == ServeEdge {
		return []string{NetworkDefault, NetworkBuilder}
	}
	return []string{NetworkDefault}
}

// HostEndpoints returns every address at which a client on the caller's
// machine reaches a service, the preferred one first; none when the service is
// not published.
func (s Spec) HostEndpoints(service string, f Facts) []Endpoint {
	p := s.Published(service)
	var hosts []string
	switch {
	case !p.On():
	case f.EngineHost != "":
		hosts = []string{f.EngineHost}
		if !p.IP.IsUnspecified() && !p.Loopback() && p.IP.String() != f.EngineHost {
			hosts = append(hosts, p.IP.String())
		}
	case p.IP.IsUnspecified() && p.IP.Is6():
		hosts = []string{"localhost", "127.0.0.1", "::1"}
	case p.IP.IsUnspecified():
		hosts = []string{"localhost", "127.0.0.1"}
	case p.IP == netip.IPv6Loopback() || p.IP == netip.AddrFrom4([4]byte{127, 0, 0, 1}):
		hosts = []string{"localhost", p.IP.String()}
	default:
		hosts = []string{p.IP.String()}
	}
	var out []Endpoint
	for _, h := range hosts {
		out = append(out, Endpoint{Service: service, Host: h, Port: p.Port})
	}
	return out
}

// NetworkEndpoint returns the address of a service on the stack's own network.
func NetworkEndpoint(service string) Endpoint {
	port := BuilderPort
	if service == Registry {
		port = RegistryPort
	}
	return Endpoint{Service: service, Host: service, Port: port}
}

// ContainerName returns the name that compose gives a service's only container.
func (s Spec) ContainerName(service string) string {
	return s.Name + "-" + service + "-1"
}

// IsOwnName reports whether certificates hold a name or address that no config
// asks for, so that no config can leave it out.
func IsOwnName(name string) bool {
	for _, service := range []string{Registry, Builder} {
		if name == service || strings.HasSuffix(name, Spec{}.ContainerName(service)) || slices.Contains(hostNames(), name) {
			return true
		}
	}
	return false
}

// hostNames are those of the machine on which the ports are published. The last
// one is how a container reaches them on Docker Desktop.
func hostNames() []string { return []string{"localhost", "127.0.0.1", "::1", "host.docker.internal"} }

// Names returns every name and address that a client may use for a service:
// what its certificate has to hold. It covers every endpoint of
// [Spec.HostEndpoints] and [NetworkEndpoint], whatever the spec.
func (s Spec) Names(service string, f Facts) []string {
	names := append([]string{service, s.ContainerName(service)}, hostNames()...)
	if p := s.Published(service); p.On() && !p.IP.IsUnspecified() {
		names = append(names, p.IP.String())
	}
	if f.EngineHost != "" {
		names = append(names, f.EngineHost)
	}
	if service == Builder {
		return append(names, s.Builder.Hosts...)
	}
	if host := s.Registry.nameHost(); host != "" {
		names = append(names, host)
	}
	return append(names, s.Registry.Hosts...)
}

// RegistryHosts returns the registry host (host:port, as in an image reference)
// for every name of the registry: on the network with the container's port, and
// with the published port for names that clients outside use.
func (s Spec) RegistryHosts(f Facts) []string {
	inside := []string{Registry, s.ContainerName(Registry)}
	var out []string
	for _, h := range inside {
		out = append(out, Endpoint{Host: h, Port: RegistryPort}.Address())
	}
	p := s.Registry.Publish
	if !p.On() {
		if a := s.RegistryEndpoint(f).Address(); !slices.Contains(out, a) {
			out = append(out, a)
		}
		return out
	}
	if p.Port == 0 {
		return out
	}
	for _, h := range s.Names(Registry, f) {
		// The network's names have the container's port, unless somebody
		// says that they reach the published one too.
		outside := h == f.EngineHost || h == s.Registry.nameHost() || slices.Contains(s.Registry.Hosts, h)
		if strings.HasPrefix(h, "*") || slices.Contains(inside, h) && !outside {
			continue
		}
		if a := (Endpoint{Host: h, Port: p.Port}).Address(); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
