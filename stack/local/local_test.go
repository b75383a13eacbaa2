package local_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/render"
)

// TestFreePort: a port that nobody listens on, not always the same, below those that
// the system gives to connections.
func TestFreePort(t *testing.T) {
	d, ip := local.Deps(t.TempDir()), netip.MustParseAddr("127.0.0.1")
	seen := map[int]bool{}
	for range 20 {
		port, err := d.FreePort(ip)
		if err != nil || port < 20000 || port > 32767 {
			t.Fatalf("%d, %v", port, err)
		}
		seen[port] = true
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	if len(seen) < 10 {
		t.Errorf("of 20 ports %d are different", len(seen))
	}
	if _, err := d.FreePort(netip.MustParseAddr("192.0.2.1")); err == nil {
		t.Error("there is a free port on an address that is not this machine's")
	}
}

// TestSubnet: ranges of their own size, in the range for tests, on their boundaries.
func TestSubnet(t *testing.T) {
	d, all := local.Deps(t.TempDir()), netip.MustParsePrefix("198.18.0.0/15")
	seen := map[netip.Prefix]bool{}
	for range 200 {
		p := d.Subnet()
		if p.Bits() != 28 || !all.Contains(p.Addr()) || p != p.Masked() {
			t.Fatal(p)
		}
		seen[p] = true
	}
	if len(seen) < 150 {
		t.Errorf("of 200 ranges %d are different", len(seen))
	}
}

// fakeEngine removes what it is told to, unless it fails.
type fakeEngine struct {
	local.Engine
	fails      error
	removed    []string
	containers []compose.Container
}

func (*fakeEngine) Address() string                               { return "unix:///here.sock" }
func (*fakeEngine) Foreign(context.Context, string, string) error { return nil }

func (e *fakeEngine) Labelled(_ context.Context, label string) ([]compose.Container, error) {
	if label != render.MaterialLabel {
		return nil, errors.New(label)
	}
	return e.containers, nil
}

func (e *fakeEngine) Down(_ context.Context, project string, o compose.DownOptions) (compose.DownResult, error) {
	if e.fails != nil || !o.Volumes {
		return compose.DownResult{}, errors.Join(errors.New("down"), e.fails)
	}
	e.removed = append(e.removed, project)
	return compose.DownResult{Containers: []string{project + "-registry-1"}}, nil
}

// abandoned makes a stack whose process has ended, with files.
func abandoned(t *testing.T, e local.Ephemeral, name, engine string) string {
	t.Helper()
	claim, err := e.Claim(name, engine)
	if err != nil {
		t.Fatal(err)
	}
	d := local.Deps(claim.Root)
	release, err := d.Store.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(claim.Root, "state.json"), []byte("{}"), 0o600), release(), claim.GiveUp()); err != nil {
		t.Fatal(err)
	}
	return claim.Root
}

// TestPrune: what runs and what is on another engine stays, what cannot be removed is
// tried again, and the rest is gone.
func TestPrune(t *testing.T) {
	e, err := local.EphemeralStacks(filepath.Join(t.TempDir(), "stacks"))
	if err != nil {
		t.Fatal(err)
	}
	here := &fakeEngine{}
	left := abandoned(t, e, "left", here.Address())
	abandoned(t, e, "elsewhere", "unix:///there.sock")
	runs, err := e.Claim("runs", here.Address())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"left": true, "runs": false, "nothing": false} {
		if got := e.Abandons(name, filepath.Join(e.Dir(), name)); got != want {
			t.Errorf("%s is abandoned: %v", name, got)
		}
	}
	if e.Abandons("left", "/elsewhere/left") {
		t.Error("another directory's stack of the name is taken for ours")
	}

	if out, err := e.Prune(t.Context(), here, true); err != nil || len(out) != 2 || len(here.removed) > 0 {
		t.Errorf("dry: %+v, %v, removed %v", out, err, here.removed)
	}
	here.fails = errors.New("no")
	if out, err := e.Prune(t.Context(), here, false); !errors.Is(err, here.fails) || len(out) != 2 || !slices.ContainsFunc(out, func(p local.Pruned) bool { return p.Stack == "left" && p.Error != "" }) {
		t.Errorf("failing: %+v, %v", out, err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("what could not be removed is gone: %v", err)
	}
	here.fails = nil
	out, err := e.Prune(t.Context(), here, false)
	if err != nil || len(out) != 2 || !slices.Equal(here.removed, []string{"left"}) {
		t.Errorf("%+v, %v, removed %v", out, err, here.removed)
	}
	for _, p := range out {
		if (p.Stack == "elsewhere") != (p.Elsewhere == "unix:///there.sock") {
			t.Errorf("%+v", p)
		}
	}
	names, err := e.Names()
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"elsewhere", "runs"}) {
		t.Errorf("left are %v, %v", names, err)
	}
	if err := runs.End(); err != nil {
		t.Error(err)
	}
}

// TestPruneOlder: only what is old, ephemeral, of this account's number, and without
// a state directory here.
func TestPruneOlder(t *testing.T) {
	e, err := local.EphemeralStacks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	container := func(project, owner, dir string, age time.Duration) compose.Container {
		return compose.Container{Project: project, WorkingDir: dir, Created: now.Add(-age), Labels: map[string]string{render.OwnerLabel: owner}}
	}
	engine := &fakeEngine{containers: []compose.Container{
		container("old", local.Owner(), "/gone/old", 2*time.Hour),
		container("young", local.Owner(), "/gone/young", time.Minute),
		container("here", local.Owner(), t.TempDir(), 2*time.Hour),
		container("stays", "", "/gone/stays", 2*time.Hour),
		container("other", "uid 4242 on there, process 1", "/gone/other", 2*time.Hour),
	}}
	for _, dry := range []bool{true, false} {
		out, err := e.PruneOlder(t.Context(), engine, now.Add(-time.Hour), dry)
		if err != nil || len(out) != 1 || out[0].Stack != "old" || (len(engine.removed) == 0) != dry {
			t.Errorf("dry %v: %+v, %v, removed %v", dry, out, err, engine.removed)
		}
	}
}

// TestDepsAreWhole: what lifecycle may ask of a machine is there.
func TestDepsAreWhole(t *testing.T) {
	var d lifecycle.Deps = local.Deps(t.TempDir())
	if d.Store == nil || d.Prover == nil || d.Now == nil || d.Rand == nil || d.Given == nil || d.Find == nil || d.Fetch == nil || d.Observe == nil {
		t.Errorf("%+v", d)
	}
}
