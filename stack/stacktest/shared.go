package stacktest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// SharedStack is one stack for all tests of a package. It is safe for use in
// parallel; what changes the stack, changes it for all of them.
//
//	var yard = stacktest.Shared(stacktest.Options{})
//
//	func TestMain(m *testing.M) { os.Exit(yard.Main(m)) }
//
//	func TestPush(t *testing.T) {
//		s := yard.Stack(t)
//		...
//	}
type SharedStack struct {
	options Options

	once   sync.Once
	ctx    context.Context // of nobody's test, for the end
	stack  *Stack
	err    error
	mu     sync.Mutex // guards failed
	failed bool
}

// Shared returns a stack that is started when the first test asks for it, so that
// tests which need none, or a run of only those, wait for nothing.
func Shared(o Options) *SharedStack { return &SharedStack{options: o} }

// Main runs the tests of the package, takes the stack down, and returns the exit
// status for os.Exit. The logs of the containers are shown when a test has failed
// that used the stack.
func (s *SharedStack) Main(m *testing.M) int {
	status := m.Run()
	if s.stack == nil {
		return status
	}
	if s.failed {
		fmt.Fprintf(os.Stderr, "the logs of stack %s:\n%s\n", s.stack.Name(), s.stack.logs(s.ctx))
	}
	if err := s.stack.remove(s.ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(status, 1)
	}
	return status
}

// Stack returns the stack, and starts it for the first test that asks. It fails
// every test that asks when it cannot be started.
func (s *SharedStack) Stack(t testing.TB) *Stack {
	t.Helper()
	s.once.Do(func() {
		s.ctx = context.WithoutCancel(t.Context())
		s.stack, s.err = start(s.ctx, s.options)
	})
	if s.err != nil {
		t.Fatalf("starting the stack of the package: %v", s.err)
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = s.failed || t.Failed()
	})
	return s.stack
}
