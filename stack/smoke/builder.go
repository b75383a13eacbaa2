package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke/runstep"
)

// builderPrefix begins the ID of every check of the builder.
const builderPrefix = "builder."

// builderProbes are the probes of the way from the host to the builder.
type builderProbes struct {
	Builder
	trust       *x509.CertPool
	generations []Generation
}

func newBuilderProbes(opt Options) *builderProbes {
	return &builderProbes{opt.Builder, opt.Trust.Pool(), opt.Generations}
}

// checks returns what is to be proven. The first check is the one that the
// others need.
func (b *builderProbes) checks() []*check {
	t := tableFor(stack.HopHostBuilder, builderPrefix, b.Endpoints)
	if t == nil {
		return nil
	}
	t.names(b.Names, "verifies as %s, speaks h2 and lists its workers", b.workers)
	t.add("plain", "plain TCP is refused", answers, b.plain)
	aloneChecks(t, b.generations, func(ctx context.Context, e stack.Endpoint, roots *x509.CertPool) error {
		alone := *b
		alone.trust = roots
		_, err := alone.greet(ctx, e, e.Host, b.pair())
		return err
	})
	if !b.Mutual {
		return t.checks
	}
	b.clientChecks(t)
	for _, named := range b.Named {
		t.add("client:"+named.Name, "the client "+named.Name+" is let in", letsIn, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			state, err := b.greet(ctx, e, e.Host, named.Pair)
			if err != nil {
				return stack.Evidence{}, err
			}
			return seen(state), nil
		})
	}
	t.add("no-certificate", "a client without a certificate is refused", letsIn, b.noCertificate)
	t.add("other-ca-certificate", "a client certificate of another CA is refused", letsIn, b.otherCA)
	if b.Server != nil {
		t.add("server-certificate", "the server's own certificate is refused from a client", letsIn, b.serverAsClient)
	}
	for _, removed := range b.Removed {
		title := "a client of the replaced CA is refused: " + removed.Client.Cert.Issuer.CommonName
		t.add(removedID(removed.Generation), title, letsIn, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			return b.show(ctx, e, removed.Client, alertUnknownCA)
		})
	}
	for i, barred := range b.Barred {
		title := "a removed client is refused: " + barred.Cert.Subject.CommonName
		t.add(fmt.Sprintf("removed-%d", i+1), title, letsIn, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			return b.show(ctx, e, barred, alertBadCertificate)
		})
	}
	return t.checks
}

// workers is the positive probe: everything about one name has to be right. It
// asks in two connections, the first without gRPC, whose errors are text and
// whose writing can run into the reset that follows an alert.
func (b *builderProbes) workers(ctx context.Context, e stack.Endpoint, name string) (stack.Evidence, error) {
	state, err := b.greet(ctx, e, name, b.pair())
	if err != nil {
		return seenIn(err), err
	}
	evidence := seen(state)
	builder, err := b.connect(ctx, e, name)
	if err != nil {
		return evidence, err
	}
	defer builder.Close()
	workers, err := builder.ListWorkers(ctx)
	if err != nil {
		return evidence, err
	}
	info, err := builder.Info(ctx)
	if err != nil {
		return evidence, err
	}
	evidence.Version = info.BuildkitVersion.Version
	if len(workers) == 0 || len(workers[0].Platforms) == 0 {
		return evidence, failing(stack.ReasonUnexpected, "has no worker with a platform")
	}
	// A worker's first platform is its own; it emulates the others.
	own := workers[0].Platforms[0]
	evidence.Platform = own.OS + "/" + own.Architecture
	return evidence, served(state, b.Leaf)
}

// platform picks what the smoke build builds for: the first platform of the
// builder that there is a step for.
func platform(ctx context.Context, builder *client.Client) (ocispecs.Platform, []byte, error) {
	workers, err := builder.ListWorkers(ctx)
	if err != nil {
		return ocispecs.Platform{}, nil, err
	}
	var causes []error
	for _, w := range workers {
		for _, p := range w.Platforms {
			step, err := runstep.For(p.OS, p.Architecture)
			if err == nil {
				return ocispecs.Platform{OS: p.OS, Architecture: p.Architecture}, step, nil
			}
			causes = append(causes, err)
		}
	}
	return ocispecs.Platform{}, nil, failing(stack.ReasonBuild, "choosing a platform: %w", errors.Join(causes...))
}

// http2Hello is how an HTTP/2 client begins (RFC 9113 section 3.4): the preface
// and an empty settings frame.
const http2Hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// plain holds when a gRPC client without TLS gets an alert, or nothing before
// the connection is closed.
func (b *builderProbes) plain(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	said, err := sayPlain(ctx, e, http2Hello, frameHeader)
	switch {
	case err != nil:
		return stack.Evidence{}, err
	case len(said) == 0, isAlert(said):
		return stack.Evidence{Answer: plainAnswer(said)}, nil
	case len(said) == frameHeader && said[3] == settingsFrame:
		return stack.Evidence{}, failing(stack.ReasonAccepted, "speaks gRPC without TLS")
	}
	return stack.Evidence{}, failing(stack.ReasonUnexpected, "answers % x", said)
}

func (b *builderProbes) noCertificate(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	// With TLS 1.2 the alert is bad certificate or handshake failure.
	return b.show(ctx, e, nil, alertCertificateRequired, alertHandshakeFailure, alertBadCertificate)
}

func (b *builderProbes) otherCA(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	stranger, err := newOutsider(ctx, time.Now())
	if err != nil {
		return stack.Evidence{}, fmt.Errorf("making another CA: %w", err)
	}
	return b.show(ctx, e, stranger.client, alertUnknownCA)
}

func (b *builderProbes) serverAsClient(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	return b.show(ctx, e, b.Server, alertBadCertificate, alertUnsupportedCertificate, alertUnknownCA)
}

// show holds when the server refuses the client's certificate, or its lack of
// one, with one of the alerts.
func (b *builderProbes) show(ctx context.Context, e stack.Endpoint, pair *pki.KeyPair, want ...tls.AlertError) (stack.Evidence, error) {
	_, err := b.greet(ctx, e, e.Host, pair)
	if err == nil {
		return stack.Evidence{}, failing(stack.ReasonAccepted, "the client is let in")
	}
	return refusedWith(err, want...)
}
