package lint_test

import (
	"io/fs"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

// FuzzCertificates: whatever the files hold, there are findings or none, and no
// panic. What is guessed can be judged too.
func FuzzCertificates(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca := pkitest.New(f, now)
	server := ca.Issuing(f).Server(f, "registry", "127.0.0.1")
	key, err := server.KeyPEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(server.CertPEM(), key, "registry", uint32(0o600))
	f.Add(server.CertPEM(), append(key, ca.Trust().PEM()...), "127.0.0.1", uint32(0o644))
	f.Add(server.Cert.Raw, asUTF16(key), "[::1]", uint32(0o777))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte{0x30, 0}, "*.x", uint32(0))
	f.Fuzz(func(t *testing.T, one, two []byte, name string, mode uint32) {
		files := []lint.CertFile{
			{Path: "registry.crt", Data: one, Mode: fs.FileMode(mode), UID: -1, GID: -1},
			{Path: "registry.key", Data: two, Mode: fs.FileMode(mode), UID: 0, GID: 0},
			{Path: "ca.crt", Data: two, UID: 1000},
		}
		uses := lint.Guess(files, map[lint.Subject][]string{lint.Registry: {name}})
		for _, u := range uses {
			if u.Path == "" || u.Use == "" {
				t.Errorf("guessed %+v", u)
			}
		}
		for _, use := range []lint.Use{lint.ServerCert, lint.ServerKey, lint.ClientCA, lint.TrustCA, lint.ClientCert, lint.ClientKey} {
			uses = append(uses, lint.Used{Subject: lint.Builder, Use: use, Path: "registry.crt", Names: []string{name, ""}, Reader: 1000, Pair: "registry.key", Trust: []string{"ca.crt", "registry.crt", "none"}})
		}
		for _, finding := range lint.Certificates(files, uses, now) {
			if finding.Problem == "" || finding.Mend == "" || severity(finding.Rule) == "" {
				t.Errorf("not fit for people: %+v", finding)
			}
		}
	})
}
