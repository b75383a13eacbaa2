package smoke

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/certyard/certyard/stack"
)

// check is a stack.Check together with how it is made.
type check struct {
	stack.Check
	needs []need
	limit time.Duration
	probe func(context.Context) (stack.Evidence, error)
	done  chan struct{} // closed when Check is final
}

// need is a check that another one depends on, and for which of its failures
// the other one can be made all the same.
type need struct {
	on      *check
	despite []stack.Reason
}

// Failures after which a peer can still be asked something.
var (
	// The peer answers, with or without TLS.
	answers = []stack.Reason{
		stack.ReasonPlaintext, stack.ReasonUntrusted, stack.ReasonName, stack.ReasonExpired,
		stack.ReasonStale, stack.ReasonProtocol, stack.ReasonUnauthorized, stack.ReasonUnexpected,
	}
	// The peer has shown a certificate.
	speaksTLS = []stack.Reason{
		stack.ReasonUntrusted, stack.ReasonName, stack.ReasonExpired, stack.ReasonStale, stack.ReasonUnauthorized,
	}
	// The certificate verifies.
	verifies = []stack.Reason{stack.ReasonStale, stack.ReasonUnauthorized}
	// The certificate verifies, and the peer accepts who we are.
	letsIn = []stack.Reason{stack.ReasonStale}
	// The certificate fails for one name, which says nothing of the others.
	lacksName = []stack.Reason{stack.ReasonName}
	// Something may have been pushed before it failed.
	brokeOff = []stack.Reason{stack.ReasonUnexpected, stack.ReasonUnreachable}
)

// missing waits for what c needs and returns a *skipped for the first thing that
// does not hold, or nil.
func (c *check) missing() error {
	for _, n := range c.needs {
		<-n.on.done
		if n.on.Outcome != stack.Holds && !slices.Contains(n.despite, n.on.Reason) {
			return &skipped{n.on.ID}
		}
	}
	return nil
}

// skipped is the error of a check that was not made.
type skipped struct{ needs string } // the ID of the check that does not hold

func (s *skipped) Error() string { return "needs " + s.needs }

// proof is one run of all checks.
type proof struct {
	checks  []*check // in the order of the report; each needs only earlier ones
	last    *check   // clears up after all others; nil if there is nothing to clear up
	observe func(stack.Check)
	mu      sync.Mutex // held while observe runs
}

func newProof(opt Options) *proof {
	p := &proof{observe: opt.Observe}
	registry := newRegistryProbes(opt)
	builder := newBuilderProbes(opt)
	onRegistry, onBuilder := registry.checks(), builder.checks()
	if len(onRegistry) == 0 || len(onBuilder) == 0 {
		p.checks = append(onRegistry, onBuilder...)
		return p
	}
	build := newBuild(registry, builder, opt.Short)
	push := build.pushCheck(onRegistry[0], onBuilder[0])
	p.last = build.clearCheck(push)
	p.checks = slices.Concat(onRegistry, []*check{push, p.last}, onBuilder, build.checks(push, onBuilder[0]))
	return p
}

// run makes every check as soon as what it needs is there.
func (p *proof) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, c := range p.checks {
		c.done = make(chan struct{})
	}
	for _, c := range p.checks {
		if c != p.last {
			all.Go(func() { p.make(ctx, c) })
		}
	}
	all.Wait()
	if p.last != nil {
		p.make(context.WithoutCancel(ctx), p.last)
	}
}

// make makes one check, or skips it.
func (p *proof) make(ctx context.Context, c *check) {
	defer close(c.done)
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	err := c.missing()
	if err == nil {
		start := time.Now()
		c.Evidence, err = c.probe(ctx)
		if c.Took == 0 {
			c.Took = time.Since(start)
		}
	}
	c.Outcome = stack.Holds
	if err != nil {
		c.Outcome, c.Reason, c.Error = stack.Fails, reasonOf(err), err.Error()
	}
	if c.Reason == stack.ReasonNotApplicable {
		c.Outcome, c.Took = stack.Skipped, 0
	}
	if p.observe != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.observe(c.Check)
	}
}

func (p *proof) report() stack.Report {
	var r stack.Report
	for _, c := range p.checks {
		r.Checks = append(r.Checks, c.Check)
	}
	return r
}
