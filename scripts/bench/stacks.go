package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/local"
)

// stackBench measures the stacks of tests, and prints a table for each part.
type stackBench struct {
	bench
	tmp        string
	runs, most int

	ports []int  // of the yard, whose compose.yaml the Compose CLI starts
	image string // of its registry

	testcontainers string            // a program
	missing        map[string]string // why a peer is not there, by its row
}

// runStacks leaves nothing behind, also when ctx ends. Its stacks are apart from
// those of everybody else: in a directory for caches of its own.
func runStacks(ctx context.Context, binary string, runs, most int) (err error) {
	tmp, err := os.MkdirTemp("", "certyard-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &stackBench{tmp: tmp, runs: runs, most: most, missing: map[string]string{}}
	b.findPeers(ctx)
	if b.yard, err = newYard(ctx, binary, tmp); err != nil {
		return err
	}
	if err := b.environment(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cleanUp(context.WithoutCancel(ctx))) }()
	for _, part := range []func(context.Context) error{b.prepare, b.single, b.commands, b.traffic, b.together, b.offline} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cleanUp removes the yard, and stacks of certyard processes that were killed.
func (b *stackBench) cleanUp(ctx context.Context) error {
	removed := b.yard.remove(ctx)
	engine, err := compose.Connect(ctx, compose.Options{})
	if err != nil {
		return errors.Join(removed, err)
	}
	defer engine.Close()
	stacks, err := local.EphemeralStacks("")
	if err == nil {
		_, err = stacks.Prune(ctx, engine, false)
	}
	return errors.Join(removed, err)
}

// environment has this process, and what it starts, use the yard's binary and
// daemons. What the go command has cached stays where it is.
func (b *stackBench) environment(ctx context.Context) error {
	_, cache, err := command(ctx, "", nil, "go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"GOCACHE":          strings.TrimSpace(string(cache)),
		"XDG_CACHE_HOME":   filepath.Join(b.tmp, "cache"),
		"CERTYARD_DAEMONS": b.yard.daemons,
		"CERTYARD_PROGRAM": b.yard.binary,
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// prepare has the yard's files written, and images loaded that the engine lacks.
func (b *stackBench) prepare(ctx context.Context) error {
	progress("writing the files of a stack, and loading its images")
	_, result, err := b.yard.up(ctx)
	if err != nil {
		return err
	}
	b.ports, b.image = result.ports(), result.Facts.Images[stack.Registry]
	_, _, err = b.yard.certyard(ctx, b.yard.args("down", "--volumes")...)
	return err
}

// turns runs something once to warm up, and then as often as is asked for.
func (b *stackBench) turns(ctx context.Context, what string, do func(counts bool) error) error {
	for i := range b.runs + 1 {
		progress("%s, run %d of %d", what, i, b.runs)
		if err := do(i > 0); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// table writes a title, and a table that the caller fills.
func (b *stackBench) table(title string, runs int, fill func(t io.Writer)) error {
	fmt.Printf("\n%s, medians of %d runs in turns%s\n\n", title, runs, load())
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fill(t)
	return t.Flush()
}
