package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
)

// script is a prover that finds one thing after the other: the proofs of one
// test in their order, the last one again and again.
type script struct {
	proofs []claims
	builds [][]smoke.Build // what goes on at each question
	asked  []smoke.Options // of each proof
}

func (*script) Ready(context.Context, smoke.Options, func(context.Context) error) error { return nil }

func (s *script) Prove(_ context.Context, o smoke.Options) stack.Report {
	s.asked = append(s.asked, o)
	next := s.proofs[0]
	if len(s.proofs) > 1 {
		s.proofs = s.proofs[1:]
	}
	return stack.Report{Checks: next(o)}
}

func (s *script) WatchIdle(ctx context.Context, _ smoke.Options, say func([]smoke.Build)) (*smoke.Idle, error) {
	for len(s.builds) > 0 && len(s.builds[0]) > 0 {
		say(s.builds[0])
		if len(s.builds) == 1 { // for ever
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s.builds = s.builds[1:]
	}
	return &smoke.Idle{}, nil
}

// runningEngine is an engine that runs what it was last told to.
type runningEngine struct {
	quietEngine
	containers []compose.Container
	renewed    []string // services that got another container
	stopped    []string // services, in the order of the calls
	killed     []string
	stubborn   bool   // it freezes nothing
	image      string // that it has of every service, where that is not asked for
}

func (e *runningEngine) Images(ctx context.Context, want []compose.Image, p compose.Policy, b compose.Bundle, say func(compose.Event)) ([]compose.Resolved, error) {
	out, err := e.quietEngine.Images(ctx, want, p, b, say)
	for i := range out {
		out[i].Ref = cmp.Or(e.image, out[i].Ref)
	}
	return out, err
}

func (e *runningEngine) Up(_ context.Context, p *types.Project, _ compose.UpOptions) (compose.UpResult, error) {
	before := e.containers
	e.containers = nil
	// In the order of the plan.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(p.Services))) {
		s := p.Services[name]
		was := slices.IndexFunc(before, func(c compose.Container) bool { return c.Service == name })
		if was >= 0 && !maps.Equal(before[was].Labels, s.Labels) {
			e.renewed = append(e.renewed, name)
		}
		e.containers = append(e.containers, compose.Container{Service: s.Name, State: "running", Labels: s.Labels})
	}
	return compose.UpResult{}, nil
}

func (e *runningEngine) Freeze(context.Context, string, string) error {
	if e.stubborn {
		return errors.New("no freezer")
	}
	return nil
}

func (e *runningEngine) KillFrozen(_ context.Context, _, service string) error {
	e.killed = append(e.killed, service)
	return nil
}

func (e *runningEngine) Stop(_ context.Context, _ string, services []string) error {
	e.stopped = append(e.stopped, services...)
	return nil
}

func (e *runningEngine) Containers(context.Context, string) ([]compose.Container, error) {
	return e.containers, nil
}

// rotateDeps returns the dependencies of a stack whose engine and prover are
// made up.
func rotateDeps(t *testing.T, prover lifecycle.Prover) lifecycle.Deps {
	t.Helper()
	d := quietDeps(t, prover)
	d.Engine = &runningEngine{}
	d.Password = func(stack.UserSpec) (string, error) { return "chosen", nil }
	return d
}

func broken(o smoke.Options) []stack.Check {
	return append(sound(o), stack.Check{ID: "registry.plain", Hop: stack.HopHostRegistry, Outcome: stack.Fails, Reason: stack.ReasonAccepted})
}

// TestRotatePlan: what is replaced, why, and what has to be started again.
func TestRotatePlan(t *testing.T) {
	for name, c := range map[string]struct {
		opts     lifecycle.RotateOptions
		later    time.Duration
		want     string
		restarts string
	}{
		"nothing due":  {},
		"due":          {later: 61 * 24 * time.Hour, want: "renew registry, renew buildkit, renew client", restarts: "registry buildkit"},
		"within":       {later: 24 * time.Hour, opts: lifecycle.RotateOptions{Within: 100 * 24 * time.Hour}, want: "renew registry, renew buildkit, renew client", restarts: "registry buildkit"},
		"not within":   {opts: lifecycle.RotateOptions{Within: 20 * 24 * time.Hour}},
		"all":          {opts: lifecycle.RotateOptions{All: true}, want: "renew registry, renew buildkit, renew client", restarts: "registry buildkit"},
		"one leaf":     {opts: lifecycle.RotateOptions{Leaves: []string{"registry"}}, want: "renew registry", restarts: "registry buildkit"},
		"the builder":  {opts: lifecycle.RotateOptions{Leaves: []string{"buildkit"}}, want: "renew buildkit", restarts: "buildkit"},
		"clients":      {opts: lifecycle.RotateOptions{Clients: true}, want: "renew client"},
		"passwords":    {opts: lifecycle.RotateOptions{Passwords: true}, want: "replace password of testuser"},
		"a user's one": {opts: lifecycle.RotateOptions{Users: []string{"testuser"}}, want: "replace password of testuser"},
	} {
		t.Run(name, func(t *testing.T) {
			d := rotateDeps(t, claims(sound))
			mustUp(t, d, stack.Config{Name: "quiet", Builder: stack.BuilderConfig{TLS: "mutual"}})
			d.Now = func() time.Time { return time.Now().Add(c.later) }
			before := snapshot(t, d.Store.Root())
			got, err := lifecycle.PlanRotate(t.Context(), d, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if planText(got.Plan) != c.want || got.Due != (c.want != "") {
				t.Errorf("got %q (due %v), want %q", planText(got.Plan), got.Due, c.want)
			}
			var restarts []string
			for _, s := range got.Restarts {
				restarts = append(restarts, strings.TrimPrefix(s.Object, "container "))
			}
			if strings.Join(restarts, " ") != c.restarts {
				t.Errorf("started again: %v, want %s", restarts, c.restarts)
			}
			if snapshot(t, d.Store.Root()) != before {
				t.Error("a plan changed files")
			}
		})
	}
}

func planText(plan []lifecycle.PlannedStep) string {
	var out []string
	for _, s := range plan {
		out = append(out, s.Action+" "+s.Object)
	}
	return strings.Join(out, ", ")
}

// TestRotateRefuses: names that are none, and a stack that is broken already.
func TestRotateRefuses(t *testing.T) {
	d := rotateDeps(t, claims(sound))
	mustUp(t, d, stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Users: []stack.UserConfig{{Name: "ci"}, {Name: "me", PasswordFile: "pw"}}}})
	before := snapshot(t, d.Store.Root())
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Leaves: []string{"nope"}})
	if e, ok := errors.AsType[*lifecycle.LeafNameError](err); !ok || !slices.Contains(e.Known, "registry") {
		t.Errorf("another leaf: %v", err)
	}
	for _, user := range []string{"nobody", "me"} {
		_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Users: []string{user}})
		if e, ok := errors.AsType[*lifecycle.UserError](err); !ok || e.Name != user {
			t.Errorf("user %s: %v", user, err)
		}
	}
	d.Prover = claims(broken)
	_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
	if e, ok := errors.AsType[*lifecycle.NotSoundError](err); !ok || e.Report.OK() || e.PutBack {
		t.Errorf("a stack that is broken already: %v", err)
	}
	if snapshot(t, d.Store.Root()) != before {
		t.Error("files were changed")
	}
}

// TestRotateWaits: a daemon is started again once nobody builds, within the
// time; nothing is replaced when that passes.
func TestRotateWaits(t *testing.T) {
	busy := []smoke.Build{{Ref: "x1", Started: time.Now()}}
	s := &script{proofs: []claims{sound}, builds: [][]smoke.Build{busy, busy, nil}}
	d := rotateDeps(t, s)
	mustUp(t, d, stack.Config{Name: "quiet"})
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Leaves: []string{"buildkit"}})
	if err != nil || !out.Report.OK() || len(s.builds) != 1 {
		t.Errorf("%v, builds left %v", err, s.builds)
	}
	before := snapshot(t, d.Store.Root())
	s.builds = [][]smoke.Build{busy}
	_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Leaves: []string{"buildkit"}, WaitIdle: 300 * time.Millisecond})
	if e, ok := errors.AsType[*lifecycle.BusyError](err); !ok || e.Builds[0].Ref != "x1" || !strings.Contains(err.Error(), "x1 (since ") {
		t.Errorf("got %v, want a *lifecycle.BusyError that names the build", err)
	}
	if snapshot(t, d.Store.Root()) != before {
		t.Error("files were changed while somebody builds")
	}
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Leaves: []string{"buildkit"}, Force: true}); err != nil {
		t.Errorf("with force: %v", err)
	}
}

// TestRotateStopsTheBuilder: whatever is started again, the builder goes first,
// frozen; an engine that freezes nothing stops it.
func TestRotateStopsTheBuilder(t *testing.T) {
	for stubborn, want := range map[bool]string{false: "killed [buildkit], stopped [registry]", true: "killed [], stopped [buildkit registry]"} {
		d := rotateDeps(t, claims(sound))
		mustUp(t, d, stack.Config{Name: "quiet"})
		engine := d.Engine.(*runningEngine)
		engine.stubborn = stubborn
		if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Leaves: []string{"registry"}}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("killed %v, stopped %v", engine.killed, engine.stopped); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestRotateFinishes: a run that was killed after it had written the files is
// finished first, wherever it had stopped; a daemon that somebody has stopped is
// not started.
func TestRotateFinishes(t *testing.T) {
	for name, c := range map[string]struct {
		label, state string
		started      bool
	}{
		"before the daemon was stopped": {"old", "running", true},
		"before it was made anew":       {"old", "exited", true},
		"before it was started":         {"", "created", true},
		"stopped by somebody":           {"", "exited", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := rotateDeps(t, claims(sound))
			mustUp(t, d, stack.Config{Name: "quiet"})
			engine := d.Engine.(*runningEngine)
			registry := slices.IndexFunc(engine.containers, func(c compose.Container) bool { return c.Service == stack.Registry })
			engine.containers[registry].State = c.state
			if c.label != "" {
				engine.containers[registry].Labels = types.Labels{"io.certyard.material": c.label}
			}
			out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{})
			if err != nil || out.Due {
				t.Errorf("due %v, %v", out.Due, err)
			}
			for _, has := range engine.containers {
				if has.Service == stack.Registry && (has.State == "running") != c.started {
					t.Errorf("the registry is %s", has.State)
				}
			}
		})
	}
}

// TestRotateRollsBack: what does not hold afterwards is put back, and that is
// proven.
func TestRotateRollsBack(t *testing.T) {
	s := &script{proofs: []claims{sound, sound, broken, sound}}
	d := rotateDeps(t, s)
	mustUp(t, d, stack.Config{Name: "quiet"})
	before, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true, Passwords: true})
	if err != nil || !out.RolledBack || out.Report.OK() {
		t.Errorf("rolled back %v, %v", out.RolledBack, err)
	}
	after, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range before {
		if string(after[path]) != string(data) && path != stack.FileState {
			t.Errorf("%s is another one than before", path)
		}
	}
	// Somebody may have got what was taken back: it stays on the record.
	was, now := stateOf(t, before), stateOf(t, after)
	if made := now.Issued[len(was.Issued):]; len(made) != 3 || slices.ContainsFunc(made, func(i stack.Issued) bool { return i.Removed.IsZero() }) {
		t.Errorf("what was made and taken back: %+v", made)
	}
	now.Issued = now.Issued[:len(was.Issued)]
	if !reflect.DeepEqual(now, was) {
		t.Errorf("the record was %+v, is %+v", was, now)
	}
	if len(s.asked) != 4 { // up, before, after, and after putting back
		t.Errorf("proven %d times", len(s.asked))
	}
	if changed := s.asked[2].Registry.Changed; len(changed) != 1 || changed[0].Old == changed[0].New || changed[0].New != s.asked[2].Registry.Password {
		t.Errorf("the proof was told of %d passwords", len(changed))
	}
	s.proofs = []claims{sound, broken}
	_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
	if e, ok := errors.AsType[*lifecycle.NotSoundError](err); !ok || e.Report.OK() || !e.PutBack {
		t.Errorf("what was put back does not hold either: %v", err)
	}
}

// TestRotateProofs: the proof before is short, and says so; the one after it
// builds.
func TestRotateProofs(t *testing.T) {
	s := &script{proofs: []claims{sound}}
	d := rotateDeps(t, s)
	mustUp(t, d, stack.Config{Name: "quiet"})
	var said []string
	d.Observe = func(p lifecycle.Progress) { said = append(said, p.Detail) }
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if len(s.asked) != 3 || s.asked[0].Short || !s.asked[1].Short || s.asked[2].Short {
		t.Errorf("proven %d times, %+v", len(s.asked), s.asked)
	}
	if !strings.Contains(strings.Join(said, "\n"), "hold, with a pull in place of a build") {
		t.Errorf("said %q", said)
	}
}
