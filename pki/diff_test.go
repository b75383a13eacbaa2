package pki_test

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// TestDiff changes the plan, the time or the material, and wants the steps.
func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pki.Plan, *pki.Material, *time.Time)
		want   string // the steps for CA, registry and client
	}{
		{"nothing there", func(_ *pki.Plan, m *pki.Material, _ *time.Time) { *m = pki.Material{} },
			"issue ca: there is none\nissue registry: there is none\nissue client: there is none"},
		{"all there", func(*pki.Plan, *pki.Material, *time.Time) {},
			"keep ca: valid until 2036-11-20 09:30 UTC\n" +
				"keep registry: valid until 2027-02-21 09:30 UTC\nkeep client: valid until 2027-02-21 09:30 UTC"},
		{"one leaf missing", func(_ *pki.Plan, m *pki.Material, _ *time.Time) { delete(m.Leaves, "client") },
			"keep\nkeep\nissue client: there is none"},
		{"leaf no longer planned", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.Leaves = p.Leaves[:1] },
			"keep\nkeep"},
		{"name added", func(p *pki.Plan, _ *pki.Material, _ *time.Time) {
			p.Leaves[0].SANs = mustSANs(t, "registry", "x.registry", "localhost", "127.0.0.1", "::1")
		}, "keep\nreissue registry: x.registry, ::1 missing from the names\nkeep"},
		{"name removed", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.Leaves[0].SANs = mustSANs(t, "registry") },
			"keep\nreissue registry: localhost, 127.0.0.1 no longer among the names\nkeep"},
		{"role changed", func(p *pki.Plan, _ *pki.Material, _ *time.Time) {
			p.Leaves[1].Role, p.Leaves[1].SANs = pki.RoleServer, mustSANs(t, "registry")
		}, "keep\nkeep\nreissue client: registry missing from the names; has the extended key usage clientAuth, want serverAuth alone"},
		{"common name changed", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.Leaves[1].CommonName = "" },
			"keep\nkeep\nreissue client: its common name is \"yard client\", want \"client\""},
		{"validity shortened", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.Leaves[0].Validity = 36 * time.Hour },
			"keep\nreissue registry: it is valid for 90 days, want 36 hours\nkeep"},
		{"validity lengthened", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.Leaves[0].Validity = 200 * day },
			"keep\nkeep\nkeep"},
		{"before the last third", func(_ *pki.Plan, _ *pki.Material, at *time.Time) { *at = now.Add(60*day - 4*time.Minute) },
			"keep\nkeep\nkeep"},
		{"in the last third", func(_ *pki.Plan, _ *pki.Material, at *time.Time) { *at = now.Add(60 * day) },
			"keep\nrenew registry: 30 days of 90 days left\nrenew client: 30 days of 90 days left"},
		{"minutes left", func(_ *pki.Plan, _ *pki.Material, at *time.Time) { *at = now.Add(90*day - 50*time.Minute) },
			"keep\nrenew registry: 50 minutes of 90 days left\nrenew client: 50 minutes of 90 days left"},
		{"expired", func(_ *pki.Plan, _ *pki.Material, at *time.Time) { *at = now.Add(91 * day) },
			"keep\nrenew registry: it has expired on 2027-02-21 09:30 UTC\nrenew client: it has expired on 2027-02-21 09:30 UTC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, at := yardPlan(t), now
			have := issued(t, plan, now)
			c.change(&plan, &have, &at)
			steps, err := pki.Diff(plan, have, at)
			if err != nil {
				t.Fatal(err)
			}
			checkSteps(t, steps, c.want)
		})
	}
}

// checkSteps compares steps with lines; a line may be the action alone.
func checkSteps(t *testing.T, steps []pki.Step, want string) {
	t.Helper()
	lines := strings.Split(want, "\n")
	if len(steps) != len(lines) {
		t.Fatalf("got %d steps, want %d: %v", len(steps), len(lines), steps)
	}
	for i, step := range steps {
		got := fmt.Sprintf("%s %s: %s", step.Action, step.Name, step.Cause)
		if got != lines[i] && string(step.Action) != lines[i] {
			t.Errorf("step %d\ngot  %s\nwant %s", i, got, lines[i])
		}
	}
}

// TestFutureLeaf: a leaf from a clock that was ahead is renewed.
func TestFutureLeaf(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	ahead, err := pki.Apply(t.Context(), plan, pki.Material{CAs: onlyCA(have.CAs["ca"])},
		[]pki.Step{{Action: pki.Issue, Name: "registry"}, {Action: pki.Issue, Name: "client"}}, nil, now.Add(day))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := pki.Diff(plan, ahead, now)
	if err != nil {
		t.Fatal(err)
	}
	checkSteps(t, steps, "keep\nrenew registry: it is not valid before 2026-11-24 09:25 UTC\nrenew")
}

// TestNoUselessRenewal: a leaf that lasts as long as its CA is not renewed on
// every run of the CA's last days.
func TestNoUselessRenewal(t *testing.T) {
	plan := yardPlan(t)
	plan.CAs[0].Validity = 60 * day
	have := issued(t, plan, now)
	steps, err := pki.Diff(plan, have, now.Add(59*day))
	if err != nil {
		t.Fatal(err)
	}
	checkSteps(t, steps, "keep\nkeep\nkeep")
}

// TestDiffErrors wants an error with the text, and no steps.
func TestDiffErrors(t *testing.T) {
	plan := yardPlan(t)
	sound, other := issued(t, plan, now), issued(t, plan, now)
	generation := pki.Generation(sound.CAs["ca"].Cert)
	for _, c := range []struct {
		name   string
		change func(*pki.Plan, *pki.Material, *time.Time)
		want   string
	}{
		{"CA expired", func(_ *pki.Plan, _ *pki.Material, at *time.Time) { *at = now.Add(3650*day + time.Hour) },
			"CA GEN has expired on 2036-11-20 09:30 UTC (it is 2036-11-20 10:30 UTC)"},
		{"CA of the future", func(_ *pki.Plan, _ *pki.Material, at *time.Time) { *at = now.Add(-day) },
			"CA GEN is not valid before 2026-11-23 09:25 UTC (it is 2026-11-22 09:30 UTC)"},
		{"CA key type", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.CAs[0].Key = pki.RSA3072 },
			"CA has a key of type ecdsa-p256, want rsa-3072"},
		{"leaf key type", func(p *pki.Plan, _ *pki.Material, _ *time.Time) { p.Leaves[0].Key = pki.Ed25519 },
			"registry server leaf has a key of type ecdsa-p256, want ed25519"},
		{"CA key swapped", func(_ *pki.Plan, m *pki.Material, _ *time.Time) {
			m.CAs["ca"] = &pki.KeyPair{Cert: sound.CAs["ca"].Cert, Key: other.CAs["ca"].Key}
		}, "CA key does not belong to its certificate"},
		{"leaf key gone", func(_ *pki.Plan, m *pki.Material, _ *time.Time) {
			m.Leaves["client"] = &pki.KeyPair{Cert: sound.Leaves["client"].Cert}
		}, "client leaf key does not belong to its certificate"},
		{"leaf of another CA", func(_ *pki.Plan, m *pki.Material, _ *time.Time) { m.Leaves["registry"] = other.Leaves["registry"] },
			`registry server leaf was not signed by CA GEN (its issuer is "` + other.CAs["ca"].Cert.Subject.CommonName + `")`},
		{"CA removed", func(_ *pki.Plan, m *pki.Material, _ *time.Time) { delete(m.CAs, "ca") },
			`registry server leaf was signed by "certyard yard CA G1 GEN", but there is no CA` + "\n" +
				`client leaf was signed by "certyard yard CA G1 GEN", but there is no CA`},
		{"name not permitted", func(p *pki.Plan, _ *pki.Material, _ *time.Time) {
			p.CAs[0].Constraints.DNS = nil // what the plan permits now does not matter
			p.Leaves[0].SANs = mustSANs(t, "registry", "build.lan", "example.com")
		}, "CA GEN may not sign build.lan, example.com for registry server leaf"},
		{"name not planned to be permitted", func(p *pki.Plan, m *pki.Material, _ *time.Time) {
			*m = pki.Material{}
			p.Leaves[0].SANs = mustSANs(t, "example.com")
		}, "planned CA may not sign example.com for registry server leaf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, at := yardPlan(t), now
			have := pki.Material{CAs: onlyCA(sound.CAs["ca"]), Leaves: maps.Clone(sound.Leaves)}
			c.change(&plan, &have, &at)
			steps, err := pki.Diff(plan, have, at)
			if want := strings.ReplaceAll(c.want, "GEN", generation); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if steps != nil {
				t.Errorf("got steps %v", steps)
			}
		})
	}
}

// TestDiffReportsAll: one run tells everything that is wrong, each as its type.
func TestDiffReportsAll(t *testing.T) {
	plan := yardPlan(t)
	have, other := issued(t, plan, now), issued(t, plan, now)
	plan.CAs[0].Key = pki.Ed25519
	plan.Leaves[0].SANs = mustSANs(t, "example.com")
	have.Leaves["client"] = &pki.KeyPair{Cert: other.Leaves["client"].Cert, Key: have.CAs["ca"].Key}
	_, err := pki.Diff(plan, have, now.Add(4000*day))
	wantError[*pki.CAExpiredError](t, err)
	wantError[*pki.MismatchError](t, err)
	if got := wantError[*pki.KeyTypeError](t, err); got.Name != "CA" || got.Have != pki.ECDSAP256 || got.Want != pki.Ed25519 {
		t.Errorf("got %+v", got)
	}
	if got := wantError[*pki.ConstraintError](t, err); got.CA != pki.Generation(have.CAs["ca"].Cert) || len(got.Names) != 1 {
		t.Errorf("got %+v", got)
	}
	if got := wantError[*pki.ForeignError](t, err); got.Leaf != "client leaf" {
		t.Errorf("got %+v", got)
	}
}

// TestUnusableCA brings CA certificates of other makers.
func TestUnusableCA(t *testing.T) {
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for _, c := range []struct {
		name string
		edit func(*x509.Certificate)
		want string // "" means usable
	}{
		{"sound", func(*x509.Certificate) {}, ""},
		{"no key usage", func(c *x509.Certificate) { c.KeyUsage = 0 }, ""},
		{"any extended usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, ""},
		{"both extended usages", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{client, server} }, ""},
		{"unknown extended usage", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
			"is limited by an extended key usage that permits neither servers nor clients"},
		{"a leaf", func(c *x509.Certificate) { c.IsCA = false }, "is not a CA certificate"},
		{"no certSign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign },
			"may not sign certificates (key usage)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ca := forged(t, nil, func(cert *x509.Certificate) { asCA(cert); c.edit(cert) })
			findings := pki.VerifyCA(ca, now)
			_, err := pki.Diff(yardPlan(t), pki.Material{CAs: onlyCA(ca)}, now)
			if c.want == "" {
				if err != nil || findings != nil {
					t.Errorf("got %v and findings %v", err, findings)
				}
				return
			}
			if got := wantError[*pki.CAError](t, err); got.Problem != c.want {
				t.Errorf("got %q, want %q", got.Problem, c.want)
			}
			want := "another CA cannot be the CA: CA " + pki.Generation(ca.Cert) + " " + c.want
			if len(findings) != 1 || findings[0].String() != want {
				t.Errorf("got %v, want %s", findings, want)
			}
		})
	}
}

// TestLimitedCA: the extended key usages of a CA bind its leaves, so a CA for
// servers alone is sound as long as no client is to be signed with it.
func TestLimitedCA(t *testing.T) {
	ca := forged(t, nil, func(c *x509.Certificate) {
		asCA(c)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	if findings := pki.VerifyCA(ca, now); findings != nil {
		t.Errorf("by itself: %v", findings)
	}
	plan := yardPlan(t)
	_, err := pki.Diff(plan, pki.Material{CAs: onlyCA(ca)}, now)
	if got := wantError[*pki.CAError](t, err); got.Problem != "is limited by an extended key usage, which binds all its leaves, and permits no clients" {
		t.Errorf("for a client: %v", got)
	}
	plan.Leaves = slices.DeleteFunc(plan.Leaves, func(l pki.LeafPlan) bool { return l.Role == pki.RoleClient })
	if _, err := pki.Diff(plan, pki.Material{CAs: onlyCA(ca)}, now); err != nil {
		t.Errorf("for servers: %v", err)
	}
}

// TestForeignLeafNames: a leaf of our CA with names that are no hosts was not
// made here, and is replaced by one without them.
func TestForeignLeafNames(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	have.Leaves["registry"] = forged(t, have.CAs["ca"], func(c *x509.Certificate) {
		c.EmailAddresses = []string{"root@registry"}
		c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 2, 3}}
	})
	plan.Leaves[0].SANs = mustSANs(t, "registry")
	steps, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatal(err)
	}
	checkSteps(t, steps, "keep\nreissue registry: it has names that are no hosts; "+
		"has the extended key usage 1.2.3, want serverAuth alone\nkeep")
}

// TestPlanProblems wants every mistake in a plan at once, and from Diff, before
// anything else is looked at.
func TestPlanProblems(t *testing.T) {
	sans := mustSANs(t, "registry")
	plan := pki.Plan{
		CAs: []pki.CAPlan{
			{Name: "ca", Key: "dsa", Validity: time.Second, Constraints: pki.Constraints{DNS: []string{"*.x"}}},
			{Name: "ca", Stack: "x", Key: pki.Ed25519, Validity: day},
			{Name: "root", Stack: "x", Issuer: "gone", Key: pki.Ed25519, Validity: day},
		},
		Leaves: []pki.LeafPlan{
			{Name: "ca", Issuer: "ca", Role: pki.RoleServer, SANs: sans, Key: pki.Ed25519, Validity: day},
			{Name: "a", Issuer: "gone", Role: pki.RoleServer, Key: pki.Ed25519, Validity: day},
			{Name: "a", Role: pki.RoleClient, SANs: sans, Key: pki.Ed25519, Validity: day},
			{Name: "", Role: "peer", CommonName: strings.Repeat("x", 65), Key: pki.Ed25519, Validity: day},
		},
	}
	want := `planned CA "dsa" is not a key type; want one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519
planned CA is valid for less than a minute
planned CA constraint *.x is not a DNS name
planned CA has no name
planned CA is there twice
planned root CA has the unknown name "root"
planned root CA has the unknown issuer "gone"
planned ca server leaf has a name that is taken
planned a server leaf has the unknown issuer "gone"
planned a server leaf has no SANs, so no client could verify it
planned a client leaf has a name that is taken
planned a client leaf is self-signed, which no server can verify
planned a client leaf has SANs, which name constraints would be held against
planned  peer leaf has no name
planned  peer leaf has a common name longer than 64 characters
planned  peer leaf has the unknown role "peer"`
	_, err := pki.Diff(plan, pki.Material{}, now)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	wantError[*pki.PlanError](t, err)
}

// TestOtherKeyTypes: a key type that is not issued is still named.
func TestOtherKeyTypes(t *testing.T) {
	for want, pub := range map[pki.KeyType]any{"ecdsa-p521": p521Key(t), "unknown (string)": "text"} {
		if got := pki.KeyTypeOf(pub); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
