package stacktest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/sirupsen/logrus"

	"github.com/certyard/certyard/stack/stacktest"
)

// TestRegistry pushes and pulls as a client does, and is refused as one.
func TestRegistry(t *testing.T) {
	r := stacktest.Registry(t)
	ref, err := name.ParseReference(r.Host() + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	trusts := remote.WithTransport(r.HTTPClient().Transport)
	if err := remote.Write(ref, image, trusts, remote.WithAuth(r.Auth())); err != nil {
		t.Fatalf("push: %v", err)
	}
	t.Cleanup(func() { // the registry's own, registered before, comes later
		if err := remote.Write(ref, image, trusts, remote.WithAuth(r.Auth())); err != nil {
			t.Errorf("push while the test cleans up: %v", err)
		}
	})
	back, err := remote.Image(ref, trusts, remote.WithAuth(r.Auth()))
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	want, _ := image.Digest()
	if got, err := back.Digest(); got != want || err != nil {
		t.Errorf("pulled %v, %v, want %v", got, err, want)
	}
	if err := remote.Delete(ref.Context().Digest(want.String()), trusts, remote.WithAuth(r.Auth())); err != nil {
		t.Errorf("delete: %v", err)
	}

	wrong := r.Auth()
	wrong.Password += "x"
	for what, auth := range map[string]authn.Authenticator{"a wrong password": wrong, "no password": authn.Anonymous} {
		_, err := remote.Image(ref, trusts, remote.WithAuth(auth))
		if e, ok := errors.AsType[*transport.Error](err); !ok || e.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := stacktest.Registry(t)
	_, err = remote.Image(ref, remote.WithTransport(other.HTTPClient().Transport), remote.WithAuth(r.Auth()))
	if err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a client that trusts another CA: %v", err)
	}
}

// TestRegistryNames: the certificate holds for the address and for localhost, and
// nothing answers without TLS.
func TestRegistryNames(t *testing.T) {
	r := stacktest.Registry(t)
	_, port, _ := strings.Cut(r.Host(), ":")
	for _, host := range []string{r.Host(), "localhost:" + port} {
		if status := ask(t, r, "https://"+host); status != http.StatusOK {
			t.Errorf("%s: %d", host, status)
		}
	}
	if status := ask(t, r, "http://"+r.Host()); status != http.StatusBadRequest {
		t.Errorf("without TLS: %d", status)
	}
	if n := len(r.TrustBundle().Certs()); n != 1 {
		t.Errorf("%d certificates are trusted", n)
	}
}

// ask returns the status of an authenticated request.
func ask(t testing.TB, r *stacktest.RegistryServer, base string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(r.Auth().Username, r.Auth().Password)
	response, err := r.HTTPClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// TestRegistryFaults: each fault is seen by a client that connects, also one that
// could resume a session, and is gone when it is mended.
func TestRegistryFaults(t *testing.T) {
	r := stacktest.Registry(t)
	get := func() error {
		r.HTTPClient().CloseIdleConnections()
		response, err := r.HTTPClient().Get("https://localhost:" + r.Host()[strings.LastIndex(r.Host(), ":")+1:] + "/v2/")
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	for fault, text := range faultTexts {
		r.Fault(t, fault)
		if err := get(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", fault, err)
		}
		r.Mend(t)
		if err := get(); err != nil {
			t.Errorf("mended after %s: %v", fault, err)
		}
	}
	if r.NetworkHost() != r.Host() {
		t.Errorf("NetworkHost is %s, Host %s", r.NetworkHost(), r.Host())
	}
}

// TestRegistryLeavesNothing: many at once, each for itself, then neither files are
// left nor goroutines, but for the one that the documentation names, and nothing
// was said.
func TestRegistryLeavesNothing(t *testing.T) {
	said := heard(t)
	t.Setenv("TMPDIR", t.TempDir())
	before := runtime.NumGoroutine()
	answered := make(chan struct{}, 50)
	t.Run("many", func(t *testing.T) {
		for range cap(answered) {
			t.Run("one", func(t *testing.T) {
				t.Parallel()
				r := stacktest.Registry(t)
				if status := ask(t, r, "https://"+r.Host()); status != http.StatusOK {
					t.Errorf("status %d", status)
				}
				answered <- struct{}{}
			})
		}
	})
	if len(answered) != cap(answered) {
		t.Errorf("%d of %d registries answered", len(answered), cap(answered))
	}
	after := runtime.NumGoroutine()
	for start := time.Now(); after > before+cap(answered) && time.Since(start) < 10*time.Second; after = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond) // they have been told to end
	}
	if after > before+cap(answered) { // one each is distribution's, which ends it never
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
	}
	if files, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(files) > 0 {
		t.Errorf("left are %v, %v", files, err)
	}
	if text := said(); text != "" {
		t.Errorf("the process's own logger was told %q", text)
	}
}

// heard returns what is told to the logger of the whole process from now on.
func heard(t *testing.T) func() string {
	t.Helper()
	var text strings.Builder
	old := logrus.StandardLogger().Out
	logrus.SetOutput(&text)
	t.Cleanup(func() { logrus.SetOutput(old) })
	return text.String
}

// BenchmarkRegistry is from nothing to the first answer to a password.
func BenchmarkRegistry(b *testing.B) {
	for b.Loop() {
		r := stacktest.Registry(b)
		if status := ask(b, r, "https://"+r.Host()); status != http.StatusOK {
			b.Fatal(status)
		}
	}
}
