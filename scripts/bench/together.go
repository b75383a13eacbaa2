package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/stacktest"
)

// crowd is a number of stacks that start at once, and what came of it.
type crowd struct {
	serve stack.Serve
	count int

	ready, gone []time.Duration // by run, of all
	memory      residents       // of all, in the last run
	failures    []error
	left        string // in the last run
}

// together measures stacks that start at once, and what looks at many of them.
func (b *stackBench) together(ctx context.Context) error {
	var crowds []*crowd
	for _, n := range []int{1, 4, 16, b.most} {
		if n = min(n, b.most); len(crowds) == 0 || n > crowds[len(crowds)-1].count {
			crowds = append(crowds, &crowd{serve: stack.ServeDaemon, count: n})
		}
	}
	most := crowds[len(crowds)-1]
	for _, n := range []int{1, 4} {
		if n <= b.most {
			crowds = append(crowds, &crowd{serve: stack.ServeEdge, count: n})
		}
	}
	for i := range b.runs {
		for _, c := range crowds {
			progress("%d stacks at once, TLS in the %s, run %d of %d", c.count, c.serve, i+1, b.runs)
			look := func(context.Context, []*stacktest.Stack) error { return nil }
			if c == most {
				look = b.look
			}
			if err := b.gather(ctx, c, look); err != nil {
				return err
			}
		}
	}
	return b.printTogether(crowds, most)
}

// gather starts the stacks, has somebody look at them, and lets them go.
func (b *stackBench) gather(ctx context.Context, c *crowd, look func(context.Context, []*stacktest.Stack) error) error {
	goroutines := runtime.NumGoroutine()
	tests, stacks := make([]*tb, c.count), make([]*stacktest.Stack, c.count)
	start := time.Now()
	atOnce(c.count, func(i int) {
		tests[i] = newTB(ctx, b.tmp)
		tests[i].run(func() {
			stacks[i] = stacktest.Start(tests[i], stacktest.Options{Proof: stacktest.Quick, Serve: c.serve})
		})
	})
	c.ready = append(c.ready, time.Since(start))
	stacks = slices.DeleteFunc(stacks, func(s *stacktest.Stack) bool { return s == nil })
	var err error
	if c.memory, err = residentsOf(ctx, namesOf(stacks)); err == nil {
		err = look(ctx, stacks)
	}
	start = time.Now()
	errs := make([]error, c.count)
	atOnce(c.count, func(i int) { errs[i] = tests[i].end() })
	c.gone = append(c.gone, time.Since(start))
	if err = errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	c.failures = append(c.failures, slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
	c.left, err = left(ctx, namesOf(stacks), goroutines)
	return err
}

func atOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func namesOf(stacks []*stacktest.Stack) []string {
	var out []string
	for _, s := range stacks {
		out = append(out, s.Name())
	}
	return out
}
