// Bench prints the numbers that certyard promises to hold: medians, each beside
// its limit, and beside what people use otherwise, measured in the same run. It
// judges nothing: it exits with 0 when everything ran, whatever the times are.
//
//	make bench
//	go run ./scripts/bench -runs 21
//	go run ./scripts/bench -edge -runs 3
//	go run ./scripts/bench -stacks -runs 3 -most 32
//
// It needs what "make up" needs, and for the peers openssl and htpasswd. The
// other tools it builds once into ${CERTYARD_CACHE:-~/.cache/certyard}/tools.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	runs := flag.Int("runs", 7, "measure everything `N` times, after one run that does not count")
	binary := flag.String("binary", "bin/certyard", "measure the certyard in `FILE`; its daemons are beside it")
	edge := flag.Bool("edge", false, "measure TLS in the edge beside TLS in the daemons")
	stacks := flag.Bool("stacks", false, "measure stacks of tests, one and many at once")
	most := flag.Int("most", 32, "with -stacks, start up to `N` stacks at once")
	flag.Parse()
	if *runs < 1 || *most < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	// A reader that goes away is an error like others, so that bench cleans up.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	measure := run
	switch {
	case *edge:
		measure = runEdge
	case *stacks:
		measure = func(ctx context.Context, binary string, runs int) error { return runStacks(ctx, binary, runs, *most) }
	}
	err := measure(ctx, *binary, *runs)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

// run measures in a directory of its own, and leaves neither that nor a
// container behind, also when ctx ends.
func run(ctx context.Context, binary string, runs int) (err error) {
	tmp, err := os.MkdirTemp("", "certyard-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	compose, err := composeTool(ctx, tmp)
	if err != nil {
		return err
	}
	mkcert, err := mkcertTool(ctx, tmp)
	if err != nil {
		return err
	}
	yard, err := newYard(ctx, binary, tmp)
	if err != nil {
		return err
	}
	defer func() {
		if e := yard.remove(context.WithoutCancel(ctx)); e != nil && err == nil {
			err = e
		}
	}()

	b := &bench{yard: yard, compose: compose, files: newFileMakers(tmp, mkcert)}
	for i := range runs + 1 {
		// Run 0 warms the caches, and loads images that the engine lacks.
		b.counts = i > 0
		progress("run %d of %d", i, runs)
		if err := b.once(ctx, filepath.Join(tmp, fmt.Sprint("run", i))); err != nil {
			return err
		}
	}
	return b.print(os.Stdout, runs)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
