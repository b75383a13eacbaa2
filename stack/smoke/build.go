package smoke

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke/runstep"
)

// Repositories that a proof uses. The first is new each time, because pulling
// what is in a cache proves nothing (P13). The second is the same each time,
// because buildkitd keeps the trust of a repository that it has pulled from,
// and only pulling from it again shows trust that has gone stale (P10).
const (
	newRepository  = "certyard-proof/"
	seenRepository = "certyard-proof/seen"
)

// step is where the base image has the executable.
const step = "step"

// build proves the way from the builder to the registry, by one build. Its
// checks run one after the other and hand their results on in its fields.
type build struct {
	registry *registryProbes
	builder  *builderProbes

	repository  string
	nonce, seen []byte
	base, old   digest.Digest // of the images that the host pushed
	result      digest.Digest // of the image that the builder pushed
	pushed      []pushed      // what has to be deleted
	stages      stages
}

// pushed is a manifest in the registry.
type pushed struct {
	repository string
	digest     digest.Digest
}

func newBuild(registry *registryProbes, builder *builderProbes) *build {
	return &build{
		registry:   registry,
		builder:    builder,
		repository: newRepository + strings.ToLower(rand.Text()),
		nonce:      []byte(rand.Text() + rand.Text())[:runstep.Size],
		seen:       []byte(rand.Text() + rand.Text())[:runstep.Size],
	}
}

// pushCheck is the first step: what the builder will pull is pushed.
func (b *build) pushCheck(registry, builder *check) *check {
	c := b.onHost("registry.push", "the base image is pushed", b.push)
	c.needs = []need{{on: registry}, {on: builder}}
	return c
}

// clearCheck is the last step, which is made even if others fail. It is left
// out when the registry did not let the host push at all.
func (b *build) clearCheck(push *check) *check {
	c := b.onHost("registry.clear", "what the proof pushed is deleted", b.clear)
	c.needs = []need{{push, brokeOff}}
	return c
}

// checks returns the steps in between. Each needs the one before it.
func (b *build) checks(push, builder *check) []*check {
	onNetwork := func(id, title string, probe func(context.Context) (stack.Evidence, error)) *check {
		return &check{
			Check: stack.Check{ID: "build." + id, Hop: stack.HopBuilderRegistry, Target: b.registry.Network, Title: title},
			limit: buildLimit,
			probe: probe,
		}
	}
	checks := []*check{
		onNetwork("pull", "the base image is pulled", b.solve),
		onNetwork("pull-again", "a repository of earlier proofs is pulled from", nil),
		onNetwork("run", "a RUN step executes", nil),
		onNetwork("push", "the result is pushed", nil),
		onNetwork("read", "the host reads back by digest what the step wrote", b.read),
		onNetwork("wrong-password", "a push with a wrong password gets 401", b.wrongPassword),
	}
	for i, s := range []stage{stagePull, stagePullAgain, stageRun, stagePush} {
		b.report(checks[i], s)
	}
	before := push
	for _, c := range checks {
		c.needs = []need{{on: builder}, {on: before}}
		before = c
	}
	last(checks).needs = []need{{on: checks[3]}}
	return checks
}

// report makes a check report one stage of the solve. The first one makes it.
func (b *build) report(c *check, s stage) {
	solve := c.probe
	c.probe = func(ctx context.Context) (stack.Evidence, error) {
		if solve != nil {
			if _, err := solve(ctx); err != nil {
				return stack.Evidence{}, err
			}
		}
		c.Took = b.stages[s].took
		evidence := stack.Evidence{}
		switch s {
		case stagePull:
			evidence.Digest = b.base.String()
		case stagePullAgain:
			evidence.Digest = b.old.String()
		case stagePush:
			evidence.Digest = b.result.String()
		}
		return evidence, b.stages[s].err
	}
}

// onHost returns a step that the host makes at the registry.
func (b *build) onHost(id, title string, probe func(context.Context) (stack.Evidence, error)) *check {
	return &check{
		Check: stack.Check{
			ID: id, Hop: stack.HopHostRegistry, Target: b.registry.Endpoints[0].Address(), Title: title,
		},
		limit: probeLimit,
		probe: probe,
	}
}

// remote is the registry as the host uses it.
func (b *build) remote() *remote {
	e := b.registry.Endpoints[0]
	return b.registry.as(e, e.Host, b.registry.User, b.registry.Password, b.registry.trust)
}

// push uploads the base image and the one in the old repository.
func (b *build) push(ctx context.Context) (stack.Evidence, error) {
	session, err := b.connect(ctx)
	if err != nil {
		return stack.Evidence{}, err
	}
	defer session.Close()
	platform, executable, err := platform(ctx, session)
	if err != nil {
		return stack.Evidence{}, err
	}
	base, err := newImage(platform, file{step, 0o755, executable}, file{runstep.Nonce, 0o444, b.nonce})
	if err != nil {
		return stack.Evidence{}, fmt.Errorf("making base image: %w", err)
	}
	old, err := newImage(platform, file{runstep.Seen, 0o444, b.seen})
	if err != nil {
		return stack.Evidence{}, fmt.Errorf("making second image: %w", err)
	}
	b.base, b.old = base.digest(), old.digest()
	b.pushed = []pushed{{b.repository, b.base}, {seenRepository, b.old}}
	client := b.remote()
	defer client.close()
	uploads, ctx := errgroup.WithContext(ctx)
	uploads.Go(func() error { return client.push(ctx, b.repository, base) })
	uploads.Go(func() error { return client.push(ctx, seenRepository, old) })
	if err := uploads.Wait(); err != nil {
		return stack.Evidence{}, err
	}
	return stack.Evidence{Digest: b.base.String()}, nil
}

// connect returns a client of the builder. The caller closes it.
func (b *build) connect(ctx context.Context) (*session, error) {
	e := b.builder.Endpoints[0]
	return b.builder.connect(ctx, e, e.Host)
}

// solve builds and pushes, and leaves in b.stages how far it came.
func (b *build) solve(ctx context.Context) (stack.Evidence, error) {
	session, err := b.connect(ctx)
	if err != nil {
		return stack.Evidence{}, err
	}
	defer session.Close()
	dockerfile := fmt.Sprintf("FROM %s\nCOPY --from=%s /%s /%s\nRUN [\"/%s\"]\n",
		reference(b.registry.Network, b.repository, b.base),
		reference(b.registry.Network, seenRepository, b.old),
		runstep.Seen, runstep.Seen, step)
	result := session.solve(ctx, job{
		dockerfile: dockerfile,
		name:       b.registry.Network + "/" + b.repository + ":built",
		login:      b.login(b.registry.Password),
	})
	b.stages = stagesOf(result, b.repository)
	b.result = result.digest
	if b.result != "" {
		b.pushed = append(b.pushed, pushed{b.repository, b.result})
	}
	return stack.Evidence{}, nil
}

func (b *build) login(password string) *login {
	return &login{host: b.registry.Network, user: b.registry.User, password: password}
}

// read gets the result's manifest and its top layer, and compares the file in
// it with what only the step can have written.
func (b *build) read(ctx context.Context) (stack.Evidence, error) {
	evidence := stack.Evidence{Digest: b.result.String()}
	client := b.remote()
	defer client.close()
	manifest, err := client.get(ctx, client.manifest(b.repository, b.result), b.result)
	if err != nil {
		return evidence, err
	}
	top, err := topLayer(manifest)
	if err != nil {
		return evidence, err
	}
	layer, err := client.get(ctx, client.blob(b.repository, top.Digest), top.Digest)
	if err != nil {
		return evidence, err
	}
	proof, err := unpack(layer, runstep.Proof)
	if err != nil {
		return evidence, err
	}
	if !bytes.Equal(proof, runstep.Answer(b.nonce, b.seen)) {
		return evidence, failing(stack.ReasonContent, "the file %q does not hold what the step writes", runstep.Proof)
	}
	return evidence, nil
}

// wrongPassword holds when a push is refused after the registry has asked for
// a password and got a wrong one. Nothing but the push happens in it: the image
// is a new file on nothing.
func (b *build) wrongPassword(ctx context.Context) (stack.Evidence, error) {
	session, err := b.connect(ctx)
	if err != nil {
		return stack.Evidence{}, err
	}
	defer session.Close()
	login := b.login(rand.Text())
	result := session.solve(ctx, job{
		state: llb.Scratch().File(llb.Mkfile("/refused", 0o444, []byte(rand.Text()))),
		name:  b.registry.Network + "/" + b.repository + ":refused",
		login: login,
	})
	switch {
	case result.err == nil:
		b.pushed = append(b.pushed, pushed{b.repository, result.digest})
		return stack.Evidence{Digest: result.digest.String()}, failing(stack.ReasonAccepted, "the push is let in")
	case reasonOf(result.err) != stack.ReasonUnauthorized:
		return stack.Evidence{}, otherRefusal(result.err)
	case !login.asked.Load():
		return stack.Evidence{}, failing(stack.ReasonUnexpected, "refused before the registry asked for a password: %w", result.err)
	}
	return stack.Evidence{Answer: result.err.Error()}, nil
}

// clear deletes the manifests. The registry drops their layers when it is told
// to collect garbage; until then they cost a few kilobytes.
func (b *build) clear(ctx context.Context) (stack.Evidence, error) {
	client := b.remote()
	defer client.close()
	var errs []error
	for _, p := range b.pushed {
		errs = append(errs, client.remove(ctx, p.repository, p.digest))
	}
	return stack.Evidence{}, errors.Join(errs...)
}
