// Package smoke proves that a running stack does what it must and refuses what
// it must refuse, by real connections and one real build. It is the only
// package that dials TLS and that speaks to BuildKit.
//
// A probe is one attempt over one connection. A positive probe holds when the
// peer's certificate verifies and a question gets its answer. A negative probe
// holds only when the refusal is the one that is probed: a port that is closed,
// a timeout or a different alert refuses as well and proves nothing.
//
// Three rules follow from how the peers behave. (P-numbers are those of the
// project's notes on BuildKit, the registry and Go's TLS.)
//
//   - Every probe reads something after the handshake. With TLS 1.3 a client's
//     handshake succeeds before the server has looked at its certificate (P22).
//   - Everything that can be judged on our side of a connection is judged with
//     crypto/tls, whose errors are typed. gRPC turns them into text.
//   - The smoke build uses a new repository and new content each time, so that
//     no cache can answer for a broken stack, and one old repository, so that
//     a cache that has gone stale shows (P10, P13).
package smoke

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// Options says what is to be proven.
type Options struct {
	Registry Registry
	Builder  Builder
	// Trust holds the CAs that both servers' certificates must chain to.
	Trust pki.TrustBundle
	// Generations are CAs that take each other's place.
	Generations []Generation
	// Short has one pull by the builder, from a repository of earlier proofs,
	// take the place of the smoke build.
	Short bool
	// Observe is called with each check as it ends, in that order and never
	// twice at the same time. It may be nil.
	Observe func(stack.Check)
}

// Registry is a registry as the host reaches it.
type Registry struct {
	// Endpoints are dialled, each by its own name. Without one nothing is
	// proven of the registry, nor of the way from the builder to it.
	Endpoints []stack.Endpoint
	// Names are all names and addresses that the certificate must hold for.
	// Those that are no endpoint's are asked for at the first endpoint.
	Names []string
	// Network is the registry host for the builder, as in registry:5000.
	Network string
	// Inside is another name that the registry has for the builder, "" for
	// none. What is pulled from a repository of earlier proofs is pulled by it.
	Inside string
	// User and Password are what it lets in.
	User, Password string
	// Changed are users whose password was replaced: the new one lets them in,
	// the old one does not.
	Changed []ChangedPassword
	// Leaf is the certificate that it must serve; nil accepts any that
	// verifies.
	Leaf *x509.Certificate
}

// ChangedPassword is a password before and after.
type ChangedPassword struct{ User, Old, New string }

// Builder is a buildkitd as the host reaches it.
type Builder struct {
	// Endpoints and Names are as the registry's.
	Endpoints []stack.Endpoint
	Names     []string
	// Mutual says that clients must show a certificate.
	Mutual bool
	// Leaf is the certificate that it must serve; nil accepts any that
	// verifies.
	Leaf *x509.Certificate
	// Client is the key pair that it lets in. Only used if Mutual.
	Client *pki.KeyPair
	// Named are clients besides, which it lets in too. Only used if Mutual.
	Named []NamedClient
	// Server is its own key pair, which it must not accept from a client.
	// Without it that is not probed. Only used if Mutual.
	Server *pki.KeyPair
	// Removed are clients of replaced CAs, which it must not let in any more.
	// Only used if Mutual.
	Removed []Removed
	// Barred are clients of the CA that it accepts which were removed one by
	// one. Only used if Mutual.
	Barred []*pki.KeyPair
}

// NamedClient is a client that was added.
type NamedClient struct {
	Name string
	Pair *pki.KeyPair
}

// Removed is a client of a CA that was replaced.
type Removed struct {
	Generation string // of that CA
	Client     *pki.KeyPair
}

// RemovedCheck returns the ID of the check that the clients of a replaced CA are
// refused.
func RemovedCheck(generation string) string { return builderPrefix + removedID(generation) }

func removedID(generation string) string { return "replaced-ca:" + generation }

// Time limits. A probe takes milliseconds, and a smoke build half a second and
// as long as other builds are before it. The limits only keep a peer that
// accepts a connection and stays silent from stopping the proof.
const (
	probeLimit = 10 * time.Second
	buildLimit = time.Minute
)

// Prove makes all checks, at the same time where they do not need each other,
// and returns them in a fixed order. It never fails as a whole: a check that
// cannot be made fails, and those that need it are skipped. When ctx ends, the
// checks that are left fail. It changes nothing but the registry's content, and
// that it puts back, even if ctx has ended. Prove is safe for parallel use,
// also on the same stack.
func Prove(ctx context.Context, opt Options) stack.Report {
	p := newProof(opt)
	p.run(ctx)
	return p.report()
}
