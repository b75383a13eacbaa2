package stack

import (
	"net"
	"strconv"
)

// Service names of the compose project. They are also names on its network.
const (
	Registry = "registry"
	Builder  = "buildkit"
)

// Ports inside the containers.
const (
	RegistryPort = 5000 // distribution's own default
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
