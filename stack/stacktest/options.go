package stacktest

import (
	"github.com/certyard/certyard/stack"
)

// Proof says what has to be seen of a stack before the test goes on.
type Proof int

// How much is proven.
const (
	// Full makes every connection that must work and every one that must be
	// refused, and one real build, as "certyard up" does.
	Full Proof = iota
	// Quick waits until the registry and the builder answer over TLS.
	Quick
)

// Options say what stack a test needs. The zero value is one whose daemons serve
// TLS themselves, whose builder asks nobody for a certificate, and that is proven.
type Options struct {
	// TLS says whether clients of the builder need a certificate: stack.TLSServer,
	// the default, or stack.TLSMutual.
	TLS stack.BuilderTLS
	// Serve says where TLS ends: stack.ServeDaemon, the default, or
	// stack.ServeEdge. The edge runs certyard itself in a container, which is
	// built with the go command when CERTYARD_PROGRAM does not name it; the first
	// time that takes a minute.
	Serve stack.Serve
	// Proof says when the stack counts as started.
	Proof Proof
	// Images says where the daemons come from: stack.ImagesAuto, the default,
	// takes what the engine has, else pulls, else loads those that
	// CERTYARD_DAEMONS leads to.
	Images stack.Images
	// Config holds everything else, as certyard.yaml has it. The name and the
	// ports are the stack's own whatever it says; the fields above win, where
	// they are set. Passwords are generated, and CAs are local and their keys
	// plain: with anything else Start fails.
	Config stack.Config
}

// spec returns what the options ask for, with a name of its own and free ports.
func (o Options) spec(name string) (stack.Spec, error) {
	c, free := o.Config, "127.0.0.1:0"
	c.Name, c.Registry.Publish, c.Builder.Publish = name, &free, &free
	for _, set := range []struct {
		to   *string
		from string
	}{{&c.Serve, string(o.Serve)}, {&c.Builder.TLS, string(o.TLS)}, {&c.Images, string(o.Images)}} {
		if set.from != "" {
			*set.to = set.from
		}
	}
	return stack.NewSpec(c)
}
