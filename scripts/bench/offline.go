package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
)

// batch is a number of stacks whose files are written one after the other: keys,
// certificates, passwords and configs.
type batch struct {
	count            int
	took             []time.Duration // by run, of all
	user, system     []time.Duration // of the processors
	files            int
	bytes, allocated int64 // of all, in the last run
}

// offline measures what needs no engine, for more and more stacks: per stack it
// should stay the same.
func (b *stackBench) offline(ctx context.Context) error {
	batches := []*batch{{count: 1}, {count: 10}, {count: 50}, {count: 200}}
	err := b.turns(ctx, "files of up to 200 stacks", func(counts bool) error {
		for _, batch := range batches {
			if err := b.write(ctx, batch, counts); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.table("the files of stacks, without an engine", b.runs, func(t io.Writer) {
		// The disk is waited for at each file, and the kernel's part depends
		// on who else uses it; ours does not.
		fmt.Fprintln(t, "stacks\tall\tper stack\tprocessors, user\tsystem\tfiles per stack\tof size\tallocated per stack")
		for _, batch := range batches {
			each := func(d []time.Duration) string { return duration(median(d) / time.Duration(batch.count)) }
			n := int64(batch.count)
			fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\t%d bytes\t%s\n", n, duration(median(batch.took)), each(batch.took), each(batch.user), each(batch.system),
				int64(batch.files)/n, batch.bytes/n, megabytes(batch.allocated/n))
		}
	})
}

// write writes the files of a batch, and removes them.
func (b *stackBench) write(ctx context.Context, batch *batch, counts bool) error {
	dir, err := os.MkdirTemp(b.tmp, "offline-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	user, system := ownTime()
	for i := range batch.count {
		if err := initialise(ctx, filepath.Join(dir, fmt.Sprint(i))); err != nil {
			return err
		}
	}
	took := time.Since(start)
	userAfter, systemAfter := ownTime()
	runtime.ReadMemStats(&after)
	if !counts {
		return nil
	}
	batch.took = append(batch.took, took)
	batch.user, batch.system = append(batch.user, userAfter-user), append(batch.system, systemAfter-system)
	batch.allocated = int64(after.TotalAlloc - before.TotalAlloc)
	batch.files, batch.bytes, err = sizes(dir)
	return err
}

// initialise is "certyard init" by the library.
func initialise(ctx context.Context, root string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	free := "127.0.0.1:0"
	spec, err := stack.NewSpec(stack.Config{
		Name: "bench-" + filepath.Base(root), Registry: stack.RegistryConfig{Publish: &free}, Builder: stack.BuilderConfig{Publish: &free},
	})
	if err != nil {
		return err
	}
	_, err = lifecycle.Init(ctx, local.Deps(root), spec, nil)
	return err
}

// sizes returns how many files there are below a directory, and what they hold.
func sizes(dir string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	return files, bytes, err
}
