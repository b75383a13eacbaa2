package lifecycle_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

// quietEngine is an engine that has every image and runs what it is told.
type quietEngine struct{}

func (quietEngine) Info(context.Context) (compose.Info, error) { return compose.Info{}, nil }

func (quietEngine) Images(_ context.Context, want []compose.Image, _ compose.Policy, _ compose.Bundle, _ func(compose.Event)) ([]compose.Resolved, error) {
	var out []compose.Resolved
	for _, i := range want {
		out = append(out, compose.Resolved{Service: i.Service, Ref: cmp.Or(i.Ref, i.Bundled+":bundled")})
	}
	return out, nil
}

func (claims) WatchIdle(context.Context, smoke.Options, func([]smoke.Build)) (*smoke.Idle, error) {
	return &smoke.Idle{}, nil
}

func (quietEngine) With(_ context.Context, base string, _ compose.Program, _ []string) (string, error) {
	return base, nil
}

func (quietEngine) Look(_ context.Context, service, ref string) (compose.Resolved, error) {
	return compose.Resolved{Service: service, Ref: ref, ID: "sha256:" + stack.Sum([]byte(ref))}, nil
}

func (quietEngine) Foreign(context.Context, string, string) error { return nil }

func (quietEngine) Up(context.Context, *types.Project, compose.UpOptions) (compose.UpResult, error) {
	return compose.UpResult{}, nil
}

func (quietEngine) Stop(context.Context, string, []string) error     { return nil }
func (quietEngine) Freeze(context.Context, string, string) error     { return nil }
func (quietEngine) Thaw(context.Context, string, string) error       { return nil }
func (quietEngine) KillFrozen(context.Context, string, string) error { return nil }

func (quietEngine) Down(context.Context, string, compose.DownOptions) (compose.DownResult, error) {
	return compose.DownResult{}, nil
}

func (quietEngine) Containers(context.Context, string) ([]compose.Container, error) {
	return []compose.Container{{Service: stack.Builder, State: "running"}}, nil
}

func (quietEngine) Logs(context.Context, string, compose.LogOptions) error { return nil }

// claims is a prover that finds whatever it is made with.
type claims func(smoke.Options) []stack.Check

func (claims) Ready(context.Context, smoke.Options, func(context.Context) error) error { return nil }

func (c claims) Prove(_ context.Context, o smoke.Options) stack.Report {
	return stack.Report{Checks: c(o)}
}

// sound makes the checks of smoke that matter here, all of which hold.
func sound(o smoke.Options) []stack.Check {
	checks := []stack.Check{{ID: "registry.tls:localhost", Hop: stack.HopHostRegistry, Outcome: stack.Holds}}
	if len(o.Builder.Endpoints) == 0 {
		return checks
	}
	checks = append(checks, stack.Check{ID: "builder.tls:localhost", Hop: stack.HopHostBuilder, Outcome: stack.Holds})
	for _, r := range o.Builder.Removed {
		if o.Builder.Mutual {
			checks = append(checks, stack.Check{ID: smoke.RemovedCheck(r.Generation), Hop: stack.HopHostBuilder, Outcome: stack.Holds})
		}
	}
	return checks
}

// quietDeps returns the dependencies of a stack whose engine and prover are
// made up, and whose files are real.
func quietDeps(t *testing.T, prover lifecycle.Prover) lifecycle.Deps {
	t.Helper()
	account := lifecycle.Account{UID: os.Geteuid(), GID: os.Getegid()}
	d := lifecycle.Deps{
		Store:  state.Open(filepath.Join(t.TempDir(), ".certyard", "quiet"), state.Options{RegistryUID: lifecycle.RegistryUID(account)}),
		Engine: quietEngine{}, Prover: prover, Account: account, Now: time.Now, Rand: rand.Reader,
		FreePort: func(netip.Addr) (int, error) { return 5999, nil },
		Subnet:   func() netip.Prefix { return netip.MustParsePrefix("198.18.0.0/28") },
		Observe:  func(lifecycle.Progress) {},
	}
	return withFiles(d)
}

// TestForgetReplacedCA: what was kept of a replaced client CA goes once the
// report has a check that this very CA's clients are refused, and not before.
func TestForgetReplacedCA(t *testing.T) {
	nowhere := ""
	retired := func(d lifecycle.Deps) string {
		names, err := filepath.Glob(at(d, stack.DirRetired+"/client-ca-*.crt"))
		if err != nil || len(names) != 1 {
			t.Fatalf("retired: %v, %v", names, err)
		}
		return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(names[0]), "client-ca-"), ".crt")
	}
	for name, c := range map[string]struct {
		change  func(*stack.Config)
		damage  func(*testing.T, lifecycle.Deps)
		prover  claims
		forgets bool
	}{
		"refused": {prover: sound, forgets: true},
		"a check fails": {prover: func(o smoke.Options) []stack.Check {
			return append(sound(o), stack.Check{ID: "registry.plain", Hop: stack.HopHostRegistry, Outcome: stack.Fails})
		}},
		"only another CA's clients are refused": {prover: func(o smoke.Options) []stack.Check {
			o.Builder.Removed = []smoke.Removed{{Generation: "00000000"}}
			return sound(o)
		}},
		"builder not published": {prover: sound, change: func(c *stack.Config) { c.Builder.Publish = &nowhere }},
		"certificate of the old CA lost": {prover: sound, damage: func(t *testing.T, d lifecycle.Deps) {
			if err := os.Remove(at(d, stack.RetiredClient(retired(d)))); err != nil {
				t.Fatal(err)
			}
		}},
		"certificate of the old CA for another key": {prover: sound, damage: func(t *testing.T, d lifecycle.Deps) {
			other := read(t, d, stack.FileBuilderCert)
			if err := os.WriteFile(at(d, stack.RetiredClient(retired(d))), other, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		"nobody is asked for a certificate": {prover: sound, change: func(c *stack.Config) { c.Builder.TLS = "server" }, forgets: true},
		"nobody is asked, and nobody looked": {prover: sound, change: func(c *stack.Config) {
			c.Builder.TLS, c.Builder.Publish = "server", &nowhere
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := quietDeps(t, claims(sound))
			config := stack.Config{Name: "quiet", Builder: stack.BuilderConfig{TLS: "mutual"}}
			mustUp(t, d, config)
			if _, _, err := lifecycle.AddClient(t.Context(), d, "bob", 0); err != nil {
				t.Fatal(err)
			}
			if _, err := lifecycle.RemoveClients(t.Context(), d, []string{"bob"}, false); err != nil {
				t.Fatal(err)
			}
			generation := retired(d)
			if c.damage != nil {
				c.damage(t, d)
			}
			if c.change != nil {
				c.change(&config)
			}
			d.Prover = c.prover
			res := mustUp(t, d, config)
			_, err := os.Stat(at(d, stack.RetiredPair(generation).Key))
			if forgot := errors.Is(err, fs.ErrNotExist); forgot != c.forgets {
				t.Errorf("the key of the replaced CA is gone: %v, want %v", forgot, c.forgets)
			}
			s, err := stack.ParseState(read(t, d, stack.FileState))
			if err != nil || slices.Contains(s.Retired, generation) == c.forgets {
				t.Errorf("the record keeps %v of %s (%v)", s.Retired, generation, err)
			}
			detail := res.Steps[len(res.Steps)-1].Detail
			if said := strings.Contains(detail, "not seen to refuse clients of the replaced CA "+generation); said == c.forgets {
				t.Errorf("the proof says %q", detail)
			}
		})
	}
}

func mustUp(t *testing.T, d lifecycle.Deps, config stack.Config) lifecycle.Result {
	t.Helper()
	res, err := lifecycle.Up(t.Context(), d, newSpec(t, config), lifecycle.UpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}
