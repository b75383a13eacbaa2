package lifecycle_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/render"
	"github.com/certyard/certyard/stack/smoke"
)

// fullEngine has no address range for a project, as often as it says.
type fullEngine struct {
	runningEngine
	refuse   int
	projects []*types.Project
}

func (e *fullEngine) Up(ctx context.Context, p *types.Project, o compose.UpOptions) (compose.UpResult, error) {
	e.projects = append(e.projects, p)
	if e.refuse--; e.refuse >= 0 {
		return compose.UpResult{}, &compose.SubnetError{Err: errors.New("full")}
	}
	return e.runningEngine.Up(ctx, p, o)
}

// ranges returns the address ranges of the networks of the last project, "" where
// the engine chooses.
func (e *fullEngine) ranges() map[string]string {
	out := map[string]string{}
	for name, n := range e.projects[len(e.projects)-1].Networks {
		out[name] = ""
		for _, pool := range n.Ipam.Config {
			out[name] = pool.Subnet
		}
	}
	return out
}

// numbered returns another address range each time.
func numbered() func() netip.Prefix {
	n := 0
	return func() netip.Prefix {
		n++
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n), 0}), 28)
	}
}

// TestSubnets: the engine chooses the address ranges until it has none left; those
// that were chosen are kept.
func TestSubnets(t *testing.T) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			engine := &fullEngine{}
			d := quietDeps(t, claims(sound))
			d.Engine, d.Subnet = engine, numbered()
			config := stack.Config{Name: "quiet", Serve: string(serve)}
			mustUp(t, d, config)
			first := map[string]string{stack.NetworkDefault: "", stack.NetworkBuilder: ""}
			chosen := map[string]string{stack.NetworkDefault: "198.18.3.0/28", stack.NetworkBuilder: "198.18.4.0/28"}
			if serve == stack.ServeDaemon {
				first, chosen = map[string]string{stack.NetworkDefault: ""}, map[string]string{stack.NetworkDefault: "198.18.2.0/28"}
			}
			if got := engine.ranges(); !maps.Equal(got, first) {
				t.Errorf("at first: %v", got)
			}
			engine.refuse = 2
			mustUp(t, d, config)
			if got := engine.ranges(); !maps.Equal(got, chosen) {
				t.Errorf("after two that were refused: %v", got)
			}
			mustUp(t, d, config)
			if got := engine.ranges(); !maps.Equal(got, chosen) {
				t.Errorf("again: %v", got)
			}
			engine.refuse = 100
			_, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{})
			if _, ok := errors.AsType[*compose.SubnetError](err); !ok {
				t.Errorf("with an engine that refuses all: %v", err)
			}
		})
	}
}

// TestOwner: an ephemeral stack has its owner on every container and address ranges
// of its own, and stays what it is when it is changed.
func TestOwner(t *testing.T) {
	engine := &fullEngine{}
	d := rotateDeps(t, claims(sound))
	d.Engine, d.Subnet = engine, numbered()
	config := stack.Config{Name: "quiet"}
	if _, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{Owner: "me"}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for name, s := range engine.projects[len(engine.projects)-1].Services {
			if s.Labels[render.OwnerLabel] != "me" {
				t.Errorf("%s: %s has the labels %v", when, name, s.Labels)
			}
		}
		if got := engine.ranges(); got[stack.NetworkDefault] != "198.18.1.0/28" {
			t.Errorf("%s: address ranges %v", when, got)
		}
	}
	check("at first")
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	check("rotated")
	mustUp(t, d, config)
	check("up again")
}

// TestQuick: nothing is proven, and a daemon that does not answer is an error all the
// same.
func TestQuick(t *testing.T) {
	prover := &waiter{script: script{proofs: []claims{sound}}}
	d := quietDeps(t, prover)
	res, err := lifecycle.Up(t.Context(), d, newSpec(t, stack.Config{Name: "quiet"}), lifecycle.UpOptions{Quick: true})
	if err != nil || res.Report != nil || len(prover.asked) > 0 || prover.waits != 1 {
		t.Errorf("%v; report %v, %d proofs, waited %d times", err, res.Report, len(prover.asked), prover.waits)
	}
	prover.err = &smoke.NotReadyError{Reason: stack.ReasonUnreachable, Err: errors.New("nobody is there")}
	_, err = lifecycle.Up(t.Context(), d, newSpec(t, stack.Config{Name: "quiet"}), lifecycle.UpOptions{Quick: true})
	if _, ok := errors.AsType[*lifecycle.NotReadyError](err); !ok {
		t.Errorf("a daemon that does not answer: %v", err)
	}
}

// waiter counts how often it is waited for the daemons.
type waiter struct {
	script
	waits int
	err   error
}

func (w *waiter) Ready(context.Context, smoke.Options, func(context.Context) error) error {
	w.waits++
	return w.err
}

// TestSettle: daemons that were started just now are waited for before the proof
// that comes before anything is replaced; others answer, or are broken.
func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		started time.Duration
		waits   int
	}{"just now": {time.Second, 1}, "long ago": {time.Hour, 0}} {
		t.Run(name, func(t *testing.T) {
			prover := &waiter{script: script{proofs: []claims{sound, broken}}}
			d := rotateDeps(t, prover)
			engine := d.Engine.(*runningEngine)
			mustUp(t, d, stack.Config{Name: "quiet"})
			for i := range engine.containers {
				engine.containers[i].Started = time.Now().Add(-c.started)
			}
			prover.waits, prover.err = 0, errors.New("nobody is there")
			_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
			if _, ok := errors.AsType[*lifecycle.NotSoundError](err); !ok || prover.waits != c.waits {
				t.Errorf("waited %d times, want %d; %v", prover.waits, c.waits, err)
			}
		})
	}
}

// TestList: one line for each project, from the containers of all.
func TestList(t *testing.T) {
	d := quietDeps(t, claims(sound))
	mustUp(t, d, stack.Config{Name: "quiet"})
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	port := func(inside, outside int) []compose.Port {
		return []compose.Port{{HostIP: "127.0.0.1", HostPort: outside, ContainerPort: inside}}
	}
	got := lifecycle.List([]compose.Container{
		{Project: "a", Service: "buildkit", WorkingDir: d.Store.Root(), State: "running", Created: late, Ports: port(stack.BuilderPort, 1)},
		{Project: "a", Service: "registry", WorkingDir: d.Store.Root(), State: "running", Created: early, Ports: port(stack.RegistryPort, 2)},
		{Project: "b", Service: "registry", WorkingDir: "/gone", State: "exited", Created: late, Labels: map[string]string{render.OwnerLabel: "somebody"}},
	}, func(dir string) lifecycle.Store {
		if dir == d.Store.Root() {
			return d.Store
		}
		return quietDeps(t, claims(sound)).Store
	})
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	a, b := got[0], got[1]
	if a.Stack != "a" || !a.Created.Equal(early) || a.Running != 2 || a.Containers != 2 || a.Owner != "" ||
		!slices.Equal(a.Ports[stack.Builder], []string{"127.0.0.1:1"}) || !slices.Equal(a.Ports[stack.Registry], []string{"127.0.0.1:2"}) ||
		a.Expires.Before(time.Now().Add(89*24*time.Hour)) || a.Expires.After(time.Now().Add(91*24*time.Hour)) {
		t.Errorf("%+v", a)
	}
	if b.Stack != "b" || b.Running != 0 || b.Owner != "somebody" || len(b.Ports) != 0 || !b.Expires.IsZero() {
		t.Errorf("%+v", b)
	}
}
