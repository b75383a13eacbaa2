package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
)

// StaleError says that a stack is not what the config would make of it now, so
// that a lock of it would tell what has never run.
type StaleError struct {
	Dir         string
	Differences stack.Differences
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("the stack in %s is another one than up would make now: %s", e.Dir, e.Differences)
}

// lockable are the services whose images a lock has.
func lockable() []string { return []string{stack.Registry, stack.Builder} }

// MakeLock returns the lock of a recorded stack: the spec that its config gives,
// and the images that it ran. A stack that is behind its config or its images is
// a *[StaleError].
func MakeLock(ctx context.Context, d Deps, spec stack.Spec) (stack.Lock, error) {
	lock, stale, err := d.lockNow(ctx, spec)
	if err == nil && len(stale) > 0 {
		err = &StaleError{Dir: d.Store.Root(), Differences: stale}
	}
	return lock, err
}

// CheckLock returns what differs from a lock, in the config, in the stack that
// is recorded, and in what runs. Nothing is written or fetched.
func CheckLock(ctx context.Context, d Deps, spec stack.Spec, lock stack.Lock) (stack.Differences, error) {
	now, stale, err := d.lockNow(ctx, spec)
	if err != nil {
		return nil, err
	}
	return append(lock.Check(now), stale...), nil
}

// lockNow returns the lock that there would be now, and where the stack is not
// what it says.
func (d Deps) lockNow(ctx context.Context, spec stack.Spec) (stack.Lock, stack.Differences, error) {
	lock := stack.Lock{Version: 1, Certyard: d.Bundle.Program.Version, Spec: spec.Locked(d.ConfigDir)}
	p, err := recorded(d.Store)
	if err != nil {
		return lock, nil, err
	}
	if lock.Override, err = d.overrideSum(); err != nil {
		return lock, nil, err
	}
	stale := d.recordedSpec(*p.state, spec).Diff(lock.Spec)
	containers, err := d.Engine.Containers(ctx, p.state.Spec.Name)
	if err != nil {
		return lock, nil, err
	}
	for _, service := range lockable() {
		image, behind, err := d.ranImage(ctx, spec, p.state.Facts, service, containers)
		if err != nil {
			return lock, nil, err
		}
		*lock.Services.Of(service) = image
		stale = append(stale, behind...)
	}
	return lock, stale, nil
}

// recordedSpec returns the spec that a stack was made from. Ports that the spec
// of now leaves open were chosen, and what no config says was kept.
func (d Deps) recordedSpec(s stack.State, now stack.Spec) stack.LockedSpec {
	was := s.Spec
	for _, service := range lockable() {
		if p := now.Published(service); p.Port == 0 && p.IP == was.Published(service).IP {
			was = was.WithPort(service, 0)
		}
	}
	if !d.CAKeysSet {
		was.PKI.CAKeys = now.PKI.CAKeys
	}
	return was.Locked(d.ConfigDir)
}

// ranImage looks at the image that a service ran. It is behind where another one
// has its name by now.
func (d Deps) ranImage(ctx context.Context, spec stack.Spec, facts stack.Facts, service string, containers []compose.Container) (stack.LockedImage, stack.Differences, error) {
	at, ref := "services."+service, usedImage(facts, service)
	r, err := d.Engine.Look(ctx, service, ref)
	if errors.Is(err, compose.ErrNoImage) {
		return stack.LockedImage{}, stack.Differences{{What: at, Have: "no such image in the engine", Want: ref}}, nil
	}
	if err != nil {
		return stack.LockedImage{}, nil, err
	}
	image := lockedImage(spec, r)
	if spec.Images == stack.ImagesBundled && image.Source != stack.ImageBundled {
		return image, stack.Differences{{What: at, Have: ref, Want: "a bundled image"}}, nil
	}
	for _, c := range containers {
		if c.Service != service || c.Image != ref || c.ImageID == "" || c.ImageID == r.ID {
			continue
		}
		// An engine may know one image by several IDs.
		runs, err := d.Engine.Look(ctx, service, c.ImageID)
		if err != nil && !errors.Is(err, compose.ErrNoImage) {
			return image, nil, err
		}
		if runs.ID != r.ID {
			return image, stack.Differences{{What: at, Have: c.ImageID, Want: ref + " " + r.ID}}, nil
		}
	}
	return image, nil, nil
}

// lockedImage returns what a lock has of an image.
func lockedImage(spec stack.Spec, r compose.Resolved) stack.LockedImage {
	out := stack.LockedImage{Image: imageOf(spec, r.Service), Version: r.Version}
	switch {
	case r.Source == compose.SourceBundled:
		out.Image, out.Source = r.Ref, stack.ImageBundled
	case len(r.Digests) > 0:
		out.Source, out.Digests = stack.ImagePulled, r.Digests
	default:
		out.Source, out.ID = stack.ImagePresent, r.ID
	}
	return out
}

// overrideSum names the content of the user's compose file, "" without one.
func (d Deps) overrideSum() (string, error) {
	if d.Override == "" {
		return "", nil
	}
	data, err := d.Given(d.Override, false)
	if err != nil {
		return "", err
	}
	return stack.Sum(data), nil
}

// CheckSpec refuses a spec that differs from a lock's, as Init and Up do before
// anything else. The lock may be nil.
func CheckSpec(d Deps, spec stack.Spec, lock *stack.Lock) error {
	if lock == nil {
		return nil
	}
	override, err := d.overrideSum()
	if err != nil {
		return err
	}
	if differences := lock.CheckSpec(spec.Locked(d.ConfigDir), override); len(differences) > 0 {
		return &stack.LockedError{File: lock.File, Differences: differences}
	}
	return nil
}

// lockedImages has a draft run the images of a lock, as far as they are known
// without an engine; nil for no lock.
func lockedImages(lock *stack.Lock) func(*draft) error {
	if lock == nil {
		return nil
	}
	return func(dr *draft) error {
		for _, service := range lockable() {
			image := lock.Services.Of(service)
			ref := cmp.Or(image.Exact(), image.Image)
			if usedImage(dr.facts, service) == ref {
				continue
			}
			dr.facts.Images[service] = ref
			if service == stack.Builder {
				dr.facts.BuilderBase = ""
			}
		}
		return nil
	}
}
