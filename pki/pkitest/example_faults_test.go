package pkitest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
)

// What a client has to refuse. The client here is Go's, in get; put yours in its
// place, and give the t of your test to Faults.
func ExampleFaults() {
	var t program
	for _, fault := range pkitest.Faults(t, "registry.test", time.Now()) {
		err := get(fault.Pair.TLS(), &tls.Config{RootCAs: fault.Trust.Pool(), ServerName: fault.Host})
		fmt.Println(fault.Name, "is refused:", err != nil)
	}
	ca := pkitest.New(t, time.Now())
	sound := ca.Server(t, "registry.test")
	err := get(sound.TLS(), &tls.Config{RootCAs: ca.Trust().Pool(), ServerName: "registry.test"})
	fmt.Println("a sound server is refused:", err != nil)
	// Output:
	// expired is refused: true
	// not-yet-valid is refused: true
	// wrong-name is refused: true
	// no-san is refused: true
	// ip-as-dns is refused: true
	// wrong-usage is refused: true
	// unknown-ca is refused: true
	// same-subject-ca is refused: true
	// outside-constraints is refused: true
	// mismatched-key is refused: true
	// signed-by-leaf is refused: true
	// a sound server is refused: false
}

// get asks a server that shows a certificate.
func get(shown tls.Certificate, config *tls.Config) error {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{shown}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse are no news
	server.StartTLS()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(server.URL)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// program stands for the t of a test, which an example has not.
type program struct{ testing.TB }

func (program) Helper()                           {}
func (program) Context() context.Context          { return context.Background() }
func (program) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
