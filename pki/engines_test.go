package pki_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// question is what a peer asks an engine: is this pair good for the host and
// the role, now, if these are trusted?
type question struct {
	pair  *pki.KeyPair
	trust []*x509.Certificate
	host  string // of a server; "" of a client
	role  pki.Role
}

// engine is one verifier. It returns why it refuses, and nil if it accepts.
type engine struct {
	name string
	tool string   // the command, "" for none
	only pki.Role // the only role that it judges, "" for both
	ask  func(t *testing.T, q question) error
}

func engines() []engine {
	return []engine{
		{"Go", "", "", askGo},
		{"OpenSSL", "openssl", "", askOpenSSL},
		{"GnuTLS", "certtool", "", askGnuTLS},
		{"NSS certutil", "certutil", "", askCertutil},
		{"NSS tstclnt", "tstclnt", pki.RoleServer, askTstclnt},
	}
}

// needTools fails the test without the engines where everything is required, as
// in CI, and skips it elsewhere.
func needTools(t *testing.T) {
	t.Helper()
	for _, e := range engines() {
		if e.tool != "" {
			pkitest.NeedProgram(t, e.tool)
		}
	}
}

func askGo(_ *testing.T, q question) error {
	usage := x509.ExtKeyUsageServerAuth
	if q.role == pki.RoleClient {
		usage = x509.ExtKeyUsageClientAuth
	}
	_, err := q.pair.Cert.Verify(x509.VerifyOptions{
		Roots: pki.NewTrustBundle(q.trust...).Pool(), Intermediates: pki.NewTrustBundle(q.pair.Chain...).Pool(),
		KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err == nil && q.host != "" {
		err = q.pair.Cert.VerifyHostname(q.host)
	}
	return err
}

func askOpenSSL(t *testing.T, q question) error {
	purpose := map[pki.Role]string{pki.RoleServer: "sslserver", pki.RoleClient: "sslclient"}[q.role]
	args := []string{"verify", "-x509_strict", "-purpose", purpose, "-no-CApath", "-no-CAstore", "-CAfile", certsFile(t, q.trust...)}
	if len(q.pair.Chain) > 0 {
		args = append(args, "-untrusted", certsFile(t, q.pair.Chain...))
	}
	switch {
	case net.ParseIP(q.host) != nil:
		args = append(args, "-verify_ip", q.host)
	case q.host != "":
		args = append(args, "-verify_hostname", q.host)
	}
	return runTool(t, "openssl", append(args, certsFile(t, q.pair.Cert))...)
}

func askGnuTLS(t *testing.T, q question) error {
	purpose := map[pki.Role]string{pki.RoleServer: "1.3.6.1.5.5.7.3.1", pki.RoleClient: "1.3.6.1.5.5.7.3.2"}[q.role]
	args := []string{"--verify", "--load-ca-certificate", certsFile(t, q.trust...), "--infile", certsFile(t, q.pair.Certs()...), "--verify-purpose", purpose}
	if q.host != "" {
		args = append(args, "--verify-hostname", q.host)
	}
	return runTool(t, "certtool", args...)
}

// askCertutil has NSS judge chain, usage and time.
func askCertutil(t *testing.T, q question) error {
	usage := map[pki.Role]string{pki.RoleServer: "V", pki.RoleClient: "C"}[q.role]
	db := newNSSDatabase(t, q.trust)
	nickname := ""
	for i, cert := range q.pair.Certs() {
		if at := slices.IndexFunc(q.trust, cert.Equal); i == 0 && at >= 0 { // a server that signs itself
			nickname = trustedName(at)
			continue
		}
		db.add(t, fmt.Sprintf("shown%d", i), ",,", cert)
	}
	if nickname == "" {
		nickname = "shown0"
	}
	fmt.Fprintf(&db.batch, "-V -d %s -n %s -u %s -e\n", db.name, nickname, usage)
	out, err := db.run(t)
	if err == nil && !strings.Contains(out, "certificate is valid") {
		t.Fatalf("certutil judged nothing: %s", out)
	}
	return err
}

// askTstclnt has a client of NSS shake hands with a server that shows the pair.
func askTstclnt(t *testing.T, q question) error {
	db := newNSSDatabase(t, q.trust)
	if _, err := db.run(t); err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{q.pair.TLS()}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serveOne(listener) }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	err = runTool(t, "tstclnt", "-4", "-h", "127.0.0.1", "-p", port, "-a", q.host, "-d", db.name, "-V", "tls1.2:", "-Q")
	if closed := listener.Close(); closed != nil {
		t.Fatal(closed)
	}
	// What the server saw says whether the client got as far as to judge.
	if s := <-served; err == nil && s != nil {
		t.Fatalf("tstclnt is content, and the server says %v", s)
	}
	return err
}

// serveOne shakes hands with one client and waits until it has gone.
func serveOne(listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	return conn.(*tls.Conn).Handshake()
}

// nssDatabase is a database of NSS, and what certutil has to do with it. One
// process does all of it.
type nssDatabase struct {
	dir, name string
	batch     bytes.Buffer
}

// newNSSDatabase begins a database in which the certificates are trusted, for
// servers and for clients.
func newNSSDatabase(t *testing.T, trust []*x509.Certificate) *nssDatabase {
	t.Helper()
	dir := memoryDir(t)
	db := &nssDatabase{dir: dir, name: "sql:" + dir}
	fmt.Fprintf(&db.batch, "-N -d %s --empty-password\n", db.name)
	for i, cert := range trust {
		db.add(t, trustedName(i), "CT,,", cert)
	}
	return db
}

func trustedName(i int) string { return fmt.Sprintf("trusted%d", i) }

func (db *nssDatabase) add(t *testing.T, nickname, trust string, cert *x509.Certificate) {
	t.Helper()
	fmt.Fprintf(&db.batch, "-A -d %s -n %s -t %s -i %s\n", db.name, nickname, trust, certsFile(t, cert))
}

func (db *nssDatabase) run(t *testing.T) (string, error) {
	t.Helper()
	file := filepath.Join(db.dir, "batch")
	if err := os.WriteFile(file, db.batch.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return toolOutput(t, "certutil", "-B", "-d", db.name, "-i", file)
}

// memoryDir is a directory that takes no time to be synced, where there is one:
// NSS syncs each of its databases many times.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "certyard-nss-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// nssVersion returns the version of NSS, as 3.87.
func nssVersion(t *testing.T) (major, minor int) {
	t.Helper()
	db := newNSSDatabase(t, nil)
	if _, err := db.run(t); err != nil {
		t.Fatal(err)
	}
	out, err := toolOutput(t, "modutil", "-force", "-dbdir", db.name, "-list", "NSS Internal PKCS #11 Module")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(out, "Library Version: ")
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("reading NSS's version: %v in %s", err, out)
	}
	return major, minor
}

func certsFile(t *testing.T, certs ...*x509.Certificate) string {
	t.Helper()
	var data []byte
	for _, cert := range certs {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	path := filepath.Join(t.TempDir(), "certs.pem")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func runTool(t *testing.T, name string, args ...string) error {
	t.Helper()
	_, err := toolOutput(t, name, args...)
	return err
}

func toolOutput(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ctx.Err() != nil {
		t.Fatalf("running %s: %v, %v", name, err, ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %s", err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
