// Package remotetest starts a real cfssl server for tests.
package remotetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
)

// AuthKey is the server's authentication key.
const AuthKey = "0123456789abcdef0123456789abcdef"

// config signs servers by default. The profile "clients" signs clients whatever
// is asked for, "nameless" leaves names out.
const config = `{"signing": {
	"default": {"expiry": "720h", "usages": ["digital signature", "server auth"], "auth_key": "k"},
	"profiles": {
		"clients": {"expiry": "720h", "usages": ["digital signature", "client auth"], "auth_key": "k"},
		"nameless": {"expiry": "720h", "usages": ["digital signature", "server auth"], "auth_key": "k",
			"CSRWhitelist": {"Subject": true, "PublicKey": true, "PublicKeyAlgorithm": true, "SignatureAlgorithm": true}}}},
	"auth_keys": {"k": {"type": "standard", "key": "` + AuthKey + `"}}}`

// Serve runs "cfssl serve" with the CA until the test ends, with a TLS
// certificate of the CA for localhost, and returns its address. The binary is
// what scripts/tools builds, in tools; without it the test is skipped, or fails
// where everything is required.
func Serve(t testing.TB, tools string, ca *pkitest.CA) string {
	t.Helper()
	binary := filepath.Join(tools, "cfssl")
	if _, err := os.Stat(binary); err != nil {
		if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
			t.Fatalf("cfssl is required (scripts/tools builds it): %v", err)
		}
		t.Skipf("needs cfssl: %v", err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := ca.Server(t, "localhost")
	caKey, err := ca.Pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	key, err := server.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	start(t, exec.Command(binary, "serve", "-address", "127.0.0.1", "-port", port,
		"-ca", write("ca.pem", ca.Pair.CertPEM()), "-ca-key", write("ca.key", caKey), "-config", write("config.json", []byte(config)),
		"-tls-cert", write("tls.pem", server.CertPEM()), "-tls-key", write("tls.key", key)))
	address := "localhost:" + port
	for range 400 {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.Trust().Pool()})
		if err == nil {
			conn.Close()
			return "https://" + address
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("cfssl does not answer")
	return ""
}

// start runs a command until the test ends, and shows what it said when the
// test has failed.
func start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(t.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
