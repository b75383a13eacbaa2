package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"path"
	"strings"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
)

// images makes sure that the engine has both images and records which they are.
func (u *upRun) images(ctx context.Context, say func(string)) (string, error) {
	got, err := u.Engine.Images(ctx, u.wantedImages(), compose.Policy(u.wanted.Images), u.Bundle, func(e compose.Event) {
		say(describeEvent(e))
	})
	if u.locked != nil {
		err = u.checkImages(ctx, got, err)
	}
	if err != nil {
		return "", err
	}
	images := map[string]string{}
	var parts []string
	for _, r := range got {
		images[r.Service] = r.Ref
		parts = append(parts, strings.Join(strings.Fields(r.Service+" "+r.Version+" "+r.Source), " "))
	}
	u.draft.facts.Images, u.draft.facts.BuilderBase = images, ""
	if _, relay := u.draft.spec.Relay(u.draft.facts); relay {
		say("adding a relay to the builder's image")
		f := &u.draft.facts
		f.BuilderBase = images[stack.Builder]
		images[stack.Builder], err = u.Engine.With(ctx, f.BuilderBase, u.Bundle.Program, relayCommand())
	}
	return strings.Join(parts, ", "), err
}

// relayCommand stands before the builder's own command: certyard makes the
// builder's loopback lead to the registry, and runs that command.
func relayCommand() []string {
	return []string{"/usr/bin/certyard", "edge", "--config=" + path.Join(stack.MountBuilder, path.Base(stack.FileRelayConfig)), "--"}
}

// usedImage returns the image that a service ran, without what certyard has added.
func usedImage(f stack.Facts, service string) string {
	if service == stack.Builder {
		return cmp.Or(f.BuilderBase, f.Images[service])
	}
	return f.Images[service]
}

func imageOf(spec stack.Spec, service string) string {
	if service == stack.Registry {
		return spec.Registry.Image
	}
	return spec.Builder.Image
}

// wantedImages returns the images of the spec, and what is known of each.
func (u *upRun) wantedImages() []compose.Image {
	want := []compose.Image{
		{Service: stack.Registry, Ref: u.wanted.Registry.Image, Bundled: compose.BundledRegistry},
		{Service: stack.Builder, Ref: u.wanted.Builder.Image, Bundled: compose.BundledBuildkit},
	}
	before := u.draft.prior.state
	for i, service := range []string{stack.Registry, stack.Builder} {
		want[i].PreferBundled = before != nil && before.Spec.Images == u.wanted.Images &&
			usedImage(before.Facts, service) != imageOf(before.Spec, service) && !pinned(before.Facts, before.Spec, service)
		want[i].Exact = u.exact(service)
	}
	if u.wanted.Serve == stack.ServeEdge {
		want = append(want, compose.Image{Service: stack.Edge, Bundled: compose.BundledEdge})
	}
	return want
}

// checkImages refuses images that differ from the lock's. In place of one that
// was looked for in vain stands what the engine has under its name.
func (u *upRun) checkImages(ctx context.Context, got []compose.Resolved, inVain error) error {
	if _, ok := errors.AsType[*compose.PullError](inVain); !ok && inVain != nil {
		return inVain
	}
	var have stack.LockedServices
	for i, service := range lockable() {
		r, err := got[i], error(nil)
		if r.Ref == "" {
			r, err = u.Engine.Look(ctx, service, imageOf(u.wanted, service))
		}
		if errors.Is(err, compose.ErrNoImage) {
			continue
		}
		if err != nil {
			return errors.Join(inVain, err)
		}
		*have.Of(service) = lockedImage(u.wanted, r)
	}
	if differences := u.locked.CheckImages(have); len(differences) > 0 {
		return &stack.LockedError{File: u.locked.File, Differences: differences, Err: inVain}
	}
	return inVain
}

// exact returns the reference of the very image that a service has to run, ""
// when nothing says so: the lock's, or for what is no up of a person's, the one
// that a lock had it run.
func (u *upRun) exact(service string) string {
	if u.locked != nil {
		return u.locked.Services.Of(service).Exact()
	}
	if before := u.draft.prior.state; u.asRecorded && before != nil && pinned(before.Facts, u.wanted, service) {
		return usedImage(before.Facts, service)
	}
	return ""
}

// pinned reports whether a service ran the spec's image by its digest.
func pinned(f stack.Facts, spec stack.Spec, service string) bool {
	return strings.HasPrefix(usedImage(f, service), imageOf(spec, service)+"@")
}
