package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/certyard/certyard/stack/stacktest"
)

// The rows of one stack. Peers are indented, under what they are to be compared with.
const (
	rowComposeStack   = "  docker compose up -d, and both ports answer"
	rowTestcontainers = "  testcontainers-go's registry, with a password, without TLS"
)

// life is what a stack takes to be there, and to be gone.
type life struct{ ready, gone time.Duration }

// contender is one way to a stack.
type contender struct {
	row     string
	run     func(context.Context) (life, error)
	lives   []life
	missing string
}

func (b *stackBench) contenders() []*contender {
	start := func(proof stacktest.Proof) func(context.Context) (life, error) {
		return func(ctx context.Context) (life, error) { return b.started(ctx, stacktest.Options{Proof: proof}) }
	}
	return []*contender{
		{row: "certyard up --ephemeral, proven", run: func(ctx context.Context) (life, error) { return b.ephemeral(ctx) }},
		{row: "stacktest.Start, proven", run: start(stacktest.Full)},
		{row: "certyard up --ephemeral --quick", run: func(ctx context.Context) (life, error) { return b.ephemeral(ctx, "--quick") }},
		{row: "stacktest.Start, Quick", run: start(stacktest.Quick)},
		{row: rowComposeStack, run: b.composeStack, missing: b.missing[rowComposeStack]},
		{row: "stacktest.Registry, and an answer to a password over TLS", run: b.inProcess},
		{row: rowTestcontainers, run: b.testcontainersRegistry, missing: b.missing[rowTestcontainers]},
	}
}

// single measures one stack at a time, in every way.
func (b *stackBench) single(ctx context.Context) error {
	all := b.contenders()
	err := b.turns(ctx, "one stack", func(counts bool) error {
		for _, c := range all {
			if err := c.turn(ctx, counts); err != nil {
				return fmt.Errorf("%s: %w", c.row, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.table("one stack, images present", b.runs, func(t io.Writer) {
		fmt.Fprintln(t, "\tready\tfastest\tslowest\tgone again")
		for _, c := range all {
			c.print(t)
		}
	})
}

// turn runs it once. A peer that does not work here is left out.
func (c *contender) turn(ctx context.Context, counts bool) error {
	if c.missing != "" {
		return nil
	}
	l, err := c.run(ctx)
	if err != nil && c.row[0] == ' ' && ctx.Err() == nil {
		c.missing = lastLine(err)
		return nil
	}
	if counts {
		c.lives = append(c.lives, l)
	}
	return err
}

func (c *contender) print(w io.Writer) {
	if c.missing != "" {
		fmt.Fprintf(w, "%s\tnot available: %s\n", c.row, c.missing)
		return
	}
	var ready, gone []time.Duration
	for _, l := range c.lives {
		ready, gone = append(ready, l.ready), append(gone, l.gone)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.row, duration(median(ready)), duration(slices.Min(ready)), duration(slices.Max(ready)), duration(median(gone)))
}

// ephemeral is the program: the stack is ready when the command runs, which says
// something then.
func (b *stackBench) ephemeral(ctx context.Context, flags ...string) (life, error) {
	var first clock
	args := append([]string{"up", "--ephemeral"}, flags...)
	start := time.Now()
	took, err := commandTo(ctx, &first, b.tmp, b.yard.env(), b.yard.binary, append(args, "--", "echo", "ready")...)
	ready := first.at.Sub(start)
	return life{ready: ready, gone: took - ready}, err
}

// clock notes when something is written to it first.
type clock struct{ at time.Time }

func (c *clock) Write(p []byte) (int, error) {
	if c.at.IsZero() {
		c.at = time.Now()
	}
	return len(p), nil
}

// started is a test that starts a stack.
func (b *stackBench) started(ctx context.Context, o stacktest.Options) (life, error) {
	return b.test(ctx, func(t *tb) { stacktest.Start(t, o) })
}

// inProcess is a test that starts a registry in its process.
func (b *stackBench) inProcess(ctx context.Context) (life, error) {
	return b.test(ctx, func(t *tb) {
		r := stacktest.Registry(t)
		if err := ask(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	})
}

func (b *stackBench) test(ctx context.Context, part func(*tb)) (life, error) {
	t := newTB(ctx, b.tmp)
	start := time.Now()
	t.run(func() { part(t) })
	ready := time.Since(start)
	start = time.Now()
	err := t.end()
	return life{ready: ready, gone: time.Since(start)}, err
}

// ask makes an authenticated request.
func ask(ctx context.Context, r *stacktest.RegistryServer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.Host()+"/v2/", nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(r.Auth().Username, r.Auth().Password)
	response, err := r.HTTPClient().Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("asking the registry: %s", response.Status))
	}
	return errors.Join(err, response.Body.Close())
}
