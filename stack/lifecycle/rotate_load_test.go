package lifecycle_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// fullSoak, set to "full", has everything rotated, the CA ten times in a row; and
// the time without service is held to its limit.
const fullSoak = "CERTYARD_SOAK"

// longestGap is how long a daemon may be without service for one restart.
const longestGap = 2 * time.Second

// rotationKind is something that is rotated under load.
type rotationKind struct {
	name   string
	times  int
	rotate []lifecycle.RotateOptions
	// mayRefuse: who had read the old password just before it was replaced is
	// refused with 401: a build when it pulls or pushes, and a question.
	mayRefuse bool
	// idle says where it waits for a moment in which nobody builds. Elsewhere
	// nobody rests while it is rotated.
	idle   []stack.Serve
	sample bool
}

func rotationKinds() []rotationKind {
	ca := lifecycle.RotateOptions{AllCAs: true}
	// Without the edge, daemons are stopped for it. Behind the edge, connections
	// are ended of clients whose CA is not trusted any more.
	daemon, both := []stack.Serve{stack.ServeDaemon}, []stack.Serve{stack.ServeDaemon, stack.ServeEdge}
	return []rotationKind{
		{name: "leaves", times: 3, rotate: []lifecycle.RotateOptions{{All: true}}, idle: daemon, sample: true},
		{name: "clients", times: 3, rotate: []lifecycle.RotateOptions{{Clients: true}}},
		{name: "CA", times: 1, rotate: []lifecycle.RotateOptions{ca}, idle: both, sample: true},
		{name: "CA, taken back", times: 1, rotate: []lifecycle.RotateOptions{{AllCAs: true, PauseAfter: stack.PhaseVerify}, {Abort: true}}, idle: both},
		{name: "clients' CA", times: 2, rotate: []lifecycle.RotateOptions{{CAs: []string{"client-ca"}}}, idle: both},
		{name: "CA in a row", times: 10, rotate: []lifecycle.RotateOptions{ca}, idle: both},
		{name: "passwords", times: 3, rotate: []lifecycle.RotateOptions{{Passwords: true}}, idle: both, mayRefuse: true},
	}
}

// TestIntegrationRotateUnderLoad rotates while builds and questions go on. Behind
// the edge nothing fails, nothing is refused and nothing is started again, except
// for who had read a password just before it was replaced. Without the edge no
// build fails that the builder has begun, unless all of it was while the registry
// was away; and those that could not begin came while the builder was.
func TestIntegrationRotateUnderLoad(t *testing.T) {
	full := os.Getenv(fullSoak) == "full"
	t.Logf(row, "serve", "tls", "rotated", "times", "builds", "broken", "could not begin", "polls", "failed", "refused", "longest gap: registry", "builder", "restarts", "time")
	for _, s := range soaks(full) {
		t.Run(s.name(), func(t *testing.T) {
			d, config := edgeDeps(t)
			config.Serve, config.Builder.TLS = string(s.serve), string(s.tls)
			d.Observe = func(lifecycle.Progress) {}
			r := upEdge(t, d, newSpec(t, config))
			w := begin(t, d, r, s.workers...)
			w.take(t)
			for _, k := range s.kinds {
				t.Run(k.name, func(t *testing.T) { s.underLoad(t, d, w, k) })
			}
			w.end()
			if s.full && s.tls == stack.TLSMutual {
				speed(t, d, s.serve)
			}
		})
	}
}

// row is a line of the table that is printed.
const row = "| %-6s | %-6s | %-14s | %5v | %6v | %6v | %15v | %5v | %6v | %7v | %21v | %9v | %8v | %v"

// soak is a stack that is under load, and what is rotated in it.
type soak struct {
	serve   stack.Serve
	tls     stack.BuilderTLS
	kinds   []rotationKind
	workers []worker
	full    bool // as often as the table says, and the limit for gaps holds
}

// soaks returns all of them: where full, with a worker of long builds, and the
// samples once more with a builder that asks nobody for a certificate.
func soaks(full bool) []soak {
	samples := slices.DeleteFunc(rotationKinds(), func(k rotationKind) bool { return !k.sample })
	edge := soak{serve: stack.ServeEdge, tls: stack.TLSMutual, kinds: samples, workers: []worker{quick(), quick()}, full: full}
	if full {
		edge.kinds, edge.workers = rotationKinds(), append(edge.workers, slow())
	}
	daemon, open := edge, edge
	daemon.serve = stack.ServeDaemon
	if !full {
		return []soak{edge, daemon}
	}
	open.tls, open.kinds = stack.TLSServer, samples
	openDaemon := open
	openDaemon.serve = stack.ServeDaemon
	return []soak{edge, daemon, open, openDaemon}
}

// name is that of its test.
func (s soak) name() string {
	if s.tls == stack.TLSServer {
		return fmt.Sprintf("%s, tls %s", s.serve, s.tls)
	}
	return string(s.serve)
}

// underLoad rotates while the traffic goes on, and prints and judges what came of
// that.
func (s soak) underLoad(t *testing.T, d lifecycle.Deps, w *traffic, k rotationKind) {
	times := 1
	if s.full {
		times = k.times
	}
	w.rests.Store(slices.Contains(k.idle, s.serve))
	began := time.Now()
	restarts := rotateTimes(t, d, s.serve, k, times)
	b := w.take(t)
	then, _ := b.refused()
	t.Logf(row, s.serve, s.tls, k.name, times, len(b.builds), b.count(true), b.count(false),
		len(b.polls[stack.Registry])+len(b.polls[stack.Builder]), b.unanswered(stack.Registry)+b.unanswered(stack.Builder), len(then),
		longest(b.gaps(stack.Registry)), longest(b.gaps(stack.Builder)), restarts, time.Since(began).Round(time.Second))
	for _, a := range b.failed {
		if why := k.excuse(s.serve, b, a); why != "" {
			t.Logf("%s: %s: %s", k.name, why, a)
		}
	}
	for _, f := range s.faults(k, b, restarts) {
		t.Errorf("%s: %s", k.name, f)
	}
}

// rotateTimes rotates, and returns how many services were started again for it.
func rotateTimes(t *testing.T, d lifecycle.Deps, serve stack.Serve, k rotationKind, times int) int {
	t.Helper()
	restarts, before := 0, runs(t, d, serve)
	for range times {
		for _, opts := range k.rotate {
			opts.WaitIdle = 5 * time.Minute
			out, err := lifecycle.Rotate(t.Context(), d, opts)
			if err != nil || out.RolledBack || out.Report != nil && !out.Report.OK() {
				t.Fatalf("%+v, %v, %+v", out.Steps, err, out.Report)
			}
			now := runs(t, d, serve)
			restarts += differences(before, now)
			before = now
		}
	}
	return restarts
}

// speed prints how long a rotation of all leaves takes with both proofs, how long
// it takes to say what it would do, and how long the engine takes to restart the
// same two daemons, which docker compose restart has it do. The goals beside them
// are for people to judge by: a test that failed for a busy machine would say
// nothing.
func speed(t *testing.T, d lifecycle.Deps, serve stack.Serve) {
	t.Helper()
	plan := median(t, func() error {
		_, err := lifecycle.PlanRotate(t.Context(), d, lifecycle.RotateOptions{All: true})
		return err
	})
	all := median(t, func() error {
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
		if err == nil && (out.RolledBack || !out.Report.OK()) {
			err = errors.New("rolled back")
		}
		return err
	})
	restart := median(t, func() error {
		group := new(errgroup.Group)
		for _, id := range ids(t, d, stack.Registry, stack.Builder) {
			group.Go(exec.CommandContext(t.Context(), "docker", "restart", id).Run)
		}
		return group.Wait()
	})
	t.Logf("| %-6s | speed: all leaves, proven %v (goal 1 s), which is %.1f times as long (goal 3 times) as a restart of both daemons, %v; dry run %v (goal 0.2 s)",
		serve, all, all.Seconds()/restart.Seconds(), restart, plan)
}

// median runs something five times.
func median(t *testing.T, run func() error) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 5 {
		start := time.Now()
		if err := run(); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start).Round(time.Millisecond))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// runs says which run of which container each service is.
func runs(t *testing.T, d lifecycle.Deps, serve stack.Serve) []string {
	t.Helper()
	var out []string
	for _, s := range serve.Services() {
		c := container(t, d, s)
		out = append(out, fmt.Sprintf("%s %s %s", s, c.ID, c.Started))
	}
	return out
}

// differences counts the services that were started again.
func differences(a, b []string) int {
	n := 0
	for i := range a {
		if !strings.EqualFold(a[i], b[i]) {
			n++
		}
	}
	return n
}

// TestIntegrationRotateStops: what could go wrong stops a rotation before it
// changes anything, in both ways to serve: a container that is down, and a clock
// that is an hour off.
func TestIntegrationRotateStops(t *testing.T) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			d, config := edgeDeps(t)
			config.Serve, config.Builder.TLS = string(serve), "mutual"
			spec := newSpec(t, config)
			upEdge(t, d, spec)
			for _, off := range []time.Duration{time.Hour, -time.Hour} {
				wrong := d
				wrong.Now = func() time.Time { return time.Now().Add(off) }
				stops(t, fmt.Sprintf("a clock that is %v off", off), wrong, serve, func(err error) bool { return wrongClock(err, off) })
			}
			for _, service := range serve.Services() {
				if err := d.Engine.Stop(t.Context(), config.Name, []string{service}); err != nil {
					t.Fatal(err)
				}
				stops(t, "the "+service+" is down", d, serve, func(err error) bool { return down(err, service) })
				up(t, d, spec)
			}
		})
	}
}

// stops demands that every kind of rotation ends with an error that is wanted, and
// changes no file and no container.
func stops(t *testing.T, what string, d lifecycle.Deps, serve stack.Serve, want func(error) bool) {
	t.Helper()
	files, containers := snapshot(t, d.Store.Root()), runs(t, d, serve)
	for _, opts := range []lifecycle.RotateOptions{{All: true}, {Passwords: true}, {AllCAs: true}} {
		out, err := lifecycle.Rotate(t.Context(), d, opts)
		if !want(err) || out.Open != nil || out.RolledBack {
			t.Errorf("%s, %+v: %v", what, opts, err)
			if e, ok := errors.AsType[*lifecycle.NotSoundError](err); ok {
				for _, c := range e.Report.Failed() {
					t.Logf("%s: %s: %s %s", c.Hop, c.Title, c.Reason, c.Error)
				}
			}
		}
	}
	if snapshot(t, d.Store.Root()) != files {
		t.Errorf("%s: files were changed", what)
	}
	if now := runs(t, d, serve); !slices.Equal(now, containers) {
		t.Errorf("%s: the containers are %v, and were %v", what, now, containers)
	}
}

// wrongClock reports whether an error says how much the clock is off. For one that
// is behind, the new CA is not valid yet.
func wrongClock(err error, off time.Duration) bool {
	if _, early := errors.AsType[*pki.CAEarlyError](err); early && off < 0 {
		return true
	}
	e, ok := errors.AsType[*lifecycle.ClockError](err)
	return ok && (e.Here.Sub(e.There)-off).Abs() < 10*time.Second
}

// down reports whether an error says that a service does not answer, and no other
// one: behind the edge, neither does without that. What else does not hold then
// depends on when the edge gives a connection up.
func down(err error, service string) bool {
	e, ok := errors.AsType[*lifecycle.NotSoundError](err)
	if !ok || e.PutBack {
		return false
	}
	hops := map[stack.Hop]bool{}
	for _, c := range e.Report.Failed() {
		if c.Reason == stack.ReasonUnreachable {
			hops[c.Hop] = true
		}
	}
	return hops[stack.HopHostRegistry] == (service != stack.Builder) && hops[stack.HopHostBuilder] == (service != stack.Registry)
}
