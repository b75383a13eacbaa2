package lifecycle_test

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// visitor is a client's connection to the builder, after HTTP/2's first words.
type visitor struct {
	conn  *tls.Conn
	error error
}

// visit connects as a client, and says and hears enough to know whether it is
// let in: with TLS 1.3 the handshake alone does not tell (P22).
func visit(t *testing.T, d lifecycle.Deps, address string, as *pki.KeyPair) visitor {
	t.Helper()
	data, err := os.ReadFile(at(d, stack.FileClientCA))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pki.ParseTrustBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trust.Pool(), NextProtos: []string{"h2"}, Certificates: []tls.Certificate{as.TLS()}})
	if err != nil {
		return visitor{error: err}
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// RFC 9113, section 3.4: the preface and empty settings; the answer begins
	// with settings.
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return visitor{error: err}
	}
	_, err = io.ReadFull(conn, make([]byte, 9))
	return visitor{conn, err}
}

func (v visitor) err() error { return v.error }

// closed wants the connection to be closed by the other side.
func (v visitor) closed(t *testing.T) {
	t.Helper()
	if v.error != nil {
		t.Fatal(v.error)
	}
	_, err := io.Copy(io.Discard, v.conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

func clientPair(t *testing.T, d lifecycle.Deps, name string) *pki.KeyPair {
	t.Helper()
	files := stack.ClientPair(stack.ClientLeaf(name))
	var pair pki.PEMPair
	for path, to := range map[string]*[]byte{files.Cert: &pair.Cert, files.Key: &pair.Key} {
		data, err := os.ReadFile(at(d, path))
		if err != nil {
			t.Fatal(err)
		}
		*to = data
	}
	kp, err := pair.Parse()
	if err != nil {
		t.Fatal(err)
	}
	return kp
}
