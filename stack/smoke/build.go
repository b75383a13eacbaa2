package smoke

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
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
// checks hand their results on in its fields; each reads only what a check that
// it needs has written.
type build struct {
	registry *registryProbes
	builder  *builderProbes
	short    bool // the builder only pulls

	repository  string
	nonce, seen []byte
	base, old   digest.Digest // of the images that the host pushed
	result      digest.Digest // of the image that the builder pushed
	pushed      []pushed      // what has to be deleted
	solving     sync.Once
	stages      stages // after solving
}

// pushed is a manifest in the registry.
type pushed struct {
	repository string
	digest     digest.Digest
}

func newBuild(registry *registryProbes, builder *builderProbes, short bool) *build {
	return &build{
		registry:   registry,
		builder:    builder,
		short:      short,
		repository: newRepository + strings.ToLower(rand.Text()),
		nonce:      []byte(rand.Text() + rand.Text())[:runstep.Size],
		seen:       []byte(rand.Text() + rand.Text())[:runstep.Size],
	}
}

// pushCheck is the first step: what the builder will pull is pushed.
func (b *build) pushCheck(registry, builder *check) *check {
	title := "the base image is pushed"
	if b.short {
		title = "an image is pushed"
	}
	c := b.onHost("registry.push", title, b.push)
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

// checks returns the steps in between.
func (b *build) checks(push, builder *check) []*check {
	ready := []need{{on: builder}, {on: push}}
	pull := b.onNetwork("build.pull", "the base image is pulled", ready, b.stage(stagePull))
	again := b.onNetwork("build.pull-again", "a repository of earlier proofs is pulled from", ready, b.stage(stagePullAgain))
	again.Target = b.inside()
	if b.short {
		again.probe = b.pullAgain
		return []*check{again}
	}
	run := b.onNetwork("build.run", "a RUN step executes", ready, b.stage(stageRun))
	pushed := b.onNetwork("build.push", "the result is pushed", ready, b.stage(stagePush))
	built := []need{{on: pushed}}
	read := b.onNetwork("build.read", "the host reads back by digest what the step wrote", built, b.read)
	refused := b.onNetwork("build.wrong-password", "a push with a wrong password gets 401", built, b.wrongPassword)
	return []*check{pull, again, run, pushed, read, refused}
}

// onNetwork returns a step that the builder makes, or that is about its result.
func (b *build) onNetwork(id, title string, needs []need, probe func(context.Context, *check) (stack.Evidence, error)) *check {
	c := &check{
		Check: stack.Check{ID: id, Hop: stack.HopBuilderRegistry, Target: b.registry.Network, Title: title},
		needs: needs,
		limit: buildLimit,
	}
	c.probe = func(ctx context.Context) (stack.Evidence, error) { return probe(ctx, c) }
	return c
}

// stage returns the probe for one stage of the build. The first one that comes
// builds, and the others wait for it.
func (b *build) stage(s stage) func(context.Context, *check) (stack.Evidence, error) {
	return func(ctx context.Context, c *check) (stack.Evidence, error) {
		b.solving.Do(func() { b.solve(ctx) })
		c.Took = b.stages[s].took
		image := [stageCount]digest.Digest{stagePull: b.base, stagePullAgain: b.old, stagePush: b.result}[s]
		return stack.Evidence{Digest: image.String()}, b.stages[s].err
	}
}

// onHost returns a step that the host makes at the registry.
func (b *build) onHost(id, title string, probe func(context.Context) (stack.Evidence, error)) *check {
	return &check{
		Check: stack.Check{
			ID: id, Hop: stack.HopHostRegistry, Target: b.registry.Endpoints[0].Address(), Title: title,
		},
		limit: buildLimit,
		probe: probe,
	}
}

// remote is the registry as the host uses it.
func (b *build) remote() *remote {
	e := b.registry.Endpoints[0]
	return b.registry.as(e, e.Host, b.registry.User, b.registry.Password, b.registry.trust)
}

// push uploads the image in the old repository, and the base image if there is a
// build.
func (b *build) push(ctx context.Context) (stack.Evidence, error) {
	builder, err := b.connect(ctx)
	if err != nil {
		return stack.Evidence{}, err
	}
	defer builder.Close()
	platform, executable, err := platform(ctx, builder)
	if err != nil {
		return stack.Evidence{}, err
	}
	old, err := newImage(platform, file{runstep.Seen, 0o444, b.seen})
	if err != nil {
		return stack.Evidence{}, fmt.Errorf("making second image: %w", err)
	}
	b.old = old.digest()
	images := map[string]image{seenRepository: old}
	if !b.short {
		base, err := newImage(platform, file{step, 0o755, executable}, file{runstep.Nonce, 0o444, b.nonce})
		if err != nil {
			return stack.Evidence{}, fmt.Errorf("making base image: %w", err)
		}
		b.base = base.digest()
		images[b.repository] = base
	}
	registry := b.remote()
	defer registry.close()
	uploads, ctx := errgroup.WithContext(ctx)
	for repository, i := range images {
		b.pushed = append(b.pushed, pushed{repository, i.digest()})
		uploads.Go(func() error { return registry.push(ctx, repository, i) })
	}
	if err := uploads.Wait(); err != nil {
		return stack.Evidence{}, err
	}
	return stack.Evidence{Digest: cmp.Or(b.base, b.old).String()}, nil
}

// pullAgain has the builder pull the image in the old repository, as far as it
// needs it to know what it is.
func (b *build) pullAgain(ctx context.Context) (stack.Evidence, error) {
	image := llb.Image(reference(b.inside(), seenRepository, b.old))
	result := b.do(ctx, job{state: image, login: b.login(b.registry.Password)})
	return stack.Evidence{Digest: b.old.String()}, result.err
}

// connect returns a client of the builder. The caller closes it.
func (b *build) connect(ctx context.Context) (*client.Client, error) {
	e := b.builder.Endpoints[0]
	return b.builder.connect(ctx, e, e.Host)
}

// solve builds and pushes, and leaves in b.stages how far it came.
func (b *build) solve(ctx context.Context) {
	base := reference(b.registry.Network, b.repository, b.base)
	old := reference(b.inside(), seenRepository, b.old)
	result := b.do(ctx, job{
		dockerfile: fmt.Sprintf("FROM %s\nCOPY --from=%s /%s /%[3]s\nRUN [\"/%s\"]\n", base, old, runstep.Seen, step),
		name:       b.registry.Network + "/" + b.repository + ":built",
		login:      b.login(b.registry.Password),
	})
	b.stages = stagesOf(result, base, old)
	b.result = result.digest
}

// do carries out a job, and remembers what it pushed.
func (b *build) do(ctx context.Context, j job) solved {
	builder, err := b.connect(ctx)
	if err != nil {
		return solved{err: err}
	}
	defer builder.Close()
	// After an interrupt the client would wait five seconds for a last status
	// (statusInactivityTimeout in its solve.go), unless the connection ends.
	defer context.AfterFunc(ctx, func() { builder.Close() })()
	result := solve(ctx, builder, j)
	if result.digest != "" {
		b.pushed = append(b.pushed, pushed{b.repository, result.digest})
	}
	return result
}

// inside returns the registry's other name for the builder, or its only one.
func (b *build) inside() string { return cmp.Or(b.registry.Inside, b.registry.Network) }

func (b *build) login(password string) *login {
	return &login{hosts: []string{b.registry.Network, b.inside()}, user: b.registry.User, password: password}
}

// read gets the result's manifest and its top layer, and compares the file in
// it with what only the step can have written.
func (b *build) read(ctx context.Context, _ *check) (stack.Evidence, error) {
	evidence := stack.Evidence{Digest: b.result.String()}
	registry := b.remote()
	defer registry.close()
	manifest, err := registry.get(ctx, registry.manifest(b.repository, b.result), b.result)
	if err != nil {
		return evidence, err
	}
	top, err := topLayer(manifest)
	if err != nil {
		return evidence, err
	}
	layer, err := registry.get(ctx, registry.blob(b.repository, top.Digest), top.Digest)
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
func (b *build) wrongPassword(ctx context.Context, _ *check) (stack.Evidence, error) {
	login := b.login(rand.Text())
	result := b.do(ctx, job{
		state: llb.Scratch().File(llb.Mkfile("/refused", 0o444, []byte(rand.Text()))),
		name:  b.registry.Network + "/" + b.repository + ":refused",
		login: login,
	})
	switch {
	case result.err == nil:
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
	registry := b.remote()
	defer registry.close()
	var first error
	for _, p := range b.pushed {
		if err := registry.remove(ctx, p.repository, p.digest); first == nil {
			first = err
		}
	}
	return stack.Evidence{}, first
}
