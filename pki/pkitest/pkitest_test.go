package pkitest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// TestTLS lets the pairs shake hands, with client certificates demanded, and
// pass one byte each way: with TLS 1.3 a refusal of the client comes only with
// its first read (facts P22).
func TestTLS(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	ca, other := pkitest.New(t, now), pkitest.New(t, now)
	server, client := ca.Server(t, "registry", "127.0.0.1"), ca.Client(t, "somebody")
	for _, c := range []struct {
		name           string
		server, client *pki.KeyPair
		trust          pki.TrustBundle
		serverName     string
		wantClient     func(error) bool // what the client gets from the handshake and the read
		wantServer     func(error) bool // what the server gets
	}{
		{"by name", server, client, ca.Trust(), "registry", isNil, isNil},
		{"by address", server, client, ca.Trust(), "127.0.0.1", isNil, isNil},
		{"wrong name", server, client, ca.Trust(), "localhost", is[x509.HostnameError], isRemote},
		{"server of another CA", server, client, other.Trust(), "registry", is[x509.UnknownAuthorityError], isRemote},
		{"expired server", ca.ExpiredServer(t, "registry"), client, ca.Trust(), "registry", is[x509.CertificateInvalidError], isRemote},
		{"server of the future", ca.FutureServer(t, "registry"), client, ca.Trust(), "registry", is[x509.CertificateInvalidError], isRemote},
		{"client as server", client, client, ca.Trust(), "registry", is[x509.HostnameError], isRemote},
		{"server as client", server, server, ca.Trust(), "registry", isRemote, is[x509.CertificateInvalidError]},
		{"client of another CA", server, other.Client(t, "x"), ca.Trust(), "registry", isRemote, is[x509.UnknownAuthorityError]},
		{"expired client", server, ca.ExpiredClient(t, "x"), ca.Trust(), "registry", isRemote, is[x509.CertificateInvalidError]},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := func() time.Time { return now }
			serverErr, clientErr := talk(t,
				&tls.Config{Certificates: []tls.Certificate{c.server.TLS()}, Time: clock,
					ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Trust().Pool()},
				&tls.Config{RootCAs: c.trust.Pool(), ServerName: c.serverName, Time: clock,
					// Not Certificates: that leaves out what the server will refuse.
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						pair := c.client.TLS()
						return &pair, nil
					}})
			if !c.wantClient(clientErr) {
				t.Errorf("the client got %v", clientErr)
			}
			if !c.wantServer(serverErr) {
				t.Errorf("the server got %v", serverErr)
			}
		})
	}
}

// talk passes a byte from the client to the server and back.
func talk(t *testing.T, serverConfig, clientConfig *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err == nil {
			conn := tls.Server(raw, serverConfig)
			_, err = io.CopyN(conn, conn, 1)
			finish(raw)
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, clientConfig)
	_, clientErr = conn.Write([]byte{1})
	if clientErr == nil {
		_, clientErr = io.ReadFull(conn, make([]byte, 1))
	}
	finish(raw)
	return <-done, clientErr
}

// finish closes a connection only when the other side has closed its half: the
// kernel answers unread bytes with a reset, which would destroy the alert that
// the other side is about to read.
func finish(raw net.Conn) {
	_ = raw.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, raw)
	_ = raw.Close()
}

func isNil(err error) bool { return err == nil }

func is[E error](err error) bool { return errors.As(err, new(E)) }

// isRemote: the other side has sent an alert.
func isRemote(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func TestPairs(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	narrow := pkitest.NewConstrained(t, now, pki.Constraints{DNS: []string{"registry"}})
	if findings := pki.VerifyCA(narrow.Pair, now); findings != nil {
		t.Errorf("got %v", findings)
	}
	if got := pki.ConstraintsOf(narrow.Pair.Cert).DNS; len(got) != 1 || got[0] != "registry" {
		t.Errorf("got constraints %v", got)
	}
	expired := pkitest.New(t, now.AddDate(-20, 0, 0))
	var want *pki.CAExpiredError
	_, err := pki.Diff(pki.Plan{CAs: []pki.CAPlan{{Name: pki.CAName, Stack: "x", Key: pki.ECDSAP256, Validity: time.Hour}}},
		pki.Material{CAs: map[string]*pki.KeyPair{pki.CAName: expired.Pair}}, now)
	if !errors.As(err, &want) {
		t.Errorf("got %v, want an expired CA", err)
	}
}
