package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"
)

// Policy says where images may come from.
type Policy string

// The policies.
const (
	// Auto takes what the engine has, else pulls, else uses the bundled image.
	Auto Policy = "auto"
	// Pull takes what the engine has, else pulls.
	Pull Policy = "pull"
	// Bundled uses the bundled images, whatever else there is.
	Bundled Policy = "bundled"
)

// Where a resolved image came from.
const (
	SourcePresent = "present"
	SourcePulled  = "pulled"
	SourceBundled = "bundled"
)

// Image is an image that a service needs.
type Image struct {
	Service string
	// Ref is the official image, as registry:3; empty when there is none, so
	// that the bundled one is taken whatever the policy.
	Ref string
	// Bundled is BundledRegistry, BundledBuildkit, BundledEdge, or empty when
	// there is none.
	Bundled string
	// PreferBundled says to try the bundled image before a pull, because last
	// time the pull was in vain.
	PreferBundled bool
	// Exact names the very content that is wanted: Ref with a digest, or the tag
	// of a bundled image. Nothing else will do then, whatever the policy.
	Exact string
}

// Resolved is an image that the engine has.
type Resolved struct {
	Service string
	Ref     string // what to run: the official reference or a bundled tag
	ID      string
	Source  string // SourcePresent, SourcePulled or SourceBundled
	Version string // as the image's label has it; empty if it has none
	// Digests are the image's in the repository of Ref, sorted, as
	// name@sha256:...; none where the engine knows of none.
	Digests []string
}

// errAbsent says that the engine does not have an image.
var errAbsent = errors.New("the engine does not have it")

// Images finds every image by the policy, all at the same time. The result is
// in the order of want. progress may be nil, and is called from one goroutine
// at a time.
//
// With Auto, a registry that does not answer costs about three seconds; a pull
// that makes progress may take as long as it needs. Errors of all images are
// joined, and wrap *[PullError] and *[BundleError].
func (e *Engine) Images(ctx context.Context, want []Image, policy Policy, bundle Bundle, progress func(Event)) ([]Resolved, error) {
	b := newBus(nil, progress)
	// An engine takes its time for this, so it is asked once, and only if the
	// answer is needed.
	arch := sync.OnceValues(func() (string, error) { return e.arch(ctx) })
	out := make([]Resolved, len(want))
	errs := make([]error, len(want))
	var wg sync.WaitGroup
	for i, img := range want {
		wg.Go(func() {
			f := finder{Engine: e, Image: img, policy: policy, bundle: bundle, arch: arch, emit: b.emit}
			out[i], errs[i] = f.find(ctx)
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// finder looks for one image.
type finder struct {
	*Engine
	Image
	policy Policy
	bundle Bundle
	arch   func() (string, error)
	emit   func(Event)
}

// find tries the places that the policy allows, in its order.
func (f finder) find(ctx context.Context) (Resolved, error) {
	var errs []error
	for _, place := range f.places() {
		r, err := place(ctx)
		if err == nil {
			f.emit(Event{Service: f.Service, Resource: "image", Name: r.Ref, Status: r.Source, Percent: 100, Done: true})
			return r, nil
		}
		if ctx.Err() != nil {
			return Resolved{}, fmt.Errorf("finding image %s: %w", f.Ref, ctx.Err())
		}
		if err != errAbsent { // which is no error, only the reason to go on
			errs = append(errs, err)
		}
	}
	return Resolved{}, fmt.Errorf("finding image %s: %w", cmp.Or(f.Ref, f.Bundled), errors.Join(errs...))
}

func (f finder) places() []func(context.Context) (Resolved, error) {
	type places = []func(context.Context) (Resolved, error)
	switch {
	case strings.HasPrefix(f.Exact, bundledRepository):
		return places{f.loaded, f.bundled}
	case f.Exact != "":
		f.Ref, f.Bundled = f.Exact, "" // which also leaves a pull its time
		return places{f.present, f.pulled}
	case f.policy == Bundled || f.Ref == "":
		return places{f.bundled}
	case f.policy == Pull || f.Bundled == "":
		return places{f.present, f.pulled}
	case f.PreferBundled:
		return places{f.present, f.bundled, f.pulled}
	}
	return places{f.present, f.pulled, f.bundled}
}

func (f finder) present(ctx context.Context) (Resolved, error) {
	return f.inspectImage(ctx, f.Ref, SourcePresent)
}

func (f finder) inspectImage(ctx context.Context, ref, source string) (Resolved, error) {
	img, err := f.api.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return Resolved{}, errAbsent
	}
	if err != nil {
		return Resolved{}, fmt.Errorf("looking for image %s: %w", ref, err)
	}
	r := Resolved{Service: f.Service, Ref: ref, ID: img.ID, Source: source, Digests: digestsOf(ref, img.RepoDigests)}
	if img.Config != nil {
		r.Version = img.Config.Labels[labelVersion]
	}
	return r, nil
}

// bundled returns the bundled image, which is loaded if the engine does not
// have it. Without built daemons an image of an earlier load serves too.
func (f finder) bundled(ctx context.Context) (Resolved, error) {
	if f.Bundled == "" {
		return Resolved{}, fmt.Errorf("there is no bundled image for service %s", f.Service)
	}
	b, err := f.describe()
	if err != nil {
		// Of our own program an older one would not fit our config.
		if f.Bundled != BundledEdge {
			if r, ok := f.loadedBefore(ctx); ok {
				return r, nil
			}
		}
		return Resolved{}, err
	}
	r, err := f.inspectImage(ctx, b.reference(), SourceBundled)
	if !errors.Is(err, errAbsent) {
		return r, err
	}
	if err = f.load(ctx, b); err == nil {
		r, err = f.inspectImage(ctx, b.reference(), SourceBundled)
	}
	if err != nil {
		return Resolved{}, fmt.Errorf("loading %s: %w", b.reference(), err)
	}
	return r, nil
}

// describe returns the bundled image for the engine's architecture.
func (f finder) describe() (*bundled, error) {
	if f.bundle.Dir == "" && f.Bundled != BundledEdge {
		return nil, &BundleError{Err: errNoDir}
	}
	arch, err := f.arch()
	if err != nil {
		return nil, err
	}
	return f.bundle.image(f.Bundled, arch)
}

func (e *Engine) arch(ctx context.Context) (string, error) {
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return "", fmt.Errorf("asking the engine for its architecture: %w", err)
	}
	return version.Arch, nil
}

// loadedBefore returns a bundled image that the engine has, the last one by
// its tag.
func (f finder) loadedBefore(ctx context.Context) (Resolved, bool) {
	list, err := f.api.ImageList(ctx, client.ImageListOptions{
		Filters: make(client.Filters).Add("label", labelBundled+"="+f.Bundled),
	})
	if err != nil {
		return Resolved{}, false // the caller has a better error
	}
	var tags []string
	for _, img := range list.Items {
		tags = append(tags, img.RepoTags...)
	}
	if len(tags) == 0 {
		return Resolved{}, false
	}
	r, err := f.inspectImage(ctx, slices.Max(tags), SourceBundled)
	return r, err == nil
}

// load streams a bundled image into the engine.
func (f finder) load(ctx context.Context, b *bundled) error {
	img, err := b.build()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	defer r.Close() // ends the writer when the engine stops reading
	var total int64
	if manifest, err := img.Manifest(); err == nil {
		total = size(manifest)
	}
	meter := f.meter("loading", b.reference())
	go func() {
		w.CloseWithError(tarball.Write(b.tag, img, io.MultiWriter(w, writerFunc(func(n int) { meter.add(int64(n), total) }))))
	}()
	result, err := f.api.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		return err
	}
	return streamError(result)
}

func size(m *v1.Manifest) (n int64) {
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// writerFunc is a writer that only looks at how much is written.
type writerFunc func(n int)

func (f writerFunc) Write(p []byte) (int, error) {
	f(len(p))
	return len(p), nil
}

// meter reports progress in whole percents.
func (f finder) meter(status, ref string) *meter {
	return &meter{last: -1, report: func(percent int) {
		f.emit(Event{Service: f.Service, Resource: "image", Name: ref, Status: status, Percent: percent})
	}}
}

// meter is used from one goroutine.
type meter struct {
	done   int64
	last   int
	report func(percent int)
}

func (m *meter) add(n, total int64) { m.set(m.done+n, total) }

func (m *meter) set(done, total int64) {
	m.done = done
	percent := 0
	if total > 0 {
		percent = int(min(100, 100*done/total))
	}
	if percent != m.last {
		m.last = percent
		m.report(percent)
	}
}
