package lifecycle_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
)

// verifier is a prover that judges what it is told with the verifier of the
// standard library, as daemons that serve and trust what the files say would.
type verifier struct {
	dir     string // the state directory
	breakAt int    // the number of the proof that finds something, 0 for none
	breaks  int    // how many do from there on, 0 for one
	now     func() time.Time
	asked   []string
}

func (*verifier) Ready(context.Context, smoke.Options, func(context.Context) error) error { return nil }

func (*verifier) WatchIdle(context.Context, smoke.Options, func([]smoke.Build)) (*smoke.Idle, error) {
	return &smoke.Idle{}, nil
}

func (v *verifier) Prove(_ context.Context, o smoke.Options) stack.Report {
	checks := sound(o)
	add := func(id string, holds bool) {
		c := stack.Check{ID: id, Hop: stack.HopHostBuilder, Outcome: stack.Fails, Reason: stack.ReasonUntrusted}
		if holds {
			c.Outcome = stack.Holds
		}
		checks = append(checks, c)
	}
	chain := func(name string) []*x509.Certificate {
		for _, path := range []string{"registry/certs/registry.crt", "edge/registry/tls.crt"} {
			if certs := v.certs(path); certs != nil {
				return certs
			}
		}
		return nil
	}("")
	add("served", v.accepts(o.Trust, chain, x509.ExtKeyUsageServerAuth))
	clients := append(v.certs(stack.FileBuilderClientCA), v.certs(stack.FileEdgeClients)...)
	add("own client", !o.Builder.Mutual || v.accepts(pki.NewTrustBundle(clients...), []*x509.Certificate{o.Builder.Client.Cert}, x509.ExtKeyUsageClientAuth))
	said := []string{}
	for _, g := range o.Generations {
		switch {
		case len(g.Alone.Certs()) > 0:
			said = append(said, "alone")
			add("alone:"+g.ID, v.accepts(g.Alone, chain, x509.ExtKeyUsageServerAuth))
		case g.Client != nil:
			said = append(said, "accepts")
			add("accepts:"+g.ID, !o.Builder.Mutual || v.accepts(pki.NewTrustBundle(clients...), []*x509.Certificate{g.Client.Cert}, x509.ExtKeyUsageClientAuth))
		case g.Server != nil:
			said = append(said, "impostor")
			add("impostor:"+g.ID, !v.accepts(o.Trust, g.Server.Certs(), x509.ExtKeyUsageServerAuth))
		}
	}
	for _, c := range o.Builder.Named {
		said = append(said, c.Name)
		add("client:"+c.Name, !o.Builder.Mutual || v.accepts(pki.NewTrustBundle(clients...), []*x509.Certificate{c.Pair.Cert}, x509.ExtKeyUsageClientAuth))
	}
	for _, r := range o.Builder.Removed {
		said = append(said, "removed")
		add("removed", !v.accepts(pki.NewTrustBundle(clients...), []*x509.Certificate{r.Client.Cert}, x509.ExtKeyUsageClientAuth))
	}
	v.asked = append(v.asked, strings.Join(said, "+"))
	if n := len(v.asked); v.breakAt > 0 && n >= v.breakAt && n < v.breakAt+max(1, v.breaks) {
		add("broken", false)
	}
	return stack.Report{Checks: checks}
}

func (v *verifier) certs(path string) []*x509.Certificate {
	data, err := os.ReadFile(filepath.Join(v.dir, path))
	if err != nil {
		return nil
	}
	bundle, err := pki.ParseTrustBundle(data)
	if err != nil {
		return nil
	}
	return bundle.Certs()
}

func (v *verifier) accepts(trust pki.TrustBundle, chain []*x509.Certificate, usage x509.ExtKeyUsage) bool {
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: trust.Pool(), Intermediates: pki.NewTrustBundle(chain[1:]...).Pool(), CurrentTime: v.now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err == nil
}

// caStack is a stack whose engine is made up, with a verifier as prover.
func caStack(t *testing.T, config stack.Config) (lifecycle.Deps, *verifier, stack.Spec) {
	t.Helper()
	v := &verifier{now: time.Now}
	d := rotateDeps(t, v)
	v.dir = d.Store.Root()
	config.Name = "quiet"
	up := mustUp(t, d, config)
	v.asked = nil
	return d, v, up.Spec
}

// trusts returns how many certificates a bundle of the stack has.
func trusts(t *testing.T, d lifecycle.Deps, path string) int {
	t.Helper()
	bundle, err := pki.ParseTrustBundle(readAt(t, d, path))
	if err != nil {
		t.Fatal(err)
	}
	return len(bundle.Certs())
}

func readAt(t *testing.T, d lifecycle.Deps, path string) []byte {
	t.Helper()
	data, err := d.Store.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func caConfigs() map[string]stack.Config {
	mutual := stack.BuilderConfig{TLS: "mutual"}
	return map[string]stack.Config{
		"daemon":          {Builder: mutual},
		"daemon, server":  {},
		"daemon two-tier": {Builder: mutual, PKI: stack.PKIConfig{Hierarchy: "two-tier"}},
		"edge":            {Serve: "edge", Builder: mutual},
		"edge two-tier":   {Serve: "edge", Builder: mutual, PKI: stack.PKIConfig{Hierarchy: "two-tier"}},
		"edge named":      {Serve: "edge", Registry: stack.RegistryConfig{Name: "registry.lan"}},
	}
}

// TestReplaceCA: in every way to serve, the CAs are replaced three times in a
// row. What is trusted and served in each phase verifies, with the old root
// alone too while both are trusted; at the end nothing of the old CA is left.
func TestReplaceCA(t *testing.T) {
	for name, config := range caConfigs() {
		t.Run(name, func(t *testing.T) {
			d, v, _ := caStack(t, config)
			if _, _, err := lifecycle.AddClient(t.Context(), d, "bob", 0); err != nil {
				t.Fatal(err)
			}
			shape := filesOf(t, d)
			for range 3 {
				before := serials(t, d)
				old := readAt(t, d, stack.FileCAKey)
				out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true})
				if err != nil || !out.Report.OK() || out.RolledBack || out.Open != nil {
					t.Fatalf("%+v, %v", out.Report, err)
				}
				for name, serial := range serials(t, d) {
					if serial == before[name] {
						t.Errorf("%s is the same", name)
					}
				}
				if n := trusts(t, d, stack.FileClientCA); n != 1 || string(old) == string(readAt(t, d, stack.FileCAKey)) {
					t.Errorf("%d roots are trusted", n)
				}
				want := "|accepts+alone|accepts+alone+alone+bob|accepts+alone+alone+bob|impostor+removed"
				if got := strings.Join(v.asked, "|"); got != want {
					t.Errorf("proven were\n%s, want\n%s", got, want)
				}
				v.asked = nil
			}
			if got := filesOf(t, d); got != shape+" "+stack.FileCross {
				t.Errorf("files are\n%s\nand were\n%s", got, shape)
			}
			cert := v.certs(stack.FileCACert)[0]
			if !strings.Contains(cert.Subject.CommonName, " CA G4 ") || !strings.Contains(v.certs(stack.FileClientCACert)[0].Subject.CommonName, " G4 ") {
				t.Errorf("the CA is %s", cert.Subject)
			}
			again, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{})
			if err != nil || again.Due {
				t.Errorf("afterwards something is due: %+v, %v", again.Plan, err)
			}
		})
	}
}

// filesOf names all files of the state directory, the cross-signed one last.
func filesOf(t *testing.T, d lifecycle.Deps) string {
	t.Helper()
	files, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if i := slices.Index(names, stack.FileCross); i >= 0 {
		names = append(slices.Delete(names, i, i+1), stack.FileCross)
	}
	return strings.Join(names, " ")
}

// TestReplaceCARestarts: which daemons a replacement starts again, and when. With
// the edge it is none, unless the builder reaches it under a name of the network:
// then it is as long as the builder knows the CA before. What clients trust is
// another file only where the root is replaced.
func TestReplaceCARestarts(t *testing.T) {
	for name, c := range map[string]struct {
		cas                    []string
		compromised            bool
		first, second, planned string
	}{
		"daemon":                        {first: "buildkit registry buildkit buildkit", second: "buildkit registry buildkit buildkit"},
		"daemon, server":                {first: "buildkit registry buildkit buildkit", second: "buildkit registry buildkit buildkit"},
		"daemon two-tier":               {cas: []string{pki.CAIssuing}, first: "registry buildkit", second: "registry buildkit"},
		"daemon, the clients' CA alone": {cas: []string{pki.CAClient}, first: "buildkit buildkit", second: "buildkit buildkit"},
		"edge":                          {first: "", second: ""},
		"edge named":                    {first: "", second: "buildkit"},
		"edge, compromised":             {compromised: true, first: "buildkit", second: "buildkit"},
		"edge two-tier":                 {cas: []string{pki.CAIssuing}},
	} {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, ", ")
			config, ok := caConfigs()[name]
			if !ok {
				config = caConfigs()[kind]
			}
			d, _, _ := caStack(t, config)
			opts := lifecycle.RotateOptions{CAs: c.cas, Compromised: c.compromised}
			opts.AllCAs = c.cas == nil
			for _, want := range []string{c.first, c.second} {
				engine := d.Engine.(*runningEngine)
				engine.renewed = nil
				trusted := watchFile(t, &d, stack.FileClientCA)
				plan, err := lifecycle.PlanRotate(t.Context(), d, opts)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := lifecycle.Rotate(t.Context(), d, opts); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(engine.renewed, " "); got != want {
					t.Errorf("renewed were %q, want %q", got, want)
				}
				if got := planned(plan.Restarts); got != want {
					t.Errorf("planned were %q, want %q", got, want)
				}
				// Before, both, and after; or the same bytes all the time.
				if got := len(trusted()); got != map[bool]int{true: 3, false: 1}[opts.AllCAs] {
					t.Errorf("%s was %d times another one", stack.FileClientCA, got-1)
				}
			}
		})
	}
}

// watchFile returns what a file was so far, at every line that is shown.
func watchFile(t *testing.T, d *lifecycle.Deps, path string) func() map[string]bool {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]bool{string(readAt(t, *d, path)): true}
	d.Observe = func(lifecycle.Progress) {
		data, err := d.Store.Read(path)
		mu.Lock()
		defer mu.Unlock()
		if seen[string(data)] = true; err != nil {
			t.Error(err)
		}
	}
	return func() map[string]bool {
		mu.Lock()
		defer mu.Unlock()
		seen[string(readAt(t, *d, path))] = true
		return seen
	}
}

func planned(steps []lifecycle.PlannedStep) string {
	var out []string
	for _, s := range steps {
		out = append(out, strings.TrimPrefix(s.Object, "container "))
	}
	return strings.Join(out, " ")
}

// TestReplaceCAPauses: a replacement that was paused anywhere goes on, also after
// an up, which changes nothing of it. What else would rotate is refused.
func TestReplaceCAPauses(t *testing.T) {
	for _, phase := range []stack.Phase{stack.PhaseStage, stack.PhaseExpand, stack.PhaseSwitch, stack.PhaseVerify, stack.PhaseContract} {
		for _, kind := range []string{"daemon two-tier", "edge"} {
			t.Run(fmt.Sprintf("%s, %s", phase, kind), func(t *testing.T) {
				d, _, spec := caStack(t, caConfigs()[kind])
				opts := lifecycle.RotateOptions{AllCAs: true, PauseAfter: phase}
				out, err := lifecycle.Rotate(t.Context(), d, opts)
				if err != nil || out.Open == nil {
					t.Fatalf("%+v, %v", out.Open, err)
				}
				before := snapshot(t, d.Store.Root())
				if _, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); err != nil {
					t.Fatal(err)
				}
				if phase != stack.PhaseContract && snapshot(t, d.Store.Root()) != before {
					t.Error("up changed files")
				}
				_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
				if e, ok := errors.AsType[*lifecycle.OpenRotationError](err); !ok || len(e.Rotation.CAs) == 0 {
					t.Errorf("leaves in between: %v", err)
				}
				if _, _, err := lifecycle.AddClient(t.Context(), d, "late", 0); err != nil {
					t.Errorf("a client in between: %v", err)
				}
				status, err := lifecycle.GetStatus(t.Context(), d, errors.New("not asked"))
				if err != nil || status.Rotation == nil || status.OK() {
					t.Errorf("status: %+v, %v", status.Rotation, err)
				}
				opts.PauseAfter = ""
				if out, err = lifecycle.Rotate(t.Context(), d, opts); err != nil || out.Open != nil || !out.Report.OK() {
					t.Fatalf("%+v, %v", out.Report, err)
				}
				verified, err := lifecycle.VerifyStack(d)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range verified {
					if len(v.Findings) > 0 {
						t.Errorf("%s: %v", v.Name, v.Findings)
					}
				}
				if n := trusts(t, d, stack.FileClientCA); n != 1 {
					t.Errorf("%d roots are trusted", n)
				}
			})
		}
	}
}

// TestReplaceCAAborts: until trust is contracted every file comes back as it
// was.
func TestReplaceCAAborts(t *testing.T) {
	for _, phase := range []stack.Phase{stack.PhaseStage, stack.PhaseExpand, stack.PhaseVerify} {
		for _, kind := range []string{"daemon two-tier", "edge"} {
			t.Run(fmt.Sprintf("%s, %s", phase, kind), func(t *testing.T) {
				d, _, _ := caStack(t, caConfigs()[kind])
				for range 2 { // the second time there is a cross-signed certificate before
					before, err := d.Store.ReadAll()
					if err != nil {
						t.Fatal(err)
					}
					opts := lifecycle.RotateOptions{AllCAs: true, PauseAfter: phase}
					if _, err := lifecycle.Rotate(t.Context(), d, opts); err != nil {
						t.Fatal(err)
					}
					out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
					if err != nil || out.Open != nil {
						t.Fatalf("%+v, %v", out.Open, err)
					}
					sameFiles(t, d, before)
					opts.PauseAfter = ""
					if _, err := lifecycle.Rotate(t.Context(), d, opts); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
	d, _, _ := caStack(t, caConfigs()["edge"])
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
	if _, ok := errors.AsType[*lifecycle.NoRotationError](err); !ok {
		t.Errorf("none is open: %v", err)
	}
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseContract}); err != nil {
		t.Fatal(err)
	}
	_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
	if _, ok := errors.AsType[*lifecycle.PastError](err); !ok {
		t.Errorf("too late: %v", err)
	}
}

// sameFiles compares all files but the record, which goes on, and what is made
// from the record.
func sameFiles(t *testing.T, d lifecycle.Deps, before map[string][]byte) {
	t.Helper()
	after, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range before {
		if own := path == stack.FileState || path == stack.FileCompose; !own && string(after[path]) != string(data) {
			t.Errorf("%s is another one than before", path)
		}
	}
	for path := range after {
		if before[path] == nil {
			t.Errorf("%s was not there before", path)
		}
	}
}

// TestReplaceCARollsBack: what does not hold before trust is contracted brings
// the old CA back by itself. After that, the replacement stays open.
func TestReplaceCARollsBack(t *testing.T) {
	for proof, phase := range map[int]stack.Phase{2: stack.PhaseExpand, 3: stack.PhaseSwitch, 4: stack.PhaseVerify, 5: stack.PhaseBake, 6: stack.PhaseContract} {
		t.Run(string(phase), func(t *testing.T) {
			d, v, _ := caStack(t, caConfigs()["edge"])
			before, err := d.Store.ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			v.breakAt = proof
			if phase == stack.PhaseVerify || phase == stack.PhaseBake {
				v.breaks = 2 // there it is proven once more
			}
			out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Millisecond})
			if err != nil || out.Report.OK() || out.RolledBack != (phase != stack.PhaseContract) {
				t.Fatalf("rolled back %v, %v", out.RolledBack, err)
			}
			if last := out.Phases[len(out.Phases)-1].Phase; phase == stack.PhaseContract && (last != phase || out.Open == nil) || phase != stack.PhaseContract && last != "abort" {
				t.Errorf("ended with %s, open %+v", last, out.Open)
			}
			if phase == stack.PhaseContract {
				return
			}
			sameFiles(t, d, before)
		})
	}
	d, v, _ := caStack(t, caConfigs()["edge"])
	v.breakAt, v.breaks = 1, 2
	before := snapshot(t, d.Store.Root())
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true})
	if e, ok := errors.AsType[*lifecycle.NotSoundError](err); !ok || e.PutBack || snapshot(t, d.Store.Root()) != before {
		t.Errorf("a stack that is broken already: %v", err)
	}
}

// TestReplaceCAForNames: a host that the CA may not sign becomes one that the
// next CA may. Then nothing bridges the two, and the builder learns it anew.
func TestReplaceCAForNames(t *testing.T) {
	config := caConfigs()["edge"]
	d, _, _ := caStack(t, config)
	config.Name, config.Registry.Hosts = "quiet", []string{"registry.example.org"}
	spec := newSpec(t, config)
	_, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{})
	if _, ok := errors.AsType[*pki.ConstraintError](err); !ok {
		t.Fatalf("before: %v", err)
	}
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Wanted: &spec})
	if got := d.Engine.(*runningEngine).renewed; !slices.Equal(got, []string{stack.Builder}) {
		t.Errorf("renewed were %v", got)
	}
	if readAt(t, d, stack.FileCross) != nil {
		t.Error("the old CA has signed the new one, and its clients refuse the name")
	}
	if res, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); err != nil || !res.Report.OK() {
		t.Errorf("afterwards: %v", err)
	}
}

// TestReplaceCARefuses: what cannot be done is said before anything begins.
func TestReplaceCARefuses(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["daemon"])
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{CAs: []string{pki.CAIssuing}})
	if e, ok := errors.AsType[*lifecycle.CANameError](err); !ok || e.Name != pki.CAIssuing {
		t.Errorf("one tier: %v", err)
	}
	tiers, _, _ := caStack(t, caConfigs()["daemon two-tier"])
	_, err = lifecycle.Rotate(t.Context(), tiers, lifecycle.RotateOptions{CAs: []string{pki.CAIssuing}, Compromised: true})
	if _, ok := errors.AsType[*lifecycle.RootTrustedError](err); !ok {
		t.Errorf("a CA that would stay trusted: %v", err)
	}
	early := d
	early.Now = func() time.Time { return time.Now().Add(3640 * 24 * time.Hour) }
	_, err = lifecycle.Rotate(t.Context(), early, lifecycle.RotateOptions{AllCAs: true, Bake: 20 * 24 * time.Hour})
	if _, ok := errors.AsType[*lifecycle.ShortLifeError](err); !ok {
		t.Errorf("a bake longer than the CA lasts: %v", err)
	}
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage}); err != nil {
		t.Fatal(err)
	}
	_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{CAs: []string{pki.CAClient}})
	if _, ok := errors.AsType[*lifecycle.OpenRotationError](err); !ok {
		t.Errorf("another CA than the open one: %v", err)
	}
	if err := os.Remove(at(d, "ca/next/ca.crt")); err != nil {
		t.Fatal(err)
	}
	_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true})
	if e, ok := errors.AsType[*lifecycle.LostSetError](err); !ok || e.Phase != stack.PhaseStage {
		t.Errorf("a lost file: %v", err)
	}
	d.Engine.(*runningEngine).containers = nil
	d2, _, _ := caStack(t, caConfigs()["daemon"])
	d2.Engine.(*runningEngine).containers = nil
	_, err = lifecycle.Rotate(t.Context(), d2, lifecycle.RotateOptions{AllCAs: true})
	if _, ok := errors.AsType[*lifecycle.NotRunningError](err); !ok {
		t.Errorf("a stack that does not run: %v", err)
	}
}

// TestIntegrationReplaceCA replaces the CAs of a running stack while a build goes
// on, twice, and takes it back once after the new leaves were served: with the
// edge nothing is started again the first time, and what is, waits for the build.
func TestIntegrationReplaceCA(t *testing.T) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			d, config := edgeDeps(t)
			config.Serve, config.Builder.TLS = string(serve), "mutual"
			if serve == stack.ServeDaemon {
				config.PKI.Hierarchy = string(stack.HierarchyTwoTier)
			}
			up := upEdge(t, d, newSpec(t, config))
			first := ids(t, d, serve.Services()...)
			old := serials(t, d)
			ended := longBuild(t, d, up)
			out := mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true})
			if err := <-ended; err != nil {
				t.Errorf("the build that went on: %v", err)
			}
			if kept := slices.Equal(first, ids(t, d, serve.Services()...)); kept != (serve == stack.ServeEdge) {
				t.Errorf("containers are the same: %v", kept)
			}
			for name, serial := range serials(t, d) {
				if serial == old[name] {
					t.Errorf("%s is the same", name)
				}
			}
			if !proves(out, "registry.impostor:") || !proves(out, "builder.replaced-ca:") {
				t.Error("nothing has shown that the old CA is refused")
			}
			between := serials(t, d)
			mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseSwitch})
			mustRotate(t, d, lifecycle.RotateOptions{Abort: true})
			if got := serials(t, d); !maps.Equal(got, between) {
				t.Errorf("taken back are %v, and there were %v", got, between)
			}
			builder := container(t, d, stack.Builder)
			out = mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Hour, Compromised: true})
			if now := container(t, d, stack.Builder); now.ID == builder.ID && now.Started == builder.Started {
				t.Error("the builder was not made to forget a CA that is compromised")
			}
			if !proves(out, "registry.impostor:") || !proves(out, "builder.replaced-ca:") {
				t.Error("nothing has shown that the compromised CA is refused")
			}
		})
	}
}

// mustRotate rotates, and shows how long each phase took.
func mustRotate(t *testing.T, d lifecycle.Deps, opts lifecycle.RotateOptions) lifecycle.Rotated {
	t.Helper()
	out, err := lifecycle.Rotate(t.Context(), d, opts)
	if err != nil || out.RolledBack || out.Report != nil && !out.Report.OK() {
		t.Fatalf("%+v, %v, %+v", out.Steps, err, out.Report)
	}
	for _, p := range out.Phases {
		t.Logf("%s: %v, %v", p.Phase, p.Took.Round(time.Millisecond), p.Changes)
	}
	return out
}

// proves reports whether a check held whose ID begins like that.
func proves(out lifecycle.Rotated, prefix string) bool {
	return slices.ContainsFunc(out.Report.Checks, func(c stack.Check) bool {
		return c.Outcome == stack.Holds && strings.HasPrefix(c.ID, prefix)
	})
}

// TestReplaceCAEncrypted: with encrypted keys the passphrase is needed once, when
// the new CA is made, and the new keys are encrypted too, also after it was taken
// back.
func TestReplaceCAEncrypted(t *testing.T) {
	for _, kind := range []string{"daemon two-tier"} {
		config := caConfigs()[kind]
		config.PKI.CAKeys = "encrypted"
		v := &verifier{now: time.Now}
		d := rotateDeps(t, v)
		v.dir = d.Store.Root()
		asked := 0
		d.CAKeysSet = true
		d.Passphrase = func(stack.PKISpec, bool) ([]byte, error) { asked++; return []byte("correct horse"), nil }
		config.Name = "quiet"
		mustUp(t, d, config)
		d.CAKeysSet = false // no flag says so any more
		for _, paused := range []stack.Phase{stack.PhaseStage, stack.PhaseSwitch} {
			before, err := d.Store.ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			asked = 0
			mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: paused})
			if asked != 1 {
				t.Errorf("%s: the passphrase was asked for %d times", kind, asked)
			}
			mustRotate(t, d, lifecycle.RotateOptions{Abort: true})
			sameFiles(t, d, before)
		}
		asked = 0
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true})
		if asked != 1 {
			t.Errorf("%s: the passphrase was asked for %d times", kind, asked)
		}
		// A config that does not say so either keeps nobody from up.
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseExpand})
		spec := stateOf(t, readAll(t, d)).Spec
		spec.PKI.CAKeys = stack.CAKeysPlain
		if _, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); err != nil {
			t.Errorf("%s: up while it is open: %v", kind, err)
		}
		for _, path := range []string{stack.FileCAKey, stack.FileClientCAKey} {
			if !strings.Contains(string(readAt(t, d, path)), "ENCRYPTED PRIVATE KEY") {
				t.Errorf("%s is open", path)
			}
		}
	}
}

// TestReplaceCAObserves: a record with another phase than the files are in is no
// reason to do something else: the files tell.
func TestReplaceCAObserves(t *testing.T) {
	phases := []stack.Phase{stack.PhaseStage, stack.PhaseExpand, stack.PhaseSwitch, stack.PhaseContract}
	for _, opts := range []lifecycle.RotateOptions{{AllCAs: true}, {CAs: []string{pki.CAClient}}} {
		for _, truth := range phases {
			d, _, _ := caStack(t, caConfigs()["edge"])
			paused := opts
			paused.PauseAfter = truth
			mustRotate(t, d, paused)
			record, err := stack.ParseState(readAt(t, d, stack.FileState))
			if err != nil {
				t.Fatal(err)
			}
			for _, lie := range phases {
				record.Rotation.Phase = lie
				file, err := record.File()
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at(d, stack.FileState), file.Data, 0o600); err != nil {
					t.Fatal(err)
				}
				status, err := lifecycle.GetStatus(t.Context(), d, errors.New("not asked"))
				if err != nil || status.Rotation.Phase != truth && (truth != stack.PhaseContract || status.Rotation.Phase != stack.PhaseSwitch) {
					t.Errorf("at %s, recorded as %s: %+v, %v", truth, lie, status.Rotation, err)
				}
			}
			mustRotate(t, d, opts)
			if n, m := trusts(t, d, stack.FileClientCA), trusts(t, d, stack.FileEdgeClients); n != 1 || m != 1 {
				t.Errorf("%d roots and %d CAs of clients are trusted", n, m)
			}
		}
	}
}

// TestReplaceCACompromised: that the old CA is compromised may be known only when
// its replacement is open. Then the builder is made to forget it all the same.
func TestReplaceCACompromised(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["edge"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Hour, PauseAfter: stack.PhaseVerify})
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Hour, Compromised: true})
	if got := d.Engine.(*runningEngine).renewed; !slices.Equal(got, []string{stack.Builder}) {
		t.Errorf("renewed were %v", got)
	}
}

// TestReplaceCALostKey: a key of a set that is lost is no reason to delete the
// other one. Nothing depends on the set before the leaves are switched, and then
// it can be taken back.
func TestReplaceCALostKey(t *testing.T) {
	for phase, lost := range map[stack.Phase]string{stack.PhaseStage: "ca/next/client-ca.crt", stack.PhaseExpand: "ca/next/ca.key", stack.PhaseVerify: "ca/previous/client-ca.crt"} {
		d, _, spec := caStack(t, caConfigs()["edge"])
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: phase})
		key := readAt(t, d, stack.FileCAKey)
		if err := os.Remove(at(d, lost)); err != nil {
			t.Fatal(err)
		}
		isLost := func(err error) bool {
			e, ok := errors.AsType[*lifecycle.LostSetError](err)
			return ok && strings.HasSuffix(e.File, lost)
		}
		if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true}); !isLost(err) {
			t.Errorf("%s, and it goes on: %v", lost, err)
		}
		if _, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); !isLost(err) {
			t.Errorf("%s, and up: %v", lost, err)
		}
		if _, err := lifecycle.Init(t.Context(), d, spec, nil); !isLost(err) {
			t.Errorf("%s, and init: %v", lost, err)
		}
		status, _ := lifecycle.GetStatus(t.Context(), d, errors.New("not asked"))
		out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
		if early := phase != stack.PhaseVerify; early && (err != nil || out.Open != nil || len(status.Due) == 0 || status.Due[0].Action != "abort") || !early && !isLost(err) {
			t.Errorf("%s, and it is taken back: %v, %+v", lost, err, status.Due)
		}
		if string(readAt(t, d, stack.FileCAKey)) != string(key) {
			t.Errorf("%s is lost, and now the key in force is another one", lost)
		}
	}
}

// TestReplaceCATwoRuns: a run that waits finds out that another one has taken the
// replacement back, or has begun another.
func TestReplaceCATwoRuns(t *testing.T) {
	for name, other := range map[string][]lifecycle.RotateOptions{
		"taken back": {{Abort: true}},
		"finished":   {{AllCAs: true}},
		"another":    {{Abort: true}, {CAs: []string{pki.CAClient}, PauseAfter: stack.PhaseStage}},
	} {
		d, _, _ := caStack(t, caConfigs()["edge"])
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Hour, PauseAfter: stack.PhaseVerify})
		first := d
		baked := false
		first.Observe = func(p lifecycle.Progress) {
			if p.Step != string(stack.PhaseBake) || p.State != lifecycle.Running || baked {
				return
			}
			baked = true
			for _, opts := range other {
				mustRotate(t, d, opts)
			}
		}
		_, err := lifecycle.Rotate(t.Context(), first, lifecycle.RotateOptions{AllCAs: true, Bake: time.Millisecond})
		if _, ok := errors.AsType[*lifecycle.OtherRunError](err); !ok || !baked {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReplaceCAOffline: a root whose key was moved away is replaced by one whose
// key is here, and comes back without it. An issuing CA needs it.
func TestReplaceCAOffline(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["daemon two-tier"])
	if err := os.Remove(at(d, stack.FileCAKey)); err != nil {
		t.Fatal(err)
	}
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{CAs: []string{pki.CAIssuing}})
	if _, ok := errors.AsType[*pki.OfflineError](err); !ok {
		t.Errorf("the issuing CA alone: %v", err)
	}
	before, err := d.Store.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseSwitch})
	if readAt(t, d, stack.FileCAKey) == nil {
		t.Error("the new root has no key")
	}
	mustRotate(t, d, lifecycle.RotateOptions{Abort: true})
	sameFiles(t, d, before)
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true})
	if readAt(t, d, stack.FileCross) != nil {
		t.Error("a root whose key is elsewhere has signed")
	}
}

// TestReplaceCAWaits: behind the edge, trust is contracted and taken back once
// nobody builds: a build may still show the certificate that is refused then.
func TestReplaceCAWaits(t *testing.T) {
	for name, opts := range map[string]lifecycle.RotateOptions{"contract": {AllCAs: true}, "abort": {Abort: true}, "compromised": {AllCAs: true, Compromised: true, Force: true}} {
		d, _, _ := caStack(t, caConfigs()["edge"])
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
		waits := &waiting{Prover: d.Prover, builds: []smoke.Build{{Ref: "x1", Started: time.Now()}}}
		d.Prover = waits
		opts.WaitIdle = 200 * time.Millisecond
		out, err := lifecycle.Rotate(t.Context(), d, opts)
		if name == "compromised" {
			if err != nil || waits.asked != 0 {
				t.Errorf("%s: %v, waited %d times", name, err, waits.asked)
			}
			continue
		}
		if e, ok := errors.AsType[*lifecycle.BusyError](err); !ok || e.Builds[0].Ref != "x1" || out.Open == nil || trusts(t, d, stack.FileEdgeClients) != 2 {
			t.Errorf("%s: %v, open %+v", name, err, out.Open)
		}
	}
}

// waiting is a prover whose builder works on the same builds for ever.
type waiting struct {
	lifecycle.Prover
	builds []smoke.Build
	asked  int
}

func (w *waiting) WatchIdle(ctx context.Context, _ smoke.Options, say func([]smoke.Build)) (*smoke.Idle, error) {
	w.asked++
	say(w.builds)
	<-ctx.Done()
	return nil, ctx.Err()
}
