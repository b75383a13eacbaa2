package pkitest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
)

// A client's own test: it has to refuse every fault, and accept the sound
// server. Here the client is Go's; put yours in the place of get.
func Example() {
	test := func(t *testing.T) {
		for _, fault := range pkitest.Faults(t, "registry.test", time.Now()) {
			if get(t, fault.Pair, fault.Trust, fault.Host) == nil {
				t.Errorf("%s: accepted a server whose certificate %s", fault.Name, fault.Why)
			}
		}
	}
	fmt.Println(testing.RunTests(func(_, _ string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "TestClient", F: test}}))
	// Output: true
}

// A TLS server with a certificate for two names, and a client that trusts it.
func ExampleCA_Server() {
	test := func(t *testing.T) {
		ca := pkitest.New(t, time.Now())
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.TLS = tlsConfig(ca.Server(t, "registry.test", "127.0.0.1"))
		server.StartTLS()
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(ca.Trust())}}
		defer client.CloseIdleConnections()
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Error(resp.Status)
		}
	}
	fmt.Println(testing.RunTests(func(_, _ string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "TestServer", F: test}}))
	// Output: true
}
