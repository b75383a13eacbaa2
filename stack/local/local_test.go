package local_test

import (
	"context"
	"errors"
	"fmt"
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
	id         string
	has        []string
	fails      error
	removed    []string
	containers []compose.Container
}

func (*fakeEngine) Address() string                               { return "unix:///here.sock" }
func (*fakeEngine) Foreign(context.Context, string, string) error { return nil }

func (e *fakeEngine) Info(context.Context) (compose.Info, error) { return compose.Info{ID: e.id}, nil }

func (*fakeEngine) SweepHelpers(_ context.Context, before time.Time) error {
	if age := time.Since(before); age < time.Minute || age > time.Hour {
		return fmt.Errorf("helpers of %v", age)
	}
	return nil
}

func (e *fakeEngine) Remains(context.Context, string) ([]string, error) { return e.has, nil }

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
func abandoned(t *testing.T, e local.Ephemeral, name string, engine *fakeEngine) string {
	t.Helper()
	claim, err := e.Begin(t.Context(), engine, name)
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

// TestBegin: a name is refused that is no ephemeral stack's, or that the engine has
// something of, and then nothing is left of the claim.
func TestBegin(t *testing.T) {
	e, err := local.EphemeralStacks(filepath.Join(t.TempDir(), "stacks"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Begin(t.Context(), &fakeEngine{}, "certyard"); err == nil {
		t.Error("a lasting stack's name was claimed")
	}
	_, err = e.Begin(t.Context(), &fakeEngine{has: []string{"volume eph-a_data"}}, "eph-a")
	if taken, ok := errors.AsType[*local.TakenError](err); !ok || !slices.Equal(taken.Has, []string{"volume eph-a_data"}) {
		t.Errorf("somebody's volumes: %v", err)
	}
	if names, err := e.Names(); len(names) > 0 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
	for wanted, want := range map[string]string{"a": "eph-a", "eph-a": "eph-a"} {
		if got := local.NewName(wanted); got != want {
			t.Errorf("%s is named %s, want %s", wanted, got, want)
		}
	}
	if a, b := local.NewName(""), local.NewName(""); a == b {
		t.Errorf("two stacks are named %s", a)
	}
}

// TestPrune: what runs and what is on another engine stays, also one at the same
// address; what cannot be removed is tried again, and the rest is gone.
func TestPrune(t *testing.T) {
	e, err := local.EphemeralStacks(filepath.Join(t.TempDir(), "stacks"))
	if err != nil {
		t.Fatal(err)
	}
	here := &fakeEngine{id: "here"}
	left := abandoned(t, e, "eph-left", here)
	abandoned(t, e, "eph-elsewhere", &fakeEngine{id: "there"})
	early, err := e.Claim("eph-early", "") // killed before it was noted where
	if err != nil {
		t.Fatal(err)
	}
	lasting, err := e.Claim("lasting", "here\nsomewhere")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(early.GiveUp(), lasting.GiveUp()); err != nil {
		t.Fatal(err)
	}
	runs, err := e.Begin(t.Context(), here, "eph-runs")
	if err != nil {
		t.Fatal(err)
	}
	abandons(t, e)

	if out, err := e.Prune(t.Context(), here, true); err != nil || len(out) != 4 || len(here.removed) > 0 {
		t.Errorf("dry: %+v, %v, removed %v", out, err, here.removed)
	}
	here.fails = errors.New("no")
	if out, err := e.Prune(t.Context(), here, false); !errors.Is(err, here.fails) || !slices.ContainsFunc(out, func(p local.Pruned) bool { return p.Stack == "eph-left" && p.Error != "" }) {
		t.Errorf("failing: %+v, %v", out, err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("what could not be removed is gone: %v", err)
	}
	here.fails = nil
	out, err := e.Prune(t.Context(), here, false)
	if err != nil || !slices.Equal(here.removed, []string{"eph-left"}) {
		t.Errorf("%+v, %v, removed %v", out, err, here.removed)
	}
	for _, p := range out {
		if stays := p.Stack == "eph-elsewhere" || p.Stack == "lasting"; stays != (p.Elsewhere != "") {
			t.Errorf("%+v", p)
		}
	}
	names, err := e.Names()
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"eph-elsewhere", "eph-runs", "lasting"}) {
		t.Errorf("left are %v, %v", names, err)
	}
	if err := runs.End(); err != nil {
		t.Error(err)
	}
}

func abandons(t *testing.T, e local.Ephemeral) {
	t.Helper()
	for name, want := range map[string]bool{"eph-left": true, "eph-runs": false, "eph-nothing": false} {
		if got := e.Abandons(name, filepath.Join(e.Dir(), name)); got != want {
			t.Errorf("%s is abandoned: %v", name, got)
		}
	}
	if e.Abandons("eph-left", "/elsewhere/eph-left") {
		t.Error("another directory's stack of the name is taken for ours")
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

// TestDockerConfigDir: only the directory of a stack's passwords is no place for
// contexts.
func TestDockerConfigDir(t *testing.T) {
	home, root, other := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	if err := os.WriteFile(filepath.Join(root, "state.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"":                                    "",
		"/somewhere":                          "/somewhere",
		filepath.Join(root, "client/docker"):  filepath.Join(home, ".docker"),
		filepath.Join(other, "client/docker"): filepath.Join(other, "client/docker"),
	} {
		if got := local.DockerConfigDir(dir); got != want {
			t.Errorf("%q: %q, want %q", dir, got, want)
		}
	}
}
