package pkitest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
)

// A CA in memory, a server that it signed, and a client that the server asks for
// a certificate. In a test give its t to the functions of pkitest.
func ExampleCA() {
	var t stand
	ca := pkitest.New(t, time.Now())
	server, client := ca.Server(t, "registry.test", "127.0.0.1"), ca.Client(t, "bob")

	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{server.TLS()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.Trust().Pool(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go greet(listener)

	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{
		RootCAs: ca.Trust().Pool(), Certificates: []tls.Certificate{client.TLS()},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	// With TLS 1.3 a client learns only from what it reads whether it was let in.
	hello, err := io.ReadAll(conn)
	fmt.Println(string(hello), err)
	// Output: hello bob <nil>
}

// greet lets one client in, by the name in its certificate.
func greet(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if secure := conn.(*tls.Conn); secure.Handshake() == nil {
		fmt.Fprintf(secure, "hello %s", secure.ConnectionState().PeerCertificates[0].Subject.CommonName)
	}
}

// stand stands for the t of a test, which an example has not.
type stand struct{ testing.TB }

func (stand) Helper()                           {}
func (stand) Context() context.Context          { return context.Background() }
func (stand) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
