package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

func stateOf(t *testing.T, files map[string][]byte) stack.State {
	t.Helper()
	s, err := stack.ParseState(files[stack.FileState])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readAll(t *testing.T, d lifecycle.Deps) map[string][]byte {
	t.Helper()
	files, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// leaves are the certificates that are served and shown.
func leaves(files map[string][]byte) string {
	var out strings.Builder
	for _, path := range []string{stack.FileRegistryCert, stack.FileBuilderCert, stack.FileClientCert, "edge/registry/tls.crt", "edge/builder/tls.crt"} {
		out.Write(files[path])
	}
	return out.String()
}

// later returns the dependencies when a time has passed.
func later(d lifecycle.Deps, passed time.Duration) lifecycle.Deps {
	d.Now = func() time.Time { return time.Now().Add(passed) }
	return d
}

const due = 61 * 24 * time.Hour // until leaves of 90 days are

// TestRotateRollsBackWhatIsDue: what is put back is what there was, though its age
// asks for another one.
func TestRotateRollsBackWhatIsDue(t *testing.T) {
	s := &script{proofs: []claims{sound, sound, broken, sound}}
	d := rotateDeps(t, s)
	mustUp(t, d, stack.Config{Name: "quiet"})
	before := leaves(readAll(t, d))
	out, err := lifecycle.Rotate(t.Context(), later(d, due), lifecycle.RotateOptions{})
	if err != nil || !out.RolledBack || leaves(readAll(t, d)) != before {
		t.Errorf("rolled back %v, %v, the same leaves: %v", out.RolledBack, err, leaves(readAll(t, d)) == before)
	}
}

// TestWhatIsDueStays: what is about something else renews no leaf for its age, as
// long as it is valid.
func TestWhatIsDueStays(t *testing.T) {
	for name, do := range map[string]func(lifecycle.Deps) error{
		"a client is added": func(d lifecycle.Deps) error {
			_, _, err := lifecycle.AddClient(t.Context(), d, "bob", 0)
			return err
		},
		"new CAs are staged": func(d lifecycle.Deps) error {
			_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
			return err
		},
		"new CAs are trusted, and that is taken back": func(d lifecycle.Deps) error {
			_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseExpand})
			if err != nil {
				return err
			}
			_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
			return err
		},
		"new leaves are served, and that is taken back": func(d lifecycle.Deps) error {
			_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
			if err != nil {
				return err
			}
			_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
			return err
		},
	} {
		d, v, _ := caStack(t, caConfigs()["edge"])
		before := leaves(readAll(t, d))
		d = later(d, due)
		v.now = d.Now
		if err := do(d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if leaves(readAll(t, d)) != before {
			t.Errorf("%s: other leaves are served or shown", name)
		}
	}
}

// deaf is a prover of a builder that cannot be asked who builds, or of one where
// somebody builds all the time, from a number of questions on.
type deaf struct {
	lifecycle.Prover
	hears int
	busy  []smoke.Build
	err   error // why not; nil for none in particular
}

func (p *deaf) WatchIdle(ctx context.Context, o smoke.Options, say func([]smoke.Build)) (*smoke.Idle, error) {
	if p.hears--; p.hears >= 0 {
		return p.Prover.WatchIdle(ctx, o, say)
	}
	if p.busy == nil {
		return nil, cmp.Or(p.err, errors.New("nobody answers"))
	}
	say(p.busy)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestRotateRollsBackAnyway: what does not hold is taken back also where the
// builder cannot be asked any more who builds, or somebody builds for longer than
// is waited.
func TestRotateRollsBackAnyway(t *testing.T) {
	for name, busy := range map[string][]smoke.Build{"nobody answers": nil, "somebody builds": {{Ref: "x1", Started: time.Now()}}} {
		// Each waits before it writes and before it stops the builder.
		s := &script{proofs: []claims{sound, sound, broken, sound}}
		d := rotateDeps(t, &deaf{Prover: s, hears: 2, busy: busy})
		mustUp(t, d, stack.Config{Name: "quiet"})
		before := leaves(readAll(t, d))
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true, WaitIdle: 100 * time.Millisecond})
		if err != nil || !out.RolledBack || leaves(readAll(t, d)) != before {
			t.Errorf("leaves, %s: rolled back %v, %v", name, out.RolledBack, err)
		}
		if engine := d.Engine.(*runningEngine); !slices.Equal(engine.stopped, []string{"registry", "buildkit", "registry"}) {
			t.Errorf("leaves, %s: stopped %v", name, engine.stopped)
		}
	}
	for name, busy := range map[string][]smoke.Build{"nobody answers": nil, "somebody builds": {{Ref: "x1", Started: time.Now()}}} {
		d, v, _ := caStack(t, caConfigs()["edge"])
		v.breakAt = 3 // with the new leaves
		d.Prover = &deaf{Prover: v, busy: busy}
		before := leaves(readAll(t, d))
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, WaitIdle: 100 * time.Millisecond})
		if err != nil || !out.RolledBack || leaves(readAll(t, d)) != before {
			t.Errorf("CA, %s: rolled back %v, %v", name, out.RolledBack, err)
		}
	}
	// A person who takes it back is told.
	d, v, _ := caStack(t, caConfigs()["edge"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
	d.Prover = &deaf{Prover: v}
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true}); err == nil || !strings.Contains(err.Error(), "waiting until nobody builds") {
		t.Errorf("taken back by hand: %v", err)
	}
}

// contended is a store whose lock somebody else takes from the moment on that a
// proof has failed, for some tries.
type contended struct {
	lifecycle.Store
	failed func() bool
	tries  int
}

func (c *contended) Lock(ctx context.Context) (func() error, error) {
	if c.failed() && c.tries > 0 {
		c.tries--
		return nil, &state.LockedError{Path: c.Root()}
	}
	return c.Store.Lock(ctx)
}

// TestRotateRollsBackInTurn: what does not hold is put back though another run
// looks at the stack in that moment.
func TestRotateRollsBackInTurn(t *testing.T) {
	s := &script{proofs: []claims{sound, sound, broken, sound}}
	d := rotateDeps(t, s)
	mustUp(t, d, stack.Config{Name: "quiet"})
	store := &contended{Store: d.Store, failed: func() bool { return len(s.asked) == 3 }, tries: 2}
	d.Store = store
	if out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true}); err != nil || !out.RolledBack || store.tries != 0 {
		t.Errorf("leaves: rolled back %v, %v, tries left %d", out.RolledBack, err, store.tries)
	}
	d, v, _ := caStack(t, caConfigs()["edge"])
	v.breakAt = 3
	store = &contended{Store: d.Store, failed: func() bool { return len(v.asked) == 3 }, tries: 2}
	d.Store = store
	if out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true}); err != nil || !out.RolledBack || store.tries != 0 {
		t.Errorf("CA: rolled back %v, %v, tries left %d", out.RolledBack, err, store.tries)
	}
}

// TestRotateProvesWhatWasLeft: what a killed run has written and not proven, the
// next one proves, though nothing else is to be done. It says so when that does
// not hold.
func TestRotateProvesWhatWasLeft(t *testing.T) {
	for name, proof := range map[string]claims{"it holds": sound, "it does not": broken} {
		s := &script{proofs: []claims{sound}}
		d := rotateDeps(t, s)
		mustUp(t, d, stack.Config{Name: "quiet"})
		func() {
			defer func() { _ = recover() }()
			killed := d
			killed.Prover = dies(1)
			_, _ = lifecycle.Rotate(t.Context(), killed, lifecycle.RotateOptions{All: true})
		}()
		if !stateOf(t, readAll(t, d)).Unproven {
			t.Fatalf("%s: what was written is not marked", name)
		}
		if status, err := lifecycle.GetStatus(t.Context(), d, nil); err != nil || !status.Well() || status.OK() {
			t.Errorf("%s: the status: well %v, OK %v, %v", name, status.Well(), status.OK(), err)
		}
		s.proofs, s.asked = []claims{proof}, nil
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{})
		e, unsound := errors.AsType[*lifecycle.NotSoundError](err)
		switch {
		case len(s.asked) != 1 || s.asked[0].Short || (out.Finished == nil) != (name != "it holds") || out.Report == nil && name != "it holds" || out.Due:
			t.Errorf("%s: proven %d times, finished %v", name, len(s.asked), out.Finished)
		case name == "it holds" && (err != nil || stateOf(t, readAll(t, d)).Unproven):
			t.Errorf("%s: %v, marked %v", name, err, stateOf(t, readAll(t, d)).Unproven)
		case name != "it holds" && (!unsound || !e.Finishing || !stateOf(t, readAll(t, d)).Unproven):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dies is a prover that does not come back from the proof after so many.
func dies(proofs int) claims {
	return func(o smoke.Options) []stack.Check {
		if proofs--; proofs < 0 {
			panic("killed")
		}
		return sound(o)
	}
}

// TestRotateSeesOthersChange: what somebody has changed in the stack while it was
// proven is not taken back by the way.
func TestRotateSeesOthersChange(t *testing.T) {
	for name, opts := range map[string]lifecycle.RotateOptions{"leaves": {All: true}, "CA": {AllCAs: true}} {
		d := rotateDeps(t, claims(sound))
		mustUp(t, d, stack.Config{Name: "quiet"})
		other := d
		changed := false
		d.Prover = claims(func(o smoke.Options) []stack.Check {
			if !changed {
				changed = true
				mustUp(t, other, stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Hosts: []string{"registry.lan"}}})
			}
			return sound(o)
		})
		_, err := lifecycle.Rotate(t.Context(), d, opts)
		if _, ok := errors.AsType[*lifecycle.ChangedError](err); name == "leaves" && !ok || !changed {
			t.Errorf("%s: %v", name, err)
		}
		if spec := stateOf(t, readAll(t, d)).Spec; !slices.Contains(spec.Registry.Hosts, "registry.lan") {
			t.Errorf("%s: the hosts are %v again", name, spec.Registry.Hosts)
		}
	}
}

// TestRotateTakesNames: leaves keep their names, unless the config has others now.
func TestRotateTakesNames(t *testing.T) {
	d := rotateDeps(t, claims(sound))
	config := stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Hosts: []string{"registry.lan"}}}
	mustUp(t, d, config)
	has := func(path, name string) bool {
		v := &verifier{dir: d.Store.Root()}
		return slices.Contains(v.certs(path)[0].DNSNames, name)
	}
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true}); err != nil || !has(stack.FileRegistryCert, "registry.lan") {
		t.Errorf("a name is gone; %v", err)
	}
	tls := stateOf(t, readAll(t, d)).Spec.Builder.TLS
	config.Registry.Hosts, config.Builder.TLS = []string{"other.lan"}, "mutual"
	wanted := newSpec(t, config)
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Wanted: &wanted})
	if err != nil || planText(out.Plan) != "reissue registry" || has(stack.FileRegistryCert, "registry.lan") || !has(stack.FileRegistryCert, "other.lan") {
		t.Errorf("%q, %v", planText(out.Plan), err)
	}
	if spec := stateOf(t, readAll(t, d)).Spec; spec.Builder.TLS != tls || tls == stack.TLSMutual || spec.Registry.Hosts[0] != "other.lan" {
		t.Errorf("the record has %+v", spec)
	}
}

// TestRotateUnpublished: what nobody here can reach cannot be seen to fail, and is
// renewed all the same.
func TestRotateUnpublished(t *testing.T) {
	d := rotateDeps(t, claims(sound))
	mustUp(t, d, stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Publish: new("")}, Builder: stack.BuilderConfig{Publish: new("")}})
	before := leaves(readAll(t, d))
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
	if err != nil || out.RolledBack || out.Report != nil || leaves(readAll(t, d)) == before {
		t.Errorf("rolled back %v, report %v, %v", out.RolledBack, out.Report, err)
	}
	if again, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{}); err != nil || again.Due || again.Finished != nil {
		t.Errorf("again: due %v, finished %v, %v", again.Due, again.Finished, err)
	}
}

// TestRotateWaitsForOtherDefinitions: where the next up makes a container anew for
// another reason than its certificates, that waits as well.
func TestRotateWaitsForOtherDefinitions(t *testing.T) {
	for name, change := range map[string]func(lifecycle.Deps){
		"another image": func(d lifecycle.Deps) { d.Engine.(*runningEngine).image = "registry:other" },
		"an override":   func(d lifecycle.Deps) { d.Engine.(*runningEngine).containers[0].Labels[api.ConfigHashLabel] = "old" },
	} {
		s := &script{proofs: []claims{sound}}
		d := rotateDeps(t, s)
		mustUp(t, d, stack.Config{Name: "quiet"})
		change(d)
		s.builds = [][]smoke.Build{{{Ref: "x1", Started: time.Now()}}}
		_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Clients: true, WaitIdle: 100 * time.Millisecond})
		if _, ok := errors.AsType[*lifecycle.BusyError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
		s.builds = nil
		if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Clients: true}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIntegrationRollBack kills a real daemon right after it has got what is new:
// what there was is served again, and proven.
func TestIntegrationRollBack(t *testing.T) {
	for serve, c := range map[stack.Serve]struct {
		opts  lifecycle.RotateOptions
		step  string // in which it is stopped
		stops string
	}{
		stack.ServeDaemon: {lifecycle.RotateOptions{All: true}, lifecycle.StepProof, stack.Registry},
		stack.ServeEdge:   {lifecycle.RotateOptions{AllCAs: true}, string(stack.PhaseSwitch), stack.Edge},
	} {
		t.Run(string(serve), func(t *testing.T) {
			d, config := edgeDeps(t)
			config.Serve, config.Builder.TLS = string(serve), "mutual"
			upEdge(t, d, newSpec(t, config))
			old := serials(t, d)
			broken := d
			stopped := false
			broken.Observe = func(p lifecycle.Progress) {
				d.Observe(p)
				if p.Step != c.step || p.Detail != "waiting for the daemons" || stopped {
					return
				}
				stopped = true
				// One that has just started may not hear that it is to stop.
				always := context.Background()
				if err := errors.Join(d.Engine.Freeze(always, config.Name, c.stops), d.Engine.KillFrozen(always, config.Name, c.stops)); err != nil {
					t.Error(err)
				}
			}
			out, err := lifecycle.Rotate(t.Context(), broken, c.opts)
			if _, down := errors.AsType[*lifecycle.NotReadyError](err); !down || !out.RolledBack || !stopped {
				t.Fatalf("stopped %v, rolled back %v, %v", stopped, out.RolledBack, err)
			}
			if now := serials(t, d); !maps.Equal(now, old) {
				t.Errorf("the serials were %v, are %v", old, now)
			}
			if report, _, err := lifecycle.Smoke(t.Context(), d); err != nil || !report.OK() {
				t.Errorf("the stack does not hold: %v, %v", err, report.Failed())
			}
		})
	}
}

// TestRotateFinishesOverDamage: a compose file that cannot be read does not keep
// what was left from being finished, which writes another one.
func TestRotateFinishesOverDamage(t *testing.T) {
	d := rotateDeps(t, claims(sound))
	mustUp(t, d, stack.Config{Name: "quiet"})
	want := readAt(t, d, stack.FileCompose)
	if err := os.WriteFile(at(d, stack.FileCompose), []byte("services: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Engine.(*runningEngine).containers[0].Labels = types.Labels{"io.certyard.material": "old"}
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{})
	if err != nil || out.Finished == nil || string(readAt(t, d, stack.FileCompose)) != string(want) {
		t.Errorf("finished %v, %v", out.Finished != nil, err)
	}
}
