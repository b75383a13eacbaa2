package lifecycle_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/pki/remote"
	"github.com/certyard/certyard/pki/remote/remotetest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

const testPassphrase = "correct horse battery staple"

// withFiles adds what reads the user's files, as the command wires it.
func withFiles(d lifecycle.Deps) lifecycle.Deps {
	d.Given = func(path string, secret bool) ([]byte, error) {
		if secret {
			return state.ReadPrivate(path)
		}
		return state.ReadPublic(path)
	}
	d.Passphrase = func(stack.PKISpec, bool) ([]byte, error) { return []byte(testPassphrase), nil }
	d.Remote = func(spec stack.RemoteSpec) (lifecycle.RemoteAuthority, error) {
		roots, err := state.ReadPublic(spec.CA)
		if err != nil {
			return nil, err
		}
		bundle, err := pki.ParseTrustBundle(roots)
		if err != nil {
			return nil, err
		}
		key, err := state.ReadPrivate(spec.AuthKeyFile)
		if err != nil {
			return nil, err
		}
		return remote.New(remote.Options{URL: spec.URL, Roots: bundle, AuthKey: string(key), Profile: spec.Profile})
	}
	return d
}

// company is a CA that a user brings: a root, and an issuing CA below it.
type company struct {
	dir           string
	root, issuing *pkitest.CA
}

func newCompany(t *testing.T) company {
	t.Helper()
	root := pkitest.New(t, time.Now())
	c := company{dir: t.TempDir(), root: root, issuing: root.Issuing(t)}
	c.write(t, "root.pem", root.Pair.CertPEM(), 0o644)
	c.write(t, "root.key", keyOf(t, root.Pair), 0o600)
	c.write(t, "ca.pem", c.issuing.Pair.CertPEM(), 0o644)
	c.write(t, "ca.key", keyOf(t, c.issuing.Pair), 0o600)
	return c
}

func (c company) at(name string) string { return filepath.Join(c.dir, name) }

func (c company) write(t *testing.T, name string, data []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(c.at(name), data, mode); err != nil {
		t.Fatal(err)
	}
}

func keyOf(t *testing.T, kp *pki.KeyPair) []byte {
	t.Helper()
	key, err := kp.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// cfssl starts a real "cfssl serve" that signs with the company's root, and
// returns its address.
func (c company) cfssl(t *testing.T) string {
	t.Helper()
	c.write(t, "auth.hex", []byte(remotetest.AuthKey+"\n"), 0o600)
	return remotetest.Serve(t, "../../bin/tools", c.root)
}

// TestIntegrationAuthorities: each authority brings up the same stack, passes
// the same proof as the first one, and has nothing to do the second time.
func TestIntegrationAuthorities(t *testing.T) {
	var proof []string // the checks of local
	for _, a := range []struct {
		name   string
		config func(*testing.T, company) stack.PKIConfig
	}{
		{"local", func(*testing.T, company) stack.PKIConfig { return stack.PKIConfig{} }},
		{"two-tier", func(*testing.T, company) stack.PKIConfig { return stack.PKIConfig{Hierarchy: "two-tier"} }},
		{"encrypted", func(*testing.T, company) stack.PKIConfig { return stack.PKIConfig{CAKeys: "encrypted"} }},
		{"files", func(_ *testing.T, c company) stack.PKIConfig {
			return stack.PKIConfig{Authority: "files", CACert: c.at("ca.pem"), CAKey: c.at("ca.key")}
		}},
		{"external", func(_ *testing.T, c company) stack.PKIConfig {
			return stack.PKIConfig{Authority: "external", CACert: c.at("root.pem")}
		}},
		{"remote", func(t *testing.T, c company) stack.PKIConfig {
			return stack.PKIConfig{Authority: "remote", Remote: stack.RemoteConfig{URL: c.cfssl(t), CA: c.at("root.pem"), AuthKeyFile: c.at("auth.hex")}}
		}},
		{"self-signed", func(*testing.T, company) stack.PKIConfig { return stack.PKIConfig{Authority: "self-signed"} }},
	} {
		t.Run(a.name, func(t *testing.T) {
			d, config := realDeps(t)
			d, c := withFiles(d), newCompany(t)
			config.PKI, config.Builder.TLS = a.config(t, c), "mutual"
			spec := newSpec(t, config)
			if a.name == "external" {
				signRequests(t, d, spec, c)
			}
			first := up(t, d, spec)
			before := snapshot(t, d.Store.Root())
			second := up(t, d, spec)
			if len(second.Written) > 0 || snapshot(t, d.Store.Root()) != before {
				t.Errorf("the second up wrote %v", second.Written)
			}
			if proof == nil { // of local, unless the run was narrowed down
				proof = checkIDs(first.Report, spec)
			}
			for _, got := range [][]string{checkIDs(first.Report, spec), checkIDs(second.Report, spec)} {
				if len(got) < 30 || !slices.Equal(got, proof) {
					t.Errorf("the checks are %q, want those of local: %q", got, proof)
				}
			}
			checkKeysStay(t, d, c)
		})
	}
}

// checkIDs returns what was checked, sorted. Each stack has another name, and so
// have its containers.
func checkIDs(r *stack.Report, spec stack.Spec) []string {
	var out []string
	for _, c := range r.Checks {
		out = append(out, strings.ReplaceAll(c.ID, spec.Name, "NAME"))
	}
	slices.Sort(out)
	return out
}

// checkKeysStay: no key of the user's CA is in the state directory.
func checkKeysStay(t *testing.T, d lifecycle.Deps, c company) {
	t.Helper()
	for _, key := range []string{"ca.key", "root.key"} {
		secret, err := os.ReadFile(c.at(key))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(secret)
		err = filepath.WalkDir(d.Store.Root(), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if found, _ := pem.Decode(data); found != nil && bytes.Equal(found.Bytes, block.Bytes) {
				t.Errorf("%s holds the user's %s", path, key)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// signRequests is the external CA: it signs what the requests ask for with its
// issuing CA, and sends the certificate and the issuing CA's, in that order or
// in the other.
func signRequests(t *testing.T, d lifecycle.Deps, spec stack.Spec, c company) {
	t.Helper()
	_, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{})
	if _, ok := errors.AsType[*pki.UnsignedError](err); !ok {
		t.Fatalf("up without certificates: %v", err)
	}
	requests, err := lifecycle.Requests(t.Context(), d, spec, false)
	if err != nil || len(requests) != 2 {
		t.Fatalf("requests: %v, %v", requests, err)
	}
	var signed []lifecycle.Signed
	for i, r := range requests {
		leaf, issuing := c.sign(t, r.PEM), certOf(c.issuing.Pair.Cert)
		data := append(slices.Clone(leaf), issuing...)
		if i == 1 {
			data = append(slices.Clone(issuing), leaf...)
		}
		signed = append(signed, lifecycle.Signed{File: r.Leaf + ".pem", Data: data})
	}
	if _, err := lifecycle.Import(t.Context(), d, spec, signed); err != nil {
		t.Fatalf("import: %v", err)
	}
	if again, err := lifecycle.Requests(t.Context(), d, spec, false); err != nil || len(again) > 0 {
		t.Errorf("after the import there is still to sign: %v, %v", again, err)
	}
}

func certOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// sign does what CAs do: it takes names, usages and key from the request.
func (c company) sign(t *testing.T, csrPEM []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(csrPEM)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: csr.Subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
	}, c.issuing.Pair.Cert, csr.PublicKey, c.issuing.Pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestIntegrationClients: a client that was added is let in at once; one that
// was removed is refused, the others are let in with the keys that they have,
// and trust in the servers is what it was.
func TestIntegrationClients(t *testing.T) {
	d, config := realDeps(t)
	d = withFiles(d)
	config.Builder.TLS = "mutual"
	spec := newSpec(t, config)
	up(t, d, spec)
	trust := read(t, d, stack.FileClientCA)
	for _, name := range []string{"bob", "ci"} {
		if _, _, err := lifecycle.AddClient(t.Context(), d, name, 0); err != nil {
			t.Fatalf("adding %s: %v", name, err)
		}
	}
	bob := pairOf(t, d, stack.ClientLeaf("bob"))
	letsIn(t, d, bob, true)
	letsIn(t, d, pairOf(t, d, stack.ClientLeaf("ci")), true)
	key := read(t, d, stack.ServeDaemon.PairOf(stack.ClientLeaf("ci")).Key)

	res, err := lifecycle.RemoveClients(t.Context(), d, []string{"bob"}, true)
	if err != nil || !res.Report.OK() {
		t.Fatalf("removing bob: %v, %+v", err, res.Report)
	}
	if !slices.ContainsFunc(res.Report.Checks, func(c stack.Check) bool { return strings.Contains(c.Title, "replaced CA") && c.Outcome == stack.Holds }) {
		t.Error("the proof does not show that the replaced CA's clients are refused")
	}
	letsIn(t, d, bob, false)
	letsIn(t, d, pairOf(t, d, stack.ClientLeaf("ci")), true)
	if !bytes.Equal(read(t, d, stack.ServeDaemon.PairOf(stack.ClientLeaf("ci")).Key), key) {
		t.Error("the client that stays has another key")
	}
	if !bytes.Equal(read(t, d, stack.FileClientCA), trust) {
		t.Error("trust in the servers has changed")
	}
	for _, path := range []string{stack.DirRetired, stack.DirClients + "/bob"} {
		if _, err := os.Stat(at(d, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	var record stack.State
	if err := json.Unmarshal(read(t, d, stack.FileState), &record); err != nil || record.Clients.Generation != 2 || len(record.Retired) > 0 {
		t.Errorf("the record says %+v, retired %v (%v)", record.Clients, record.Retired, err)
	}
	if n := len(slices.DeleteFunc(record.Issued, func(i stack.Issued) bool { return i.Name != stack.ClientLeaf("bob") })); n != 1 {
		t.Errorf("bob's certificate is recorded %d times", n)
	}
	if again := up(t, d, spec); len(again.Written) > 0 {
		t.Errorf("the next up wrote %v", again.Written)
	}
}

func read(t *testing.T, d lifecycle.Deps, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(at(d, path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pairOf(t *testing.T, d lifecycle.Deps, leaf string) tls.Certificate {
	t.Helper()
	files := stack.ServeDaemon.PairOf(leaf)
	pair, err := tls.X509KeyPair(read(t, d, files.Cert), read(t, d, files.Key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// letsIn dials the builder with a client certificate. With TLS 1.3 a refusal
// comes with the first read (P22); a builder that lets us in sends its settings.
func letsIn(t *testing.T, d lifecycle.Deps, pair tls.Certificate, want bool) {
	t.Helper()
	s, err := stack.ParseState(read(t, d, stack.FileState))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pki.ParseTrustBundle(read(t, d, stack.FileClientCA))
	if err != nil {
		t.Fatal(err)
	}
	e := s.Spec.HostEndpoints(stack.Builder, s.Facts)[0]
	conn, err := tls.Dial("tcp", e.Address(), &tls.Config{
		RootCAs: trust.Pool(), NextProtos: []string{"h2"},
		// Also a certificate of a CA that the server does not list.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	})
	if err == nil {
		defer conn.Close()
		if err = conn.SetDeadline(time.Now().Add(10 * time.Second)); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
	}
	if want != (err == nil) {
		t.Errorf("let in is %v, want %v: %v", err == nil, want, err)
	}
}

// TestIntegrationOfflineRoot: with the root's key in a safe, the stack goes on;
// only a new issuing CA needs it.
func TestIntegrationOfflineRoot(t *testing.T) {
	d, config := realDeps(t)
	d = withFiles(d)
	config.PKI.Hierarchy = "two-tier"
	spec := newSpec(t, config)
	up(t, d, spec)
	safe := t.TempDir()
	key := read(t, d, stack.FileCAKey)
	export := func(files []stack.File) error { return state.Export(safe, files) }
	if err := lifecycle.ExportRoot(t.Context(), d, export); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(safe, "ca.key")); err != nil || !bytes.Equal(kept, key) {
		t.Errorf("the safe does not have the key: %v", err)
	}
	if _, err := os.Stat(at(d, stack.FileCAKey)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key is still here: %v", err)
	}
	if _, ok := errors.AsType[*pki.OfflineError](lifecycle.ExportRoot(t.Context(), d, export)); !ok {
		t.Error("the root is exported twice")
	}
	config.Registry.Hosts = []string{"more.lan"}
	if res := up(t, d, newSpec(t, config)); !slices.Contains(res.Written, stack.FileRegistryCert) {
		t.Errorf("the issuing CA has issued nothing: %v", res.Written)
	}
	for _, file := range []string{stack.FileIssuingCert, stack.FileIssuingKey} {
		if err := os.Remove(at(d, file)); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshot(t, d.Store.Root())
	_, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{})
	if _, ok := errors.AsType[*pki.OfflineError](err); !ok {
		t.Errorf("a new issuing CA without the root: %v", err)
	}
	if snapshot(t, d.Store.Root()) != before {
		t.Error("the refused up has changed files")
	}
}
