package lifecycle_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
)

// TestReplaceCAHalfBack: behind the edge, the old leaves are shown again before
// the new clients' CA is dropped; where the old root's key is elsewhere, and
// without the edge, both happen at once.
func TestReplaceCAHalfBack(t *testing.T) {
	for kind, want := range map[string]int{"edge": 2, "edge two-tier": 2, "edge, without a key": 1, "daemon": 1} {
		t.Run(kind, func(t *testing.T) {
			config, away := caConfigs()[kind], kind == "edge, without a key"
			if away {
				config = caConfigs()["edge two-tier"]
			}
			d, v, _ := caStack(t, config)
			if away {
				if err := os.Remove(at(d, stack.FileCAKey)); err != nil {
					t.Fatal(err)
				}
			}
			old := serials(t, d)
			mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
			v.asked = nil
			if out := mustRotate(t, d, lifecycle.RotateOptions{Abort: true}); out.Open != nil {
				t.Errorf("open: %+v", out.Open)
			}
			if len(v.asked) != want || want == 2 && !strings.HasPrefix(v.asked[0], "accepts+alone") {
				t.Errorf("proven were %q", v.asked)
			}
			for name, serial := range serials(t, d) {
				if serial != old[name] {
					t.Errorf("%s is another one", name)
				}
			}
		})
	}
}

// TestReplaceCAHalfBackKilled: the way back that was interrupted between its two
// steps goes on in both directions.
func TestReplaceCAHalfBackKilled(t *testing.T) {
	for name, opts := range map[string]lifecycle.RotateOptions{"back": {Abort: true}, "forward": {AllCAs: true}} {
		d, v, _ := caStack(t, caConfigs()["edge"])
		before, err := d.Store.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
		waits := &waiting{Prover: v, builds: []smoke.Build{{Ref: "x1", Started: time.Now()}}}
		d.Prover = waits
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true, WaitIdle: 100 * time.Millisecond})
		if _, ok := errors.AsType[*lifecycle.BusyError](err); !ok || out.Open == nil || out.Open.Phase != stack.PhaseExpand {
			t.Fatalf("%v, %+v", err, out.Open)
		}
		d.Prover = v
		mustRotate(t, d, opts)
		if name == "back" {
			sameFiles(t, d, before)
		}
		if n := trusts(t, d, stack.FileEdgeClients); n != 1 {
			t.Errorf("%s: %d CAs of clients are trusted", name, n)
		}
	}
}

// TestReplaceCAOtherKey: a client that was removed and added again while CAs are
// replaced has another key than its leaf in the set, and gets a new one.
func TestReplaceCAOtherKey(t *testing.T) {
	for _, phase := range []stack.Phase{stack.PhaseStage, stack.PhaseExpand, stack.PhaseVerify} {
		d, _, _ := caStack(t, caConfigs()["edge"])
		add := func() {
			t.Helper()
			if _, _, err := lifecycle.AddClient(t.Context(), d, "bob", 0); err != nil {
				t.Fatalf("%s: %v", phase, err)
			}
		}
		add()
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: phase})
		if _, err := lifecycle.RemoveClients(t.Context(), d, []string{"bob"}, true); err != nil {
			t.Fatalf("%s: %v", phase, err)
		}
		add()
		end := lifecycle.RotateOptions{AllCAs: true}
		if phase == stack.PhaseVerify {
			end = lifecycle.RotateOptions{Abort: true}
		}
		mustRotate(t, d, end)
		if _, err := lifecycle.Inventory(d); err != nil {
			t.Errorf("%s: %v", phase, err)
		}
	}
}

// TestReplaceCAOtherConfig: what CAs there are and how their keys are kept waits
// for the end of a replacement; a host that has gone from the config does not keep
// one from beginning.
func TestReplaceCAOtherConfig(t *testing.T) {
	d, _, spec := caStack(t, caConfigs()["edge"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseExpand})
	before := snapshot(t, d.Store.Root())
	tiers, closed := spec, spec
	tiers.PKI.Hierarchy, closed.PKI.CAKeys = stack.HierarchyTwoTier, stack.CAKeysEncrypted
	d.CAKeysSet = true
	for _, other := range []stack.Spec{tiers, closed} {
		_, err := lifecycle.Up(t.Context(), d, other, lifecycle.UpOptions{})
		if _, ok := errors.AsType[*lifecycle.OpenRotationError](err); !ok || snapshot(t, d.Store.Root()) != before {
			t.Errorf("%+v: %v", other.PKI, err)
		}
	}
	d.CAKeysSet = false
	mustRotate(t, d, lifecycle.RotateOptions{Abort: true})

	d, _, spec = caStack(t, stack.Config{Serve: "edge", Registry: stack.RegistryConfig{Hosts: []string{"ci.example.org"}}})
	fewer := spec
	fewer.Registry.Hosts = nil
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Wanted: &fewer})
}

// TestReplaceCAPauseIsPast: a run that is to end after a phase that is over says
// so.
func TestReplaceCAPauseIsPast(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["edge"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseExpand})
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
	if e, ok := errors.AsType[*lifecycle.PastPhaseError](err); !ok || e.At != stack.PhaseExpand {
		t.Errorf("%v", err)
	}
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseExpand})
}

// TestReplaceCAOldEnds: the old CA ends while its replacement is paused with the
// new leaves served. Then there is nothing to go back to and nothing to bake for,
// and it goes on.
func TestReplaceCAOldEnds(t *testing.T) {
	clock := time.Now().Add(-25 * time.Hour)
	v := &verifier{now: func() time.Time { return clock }}
	d := rotateDeps(t, v)
	v.dir, d.Now = d.Store.Root(), v.now
	config := caConfigs()["edge"]
	config.Name, config.PKI.CAValidity, config.PKI.LeafValidity = "quiet", "24h", "24h"
	mustUp(t, d, config)
	clock = clock.Add(12 * time.Hour)
	opts := lifecycle.RotateOptions{AllCAs: true, Bake: 11 * time.Hour}
	opts.PauseAfter = stack.PhaseVerify
	mustRotate(t, d, opts)
	clock = clock.Add(13 * time.Hour)
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
	if _, ok := errors.AsType[*lifecycle.EndedError](err); !ok {
		t.Errorf("taken back: %v", err)
	}
	opts.PauseAfter, opts.Bake = "", 1000*time.Hour
	v.asked = nil
	mustRotate(t, d, opts)
	if said := strings.Join(v.asked, " "); strings.Contains(said, "accepts") || strings.Contains(said, "alone+alone") {
		t.Errorf("of what has expired was proven %q", said)
	}
}

// TestReplaceCAEndsEarly: the old CA ends while its replacement is paused with the
// old leaves served, which have ended too. Nobody knows whether it is the clock, and
// without a way to prove anything nothing changes.
func TestReplaceCAEndsEarly(t *testing.T) {
	for _, at := range []stack.Phase{stack.PhaseStage, stack.PhaseExpand} {
		d, _, _ := caStack(t, caConfigs()["edge"])
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: at})
		before := snapshot(t, d.Store.Root())
		d.Now = func() time.Time { return time.Now().Add(11 * 365 * 24 * time.Hour) }
		for _, opts := range []lifecycle.RotateOptions{{AllCAs: true}, {Abort: true}} {
			_, err := lifecycle.Rotate(t.Context(), d, opts)
			if _, ok := errors.AsType[*pki.CAExpiredError](err); !ok || snapshot(t, d.Store.Root()) != before {
				t.Errorf("at %s, %+v: %v", at, opts, err)
			}
		}
	}
}

// TestReplaceCABakesFromNow: the time to bake is not longer because a clock was
// ahead when it began.
func TestReplaceCABakesFromNow(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["edge"])
	ahead := d
	ahead.Now = func() time.Time { return time.Now().Add(4 * time.Minute) }
	mustRotate(t, ahead, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
	waited := false
	d.Observe = func(p lifecycle.Progress) { waited = waited || strings.Contains(p.Detail, "trusted for 4m") }
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Millisecond})
	if waited {
		t.Error("it would bake for four minutes")
	}
}

// TestReplaceCAProvesTwice: what does not hold once, and nothing was changed, is
// no reason to go back.
func TestReplaceCAProvesTwice(t *testing.T) {
	d, v, _ := caStack(t, caConfigs()["edge"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseSwitch})
	v.asked, v.breakAt = nil, 2 // the second, since switch is gone through again
	out := mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true})
	if out.RolledBack || out.Open != nil || !slices.ContainsFunc(out.Phases, func(p lifecycle.PhaseResult) bool { return p.Phase == stack.PhaseContract }) {
		t.Errorf("%+v", out.Phases)
	}
}

// TestReplaceCAStagedOnly: what was only staged is taken back without a look at the
// engine, where nothing may run.
func TestReplaceCAStagedOnly(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["edge"])
	before, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
	engine := d.Engine
	d.Engine = nil
	mustRotate(t, d, lifecycle.RotateOptions{Abort: true})
	d.Engine = engine
	sameFiles(t, d, before)
	if _, err := lifecycle.PlanRotate(t.Context(), d, lifecycle.RotateOptions{CAs: []string{pki.CAClient}}); err != nil {
		t.Error(err)
	}
}

// TestReplaceCARecordsBake: how long to bake is on the record, as whoever was told
// last has it.
func TestReplaceCARecordsBake(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["edge"])
	for phase, bake := range map[stack.Phase]time.Duration{stack.PhaseStage: 30 * time.Hour, stack.PhaseExpand: 20 * time.Hour} {
		if phase == stack.PhaseExpand {
			mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
		}
		out := mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Bake: bake, PauseAfter: phase})
		if *out.Open.Bake != bake {
			t.Errorf("at %s: %v is recorded, want %v", phase, *out.Open.Bake, bake)
		}
		mustRotate(t, d, lifecycle.RotateOptions{Abort: true})
	}
}

// TestReplaceCAExpired: a CA that has expired is beyond it, and that is said.
func TestReplaceCAExpired(t *testing.T) {
	d, v, _ := caStack(t, caConfigs()["edge"])
	d = later(d, 11*365*24*time.Hour)
	v.now = d.Now
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true})
	if _, ok := errors.AsType[*pki.CAExpiredError](err); !ok {
		t.Errorf("got %v", err)
	}
}
