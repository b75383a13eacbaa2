package pki_test

import (
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/certyard/certyard/pki"
)

// TestUsedSerial: a serial number that a CA gave to another certificate before
// is refused, when it is imported and when it is kept.
func TestUsedSerial(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	leaf := have.Leaves["registry"]
	key := hex.EncodeToString(have.CAs["ca"].Cert.SubjectKeyId)
	sound := pki.UsedSerial{IssuerKey: key, Serial: leaf.Serial(), Name: "registry", Fingerprint: pki.Fingerprint(leaf.Cert)}
	with := func(edit func(*pki.UsedSerial)) pki.UsedSerial {
		u := sound
		edit(&u)
		return u
	}
	for name, c := range map[string]struct {
		used pki.UsedSerial
		want string
	}{
		"itself":                 {sound, ""},
		"another certificate":    {with(func(u *pki.UsedSerial) { u.Fingerprint = "ab" }), "of an earlier certificate of its CA, of registry"},
		"of another CA":          {with(func(u *pki.UsedSerial) { u.Fingerprint, u.IssuerKey = "ab", "ff"+key }), ""},
		"of nobody knows whom":   {with(func(u *pki.UsedSerial) { u.Fingerprint, u.IssuerKey = "ab", "" }), ""},
		"an old record":          {with(func(u *pki.UsedSerial) { u.Fingerprint, u.IssuerKey = "", key[:8] }), ""},
		"an old record, another": {with(func(u *pki.UsedSerial) { u.Fingerprint, u.IssuerKey, u.Name = "", key[:8], "buildkit" }), "of buildkit"},
		"another number":         {with(func(u *pki.UsedSerial) { u.Fingerprint, u.Serial = "ab", "1" }), ""},
	} {
		have.Used = []pki.UsedSerial{c.used}
		out, err := pki.Apply(t.Context(), plan, have, nil, nil, now)
		if c.want == "" && (err != nil || len(out.Used) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: kept: got %v, want %q", name, err, c.want)
		}
		plan.CAs[0].Keyholder = pki.KeyExternal
		accepted, err := pki.Accept(plan, have, "x.pem", []*x509.Certificate{leaf.Cert}, now)
		plan.CAs[0].Keyholder = pki.KeyHere
		if len(accepted) != 1 {
			t.Fatalf("%s: accepted %v, %v", name, accepted, err)
		}
		findings := accepted[0].Findings
		if got := (&pki.FindingsError{Findings: findings}).Error(); err != nil || c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: imported: got %v, %v, want %q", name, findings, err, c.want)
		}
	}
}

// TestIssuerKey: of a certificate that does not say who signed it, the CAs that
// are here do.
func TestIssuerKey(t *testing.T) {
	root := forged(t, nil, asCA)
	issuing := forged(t, root, asIssuing)
	issuing.Chain = root.Certs()
	leaf := forged(t, issuing, nil)
	want := hex.EncodeToString(issuing.Cert.SubjectKeyId)
	if got := (pki.Material{}).IssuerKey(leaf); got != want || got == "" {
		t.Errorf("got %q, want %q", got, want)
	}
	silent := &pki.KeyPair{Cert: new(x509.Certificate), Key: leaf.Key}
	*silent.Cert = *leaf.Cert
	silent.Cert.AuthorityKeyId = nil
	if got := (pki.Material{CAs: onlyCA(issuing)}).IssuerKey(silent); got != want {
		t.Errorf("by the CAs: got %q, want %q", got, want)
	}
	if got := (pki.Material{CAs: onlyCA(root)}).IssuerKey(silent); got != "" {
		t.Errorf("of nobody: got %q", got)
	}
	silent.Chain = []*x509.Certificate{issuing.Cert}
	if got := (pki.Material{}).IssuerKey(silent); got != want {
		t.Errorf("by the chain: got %q, want %q", got, want)
	}
}
