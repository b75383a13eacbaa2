package smoke

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/certyard/certyard/stack"
)

func TestProveReportsInAFixedOrder(t *testing.T) {
	y := newYard(t)
	y.mutual()
	y.start()
	var want = []string{
		"registry.tls:127.0.0.1", "registry.tls:localhost", "registry.tls:::1", "registry.tls:registry",
		"registry.plain", "registry.tls11", "registry.anonymous", "registry.wrong-password",
		"registry.other-ca", "registry.other-name", "registry.push", "registry.clear",
		"builder.tls:127.0.0.1", "builder.tls:buildkit", "builder.plain",
		"builder.no-certificate", "builder.other-ca-certificate", "builder.server-certificate",
		"build.pull", "build.pull-again", "build.run", "build.push", "build.read", "build.wrong-password",
	}
	for range 2 {
		if got := ids(Prove(t.Context(), y.options).Checks); !slices.Equal(got, want) {
			t.Errorf("checks are %q, want %q", got, want)
		}
	}
}

func ids(checks []stack.Check) []string {
	var ids []string
	for _, c := range checks {
		ids = append(ids, c.ID)
	}
	return ids
}

// TestProveGoesOn is about checks that are made although the one that they need
// fails.
func TestProveGoesOn(t *testing.T) {
	tests := []struct {
		name  string
		wreck func(*yard)
		holds []string
		skips []string
	}{
		{
			"the endpoint's name is missing", func(y *yard) { y.serveRegistry(y.ca.Server(t, "localhost", "::1", "registry")) },
			[]string{"registry.tls:localhost", "registry.tls:registry", "registry.plain", "registry.tls11"},
			[]string{"registry.anonymous", "registry.other-ca", "registry.push"},
		},
		{
			"the password is refused", func(y *yard) { y.options.Registry.Password = "another" },
			[]string{"registry.plain", "registry.tls11", "registry.anonymous", "registry.wrong-password", "registry.other-ca", "registry.other-name"},
			[]string{"registry.tls:localhost", "registry.push"},
		},
		{
			"another certificate is served", func(y *yard) { y.options.Builder.Leaf = y.ca.Server(t, "buildkit").Cert },
			[]string{"builder.plain", "builder.no-certificate", "builder.other-ca-certificate", "builder.server-certificate"},
			[]string{"builder.tls:buildkit", "registry.push", "build.pull", "build.read"},
		},
		{
			"plain HTTP only", func(y *yard) { y.registryConfig = nil },
			[]string{"builder.plain"},
			[]string{"registry.tls:localhost", "registry.tls11", "registry.anonymous", "registry.other-ca", "registry.other-name"},
		},
		{
			"our certificate is refused", func(y *yard) { y.options.Builder.Client = y.other.Client(t, "client") },
			[]string{"builder.plain", "registry.anonymous"},
			[]string{"builder.no-certificate", "builder.other-ca-certificate", "builder.server-certificate"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			y := newYard(t)
			y.mutual()
			test.wreck(y)
			y.start()
			outcomes := map[string]stack.Outcome{}
			for _, c := range Prove(t.Context(), y.options).Checks {
				outcomes[c.ID] = c.Outcome
			}
			for want, checks := range map[stack.Outcome][]string{stack.Holds: test.holds, stack.Skipped: test.skips} {
				for _, id := range checks {
					if outcomes[id] != want {
						t.Errorf("%s %s, want %s", id, outcomes[id], want)
					}
				}
			}
		})
	}
}

func TestProveShowsEvidence(t *testing.T) {
	y := newYard(t)
	y.start()
	checks := map[string]stack.Check{}
	for _, c := range Prove(t.Context(), y.options).Checks {
		checks[c.ID] = c
	}
	leaf := y.options.Registry.Leaf
	login := checks["registry.tls:registry"]
	e := login.Evidence
	if e.Serial != leaf.SerialNumber.Text(16) || e.Issuer != leaf.Issuer.CommonName || !e.NotAfter.Equal(leaf.NotAfter) ||
		e.TLSVersion != "TLS 1.3" || e.HTTPStatus != 200 {
		t.Errorf("registry.tls:registry has evidence %+v", e)
	}
	if want := y.options.Registry.Endpoints[0].Address(); login.Target != want || login.Hop != stack.HopHostRegistry {
		t.Errorf("registry.tls:registry is about %q on %q, want %q", login.Target, login.Hop, want)
	}
	e = checks["builder.tls:buildkit"].Evidence
	if e.Serial != y.options.Builder.Leaf.SerialNumber.Text(16) || e.ALPN != "h2" || e.Version != "v1.2.3" || e.Platform != "linux/arm64" {
		t.Errorf("builder.tls:buildkit has evidence %+v", e)
	}
	for _, id := range []string{"registry.push", "build.pull", "build.pull-again", "build.push", "build.read"} {
		if checks[id].Evidence.Digest == "" {
			t.Errorf("%s shows no digest", id)
		}
	}
	if a, b := checks["build.push"].Evidence.Digest, checks["build.read"].Evidence.Digest; a != b {
		t.Errorf("pushed %s, read back %s", a, b)
	}
	for _, id := range []string{"registry.plain", "registry.tls11", "registry.anonymous", "registry.other-ca", "builder.plain", "build.wrong-password"} {
		if checks[id].Evidence.Answer == "" {
			t.Errorf("%s does not show the refusal", id)
		}
	}
}

func TestProveShowsARefusedCertificate(t *testing.T) {
	y := newYard(t)
	wrong := y.other.Server(t, "127.0.0.1")
	y.serveRegistry(wrong)
	y.start()
	first := Prove(t.Context(), y.options).Checks[0]
	if first.Outcome != stack.Fails || first.Evidence.Serial != wrong.Serial() {
		t.Errorf("%s with evidence %+v, want serial %s", first.Outcome, first.Evidence, wrong.Serial())
	}
}

func TestProveObserves(t *testing.T) {
	y := newYard(t)
	y.noBuilder = true // so that some checks are skipped
	y.start()
	var inside atomic.Int32
	var seen []stack.Check
	y.options.Observe = func(c stack.Check) {
		if inside.Add(1) != 1 {
			t.Error("called twice at the same time")
		}
		seen = append(seen, c)
		inside.Add(-1)
	}
	report := Prove(t.Context(), y.options)
	if len(seen) != len(report.Checks) || seen[len(seen)-1].ID != "registry.clear" {
		t.Errorf("observed %q", ids(seen))
	}
	for _, c := range report.Checks {
		if !slices.Contains(seen, c) {
			t.Errorf("%s was observed differently, or not at all", c.ID)
		}
	}
}

func TestProveOfHalfAStack(t *testing.T) {
	y := newYard(t)
	y.start()
	noBuilder, noRegistry := y.options, y.options
	noBuilder.Builder = Builder{}
	noRegistry.Registry = Registry{}
	for name, test := range map[string]struct {
		options Options
		hop     stack.Hop
		checks  int
	}{
		"no builder":  {noBuilder, stack.HopHostRegistry, 10},
		"no registry": {noRegistry, stack.HopHostBuilder, 3},
		"nothing":     {Options{}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			report := Prove(t.Context(), test.options)
			if len(report.Checks) != test.checks || report.OK() != (test.checks > 0) {
				t.Errorf("%d checks, OK %v, want %d", len(report.Checks), report.OK(), test.checks)
			}
			for _, c := range report.Checks {
				if c.Hop != test.hop {
					t.Errorf("%s is on %q", c.ID, c.Hop)
				}
			}
		})
	}
}

// TestProveShort: a short proof pulls by the builder, and leaves nothing.
func TestProveShort(t *testing.T) {
	for name, test := range map[string]struct {
		wreck func(*yard)
		fails []string
	}{
		"nothing":                    {func(*yard) {}, nil},
		"the builder's trust":        {func(y *yard) { y.builder.trust = y.other.Trust().Pool() }, []string{"build.pull-again untrusted"}},
		"trust of an old repository": {func(y *yard) { y.builder.trustSeen = y.other.Trust().Pool() }, []string{"build.pull-again untrusted"}},
		"the builder's password":     {func(y *yard) { y.builder.login = func(user, _ string) (string, string) { return user, "wrong" } }, []string{"build.pull-again unauthorized"}},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t)
			test.wreck(y)
			y.start()
			y.options.Short = true
			report := Prove(t.Context(), y.options)
			checkReport(t, report, test.fails)
			if put, left := y.registry.left(); put != 1 || len(left) > 0 || len(report.Checks) != 16 {
				t.Errorf("%d manifests were put, left %v; %d checks", put, left, len(report.Checks))
			}
		})
	}
}

func TestProveDialsEveryEndpoint(t *testing.T) {
	y := newYard(t)
	second := newFakeRegistry(t, testUser, testPassword)
	at := endpoint(second.front, stack.Registry)
	y.options.Registry.Endpoints = append(y.options.Registry.Endpoints, at)
	second.front.Close()
	y.start()
	checkReport(t, Prove(t.Context(), y.options), []string{"registry.tls:" + at.Address() + " unreachable"})
}

// TestProveInterrupted ends the context after the base image was pushed: what
// was pushed is deleted all the same.
func TestProveInterrupted(t *testing.T) {
	for _, when := range []string{"before the build", "in the build"} {
		t.Run(when, func(t *testing.T) {
			y := newYard(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			y.options.Observe = func(c stack.Check) {
				if c.ID == "registry.push" && when == "before the build" {
					cancel()
				}
			}
			y.builder.run = func([]byte, []byte) ([]file, error) {
				cancel()
				return nil, ctx.Err()
			}
			y.start()
			report := Prove(ctx, y.options)
			checks := map[string]stack.Check{}
			for _, c := range report.Checks {
				checks[c.ID] = c
			}
			if run, clear := checks["build.run"], checks["registry.clear"]; run.Outcome == stack.Holds || clear.Outcome != stack.Holds {
				t.Errorf("build.run %s, registry.clear %s: %s", run.Outcome, clear.Outcome, clear.Error)
			}
			if put, left := y.registry.left(); put != 2 || len(left) > 0 {
				t.Errorf("%d manifests were put, want 2, and these are left: %v", put, left)
			}
		})
	}
}

func TestProveWithContextThatHasEnded(t *testing.T) {
	y := newYard(t)
	y.start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := Prove(ctx, y.options)
	for _, c := range report.Checks {
		if c.Outcome == stack.Holds {
			t.Errorf("%s holds", c.ID)
		}
	}
	if put, _ := y.registry.left(); put != 0 {
		t.Errorf("%d manifests were put", put)
	}
}

func TestProvesOfOneStackInParallel(t *testing.T) {
	y := newYard(t)
	y.mutual()
	y.start()
	reports := make(chan stack.Report)
	for range 3 {
		go func() { reports <- Prove(t.Context(), y.options) }()
	}
	for range 3 {
		checkReport(t, <-reports, nil)
	}
	if put, left := y.registry.left(); put != 9 || len(left) > 0 {
		t.Errorf("%d manifests were put, want 9, and these are left: %v", put, left)
	}
}

// TestProveRemoved: the check of a replaced CA is known by its generation, and
// fails while the builder goes on trusting that CA.
func TestProveRemoved(t *testing.T) {
	for name, trusted := range map[string]bool{"replaced": false, "still trusted": true} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t)
			y.mutual()
			if trusted {
				y.builderConfig.ClientCAs.AddCert(y.other.Pair.Cert)
			}
			y.options.Builder.Removed = []Removed{{Generation: "0badcafe", Client: y.other.Client(t, "bob")}}
			y.start()
			report := Prove(t.Context(), y.options)
			i := slices.IndexFunc(report.Checks, func(c stack.Check) bool { return c.ID == RemovedCheck("0badcafe") })
			if i < 0 {
				t.Fatalf("no check of it in %v", ids(report.Checks))
			}
			c := report.Checks[i]
			if trusted && (c.Outcome != stack.Fails || c.Reason != stack.ReasonAccepted) || !trusted && c.Outcome != stack.Holds {
				t.Errorf("%+v", c)
			}
		})
	}
}
