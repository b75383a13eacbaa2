package pki_test

import (
	"crypto/x509"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/pki"
)

// TestApply issues a plan and wants every leaf to hold for every name, and the
// next Diff to find nothing to do.
func TestApply(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	trust := pki.NewTrustBundle(have.CAs["ca"].Cert)
	if len(have.Leaves) != len(plan.Leaves) {
		t.Fatalf("got %d leaves", len(have.Leaves))
	}
	for _, leaf := range plan.Leaves {
		kp := have.Leaves[leaf.Name]
		for _, host := range leaf.SANs.Strings() {
			usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			options := x509.VerifyOptions{DNSName: host, Roots: trust.Pool(), CurrentTime: now, KeyUsages: usage}
			if _, err := kp.Cert.Verify(options); err != nil {
				t.Errorf("%s: %v", leaf.Name, err)
			}
		}
		if findings := pki.Verify(kp, trust, pki.Want{Role: leaf.Role, SANs: leaf.SANs}, now); findings != nil {
			t.Errorf("%s: %v", leaf.Name, findings)
		}
	}
	steps, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pki.Apply(t.Context(), plan, have, steps, nil, now)
	if err != nil || !reflect.DeepEqual(again, have) {
		t.Errorf("keeping all: got %v, and other material than before", err)
	}
}

// TestReplacingKeepsKeyAndRest: renewing and reissuing change the certificate
// only, the arguments stay as they were, and no other leaf is touched.
func TestReplacingKeepsKeyAndRest(t *testing.T) {
	for _, action := range []pki.Action{pki.Renew, pki.Reissue} {
		plan := yardPlan(t)
		have := issued(t, plan, now)
		before := pki.Material{CAs: onlyCA(have.CAs["ca"]), Leaves: maps.Clone(have.Leaves)}
		plan.Leaves[0].SANs = mustSANs(t, "registry", "new.registry")
		out, err := pki.Apply(t.Context(), plan, have, []pki.Step{{Action: action, Name: "registry"}}, nil, now.Add(day))
		if err != nil {
			t.Fatal(err)
		}
		old, fresh := have.Leaves["registry"], out.Leaves["registry"]
		if fresh.Key != old.Key || fresh.Serial() == old.Serial() || !fresh.Cert.NotAfter.After(old.Cert.NotAfter) {
			t.Errorf("%s: serial %s after %s", action, fresh.Serial(), old.Serial())
		}
		if !pki.SANsOf(fresh.Cert).Equal(plan.Leaves[0].SANs) {
			t.Errorf("%s: got names %v", action, pki.SANsOf(fresh.Cert).Strings())
		}
		if out.CAs["ca"] != have.CAs["ca"] || out.Leaves["client"] != have.Leaves["client"] || !reflect.DeepEqual(have, before) {
			t.Errorf("%s: something else has changed", action)
		}
	}
}

// TestRenewingKeepsKeyText: a key file that another tool wrote is not rewritten.
func TestRenewingKeepsKeyText(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	text := sec1(t, have.Leaves["registry"].Key)
	kp, err := pki.PEMPair{Name: "registry", Cert: have.Leaves["registry"].CertPEM(), Key: text}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	have.Leaves["registry"] = kp
	out, err := pki.Apply(t.Context(), plan, have, []pki.Step{{Action: pki.Renew, Name: "registry"}}, nil, now.Add(day))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := out.Leaves["registry"].KeyPEM(); err != nil || string(got) != string(text) {
		t.Errorf("the key is written in another way now: %v", err)
	}
}

// TestApplyDropsUnplanned: what the plan does not name is not returned.
func TestApplyDropsUnplanned(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	plan.Leaves = plan.Leaves[:1]
	out, err := pki.Apply(t.Context(), plan, have, nil, nil, now)
	if err != nil || len(out.Leaves) != 1 || out.Leaves["registry"] == nil {
		t.Errorf("got %v, %v", out.Leaves, err)
	}
}

// TestImpossibleSteps: steps that do not come from Diff on the same plan and
// material change nothing, above all no key.
func TestImpossibleSteps(t *testing.T) {
	for _, c := range []struct {
		name    string
		present bool
		step    pki.Step
		want    string
	}{
		{"second CA", true, pki.Step{Action: pki.Issue, Name: "ca"}, `planned issue of "ca" cannot be done: it exists`},
		{"renewed CA", true, pki.Step{Action: pki.Renew, Name: "ca"}, `planned renew of "ca" cannot be done: it exists`},
		{"no CA to keep", false, pki.Step{Action: pki.Keep, Name: "ca"}, `planned keep of "ca" cannot be done: it does not exist`},
		{"second leaf", true, pki.Step{Action: pki.Issue, Name: "client"}, `planned issue of "client" cannot be done: it exists`},
		{"no leaf to keep", false, pki.Step{Action: pki.Keep, Name: "client"}, `planned keep of "client" cannot be done: it does not exist`},
		{"no leaf to renew", false, pki.Step{Action: pki.Renew, Name: "client"}, `planned renew of "client" cannot be done: it does not exist`},
		{"no CA to sign", false, pki.Step{Action: pki.Issue, Name: "client"}, `issuing client leaf: there is no certificate of the CA`},
		{"unknown action", true, pki.Step{Action: "burn", Name: "client"}, `planned burn of "client" cannot be done: it exists`},
		{"unknown leaf", true, pki.Step{Action: pki.Issue, Name: "other"}, `planned issue of "other" is not in the plan`},
	} {
		var have pki.Material
		if c.present {
			have = issued(t, yardPlan(t), now)
		}
		out, err := pki.Apply(t.Context(), yardPlan(t), have, []pki.Step{c.step}, nil, now)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		if out.CAs["ca"] != nil || out.Leaves != nil {
			t.Errorf("%s: got material with the error", c.name)
		}
	}
}

func TestApplyMissesSteps(t *testing.T) {
	plan := yardPlan(t)
	_, err := pki.Apply(t.Context(), plan, pki.Material{}, nil, nil, now)
	if err == nil || err.Error() != "planned CA was not issued" {
		t.Errorf("got %v", err)
	}
	_, err = pki.Apply(t.Context(), plan, pki.Material{}, []pki.Step{{Action: pki.Issue, Name: "ca"}}, nil, now)
	if err == nil || err.Error() != "planned registry server leaf was not issued" {
		t.Errorf("got %v", err)
	}
}

// TestApplyVerifies: whoever skips Diff, or has a CA with limits that Diff does
// not look at, gets no material that does not hold.
func TestApplyVerifies(t *testing.T) {
	plan := yardPlan(t)
	excluding := forged(t, nil, func(c *x509.Certificate) {
		asCA(c)
		c.ExcludedDNSDomains = []string{"localhost"}
	})
	_, err := pki.Diff(plan, pki.Material{CAs: onlyCA(excluding)}, now)
	if got := wantError[*pki.ConstraintError](t, err); !slices.Equal(got.Names, []string{"localhost"}) {
		t.Errorf("got %v", err)
	}
	steps := []pki.Step{{Action: pki.Keep, Name: "ca"}, {Action: pki.Issue, Name: "registry"}, {Action: pki.Issue, Name: "client"}}
	_, err = pki.Apply(t.Context(), plan, pki.Material{CAs: onlyCA(excluding)}, steps, nil, now)
	got := wantError[*pki.FindingsError](t, err)
	if len(got.Findings) != 1 || !strings.Contains(err.Error(), `"localhost" is excluded by constraint "localhost"`) {
		t.Errorf("got %v", err)
	}

	have := issued(t, plan, now)
	_, err = pki.Apply(t.Context(), plan, have, nil, nil, now.Add(91*day))
	want := "verifying what was issued: registry has expired on 2027-02-21 09:30 UTC; yard client has expired on 2027-02-21 09:30 UTC"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	plan.Leaves = nil
	_, err = pki.Apply(t.Context(), plan, have, nil, nil, now.Add(-day))
	if got := wantError[*pki.FindingsError](t, err); len(got.Findings) != 1 {
		t.Errorf("CA of the future: got %v", err)
	}
}
