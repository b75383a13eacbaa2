package pkitest_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// ask is a client that trusts the bundle and wants the host, before a server
// that shows the pair.
func ask(t *testing.T, pair *pki.KeyPair, trust pki.TrustBundle, host string) error {
	t.Helper()
	return get(pair.TLS(), &tls.Config{RootCAs: trust.Pool(), ServerName: host})
}

// TestFaults: Go's client refuses each fault, for the reason that it names, and
// accepts the sound server.
func TestFaults(t *testing.T) {
	const host = "registry.test"
	want := map[string]string{
		"expired":             "certificate has expired or is not yet valid",
		"not-yet-valid":       "certificate has expired or is not yet valid",
		"wrong-name":          "certificate is valid for other.test, not registry.test",
		"no-san":              "certificate relies on legacy Common Name field",
		"ip-as-dns":           "doesn't contain any IP SANs",
		"wrong-usage":         "certificate specifies an incompatible key usage",
		"unknown-ca":          "certificate signed by unknown authority",
		"same-subject-ca":     "certificate signed by unknown authority",
		"outside-constraints": "not authorized to sign for this name",
		"mismatched-key":      "invalid signature by the server certificate",
		"signed-by-leaf":      "parent certificate cannot sign this kind of certificate",
	}
	faults := pkitest.Faults(t, host, time.Now())
	if len(faults) != len(want) {
		t.Errorf("%d faults, %d are looked at", len(faults), len(want))
	}
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			err := ask(t, f.Pair, f.Trust, f.Host)
			if err == nil || want[f.Name] == "" || !strings.Contains(err.Error(), want[f.Name]) {
				t.Errorf("a server that %s: got %v, want %q", f.Why, err, want[f.Name])
			}
		})
	}
	ca := pkitest.New(t, time.Now())
	if err := ask(t, ca.Server(t, host), ca.Trust(), host); err != nil {
		t.Errorf("the sound server: %v", err)
	}
	if err := ask(t, ca.Forge(t, host, nil), ca.Trust(), host); err != nil {
		t.Errorf("a forged server without a fault: %v", err)
	}
	below := ca.Issuing(t)
	if err := ask(t, below.Server(t, host), ca.Trust(), host); err != nil {
		t.Errorf("a server of an issuing CA: %v", err)
	}
}
