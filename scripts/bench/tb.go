package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// tb is the test that package stacktest asks for, in a program that cleans up also
// when it is interrupted, which "go test" does not let its benchmarks do.
type tb struct {
	testing.TB // what nobody calls here, and what only that package may have

	ctx context.Context
	tmp string

	mu   sync.Mutex // guards what follows
	errs []error
	ends []func()
}

func newTB(ctx context.Context, tmp string) *tb { return &tb{ctx: ctx, tmp: tmp} }

// run runs a part of the test, until its end or the first Fatalf.
func (t *tb) run(part func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		part()
	}()
	<-done
}

// end cleans up, last things first, and returns what the test has failed with.
func (t *tb) end() error {
	for {
		t.mu.Lock()
		n := len(t.ends)
		if n == 0 {
			defer t.mu.Unlock()
			return errors.Join(t.errs...)
		}
		last := t.ends[n-1]
		t.ends = slices.Delete(t.ends, n-1, n)
		t.mu.Unlock()
		t.run(last)
	}
}

func (t *tb) Helper()                  {}
func (t *tb) Logf(string, ...any)      {} // the error says enough
func (t *tb) Context() context.Context { return t.ctx }

func (t *tb) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends = append(t.ends, f)
}

func (t *tb) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.errs) > 0
}

func (t *tb) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, fmt.Errorf(format, args...))
}

func (t *tb) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *tb) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }

func (t *tb) TempDir() string {
	dir, err := os.MkdirTemp(t.tmp, "test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("%v", err)
		}
	})
	return dir
}
