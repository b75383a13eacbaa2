package lifecycle

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
)

// TestRecords: every certificate is recorded once, with who signed it and when,
// and with the end of the time that it was in force.
func TestRecords(t *testing.T) {
	start := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	ca := pkitest.New(t, start)
	bob, renewed := ca.Client(t, "bob"), ca.Client(t, "bob")
	run := func(before []stack.Issued, at time.Time, material pki.Material, steps ...pki.Step) []stack.Issued {
		r := records{issued: before, material: material, now: at}
		for _, s := range steps {
			r.add(s)
		}
		return r.closed()
	}
	with := func(leaf *pki.KeyPair) pki.Material {
		return pki.Material{CAs: map[string]*pki.KeyPair{pki.CAClient: ca.Pair}, Leaves: map[string]*pki.KeyPair{"clients/bob": leaf}}
	}
	keep := pki.Step{Action: pki.Keep, Name: "clients/bob"}
	none := pki.Material{CAs: map[string]*pki.KeyPair{pki.CAClient: ca.Pair}}

	first := run(nil, start, with(bob), pki.Step{Action: pki.Issue, Name: "clients/bob", Cause: "there is none"})
	want := stack.Issued{
		Name: "clients/bob", Issuer: pki.Generation(ca.Pair.Cert), IssuerKey: hex.EncodeToString(ca.Pair.Cert.SubjectKeyId),
		Serial: bob.Serial(), Fingerprint: pki.Fingerprint(bob.Cert), Cause: "there is none", Made: start, NotAfter: bob.Cert.NotAfter.UTC(),
	}
	if len(first) != 1 || first[0] != want {
		t.Fatalf("got %+v, want %+v", first, want)
	}
	if kept := run(first, start.Add(time.Hour), with(bob), keep); len(kept) != 1 || kept[0] != want {
		t.Errorf("kept: %+v", kept)
	}
	later := start.Add(24 * time.Hour)
	second := run(first, later, with(renewed), pki.Step{Action: pki.Renew, Name: "clients/bob", Cause: "old"})
	if len(second) != 2 || !second[0].Removed.Equal(later) || !second[1].Removed.IsZero() || !second[1].Made.Equal(later) {
		t.Errorf("renewed: %+v", second)
	}
	if !first[0].Removed.IsZero() {
		t.Error("the records that were given have changed")
	}
	gone := run(second, later.Add(time.Hour), none)
	if !gone[0].Removed.Equal(later) || !gone[1].Removed.Equal(later.Add(time.Hour)) {
		t.Errorf("removed: %+v", gone)
	}
	back := run(gone, later.Add(2*time.Hour), with(bob), keep)
	if len(back) != 2 || !back[0].Removed.IsZero() || back[1].Removed.IsZero() {
		t.Errorf("put back: %+v", back)
	}
	found := run(nil, start, with(bob), keep)
	if len(found) != 1 || found[0].Cause != causeImported || !found[0].Made.Equal(start) {
		t.Errorf("found: %+v", found)
	}
}

// TestUsedSerials: a record of an earlier version has the beginning of its CA's
// key id.
func TestUsedSerials(t *testing.T) {
	p := prior{state: &stack.State{Issued: []stack.Issued{
		{Name: "a", Issuer: "00ff00ff", Serial: "1"}, {Name: "b", Issuer: "00ff00ff", IssuerKey: "00ff00ff01", Serial: "2", Fingerprint: "ab"},
	}}}
	got := p.usedSerials()
	if len(got) != 2 || got[0] != (pki.UsedSerial{IssuerKey: "00ff00ff", Serial: "1", Name: "a"}) ||
		got[1] != (pki.UsedSerial{IssuerKey: "00ff00ff01", Serial: "2", Name: "b", Fingerprint: "ab"}) {
		t.Errorf("got %+v", got)
	}
	if (prior{}).usedSerials() != nil {
		t.Error("serial numbers without a record")
	}
}
