package smoke

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
)

// newTestRemote returns a client of a server that answers as handler does.
func newTestRemote(t *testing.T, handler http.HandlerFunc) *remote {
	t.Helper()
	ca := pkitest.New(t, time.Now())
	r := newFakeRegistry(t, testUser, testPassword)
	r.front.config = serverConfig(ca.Server(t, "127.0.0.1"))
	r.wrap = func(http.Handler) http.Handler { return handler }
	r.start(t)
	e := endpoint(r.front, stack.Registry)
	client := newRemote(e, e.Host, testUser, testPassword, &tls.Config{RootCAs: ca.Trust().Pool()})
	t.Cleanup(client.close)
	return client
}

func TestRemoteChecksDigests(t *testing.T) {
	client := newTestRemote(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("content")) })
	right, wrong := digest.FromString("content"), digest.FromString("another")
	if data, err := client.get(t.Context(), client.blob("x", right), right); err != nil || string(data) != "content" {
		t.Errorf("got %q, %v", data, err)
	}
	if _, err := client.get(t.Context(), client.blob("x", wrong), wrong); err == nil || reasonOf(err) != stack.ReasonContent {
		t.Errorf("another digest: got %v, want %s", err, stack.ReasonContent)
	}
}

// TestRemoteStaysWithItsRegistry is about P30 and about credentials: they are
// sent nowhere else, and never without TLS.
func TestRemoteStaysWithItsRegistry(t *testing.T) {
	for _, location := range []string{"http://{host}/v2/x/blobs/uploads/1", "https://elsewhere.invalid/v2/", "//elsewhere.invalid/v2/", "%zz"} {
		asked := 0
		client := newTestRemote(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("Location", strings.ReplaceAll(location, "{host}", r.Host))
			w.WriteHeader(http.StatusAccepted)
		})
		err := client.upload(t.Context(), "x", []byte("blob"))
		if err == nil || reasonOf(err) != stack.ReasonUnexpected || asked != 1 {
			t.Errorf("%s: got %v after %d requests, want one request", location, err, asked)
		}
	}
	client := newTestRemote(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.invalid/v2/", http.StatusTemporaryRedirect)
	})
	if a, err := client.ping(t.Context()); err != nil || a.status != http.StatusTemporaryRedirect {
		t.Errorf("redirect: got %d, %v", a.status, err)
	}
}

func TestRemoteRemove(t *testing.T) {
	for code, ok := range map[int]bool{202: true, 404: true, 200: false, 401: false, 405: false, 500: false} {
		client := newTestRemote(t, says(code))
		if err := client.remove(t.Context(), "x", digest.FromString("x")); (err == nil) != ok {
			t.Errorf("%d: got %v", code, err)
		}
	}
}
