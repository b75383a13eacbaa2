package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"log"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// TestEveryKeyType issues a CA, a server and a client of each key type, and
// holds every field that peers look at against what it has to be.
func TestEveryKeyType(t *testing.T) {
	for _, keyType := range pki.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			t.Parallel()
			plan := yardPlan(t)
			plan.CAs[0].Key = keyType
			plan.CAs[0].Constraints.IPs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			for i := range plan.Leaves {
				plan.Leaves[i].Key = keyType
			}
			have := issued(t, plan, now)
			ca := have.CAs["ca"].Cert
			checkCA(t, ca)
			for name, kp := range have.Leaves {
				checkLeaf(t, name, kp, ca)
			}
			for _, kp := range []*pki.KeyPair{have.CAs["ca"], have.Leaves["registry"], have.Leaves["client"]} {
				if got := pki.KeyTypeOf(kp.Cert.PublicKey); got != keyType {
					t.Errorf("%s has a key of type %s", kp.Cert.Subject, got)
				}
			}
			usage := x509.KeyUsageDigitalSignature
			if strings.HasPrefix(string(keyType), "rsa") {
				usage |= x509.KeyUsageKeyEncipherment
			}
			if got := have.Leaves["registry"].Cert.KeyUsage; got != usage {
				t.Errorf("server: got key usage %b, want %b", got, usage)
			}
			if got := have.Leaves["client"].Cert.KeyUsage; got != x509.KeyUsageDigitalSignature {
				t.Errorf("client: got key usage %b", got)
			}
		})
	}
}

func checkCA(t *testing.T, ca *x509.Certificate) {
	t.Helper()
	generation := fmt.Sprintf("%x", ca.SubjectKeyId[:4])
	if got, want := ca.Subject.String(), "CN=certyard yard CA G1 "+generation+",O=certyard"; got != want {
		t.Errorf("got subject %q, want %q", got, want)
	}
	if pki.Generation(ca) != generation {
		t.Errorf("got generation %s, want %s", pki.Generation(ca), generation)
	}
	if !ca.IsCA || !ca.BasicConstraintsValid || ca.MaxPathLen != 32 {
		t.Errorf("got CA %v, path length %d", ca.IsCA, ca.MaxPathLen)
	}
	if ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) > 0 {
		t.Errorf("got key usage %b, extended %v", ca.KeyUsage, ca.ExtKeyUsage)
	}
	checkKeyIDs(t, "CA", ca, ca)
	checkCritical(t, "CA", ca, "2.5.29.15", "2.5.29.19", "2.5.29.30")
	checkDates(t, "CA", ca, now.Add(-5*time.Minute), now.Add(3650*day))
	checkSerial(t, "CA", ca)
}

func checkLeaf(t *testing.T, name string, kp *pki.KeyPair, ca *x509.Certificate) {
	t.Helper()
	want := map[string]x509.ExtKeyUsage{"registry": x509.ExtKeyUsageServerAuth, "client": x509.ExtKeyUsageClientAuth}[name]
	leaf := kp.Cert
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{want}) || leaf.UnknownExtKeyUsage != nil {
		t.Errorf("%s: got extended key usage %v", name, leaf.ExtKeyUsage)
	}
	if leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Errorf("%s: got CA %v", name, leaf.IsCA)
	}
	if got := pki.SANsOf(leaf).Len(); (got > 0) != (name == "registry") {
		t.Errorf("%s: got %d SANs", name, got)
	}
	checkKeyIDs(t, name, leaf, ca)
	checkCritical(t, name, leaf, "2.5.29.15", "2.5.29.19")
	checkDates(t, name, leaf, now.Add(-5*time.Minute), now.Add(90*day))
	checkSerial(t, name, leaf)
	if kp.Serial() != fmt.Sprintf("%x", leaf.SerialNumber) {
		t.Errorf("%s: got serial %s", name, kp.Serial())
	}
}

func checkKeyIDs(t *testing.T, name string, cert, issuer *x509.Certificate) {
	t.Helper()
	if len(cert.SubjectKeyId) != 20 || !bytes.Equal(cert.AuthorityKeyId, issuer.SubjectKeyId) {
		t.Errorf("%s: got subject key id %x, authority key id %x", name, cert.SubjectKeyId, cert.AuthorityKeyId)
	}
}

// checkCritical wants exactly the given extensions to be critical.
func checkCritical(t *testing.T, name string, cert *x509.Certificate, want ...string) {
	t.Helper()
	var got []string
	seen := map[string]bool{}
	for _, ext := range cert.Extensions {
		if seen[ext.Id.String()] {
			t.Errorf("%s: extension %s is there twice", name, ext.Id)
		}
		seen[ext.Id.String()] = true
		if ext.Critical {
			got = append(got, ext.Id.String())
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got critical extensions %v, want %v", name, got, want)
	}
}

func checkDates(t *testing.T, name string, cert *x509.Certificate, from, until time.Time) {
	t.Helper()
	if !cert.NotBefore.Equal(from) || !cert.NotAfter.Equal(until) {
		t.Errorf("%s: valid from %s until %s, want %s and %s", name, cert.NotBefore, cert.NotAfter, from, until)
	}
}

// checkSerial: fewer than 64 bits would be a number that was not drawn at
// random. One in 2^95 random ones is that small.
func checkSerial(t *testing.T, name string, cert *x509.Certificate) {
	t.Helper()
	if cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() < 64 || cert.SerialNumber.BitLen() > 159 {
		t.Errorf("%s: got serial %x", name, cert.SerialNumber)
	}
}

func TestLeafStaysWithinCA(t *testing.T) {
	plan := yardPlan(t)
	plan.CAs[0].Validity = 30 * day
	have := issued(t, plan, now)
	for name, kp := range have.Leaves {
		checkDates(t, name, kp.Cert, have.CAs["ca"].Cert.NotBefore, have.CAs["ca"].Cert.NotAfter)
	}
	// Two minutes later the backdating would reach behind the CA, were it not
	// cut at the other end too; four before it would.
	plan.Leaves[0].Validity = 10 * day
	early := now.Add(-2 * time.Minute)
	again, err := pki.Apply(t.Context(), plan, pki.Material{CAs: onlyCA(have.CAs["ca"])}, []pki.Step{
		{Action: pki.Issue, Name: "registry"}, {Action: pki.Issue, Name: "client"}}, nil, early)
	if err != nil {
		t.Fatal(err)
	}
	checkDates(t, "early", again.Leaves["registry"].Cert, have.CAs["ca"].Cert.NotBefore, early.Add(10*day))
}

// TestFractions: certificates hold whole seconds, and no date may be rounded
// past the one that was asked for.
func TestFractions(t *testing.T) {
	have := issued(t, yardPlan(t), now.Add(999*time.Millisecond))
	checkDates(t, "CA", have.CAs["ca"].Cert, now.Add(-5*time.Minute), now.Add(3650*day))
	steps, err := pki.Diff(yardPlan(t), have, now.Add(999*time.Millisecond))
	if err != nil || steps[1].Action != pki.Keep {
		t.Errorf("got %v, %v", steps, err)
	}
}

func TestUnconstrainedCA(t *testing.T) {
	plan := yardPlan(t)
	plan.CAs[0].Constraints = pki.Constraints{}
	ca := issued(t, plan, now).CAs["ca"].Cert
	for _, ext := range ca.Extensions {
		if ext.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 30}) {
			t.Error("there is a name constraints extension")
		}
	}
}

func TestLongStackName(t *testing.T) {
	plan := yardPlan(t)
	plan.CAs[0].Stack = strings.Repeat("long", 30)
	ca := issued(t, plan, now).CAs["ca"].Cert
	if cn := ca.Subject.CommonName; len(cn) != 64 || !strings.HasSuffix(cn, " CA G1 "+pki.Generation(ca)) {
		t.Errorf("got common name %q of %d characters", cn, len(cn))
	}
}

func TestGenerationsDiffer(t *testing.T) {
	a, b := issued(t, yardPlan(t), now).CAs["ca"].Cert, issued(t, yardPlan(t), now).CAs["ca"].Cert
	if a.Subject.String() == b.Subject.String() || pki.Fingerprint(a) == pki.Fingerprint(b) {
		t.Errorf("two CAs have the subject %s and fingerprint %s", a.Subject, pki.Fingerprint(a))
	}
}

// TestGenerationWithoutKeyID: CAs of other makers may lack the extension.
func TestGenerationWithoutKeyID(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"].Cert
	bare := *ca
	bare.SubjectKeyId = nil
	if got := pki.Generation(&bare); got != pki.Generation(ca) {
		t.Errorf("got %q, want %q", got, pki.Generation(ca))
	}
}

// TestSilence: cfssl logs what it does through the standard logger. It must not
// run in parallel with tests that log.
func TestSilence(t *testing.T) {
	var out bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&out)
	issued(t, yardPlan(t), now)
	if out.Len() > 0 {
		t.Errorf("something was logged: %s", out.String())
	}
}

// TestPlainErrors: an error of cfssl prints as JSON unless it is translated.
func TestPlainErrors(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	have.CAs["ca"] = &pki.KeyPair{Cert: have.CAs["ca"].Cert, Key: issued(t, plan, now).CAs["ca"].Key}
	_, err := pki.Apply(t.Context(), plan, have, []pki.Step{{Action: pki.Renew, Name: "registry"}}, nil, now)
	want := "renewing registry server leaf: signing certificate: x509: provided PrivateKey doesn't match parent's PublicKey"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestParseKeyType(t *testing.T) {
	for _, want := range pki.KeyTypes() {
		if got, err := pki.ParseKeyType(string(want)); err != nil || got != want {
			t.Errorf("%s: got %s, %v", want, got, err)
		}
	}
	_, err := pki.ParseKeyType("RSA-1024")
	want := `"RSA-1024" is not a key type; want one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
