package lint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

// twins makes two CAs of one name, a leaf of the second, and the lists of both in
// both orders; %SKI% and %AKI% say which key ids there are.
const twins = `
for n in old new; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -subj "/CN=My CA" -days 3650 -out $n.crt -addext subjectKeyIdentifier=%SKI% 2>/dev/null; done
printf "subjectAltName=DNS:registry\nauthorityKeyIdentifier=%AKI%\n" > ext
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout registry.key -subj /CN=registry -out registry.csr 2>/dev/null
openssl x509 -req -in registry.csr -CA new.crt -CAkey new.key -CAcreateserial -days 300 -extfile ext -out registry.crt 2>/dev/null
cat old.crt new.crt > oldnew.pem
cat new.crt old.crt > newold.pem
for b in oldnew newold; do
	openssl verify -CAfile $b.pem registry.crt > openssl.$b 2>&1 && echo accepted > openssl.$b || echo refused > openssl.$b
	certtool --verify --load-ca-certificate $b.pem --infile registry.crt > /dev/null 2>&1 && echo accepted > gnutls.$b || echo refused > gnutls.$b
done
`

// TestCertificatesOfTwins: two CAs of one name are a finding where OpenSSL and
// GnuTLS do not accept what both lists hold, and else not.
func TestCertificatesOfTwins(t *testing.T) {
	pkitest.NeedProgram(t, "certtool")
	for _, c := range []struct{ name, ski, aki, want, verdicts string }{
		{"no key ids", "none", "none", "certs.no-aki", "accepted refused refused accepted"},
		{"key ids of the CAs alone", "hash", "none", "certs.no-aki", "accepted refused refused accepted"},
		{"key ids", "hash", "keyid", "", "accepted accepted accepted accepted"},
		{"the leaf names its CA by serial number", "none", "issuer:always", "certs.no-aki", "accepted refused accepted accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := &yard{files: shell(t, strings.NewReplacer("%SKI%", c.ski, "%AKI%", c.aki).Replace(twins)), now: time.Now().Add(time.Minute)}
			var verdicts []string
			for _, f := range []string{"gnutls.oldnew", "gnutls.newold", "openssl.oldnew", "openssl.newold"} {
				verdicts = append(verdicts, strings.TrimSpace(string(y.file(f).Data)))
			}
			if strings.Join(verdicts, " ") != c.verdicts {
				t.Errorf("GnuTLS and OpenSSL say %v, want %s", verdicts, c.verdicts)
			}
			for _, list := range []string{"oldnew.pem", "newold.pem"} {
				y.uses = []lint.Used{
					{Subject: lint.Registry, Use: lint.ServerCert, Path: "registry.crt", Names: []string{"registry"}, Pair: "registry.key", Trust: []string{list}, Reader: -1},
					{Subject: lint.Registry, Use: lint.TrustCA, Path: list, Reader: -1},
				}
				got := ids(y.causes(t))
				got = slices.DeleteFunc(got, func(id string) bool { return id == "certs.ca-key-beside" })
				if strings.Join(got, " ") != c.want {
					t.Errorf("%s: got %v, want %s", list, got, c.want)
				}
				// Whatever the leaves are like, as when none is known.
				y.uses = y.uses[1:]
				got = ids(y.causes(t))
				if alone := slices.Contains(got, "certs.twin-cas"); alone != (c.ski == "none") {
					t.Errorf("%s alone: got %v", list, got)
				}
			}
		})
	}
}
