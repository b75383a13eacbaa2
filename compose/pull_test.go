package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// localRegistry serves an image from memory on a loopback address, which an
// engine takes without TLS (facts P28), and returns its reference. wrap may
// change the answers.
func localRegistry(t *testing.T, e *Engine, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	s := httptest.NewServer(wrap(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ref := u.Host + "/yard/idle:1"
	info, err := e.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := idleBundle(t, e).image(BundledRegistry, info.Arch)
	if err != nil {
		t.Fatal(err)
	}
	img, err := b.build()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestIntegrationImagesPull(t *testing.T) {
	e := dockerEngine(t)
	for _, policy := range []Policy{Auto, Pull} {
		ref := localRegistry(t, e, func(h http.Handler) http.Handler { return h })
		var events []Event
		got, err := e.Images(t.Context(), []Image{{Service: "a", Ref: ref, Bundled: BundledRegistry}}, policy, Bundle{}, func(ev Event) { events = append(events, ev) })
		if err != nil {
			t.Fatal(err)
		}
		removeImage(t, e, ref)
		if got[0].Source != SourcePulled || got[0].Ref != ref || !strings.HasPrefix(got[0].Version, "v0-") {
			t.Errorf("%s: resolved %+v", policy, got[0])
		}
		last := events[len(events)-1]
		if last.Status != SourcePulled || !last.Done || events[0].Status != "pulling" {
			t.Errorf("%s: events are %+v", policy, events)
		}
	}
}

// A pull that fails after it has begun well comes as a message in the engine's
// answer, which was "200 OK" long before.
func TestIntegrationImagesBrokenPull(t *testing.T) {
	e := dockerEngine(t)
	ref := localRegistry(t, e, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				http.Error(w, "gone", http.StatusNotFound)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	_, err := e.Images(t.Context(), []Image{{Service: "a", Ref: ref}}, Pull, Bundle{}, nil)
	var pull *PullError
	if !errors.As(err, &pull) || errors.Is(err, errAbsent) {
		t.Errorf("Images = %v, want a PullError with the engine's words", err)
	}
}

// silentServer accepts connections and says nothing, as a firewall does that
// drops packets.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			held = append(held, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range held {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// An engine waits for a silent registry for as long as it takes (here until the
// test is killed). With auto it is given up, and the bundled image is used.
func TestIntegrationImagesGiveUpASilentRegistry(t *testing.T) {
	t.Parallel() // it waits
	e := dockerEngine(t)
	bundle := idleBundle(t, e)
	ref := silentServer(t) + "/yard/idle:1"
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	got, err := e.Images(ctx, []Image{{Service: "a", Ref: ref, Bundled: BundledRegistry}}, Auto, bundle, nil)
	if err != nil {
		t.Fatal(err)
	}
	removeImage(t, e, got[0].Ref)
	if got[0].Source != SourceBundled {
		t.Errorf("resolved %+v, want the bundled image", got[0])
	}
	_, err = e.Images(ctx, []Image{{Service: "a", Ref: ref, Bundled: "no-such-kind"}}, Auto, bundle, nil)
	var pull *PullError
	if !errors.As(err, &pull) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("Images = %v, want a PullError that says who does not answer", err)
	}
}

// An interrupted pull is an interruption, not a reason to try something else.
func TestIntegrationImagesInterrupted(t *testing.T) {
	e := dockerEngine(t)
	ctx, cancel := context.WithCancel(t.Context())
	img := Image{Service: "a", Ref: silentServer(t) + "/x:1", Bundled: BundledRegistry}
	_, err := e.Images(ctx, []Image{img}, Auto, Bundle{}, func(Event) { cancel() })
	var pull *PullError
	if !errors.Is(err, context.Canceled) || errors.As(err, &pull) {
		t.Errorf("Images = %v, want context.Canceled alone", err)
	}
}

func TestAnswers(t *testing.T) {
	tls := httptest.NewTLSServer(nil)
	defer tls.Close()
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(nil)
	defer plain.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for address, want := range map[string]bool{
		tls.Listener.Addr().String():   true, // with a certificate that is not trusted
		plain.Listener.Addr().String(): true,
		closed.Addr().String():         false,
	} {
		if got := answers(t.Context(), address); got != want {
			t.Errorf("answers(%s) = %v, want %v", address, got, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if answers(ctx, silentServer(t)) {
		t.Error("a silent server answers")
	}
}

func TestRegistryAddress(t *testing.T) {
	for domain, want := range map[string]string{
		"docker.io":           "registry-1.docker.io:443",
		"ghcr.io":             "ghcr.io:443",
		"registry:5000":       "registry:5000",
		"[2001:db8::1]:5000":  "[2001:db8::1]:5000",
		"localhost.localhost": "localhost.localhost:443",
	} {
		if got := registryAddress(domain); got != want {
			t.Errorf("registryAddress(%q) = %q, want %q", domain, got, want)
		}
	}
}

func TestStreamError(t *testing.T) {
	for stream, want := range map[string]string{
		`{"status":"Loading"}` + "\n" + `{"stream":"Loaded image: x"}`: "",
		`{"status":"Loading"}{"errorDetail":{"message":"no space"}}`:   "no space",
		`{"status":"Loa`: "unexpected EOF",
		"":               "",
	} {
		err := streamError(io.NopCloser(strings.NewReader(stream)))
		if got := fmt.Sprint(err); got != want && (want != "" || err != nil) {
			t.Errorf("streamError(%q) = %v, want %q", stream, err, want)
		}
	}
}
