package lifecycle_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

// shelf is an engine with the images of a test, by reference. It can get those of
// remote, too.
type shelf struct {
	runningEngine
	images, remote map[string]compose.Resolved
	asked          []compose.Image
}

// digest returns a digest of a repository that ends in a digit.
func digest(repository string, last int) string {
	return fmt.Sprintf("%s@sha256:%064d", repository, last)
}

// newShelf has the default images, at a digest that ends in a digit.
func newShelf(last int) *shelf {
	s := &shelf{images: map[string]compose.Resolved{}, remote: map[string]compose.Resolved{}}
	for ref, repository := range map[string]string{stack.DefaultRegistryImage: "registry", stack.DefaultBuilderImage: "moby/buildkit"} {
		r := compose.Resolved{ID: digest("", last)[1:], Digests: []string{digest(repository, last)}, Version: fmt.Sprintf("v%d", last)}
		s.images[ref] = r
		s.images[ref+strings.TrimPrefix(r.Digests[0], repository)] = r
	}
	return s
}

func (s *shelf) Images(_ context.Context, want []compose.Image, _ compose.Policy, _ compose.Bundle, _ func(compose.Event)) ([]compose.Resolved, error) {
	s.asked = want
	out, errs := make([]compose.Resolved, len(want)), []error(nil)
	for i, w := range want {
		ref := cmp.Or(w.Exact, w.Ref, "certyard/bundled-"+w.Bundled+":1")
		r, here := s.images[ref]
		if there, ok := s.remote[ref]; ok {
			r, here = there, true
			s.images[ref] = r
		}
		if !here && w.Ref != "" {
			errs = append(errs, &compose.PullError{Image: ref, Err: errors.New("nobody answers")})
			continue
		}
		r.Service, r.Ref, r.Source = w.Service, ref, cmp.Or(r.Source, compose.SourcePresent)
		out[i] = r
	}
	return out, errors.Join(errs...)
}

func (s *shelf) Look(_ context.Context, service, ref string) (compose.Resolved, error) {
	for name, r := range s.images {
		if name == ref || r.ID == ref {
			r.Service, r.Ref, r.Source = service, ref, cmp.Or(r.Source, compose.SourcePresent)
			return r, nil
		}
	}
	return compose.Resolved{}, compose.ErrNoImage
}

// machine is a directory, an engine, a clock and randomness of its own.
func machine(t *testing.T, engine lifecycle.Engine, seed byte) lifecycle.Deps {
	t.Helper()
	d := quietDeps(t, claims(sound))
	d.Store = state.Open(filepath.Join(t.TempDir(), fmt.Sprintf("home-%d", seed), "yards", "quiet"), state.Options{RegistryUID: lifecycle.RegistryUID(d.Account)})
	d.Engine, d.ConfigDir = engine, t.TempDir()
	d.Rand = rand.NewChaCha8([32]byte{seed})
	d.Now = func() time.Time { return time.Now().Add(time.Duration(seed) * 26 * time.Hour) }
	return d
}

func mustLock(t *testing.T, d lifecycle.Deps, spec stack.Spec) stack.Lock {
	t.Helper()
	lock, err := lifecycle.MakeLock(t.Context(), d, spec)
	if err != nil {
		t.Fatal(err)
	}
	lock.File = stack.FileLock
	return lock
}

// lockFor brings a stack up and locks it.
func lockFor(t *testing.T, engine lifecycle.Engine, config stack.Config) (lifecycle.Deps, stack.Lock) {
	t.Helper()
	d := machine(t, engine, 1)
	mustUp(t, d, config)
	return d, mustLock(t, d, newSpec(t, config))
}

// TestLockedUp: a stack keeps to its lock, on the machine where it was made and on
// others, and runs images by their digests.
func TestLockedUp(t *testing.T) {
	config := stack.Config{Name: "quiet"}
	d, lock := lockFor(t, newShelf(1), config)
	again := mustLock(t, d, newSpec(t, config))
	a, errA := lock.JSON()
	b, errB := again.JSON()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("two locks of one stack: %v, %v\n%s\n%s", errA, errB, a, b)
	}
	// The tag has moved on, and the digest can be had.
	behind := newShelf(2)
	behind.remote = newShelf(1).images
	for name, d := range map[string]lifecycle.Deps{"here": d, "elsewhere": machine(t, newShelf(1), 2), "tag moved": machine(t, behind, 3)} {
		t.Run(name, func(t *testing.T) {
			res, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{Locked: &lock})
			if err != nil {
				t.Fatal(err)
			}
			want := "registry:3" + strings.TrimPrefix(digest("registry", 1), "registry")
			if res.Facts.Images[stack.Registry] != want || !bytes.Contains(read(t, d, stack.FileCompose), []byte(want)) {
				t.Errorf("runs %v, want %s", res.Facts.Images, want)
			}
			if found, err := lifecycle.CheckLock(t.Context(), d, newSpec(t, config), lock); err != nil || found != nil {
				t.Errorf("CheckLock = %v, %v", found, err)
			}
			second, err := lifecycle.Init(t.Context(), d, newSpec(t, config), &lock)
			if err != nil || len(second.Written) > 0 {
				t.Errorf("init --locked after it: %v, %v", second.Written, err)
			}
		})
	}
}

// TestLockedRefuses: what differs is refused with all of it, before anything is
// written.
func TestLockedRefuses(t *testing.T) {
	config := stack.Config{Name: "quiet"}
	_, lock := lockFor(t, newShelf(1), config)
	bundle := newShelf(1)
	bundle.images[stack.DefaultBuilderImage] = compose.Resolved{Source: compose.SourceBundled, ID: "x"}
	_, loaded := lockFor(t, bundle, config)
	for name, c := range map[string]struct {
		lock   stack.Lock
		engine *shelf
		change func(*stack.Config)
		want   []string
	}{
		"spec": {lock, newShelf(2), func(c *stack.Config) { c.Builder.TLS, c.Builder.Hosts = "mutual", []string{"b.lan"} },
			[]string{`builder.hosts: have ["b.lan"], want nothing`, `builder.tls: have "mutual", want "server"`}},
		"other digests": {lock, newShelf(2), nil, []string{
			"services.registry: have " + digest("registry", 2) + ", want " + digest("registry", 1),
			"services.buildkit: have " + digest("moby/buildkit", 2) + ", want " + digest("moby/buildkit", 1),
			"nobody answers"}},
		"no image at all": {lock, &shelf{}, nil, []string{"services.registry: have nothing, want " + digest("registry", 1)}},
		"not the bundled": {loaded, newShelf(1), nil, []string{"services.buildkit: have "}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := config
			if c.change != nil {
				c.change(&changed)
			}
			check := func(d lifecycle.Deps) {
				t.Helper()
				_, err := lifecycle.Up(t.Context(), d, newSpec(t, changed), lifecycle.UpOptions{Locked: &c.lock})
				var locked *stack.LockedError
				if !errors.As(err, &locked) || locked.File != stack.FileLock {
					t.Fatalf("Up = %v, want a LockedError", err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("Up = %v, want %s", err, want)
					}
				}
			}
			fresh := machine(t, c.engine, 2)
			check(fresh)
			if fresh.Store.Exists() {
				t.Error("the state directory was made")
			}
			made := machine(t, newShelf(1), 3)
			mustUp(t, made, config)
			made.Engine = c.engine
			before := snapshot(t, made.Store.Root())
			check(made)
			if snapshot(t, made.Store.Root()) != before || c.engine.containers != nil {
				t.Error("something was changed")
			}
		})
	}
}

// TestLockStale: there is no lock of what has not run as the config says, and
// comparing says so.
func TestLockStale(t *testing.T) {
	free := "127.0.0.1:0"
	config := stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Publish: &free}}
	for name, c := range map[string]struct {
		change func(*lifecycle.Deps, *stack.Config, *shelf)
		want   string
	}{
		"nothing changed": {func(*lifecycle.Deps, *stack.Config, *shelf) {}, ""},
		"config": {func(_ *lifecycle.Deps, c *stack.Config, _ *shelf) { c.Builder.TLS = "mutual" },
			`builder.tls: have "server", want "mutual"`},
		"image is gone": {func(_ *lifecycle.Deps, _ *stack.Config, s *shelf) { clear(s.images) },
			"services.registry: have no such image in the engine, want registry:3"},
		"container of another image": {func(_ *lifecycle.Deps, _ *stack.Config, s *shelf) {
			s.containers = []compose.Container{{Service: stack.Registry, Image: "registry:3", ImageID: "sha256:old"}}
		}, "services.registry: have sha256:old, want registry:3 sha256:"},
		"one image by another ID": {func(_ *lifecycle.Deps, _ *stack.Config, s *shelf) {
			s.images["sha256:alias"] = s.images["registry:3"]
			s.containers = []compose.Container{{Service: stack.Registry, Image: "registry:3", ImageID: "sha256:alias"}}
		}, ""},
		"not the bundled ones": {func(_ *lifecycle.Deps, c *stack.Config, _ *shelf) { c.Images = "bundled" },
			"services.registry: have registry:3, want a bundled image"},
	} {
		t.Run(name, func(t *testing.T) {
			engine, config := newShelf(1), config
			d, lock := lockFor(t, engine, config)
			if lock.Spec.Registry.Publish != free {
				t.Errorf("the port is locked: %s", lock.Spec.Registry.Publish)
			}
			c.change(&d, &config, engine)
			_, err := lifecycle.MakeLock(t.Context(), d, newSpec(t, config))
			found, checkErr := lifecycle.CheckLock(t.Context(), d, newSpec(t, config), lock)
			var stale *lifecycle.StaleError
			switch {
			case checkErr != nil:
				t.Error(checkErr)
			case c.want == "" && (err != nil || found != nil):
				t.Errorf("MakeLock = %v, CheckLock = %v", err, found)
			case c.want != "" && (!errors.As(err, &stale) || !strings.Contains(err.Error(), c.want) || !strings.Contains(found.String(), c.want)):
				t.Errorf("MakeLock = %v, CheckLock = %v, want %s", err, found, c.want)
			}
		})
	}
	if _, err := lifecycle.MakeLock(t.Context(), machine(t, newShelf(1), 1), newSpec(t, config)); !errors.As(err, new(*lifecycle.NoStackError)) {
		t.Errorf("without a stack: %v", err)
	}
}

// TestRotateKeepsLockedImages: a rotation runs what the locked up ran, also where
// the tag has moved since.
func TestRotateKeepsLockedImages(t *testing.T) {
	config := stack.Config{Name: "quiet"}
	engine := newShelf(1)
	d, lock := lockFor(t, engine, config)
	if _, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{Locked: &lock}); err != nil {
		t.Fatal(err)
	}
	want := read(t, d, stack.FileCompose)
	engine.images[stack.DefaultRegistryImage] = newShelf(2).images[stack.DefaultRegistryImage]
	if _, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Passwords: true}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, d, stack.FileCompose); !bytes.Equal(got, want) || engine.asked[0].Exact == "" {
		t.Errorf("asked for %+v, and wrote\n%s", engine.asked, got)
	}
	mustUp(t, d, config)
	if engine.asked[0].Exact != "" || engine.asked[0].PreferBundled {
		t.Errorf("an up without the lock asked for %+v", engine.asked[0])
	}
}

// TestTwoMachines: with one lock, two machines write the same bytes, except for
// what must never be the same: keys and all that is made from them, passwords,
// serial numbers and dates, and the directory.
func TestTwoMachines(t *testing.T) {
	for name, config := range map[string]stack.Config{
		"daemon": {Name: "quiet"},
		"mutual": {Name: "quiet", Builder: stack.BuilderConfig{TLS: "mutual", Hosts: []string{"b.lan"}}, PKI: stack.PKIConfig{Hierarchy: "two-tier"}},
		"edge":   {Name: "quiet", Serve: "edge", Builder: stack.BuilderConfig{TLS: "mutual"}},
	} {
		t.Run(name, func(t *testing.T) {
			rendered := func(engine lifecycle.Engine, seed byte, lock stack.Lock) map[string]string {
				d := machine(t, engine, seed)
				if _, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{Locked: &lock}); err != nil {
					t.Fatal(err)
				}
				return masked(t, d.Store.Root())
			}
			_, lock := lockFor(t, newShelf(1), config)
			behind := newShelf(2) // another engine, which gets the locked images
			behind.remote = newShelf(1).images
			first := rendered(newShelf(1), 10, lock)
			if len(first) < 20 {
				t.Fatalf("only %v were written", slices.Sorted(maps.Keys(first)))
			}
			second := rendered(behind, 20, lock)
			for _, path := range differing(first, second) {
				t.Errorf("%s differs:\n%s\n---\n%s", path, first[path], second[path])
			}
			// The masks hide no image.
			_, other := lockFor(t, newShelf(2), config)
			if got := differing(first, rendered(newShelf(2), 30, other)); !slices.Equal(got, []string{stack.FileCompose, stack.FileState}) {
				t.Errorf("with a lock of other images these differ: %v", got)
			}
		})
	}
}

// differing returns the files that are not the same, or not on both sides.
func differing(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(path string) bool { return a[path] == b[path] })
}

// masks hide what differs between two machines, and nothing else: each is bound
// to the place where such a value stands. In state.json also the sums of files
// differ that hold one; of the others they have to be the same.
var masks = []*regexp.Regexp{
	regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----`),
	regexp.MustCompile(`\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}`),              // htpasswd
	regexp.MustCompile(`(?m)^(REGISTRY_AUTH_PASSWORD=).*$`),              // env
	regexp.MustCompile(`("auth": )"[^"]*"`),                              // docker's config.json
	regexp.MustCompile(`(?m)^( *secret: ).*$`),                           // the registry's config.yml
	regexp.MustCompile(`("registry_http_secret": |"testuser": )"[^"]*"`), // secrets.json
	regexp.MustCompile(`(io\.certyard\.material: )"[0-9a-f]{16}"`),       // compose.yaml: of certificates
	regexp.MustCompile(`("(?:issuer|issuer_key|serial|fingerprint|made|not_after)": )"[^"]*"`),
	regexp.MustCompile(`("sum": )"[0-9a-f]{64}"`),      // state.json: of all of it
	regexp.MustCompile(`("builder_trust": )\[[^]]*\]`), // generations of CAs
	regexp.MustCompile(`("[a-z/-]+\.(?:crt|pem|cert|key)": )"[0-9a-f]{64}"`),
	regexp.MustCompile(`("(?:registry/auth/htpasswd|registry/config\.yml|client/docker/config\.json|edge/builder/access\.json)": )"[0-9a-f]{64}"`),
}

// masked returns every file of a state directory, with its mode, after hiding
// what must differ.
func masked(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == ".lock" {
			return err
		}
		info, err := os.Stat(path) // through the links of a directory of keys
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		text := strings.ReplaceAll(string(data), root, "ROOT")
		for _, mask := range masks {
			text = mask.ReplaceAllString(text, "${1}MASKED")
		}
		out[name] = fmt.Sprintf("%v\n%s", info.Mode(), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
