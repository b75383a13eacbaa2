package stacktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/state"
)

// Stack is a registry and a builder that run, and what their clients need. What
// returns something is safe for use in parallel. What changes the stack (Rotate,
// Fault, Expire, Mend, Restart, Stop) is not: one at a time, from the goroutine of
// the test that it fails when it cannot be done.
type Stack struct {
	Registry *RegistryServer
	Builder  *Builder

	deps    lifecycle.Deps
	engine  *compose.Engine
	options Options
	wanted  stack.Spec // with open ports
	claim   *state.Claim
	sound   map[string]*pki.KeyPair // what services with a fault showed before

	mu    sync.Mutex // guards what follows
	spec  stack.Spec
	facts stack.Facts
	env   []stack.Variable
}

// Start gives a test a stack of its own, which runs and is proven when Start
// returns, and is gone when the test has ended: containers, network, volumes and
// files. When the test fails, the end of the containers' logs is shown. Start needs
// a Docker Engine, and fails the test without one; any number of tests may call it
// in parallel.
//
// A test that is killed leaves its stack. The next Start of the same account on the
// same engine removes it, and so does "certyard prune".
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	s, err := start(t.Context(), o)
	if err != nil {
		t.Fatalf("starting a stack: %v", err)
	}
	// The test's own context has ended when it cleans up.
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the logs of stack %s:\n%s", s.wanted.Name, s.logs(ctx))
		}
		if err := s.remove(ctx); err != nil {
			t.Errorf("%v", err)
		}
	})
	return s
}

// start starts a stack. What a failed one has made is removed.
func start(ctx context.Context, o Options) (*Stack, error) {
	engine, err := compose.Connect(ctx, compose.Options{ConfigDir: dockerConfigDir()})
	if err != nil {
		return nil, err
	}
	s := &Stack{engine: engine, options: o}
	s.Builder, s.Registry = &Builder{s}, &RegistryServer{}
	if err := s.prepare(ctx); err != nil {
		_ = engine.Close() // nothing was made
		return nil, err
	}
	if err := s.up(ctx); err != nil {
		ctx = context.WithoutCancel(ctx)
		if last := s.remove(ctx); last != nil {
			err = fmt.Errorf("%w\n%w", err, last)
		}
		return nil, err
	}
	return s, nil
}

// prepare claims a name, and cleans up after tests that were killed.
func (s *Stack) prepare(ctx context.Context) error {
	ephemeral, err := local.EphemeralStacks("")
	if err != nil {
		return err
	}
	// What cannot be removed now is none of this test's business.
	_, _ = ephemeral.Prune(ctx, s.engine, false)
	if s.wanted, err = s.options.spec(local.NewName("")); err != nil {
		return err
	}
	files, err := bundle(ctx, s.wanted.Serve)
	if err != nil {
		return err
	}
	if s.claim, err = ephemeral.Begin(ctx, s.engine, s.wanted.Name); err != nil {
		return err
	}
	s.deps = local.Deps(s.claim.Root)
	s.deps.Engine, s.deps.Bundle = s.engine, files
	s.deps.Password = func(u stack.UserSpec) (string, error) {
		return "", fmt.Errorf("the password of user %q is generated in a test", u.Name)
	}
	s.deps.Passphrase = func(stack.PKISpec, bool) ([]byte, error) {
		return nil, errors.New("the keys of CAs are plain in a test")
	}
	s.deps.Remote = func(stack.RemoteSpec) (lifecycle.RemoteAuthority, error) {
		return nil, errors.New("no other server signs in a test")
	}
	s.Registry.fault = func(t testing.TB, f Fault) {
		t.Helper()
		s.fault(t, f, stack.Registry)
	}
	return nil
}

// up makes the stack what the options say, and takes over what clients need.
func (s *Stack) up(ctx context.Context) error {
	res, err := lifecycle.Up(ctx, s.deps, s.wanted, lifecycle.UpOptions{Quick: s.options.Proof == Quick, Owner: local.Owner()})
	if err != nil {
		return err
	}
	if err := holds(res.Report); err != nil {
		return err
	}
	return s.refresh(res.Spec, res.Facts)
}

// holds returns an error with the checks that do not hold.
func holds(r *stack.Report) error {
	if r == nil || r.OK() {
		return nil
	}
	var b strings.Builder
	for _, c := range r.Checks {
		if c.Outcome != stack.Holds {
			fmt.Fprintf(&b, "\n%s: %s: %s: %s %s", c.Hop, c.Title, c.Outcome, c.Reason, c.Error)
		}
	}
	return fmt.Errorf("the proof does not hold:%s", &b)
}

// refresh reads what clients need from the state directory.
func (s *Stack) refresh(spec stack.Spec, facts stack.Facts) error {
	env, err := lifecycle.Environment(s.deps)
	if err != nil {
		return err
	}
	data, err := s.deps.Store.Read(stack.FileClientCA)
	if err != nil {
		return err
	}
	trust, err := pki.ParseTrustBundle(data)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec, s.facts, s.env = spec, facts, env
	user := spec.Registry.Users[0].Name
	s.Registry.set(spec.HostEndpoints(stack.Registry, facts)[0].Address(), spec.RegistryEndpoint(facts).Address(), trust,
		authn.Basic{Username: user, Password: value(env, "REGISTRY_AUTH_PASSWORD")})
	return nil
}

func value(env []stack.Variable, name string) string {
	for _, v := range env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

func (s *Stack) recorded() (stack.Spec, stack.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec, s.facts
}

// Name returns the name of the stack and of its compose project.
func (s *Stack) Name() string { return s.wanted.Name }

// Dir returns the state directory, as "certyard env" speaks of it: client/ in it
// works as buildctl's --tlsdir, and client/docker as DOCKER_CONFIG.
func (s *Stack) Dir() string { return s.deps.Store.Root() }

// Env returns the variables for clients of the stack, each as NAME=value, as
// "certyard env" prints them. One of them is a password.
func (s *Stack) Env() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, v := range s.env {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

// TrustBundle returns the CAs that the certificates of both servers chain to.
func (s *Stack) TrustBundle() pki.TrustBundle { return s.Registry.TrustBundle() }

// remove takes the stack down.
func (s *Stack) remove(ctx context.Context) error {
	const limit = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.Registry.close()
	_, err := local.Remove(ctx, s.deps, s.claim)
	_ = s.engine.Close() // nothing was sent that closing could lose
	return err
}

// logs returns the ends of the containers' logs.
func (s *Stack) logs(ctx context.Context) string {
	const limit = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out bytes.Buffer
	if err := s.engine.Logs(ctx, s.wanted.Name, compose.LogOptions{Tail: "40", Out: &out}); err != nil {
		return err.Error()
	}
	return out.String()
}
