package lint_test

import (
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

// yard is a set of files and uses, and the time at which they are judged.
type yard struct {
	files []lint.CertFile
	uses  []lint.Used
	now   time.Time
}

// put adds a file, or replaces the one at the path.
func (y *yard) put(path string, data []byte) {
	mode := os.FileMode(0o644)
	if strings.Contains(path, "key") {
		mode = 0o600
	}
	f := lint.CertFile{Path: path, Data: data, Mode: mode, UID: 1000, GID: 1000}
	if i := slices.IndexFunc(y.files, func(f lint.CertFile) bool { return f.Path == path }); i >= 0 {
		y.files[i] = f
		return
	}
	y.files = append(y.files, f)
}

// file returns the file at a path, to be changed.
func (y *yard) file(path string) *lint.CertFile {
	i := slices.IndexFunc(y.files, func(f lint.CertFile) bool { return f.Path == path })
	return &y.files[i]
}

// use returns the first use of a kind, to be changed.
func (y *yard) use(s lint.Subject, u lint.Use) *lint.Used {
	i := slices.IndexFunc(y.uses, func(have lint.Used) bool { return have.Subject == s && have.Use == u })
	return &y.uses[i]
}

// clock is the time for crypto/tls.
func (y *yard) clock() func() time.Time { return func() time.Time { return y.now } }

func (y *yard) findings() []lint.Finding { return lint.Certificates(y.files, y.uses, y.now) }

// causes returns what is left of the findings, and fails where one names no rule
// or lacks what a person needs.
func (y *yard) causes(t *testing.T) []lint.Finding {
	t.Helper()
	rules := lint.CertRules()
	kept, _ := lint.Causes(rules, y.findings())
	for _, f := range kept {
		if !slices.ContainsFunc(rules, func(r lint.Rule) bool { return r.ID == f.Rule }) {
			t.Errorf("no rule %q", f.Rule)
		}
		if f.Problem == "" || f.Mend == "" || f.File == "" || f.Edits != nil || strings.HasSuffix(f.Problem, ".") || strings.Contains(f.Problem, "%!") || strings.Contains(f.Problem, `""`) {
			t.Errorf("not fit for people: %+v", f)
		}
	}
	return kept
}

func ids(findings []lint.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Rule)
	}
	return out
}

func severity(id string) lint.Severity {
	for _, r := range lint.CertRules() {
		if r.ID == id {
			return r.Severity
		}
	}
	return ""
}

func keyPEM(t *testing.T, kp *pki.KeyPair) []byte {
	t.Helper()
	out, err := kp.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func certPEM(kp *pki.KeyPair) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kp.Cert.Raw})
}

// authorities are those of a [sound] yard.
type authorities struct{ servers, clients *pkitest.CA }

// sound returns what we make ourselves: a registry, and a builder with mutual TLS.
func sound(t *testing.T) (*yard, authorities) {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := authorities{pkitest.New(t, now), pkitest.New(t, now)}
	y := &yard{now: now}
	y.put("ca/ca.crt", a.servers.Trust().PEM())
	y.put("ca/ca.key", keyPEM(t, a.servers.Pair))
	y.put("registry/registry.crt", a.servers.Server(t, "registry", "localhost", "127.0.0.1").CertPEM())
	reg := a.servers.Server(t, "registry", "localhost", "127.0.0.1")
	y.put("registry/registry.crt", reg.CertPEM())
	y.put("registry/registry.key", keyPEM(t, reg))
	srv := a.servers.Server(t, "buildkit", "localhost")
	y.put("buildkit/server.crt", srv.CertPEM())
	y.put("buildkit/server.key", keyPEM(t, srv))
	y.put("buildkit/clients.crt", a.clients.Trust().PEM())
	client := a.clients.Client(t, "dev")
	y.put("client/ca.pem", a.servers.Trust().PEM())
	y.put("client/cert.pem", client.CertPEM())
	y.put("client/key.pem", keyPEM(t, client))
	y.uses = []lint.Used{
		{Subject: lint.Registry, Use: lint.ServerCert, Path: "registry/registry.crt", Names: []string{"registry", "localhost", "127.0.0.1"}, Reader: 1000, Pair: "registry/registry.key", Trust: []string{"ca/ca.crt"}, File: "config.yml", Line: 7, Object: "http.tls.certificate"},
		{Subject: lint.Registry, Use: lint.ServerKey, Path: "registry/registry.key", Reader: 1000, File: "config.yml", Line: 8, Object: "http.tls.key"},
		{Subject: lint.Registry, Use: lint.TrustCA, Path: "ca/ca.crt", Reader: 0, File: "buildkitd.toml", Line: 12, Object: `registry."registry:5000".ca[0]`},
		{Subject: lint.Builder, Use: lint.ServerCert, Path: "buildkit/server.crt", Names: []string{"buildkit", "localhost"}, Reader: 0, Pair: "buildkit/server.key", Trust: []string{"client/ca.pem"}, File: "buildkitd.toml", Line: 3, Object: "grpc.tls.cert"},
		{Subject: lint.Builder, Use: lint.ServerKey, Path: "buildkit/server.key", Reader: 0, File: "buildkitd.toml", Line: 4, Object: "grpc.tls.key"},
		{Subject: lint.Builder, Use: lint.ClientCA, Path: "buildkit/clients.crt", Reader: 0, File: "buildkitd.toml", Line: 5, Object: "grpc.tls.ca"},
		{Subject: lint.Builder, Use: lint.TrustCA, Path: "client/ca.pem", Reader: 1000},
		{Subject: lint.Builder, Use: lint.ClientCert, Path: "client/cert.pem", Reader: 1000, Pair: "client/key.pem", Trust: []string{"buildkit/clients.crt"}},
		{Subject: lint.Builder, Use: lint.ClientKey, Path: "client/key.pem", Reader: 1000},
	}
	return y, a
}

// TestCertificatesOfOurs: what we make has no finding at all, and neither has it
// with an issuing CA in between.
func TestCertificatesOfOurs(t *testing.T) {
	y, a := sound(t)
	if got := y.findings(); len(got) > 0 {
		t.Errorf("sound: %+v", got)
	}
	reg := a.servers.Issuing(t).Server(t, "registry", "localhost", "127.0.0.1")
	y.put("registry/registry.crt", reg.CertPEM())
	y.put("registry/registry.key", keyPEM(t, reg))
	if got := y.findings(); len(got) > 0 {
		t.Errorf("with an issuing CA: %+v", got)
	}
}

// shell runs the commands of a tutorial in a directory and returns its files.
func shell(t *testing.T, script string) []lint.CertFile {
	t.Helper()
	pkitest.NeedProgram(t, "openssl")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return readDir(t, dir)
}

// readDir reads files as a caller of the package does.
func readDir(t *testing.T, dir string) []lint.CertFile {
	t.Helper()
	var out []lint.CertFile
	err := filepath.WalkDir(dir, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		rel, _ := filepath.Rel(dir, file)
		out = append(out, lint.CertFile{Path: filepath.ToSlash(rel), Data: data, Mode: info.Mode(), UID: 1000, GID: 1000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// show prints findings for a failing test.
func show(findings []lint.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "\n  %s [%s] %s:%d %s\n    %s\n    -> %s", f.Rule, f.Subject, f.File, f.Line, f.Object, f.Problem, f.Mend)
	}
	return b.String()
}

// TestCertificatesStandWhereTheyAreUsed: what a config has to change is told with
// its line, and what is wrong with a file with the file.
func TestCertificatesStandWhereTheyAreUsed(t *testing.T) {
	y, a := sound(t)
	y.use(lint.Registry, lint.ServerCert).Names = []string{"registry", "build.lan", "10.1.2.3"}
	y.use(lint.Registry, lint.ServerKey).Path = "registry/gone.key"
	y.file("buildkit/server.key").Mode = 0o644
	y.put("ca/ca.crt", a.servers.Twin(t).Trust().PEM())
	type place struct {
		rule    string
		subject lint.Subject
		file    string
		line    int
		object  string
	}
	want := []place{
		{"certs.missing", lint.Registry, "config.yml", 8, "http.tls.key"},
		{"certs.same-subject", lint.Registry, "buildkitd.toml", 12, `registry."registry:5000".ca[0]`},
		{"certs.names", lint.Registry, "config.yml", 7, "http.tls.certificate"},
		{"certs.key-mode", lint.Builder, "buildkit/server.key", 0, ""},
	}
	var got []place
	for _, f := range y.causes(t) {
		got = append(got, place{f.Rule, f.Subject, f.File, f.Line, f.Object})
		if f.Rule == "certs.names" && !strings.Contains(f.Problem, "(registry/registry.crt) is not valid for build.lan, 10.1.2.3: clients") {
			t.Errorf("not all names: %s", f.Problem)
		}
		if f.Rule == "certs.names" && !strings.Contains(f.Mend, "DNS:localhost,DNS:registry,IP:127.0.0.1,DNS:build.lan,IP:10.1.2.3") {
			t.Errorf("the names that were there are lost: %s", f.Mend)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestCertificatesOfLists: the files of one list are judged together, and each list
// by itself.
func TestCertificatesOfLists(t *testing.T) {
	y, a := sound(t)
	y.put("ca/old.crt", a.clients.Trust().PEM())
	y.use(lint.Registry, lint.ServerCert).Trust = []string{"ca/ca.crt", "ca/old.crt"}
	y.uses = append(y.uses, lint.Used{Subject: lint.Registry, Use: lint.TrustCA, Path: "ca/old.crt", Reader: 0, File: "buildkitd.toml", Line: 12, Object: `registry."registry:5000".ca[1]`})
	if got := y.causes(t); len(got) > 0 {
		t.Errorf("one list:%s", show(got))
	}
	whole := y.file("ca/ca.crt").Data
	y.file("ca/ca.crt").Data = der(whole) // what else is wrong is not known then
	if got := y.causes(t); !slices.Equal(ids(got), []string{"certs.not-pem"}) {
		t.Errorf("one list, half of it spoiled:%s", show(got))
	}
	y.file("ca/ca.crt").Data = whole
	y.uses[len(y.uses)-1].Object = `registry."localhost:5005".ca[0]`
	if got := y.causes(t); !slices.Equal(ids(got), []string{"certs.chain"}) || got[0].Object != `registry."localhost:5005".ca[0]` {
		t.Errorf("two lists:%s", show(got))
	}
}

// TestCertificatesOfBoth: a file that both daemons use is one finding about none
// of them alone.
func TestCertificatesOfBoth(t *testing.T) {
	y, a := sound(t)
	expired := a.servers.ExpiredServer(t, "registry", "localhost", "127.0.0.1", "buildkit")
	y.serve(t, expired)
	y.put("buildkit/server.crt", nil)
	for _, u := range []lint.Use{lint.ServerCert, lint.ServerKey} {
		y.use(lint.Builder, u).Path, y.use(lint.Builder, u).Pair = y.use(lint.Registry, u).Path, y.use(lint.Registry, u).Pair
	}
	got := y.causes(t)
	if !slices.Equal(ids(got), []string{"certs.expired"}) || got[0].Subject != "" {
		t.Error(show(got))
	}
	y.put(y.use(lint.Registry, lint.ServerCert).Path, nil)
	got = y.causes(t)
	if !slices.Equal(ids(got), []string{"certs.not-pem"}) || got[0].Subject != "" {
		t.Error(show(got))
	}
}
