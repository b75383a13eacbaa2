package compose

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
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
	if !reflect.DeepEqual(second, first) {
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
