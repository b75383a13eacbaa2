package stacktest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke"
)

// Builder is the BuildKit daemon of a stack, as its clients reach it. It is safe
// for use in parallel.
type Builder struct{ stack *Stack }

// Address returns where BuildKit's clients find it, as in BUILDKIT_HOST:
// tcp://host:port.
func (b *Builder) Address() string { return b.endpoint().String() }

func (b *Builder) endpoint() stack.Endpoint {
	spec, facts := b.stack.recorded()
	return spec.HostEndpoints(stack.Builder, facts)[0]
}

// Client returns BuildKit's client for it, with the stack's trust and, where it
// asks for one, the stack's client certificate, as they are on the disk now. It
// connects when it is used. The caller closes it.
func (b *Builder) Client(ctx context.Context) (*client.Client, error) {
	e, dir := b.endpoint(), b.stack.Dir()
	file := func(name string) string { return filepath.Join(dir, name) }
	opts := []client.ClientOpt{client.WithServerConfig(e.Host, file(stack.FileClientCA))}
	if spec, _ := b.stack.recorded(); spec.Builder.TLS == stack.TLSMutual {
		opts = append(opts, client.WithCredentials(file(stack.FileClientCert), file(stack.FileClientKey)))
	}
	return client.New(ctx, e.String(), opts...)
}

// Session returns what a build needs in client.SolveOpt.Session to pull from the
// stack's registry and to push to it: the password, for every name that the builder
// knows the registry by.
func (b *Builder) Session() []session.Attachable {
	spec, facts := b.stack.recorded()
	auth := b.stack.Registry.Auth()
	return []session.Attachable{smoke.Login(spec.RegistryHosts(facts), auth.Username, auth.Password)}
}

// Fault has the builder serve a certificate that clients must refuse, until
// [Stack.Mend]. See [Stack.Fault].
func (b *Builder) Fault(t testing.TB, f Fault) {
	t.Helper()
	b.stack.fault(t, f, stack.Builder)
}
