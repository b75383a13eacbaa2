package compose

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// none is an official image that no engine has and no registry serves.
const none = "certyard.invalid/none:1"

func TestIntegrationImagesBundled(t *testing.T) {
	e := dockerEngine(t)
	bundle := idleBundle(t, e)
	want := []Image{
		{Service: "registry", Ref: "registry:3", Bundled: BundledRegistry},
		{Service: "buildkit", Ref: "moby/buildkit:v0", Bundled: BundledBuildkit},
	}
	var events []Event
	first, err := e.Images(t.Context(), want, Bundled, bundle, func(ev Event) { events = append(events, ev) })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range first {
		removeImage(t, e, r.Ref)
		if r.Service != want[i].Service || r.Source != SourceBundled || r.ID == "" || !strings.HasPrefix(r.Ref, "certyard/bundled-"+want[i].Bundled+":"+r.Version) {
			t.Errorf("resolved %+v for %s", r, want[i].Service)
		}
		if n := count(events, Event{Service: r.Service, Resource: "image", Name: r.Ref, Status: "loading", Percent: 100}); n != 1 {
			t.Errorf("loading %s was reported as complete %d times", r.Ref, n)
		}
	}
	events = nil
	second, err := e.Images(t.Context(), want, Bundled, bundle, func(ev Event) { events = append(events, ev) })
	if err != nil {
		t.Fatal(err)
	}
	if second[0] != first[0] || second[1] != first[1] {
		t.Errorf("the second time resolved %+v, want %+v", second, first)
	}
	if len(events) != 2 {
		t.Errorf("the second time something happened: %+v", events)
	}
}

// The ways in which one image may be found, each with the source it comes from.
func TestIntegrationImagesPolicy(t *testing.T) {
	e := dockerEngine(t)
	bundle := idleBundle(t, e)
	loaded, err := e.Images(t.Context(), []Image{{Service: "a", Bundled: BundledRegistry}}, Bundled, bundle, nil)
	if err != nil {
		t.Fatal(err)
	}
	have := loaded[0].Ref
	removeImage(t, e, have)
	for name, tt := range map[string]struct {
		img    Image
		policy Policy
		source string
		pulls  bool
	}{
		"auto, present":           {img: Image{Ref: have, Bundled: BundledRegistry}, policy: Auto, source: SourcePresent},
		"auto, pull in vain":      {img: Image{Ref: none, Bundled: BundledRegistry}, policy: Auto, source: SourceBundled, pulls: true},
		"auto, bundled preferred": {img: Image{Ref: none, Bundled: BundledRegistry, PreferBundled: true}, policy: Auto, source: SourceBundled},
		"auto, nothing bundled":   {img: Image{Ref: none}, policy: Auto, pulls: true},
		"pull, present":           {img: Image{Ref: have, Bundled: BundledRegistry}, policy: Pull, source: SourcePresent},
		"pull in vain":            {img: Image{Ref: none, Bundled: BundledRegistry}, policy: Pull, pulls: true},
		"bundled":                 {img: Image{Ref: have, Bundled: BundledRegistry}, policy: Bundled, source: SourceBundled},
	} {
		t.Run(name, func(t *testing.T) {
			pulls := 0
			got, err := e.Images(t.Context(), []Image{tt.img}, tt.policy, bundle, func(ev Event) {
				if ev.Status == "pulling" {
					pulls++
				}
			})
			if (pulls > 0) != tt.pulls {
				t.Errorf("%d events of a pull, want some: %v", pulls, tt.pulls)
			}
			var pull *PullError
			switch {
			case tt.source == "" && !errors.As(err, &pull):
				t.Errorf("Images = %v, want a PullError", err)
			case tt.source != "" && err != nil:
				t.Error(err)
			case tt.source != "" && (got[0].Source != tt.source || got[0].Ref != have):
				t.Errorf("resolved %+v, want %s from %s", got[0], have, tt.source)
			}
		})
	}
}

func TestIntegrationImagesWithoutDaemons(t *testing.T) {
	e := dockerEngine(t)
	// A kind of its own, so that images of other tests and real ones are not
	// what is found.
	img := Image{Service: "a", Ref: none, Bundled: "no-such-kind"}
	if _, err := e.Images(t.Context(), []Image{img}, Bundled, Bundle{Dir: t.TempDir()}, nil); err == nil {
		t.Error("an image came from nothing")
	}
	for _, b := range []Bundle{{}, {Dir: t.TempDir()}} {
		f := finder{Image: Image{Bundled: BundledBuildkit}, bundle: b, arch: func() (string, error) { return "amd64", nil }}
		var bundle *BundleError
		if _, err := f.describe(); !errors.As(err, &bundle) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("describe in %q = %v, want a BundleError that says there are none", b.Dir, err)
		}
	}
	loaded, err := e.Images(t.Context(), []Image{{Service: "a", Bundled: BundledBuildkit}}, Bundled, idleBundle(t, e), nil)
	if err != nil {
		t.Fatal(err)
	}
	removeImage(t, e, loaded[0].Ref)
	got, err := e.Images(t.Context(), []Image{{Service: "a", Bundled: BundledBuildkit}}, Bundled, Bundle{}, nil)
	if err != nil || got[0].Source != SourceBundled {
		t.Errorf("with an image of an earlier load: %+v, %v", got, err)
	}
}

// localRegistry serves an image from memory on a loopback address, which an
// engine takes without TLS (facts P28), and returns its reference.
func localRegistry(t *testing.T, e *Engine) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
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
		ref := localRegistry(t, e)
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
	_, err := e.Images(ctx, []Image{{Service: "a", Ref: silentServer(t) + "/x:1", Bundled: BundledRegistry}}, Pull, Bundle{}, func(Event) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Images = %v, want context.Canceled", err)
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
