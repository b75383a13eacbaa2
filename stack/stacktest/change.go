package stacktest

import (
	"context"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// Rotate replaces certificates or passwords of the running stack, as "certyard
// rotate" does with the same options, and proves the stack before and after.
// Afterwards the stack's methods return what is new; clients and trust that were
// asked for before know what was old. It fails the test when there was nothing to
// replace, or when the proof does not hold.
func (s *Stack) Rotate(t testing.TB, o lifecycle.RotateOptions) {
	t.Helper()
	s.mustBeSound(t)
	res, err := lifecycle.Rotate(lasting(t), s.deps, o)
	if err == nil {
		err = holds(res.Report)
	}
	switch {
	case err != nil:
		t.Fatalf("rotating stack %s: %v", s.Name(), err)
	case res.RolledBack:
		t.Fatalf("rotating stack %s: the new material did not hold, and what was there before is in place again", s.Name())
	case !res.Due && len(res.Phases) == 0:
		t.Fatalf("rotating stack %s: nothing is due", s.Name())
	}
	if err := s.refresh(s.recorded()); err != nil {
		t.Fatalf("rotating stack %s: %v", s.Name(), err)
	}
}

// Restart starts services of the stack again, stack.Registry or stack.Builder, both
// without any named, and waits until they answer. What they hold in volumes stays:
// images and the build cache.
func (s *Stack) Restart(t testing.TB, services ...string) {
	t.Helper()
	s.mustBeSound(t)
	s.Stop(t, services...)
	if err := s.up(lasting(t)); err != nil {
		t.Fatalf("starting stack %s again: %v", s.Name(), err)
	}
}

// Stop stops services of the stack, both without any named, as for a test of what a
// client makes of that. [Stack.Restart] starts them.
func (s *Stack) Stop(t testing.TB, services ...string) {
	t.Helper()
	if len(services) == 0 {
		services = []string{stack.Registry, stack.Builder}
	}
	if err := s.engine.Stop(lasting(t), s.Name(), services); err != nil {
		t.Fatalf("stopping stack %s: %v", s.Name(), err)
	}
}

// mustBeSound fails a test that has forgotten a fault.
func (s *Stack) mustBeSound(t testing.TB) {
	t.Helper()
	if len(s.sound) > 0 {
		t.Fatalf("stack %s serves a certificate with a fault: Mend comes first", s.Name())
	}
}

// lasting returns a context that has not ended when the test cleans up: a stack is
// mended or started again then.
func lasting(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }
