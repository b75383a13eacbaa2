package pki

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
	_ "github.com/zmap/zlint/v3/lints/rfc" // registers them
)

// rfc5280 are zlint's lints from RFC 5280. The other sources are rules for CAs
// that browsers ship, which a private CA does not follow; the tests hold what
// is issued against all of them, with a reviewed list of exceptions.
//
// They are run one by one here: zlint makes a map of all results, of which
// issuing wants those that are none.
var rfc5280 = sync.OnceValue(func() []*lint.CertificateLint {
	return lint.GlobalRegistry().CertificateLints().BySource(lint.RFC5280)
})

// Lint returns every finding of zlint's RFC 5280 lints, of any level, sorted.
func Lint(cert *x509.Certificate) []Finding {
	subject := cert.Subject.CommonName
	parsed, err := zx509.ParseCertificate(cert.Raw)
	if err != nil {
		return []Finding{{subject, "cannot be linted: " + err.Error()}}
	}
	var out []Finding
	config := lint.GlobalRegistry().GetConfiguration()
	for _, l := range rfc5280() {
		if result := l.Execute(parsed, config); result.Status > lint.Pass {
			problem := strings.TrimSpace(fmt.Sprintf("lint %s: %s %s", l.Name, result.Status, result.Details))
			out = append(out, Finding{subject, problem})
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Problem, b.Problem) })
	return out
}
