package stacktest_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/stacktest"
)

// TestIntegrationStart: a stack for a test, used as its clients use it, in every
// combination of who proves itself and where TLS ends.
func TestIntegrationStart(t *testing.T) {
	composetest.Connect(t)
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		for _, tls := range []stack.BuilderTLS{stack.TLSServer, stack.TLSMutual} {
			t.Run(string(serve)+"-"+string(tls), func(t *testing.T) {
				t.Parallel()
				s := stacktest.Start(t, stacktest.Options{Serve: serve, TLS: tls, Images: stack.ImagesBundled})
				push(t, s)
				build(t, s)
				for _, want := range []string{"BUILDKIT_HOST=" + s.Builder.Address(), "DOCKER_REGISTRY_ON_HOST=" + s.Registry.Host(), "DOCKER_REGISTRY=" + s.Registry.NetworkHost()} {
					if !slices.Contains(s.Env(), want) {
						t.Errorf("the environment lacks %s", want)
					}
				}
			})
		}
	}
}

// push pushes an image and reads it back, from this side.
func push(t *testing.T, s *stacktest.Stack) {
	t.Helper()
	if err := pushOnce(s); err != nil {
		t.Errorf("push: %v", err)
	}
}

func pushOnce(s *stacktest.Stack) error {
	ref, err := name.ParseReference(s.Registry.Host() + "/pushed:1")
	if err != nil {
		return err
	}
	image, err := random.Image(1<<10, 1)
	if err != nil {
		return err
	}
	return remote.Write(ref, image, remote.WithTransport(s.Registry.HTTPClient().Transport), remote.WithAuth(s.Registry.Auth()))
}

// build has the builder make an image and push it.
func build(t *testing.T, s *stacktest.Stack) {
	t.Helper()
	if err := buildOnce(t.Context(), s); err != nil {
		t.Errorf("build: %v", err)
	}
}

func buildOnce(ctx context.Context, s *stacktest.Stack) error {
	builder, err := s.Builder.Client(ctx)
	if err != nil {
		return err
	}
	defer builder.Close()
	image, err := llb.Scratch().File(llb.Mkfile("/hello", 0o444, []byte("hello"))).Marshal(ctx)
	if err != nil {
		return err
	}
	_, err = builder.Solve(ctx, image, client.SolveOpt{
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": s.Registry.NetworkHost() + "/built:1", "push": "true"}}},
		Session: s.Builder.Session(),
	}, nil)
	return err
}

// TestIntegrationFaults: each fault is seen by clients as what it is, on both
// servers and on one of them, and is gone when it is mended, with the same key.
func TestIntegrationFaults(t *testing.T) {
	composetest.Connect(t)
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			t.Parallel()
			s := stacktest.Start(t, stacktest.Options{Serve: serve, Proof: stacktest.Quick, Images: stack.ImagesBundled})
			for fault, text := range faultTexts {
				if serve == stack.ServeEdge && fault == stacktest.NotYetValid {
					continue
				}
				s.Fault(t, fault)
				if err := pushOnce(s); err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: push: %v", fault, err)
				}
				if err := buildOnce(t.Context(), s); err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: build: %v", fault, err)
				}
			}
			s.Mend(t)
			push(t, s)
			build(t, s)

			t.Cleanup(func() { // the stack's own end comes after
				s.Mend(t)
				push(t, s)
			})
			s.Builder.Fault(t, stacktest.Expired)
			push(t, s)
			if err := buildOnce(t.Context(), s); err == nil || !strings.Contains(err.Error(), faultTexts[stacktest.Expired]) {
				t.Errorf("the builder alone: build: %v", err)
			}
			s.Registry.Mend(t)
			build(t, s)
			s.Expire(t)
		})
	}
}

// faultTexts are in the words of Go's crypto/x509, which gRPC passes on as text.
var faultTexts = map[stacktest.Fault]string{
	stacktest.Expired:     "certificate has expired or is not yet valid: current time",
	stacktest.NotYetValid: "is before",
	stacktest.WrongName:   "certificate is valid for other.test, not localhost",
	stacktest.OtherCA:     "certificate signed by unknown authority",
}

// TestIntegrationChange: what is rotated is what the stack hands out afterwards, and
// a stack that was stopped comes back with what it held.
func TestIntegrationChange(t *testing.T) {
	composetest.Connect(t)
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{TLS: stack.TLSMutual, Proof: stacktest.Quick, Images: stack.ImagesBundled})
	push(t, s)
	oldTrust, oldAuth, oldClient := s.TrustBundle().PEM(), s.Registry.Auth(), s.Registry.HTTPClient()

	s.Rotate(t, lifecycle.RotateOptions{Passwords: true})
	if s.Registry.Auth().Password == oldAuth.Password {
		t.Error("the password is what it was")
	}
	push(t, s)
	s.Rotate(t, lifecycle.RotateOptions{AllCAs: true})
	if bytes.Equal(s.TrustBundle().PEM(), oldTrust) || s.Registry.HTTPClient() == oldClient {
		t.Error("the trust is what it was")
	}
	push(t, s)
	build(t, s)

	s.Stop(t)
	if err := pushOnce(s); err == nil {
		t.Error("a registry that was stopped takes a push")
	}
	s.Restart(t)
	ref, err := name.ParseReference(s.Registry.Host() + "/pushed:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref, remote.WithTransport(s.Registry.HTTPClient().Transport), remote.WithAuth(s.Registry.Auth())); err != nil {
		t.Errorf("what was pushed before the stop: %v", err)
	}
	build(t, s)
}

// TestIntegrationTogether: stacks that start at once have names and ports of their
// own, and nothing of them is left.
func TestIntegrationTogether(t *testing.T) {
	engine := composetest.Connect(t)
	const count = atOnce
	var mu sync.Mutex
	names, hosts := map[string]bool{}, map[string]bool{}
	goroutines := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		for i := range count {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				s := stacktest.Start(t, stacktest.Options{Proof: stacktest.Quick, Images: stack.ImagesBundled})
				push(t, s)
				mu.Lock()
				defer mu.Unlock()
				names[s.Name()], hosts[s.Registry.Host()], hosts[s.Builder.Address()] = true, true, true
			})
		}
	})
	if len(names) != count || len(hosts) != 2*count {
		t.Errorf("of %d stacks, there were %d names and %d addresses", count, len(names), len(hosts))
	}
	for host := range hosts {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(host, "tcp://")); err == nil {
			conn.Close()
			t.Errorf("somebody still listens at %s", host)
		}
	}
	for start := time.Now(); runtime.NumGoroutine() > goroutines && time.Since(start) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond) // they have been told to end
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before\n%s", n, goroutines, stacks[:runtime.Stack(stacks, true)])
	}
	// Last, since it makes connections.
	for name := range names {
		nothingLeft(t, engine, name)
	}
}

// nothingLeft looks for what has the label of a project.
func nothingLeft(t *testing.T, engine *compose.Engine, project string) {
	t.Helper()
	if left, err := engine.Remains(t.Context(), project); err != nil || len(left) > 0 {
		t.Errorf("of %s is left: %v, %v", project, left, err)
	}
}
