package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestIntegrationRotate replaces leaves and passwords of a running stack, in both
// ways to serve, while it is in use: with the edge nothing is started again, and
// without it what is, waits for the build that goes on.
func TestIntegrationRotate(t *testing.T) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			d, config := edgeDeps(t)
			config.Serve, config.Builder.TLS = string(serve), "mutual"
			up := upEdge(t, d, newSpec(t, config))
			before := ids(t, d, serve.Services()...)
			staysWithBuilds(t, d, up, before)
			old, password := serials(t, d), passwordsOf(t, d)[stack.DefaultUser]
			ended := longBuild(t, d, up)
			start := time.Now()
			out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true, Passwords: true})
			if err != nil || !out.Due || out.RolledBack || !out.Report.OK() {
				t.Fatalf("%+v, %v", out, err)
			}
			t.Logf("%s: rotated in %v, %d checks hold", serve, time.Since(start).Round(time.Millisecond), len(out.Report.Checks))
			for name, serial := range serials(t, d) {
				if serial == old[name] != strings.HasSuffix(name, "ca") {
					t.Errorf("%s had the serial %s, and has %s", name, old[name], serial)
				}
			}
			// The proof has seen that the recorded password is let in, and the old one not.
			if now := passwordsOf(t, d)[stack.DefaultUser]; now == password {
				t.Error("the password is the same")
			} else {
				checkHandedOut(t, d, up.Spec.RegistryHosts(up.Facts), stack.DefaultUser, now)
			}
			after := ids(t, d, serve.Services()...)
			if restarted := !slices.Equal(before, after); restarted != (serve == stack.ServeDaemon) {
				t.Errorf("containers before %v, after %v", before, after)
			}
			if err := <-ended; err != nil {
				t.Errorf("the build that went on: %v", err)
			}
			again, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{})
			if err != nil || again.Due {
				t.Errorf("again: due %v, %v", again.Due, err)
			}
		})
	}
}

// staysWithBuilds demands that a rotation that would have to wait longer than it may
// for a build says which one, and has changed nothing.
func staysWithBuilds(t *testing.T, d lifecycle.Deps, up lifecycle.Result, containers []string) {
	t.Helper()
	files := snapshot(t, d.Store.Root())
	ref, release := heldBuild(t, d, up)
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true, Passwords: true, WaitIdle: 2 * time.Second})
	if e, ok := errors.AsType[*lifecycle.BusyError](err); !ok || len(e.Builds) != 1 || e.Builds[0].Ref != ref || out.RolledBack {
		t.Errorf("while %s is built: %v", ref, err)
	}
	if snapshot(t, d.Store.Root()) != files || !slices.Equal(ids(t, d, up.Spec.Serve.Services()...), containers) {
		t.Error("files or containers were changed")
	}
	if err := release(); err != nil {
		t.Errorf("the build that went on: %v", err)
	}
}

func serials(t *testing.T, d lifecycle.Deps) map[string]string {
	t.Helper()
	s, err := lifecycle.GetStatus(t.Context(), d, errors.New("not asked"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range s.Certificates {
		out[c.Name] = c.Serial
	}
	return out
}

func builderClient(t *testing.T, d lifecycle.Deps, up lifecycle.Result) *client.Client {
	t.Helper()
	e := up.Spec.HostEndpoints(stack.Builder, up.Facts)[0]
	c, err := client.New(t.Context(), e.String(), client.WithServerConfig(e.Host, at(d, stack.FileClientCA)),
		client.WithCredentials(at(d, stack.FileClientCert), at(d, stack.FileClientKey)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// heldBuild starts a build that goes on until it is released, which returns how it
// ended.
func heldBuild(t *testing.T, d lifecycle.Deps, up lifecycle.Result) (ref string, release func() error) {
	t.Helper()
	c := builderClient(t, d, up)
	ref = "held-by-the-test"
	started, released, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		defer c.Close()
		_, err := c.Build(t.Context(), client.SolveOpt{Ref: ref}, "", func(context.Context, gateway.Client) (*gateway.Result, error) {
			close(started)
			select {
			case <-released:
				return gateway.NewResult(), nil
			case <-t.Context().Done(): // the test has failed
				return nil, t.Context().Err()
			}
		}, nil)
		ended <- err
	}()
	select {
	case <-started:
	case err := <-ended:
		t.Fatalf("the build did not begin: %v", err)
	}
	return ref, func() error {
		close(released)
		return <-ended
	}
}

// longBuild starts a build that the builder counts as active for a while, and
// returns how it ends.
func longBuild(t *testing.T, d lifecycle.Deps, up lifecycle.Result) <-chan error {
	t.Helper()
	c := builderClient(t, d, up)
	state := llb.Scratch()
	for i := range 40 {
		state = state.File(llb.Mkfile("/slow", 0o644, []byte(strings.Repeat("x", i+1))))
	}
	definition, err := state.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	status, started, ended := make(chan *client.SolveStatus), make(chan struct{}), make(chan error, 1)
	go func() {
		defer c.Close()
		_, err := c.Solve(t.Context(), definition, client.SolveOpt{}, status)
		ended <- err
	}()
	go func() {
		first := true
		for range status {
			if first {
				close(started)
				first = false
			}
		}
	}()
	<-started
	return ended
}
