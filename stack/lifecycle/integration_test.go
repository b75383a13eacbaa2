package lifecycle_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/state"
)

// realDeps returns the dependencies of a real stack with a name of its own,
// which is taken down, and found to be gone, when the test ends.
func realDeps(t *testing.T) (lifecycle.Deps, stack.Config) {
	t.Helper()
	engine := composetest.Connect(t)
	name := fmt.Sprintf("certyard-test-%s", strings.ToLower(rand.Text()[:10]))
	daemons, err := filepath.Abs("../../bin/daemons")
	if err != nil {
		t.Fatal(err)
	}
	d := local.Deps(filepath.Join(t.TempDir(), ".certyard", name))
	d.Engine, d.Bundle = engine, compose.Bundle{Dir: daemons}
	d.Password = func(stack.UserSpec) (string, error) { return "chosen password", nil }
	d.Observe = func(p lifecycle.Progress) {
		if p.State != lifecycle.Running || testing.Verbose() { // each layer and file would hide what failed
			t.Logf("%s %s %s", p.Step, p.State, p.Detail)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			var logs bytes.Buffer
			_ = engine.Logs(context.Background(), name, compose.LogOptions{Tail: "20", Out: &logs})
			t.Log(logs.String())
		}
		if _, err := lifecycle.Down(context.Background(), d, name, lifecycle.DownOptions{Volumes: true, Purge: true}); err != nil {
			t.Errorf("taking the stack down: %v", err)
		}
		nothingLeft(t, engine, name)
		if entries, err := os.ReadDir(filepath.Dir(filepath.Dir(d.Store.Root()))); err != nil || len(entries) > 0 {
			t.Errorf("left on the disk: %v, %v", entries, err)
		}
	})
	free := "127.0.0.1:0"
	return d, stack.Config{
		Name: name, Images: "bundled",
		Registry: stack.RegistryConfig{Publish: &free},
		Builder:  stack.BuilderConfig{Publish: &free},
	}
}

func nothingLeft(t *testing.T, engine *compose.Engine, name string) {
	t.Helper()
	if left, err := engine.Remains(context.Background(), name); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func newSpec(t *testing.T, c stack.Config) stack.Spec {
	t.Helper()
	spec, err := stack.NewSpec(c)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// up brings the stack up and fails the test unless every line of the proof holds.
func up(t *testing.T, d lifecycle.Deps, spec stack.Spec) lifecycle.Result {
	t.Helper()
	res, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{})
	if err != nil {
		t.Fatalf("up: %v", err)
	}
	for _, c := range res.Report.Checks {
		if c.Outcome != stack.Holds {
			t.Errorf("%s: %s: %s: %s %s", c.Hop, c.Title, c.Outcome, c.Reason, c.Error)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return res
}

// failing proves the running stack and returns the checks that do not hold.
func failing(t *testing.T, d lifecycle.Deps) []stack.Check {
	t.Helper()
	report, _, err := lifecycle.Smoke(t.Context(), d)
	if err != nil {
		t.Fatalf("smoke: %v", err)
	}
	return report.Failed()
}

// mustFail demands that the proof fails on a hop for a reason.
func mustFail(t *testing.T, d lifecycle.Deps, hop stack.Hop, reasons ...stack.Reason) {
	t.Helper()
	failed := failing(t, d)
	for _, c := range failed {
		if c.Hop == hop && slices.Contains(reasons, c.Reason) {
			return
		}
	}
	t.Errorf("want a failure of %q for %v, have %+v", hop, reasons, failed)
}

// restart restarts one daemon, so that it reads its files again.
func restart(t *testing.T, d lifecycle.Deps, service string) {
	t.Helper()
	docker(t, "restart", "-t", "1", container(t, d, service).ID)
	for start := time.Now(); time.Since(start) < 20*time.Second; {
		silent := func(c stack.Check) bool { return c.Reason == stack.ReasonUnreachable }
		if !slices.ContainsFunc(failing(t, d), silent) {
			return
		}
	}
	t.Fatalf("%s does not answer after its restart", service)
}

func container(t *testing.T, d lifecycle.Deps, service string) compose.Container {
	t.Helper()
	all, err := d.Engine.Containers(t.Context(), filepath.Base(d.Store.Root()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Service == service {
			return c
		}
	}
	t.Fatalf("no container for %s", service)
	return compose.Container{}
}

func docker(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput(); err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
}

func at(d lifecycle.Deps, path string) string { return filepath.Join(d.Store.Root(), path) }

// replace writes other bytes in place, keeping mode and owner, as somebody with
// an editor does, and returns what puts the old ones back.
func replace(t *testing.T, file string, data []byte) (restore func()) {
	t.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(data)
	return func() { write(old) }
}

// TestIntegrationUp is the main job in both TLS modes: up, up again, a change
// of the spec, a restart of the daemons, down.
func TestIntegrationUp(t *testing.T) {
	for _, mode := range []string{"server", "mutual"} {
		t.Run(mode, func(t *testing.T) {
			d, config := realDeps(t)
			config.Builder.TLS = mode
			first := up(t, d, newSpec(t, config))
			before := []string{container(t, d, stack.Registry).ID, container(t, d, stack.Builder).ID}
			files := snapshot(t, d.Store.Root())

			second := up(t, d, newSpec(t, config))
			if len(second.Written) > 0 {
				t.Errorf("the second up wrote %v", second.Written)
			}
			if got := snapshot(t, d.Store.Root()); got != files {
				t.Errorf("the second up changed files:\n%s\nwant:\n%s", got, files)
			}
			if after := []string{container(t, d, stack.Registry).ID, container(t, d, stack.Builder).ID}; !slices.Equal(before, after) {
				t.Errorf("the second up changed containers: %v, want %v", after, before)
			}
			if first.Spec.Registry.Publish.Port == 0 || second.Spec.Registry.Publish != first.Spec.Registry.Publish {
				t.Errorf("port chosen: %v, then %v", first.Spec.Registry.Publish, second.Spec.Registry.Publish)
			}

			config.Builder.Hosts = []string{"build.internal"}
			up(t, d, newSpec(t, config))
			if container(t, d, stack.Registry).ID != before[0] {
				t.Error("another name of the builder made a new registry")
			}
			if container(t, d, stack.Builder).ID == before[1] {
				t.Error("the builder still runs with its old certificate")
			}

			restart(t, d, stack.Registry)
			restart(t, d, stack.Builder)
			if failed := failing(t, d); len(failed) > 0 {
				t.Errorf("after a restart: %+v", failed)
			}
		})
	}
}

// snapshot lists every file with mode, owner, time and content.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "find", root, "-type", "f", "!", "-name", ".lock",
		"-printf", "%m %U %T@ %P ", "-exec", "sha256sum", "{}", ";").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestIntegrationBroken breaks one thing after the other on a running stack,
// and wants the proof to name the hop each time.
func TestIntegrationBroken(t *testing.T) {
	d, config := realDeps(t)
	spec := newSpec(t, config)
	up(t, d, spec)
	foreign := pkitest.New(t, time.Now())

	t.Run("edited htpasswd", func(t *testing.T) {
		defer replace(t, at(d, stack.FileHtpasswd), []byte("testuser:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n"))()
		mustFail(t, d, stack.HopHostRegistry, stack.ReasonUnauthorized)
	})
	t.Run("swapped certificate, not loaded yet", func(t *testing.T) {
		defer replace(t, at(d, stack.FileRegistryCert), foreign.Server(t, "localhost").CertPEM())()
		mustFail(t, d, stack.HopHostRegistry, stack.ReasonDrift)
	})
	t.Run("swapped certificate and key, loaded", func(t *testing.T) {
		pair := foreign.Server(t, spec.Names(stack.Builder, stack.Facts{})...)
		key, err := pair.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		restoreCert := replace(t, at(d, stack.FileBuilderCert), pair.CertPEM())
		restoreKey := replace(t, at(d, stack.FileBuilderKey), key)
		restart(t, d, stack.Builder)
		mustFail(t, d, stack.HopHostBuilder, stack.ReasonUntrusted)
		if _, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); err == nil {
			t.Error("up replaced a pair that it had not made")
		} else if _, ok := errors.AsType[*pki.ForeignError](err); !ok {
			t.Errorf("up: %v, want a *pki.ForeignError", err)
		}
		restoreCert()
		restoreKey()
		restart(t, d, stack.Builder)
	})
	t.Run("wrong CA for the builder", func(t *testing.T) {
		toml, err := os.ReadFile(at(d, stack.FileBuilderConfig))
		if err != nil {
			t.Fatal(err)
		}
		wrong := bytes.ReplaceAll(toml, []byte(`ca = ["/etc/buildkit/certs/ca.crt"]`), []byte(`ca = ["/etc/buildkit/certs/server.crt"]`))
		if bytes.Equal(wrong, toml) {
			t.Fatal("buildkitd.toml has no ca to replace")
		}
		restore := replace(t, at(d, stack.FileBuilderConfig), wrong)
		mustFail(t, d, stack.HopBuilderRegistry, stack.ReasonDrift)
		restart(t, d, stack.Builder)
		mustFail(t, d, stack.HopBuilderRegistry, stack.ReasonUntrusted)
		restore()
		restart(t, d, stack.Builder)
	})
	for service, hop := range map[string]stack.Hop{stack.Registry: stack.HopHostRegistry, stack.Builder: stack.HopHostBuilder} {
		t.Run("stopped "+service, func(t *testing.T) {
			docker(t, "stop", "-t", "1", container(t, d, service).ID)
			mustFail(t, d, hop, stack.ReasonUnreachable)
		})
	}
	t.Run("removed client CA", func(t *testing.T) {
		if err := os.Remove(at(d, stack.FileClientCA)); err != nil {
			t.Fatal(err)
		}
		mustFail(t, d, stack.HopHostBuilder, stack.ReasonDrift)
	})
	t.Run("up mends what can be mended", func(t *testing.T) {
		up(t, d, spec)
		if failed := failing(t, d); len(failed) > 0 {
			t.Errorf("after up: %+v", failed)
		}
	})
}

// TestIntegrationTwoProjects refuses to touch a project of the same name that
// was started from another directory.
func TestIntegrationTwoProjects(t *testing.T) {
	d, config := realDeps(t)
	up(t, d, newSpec(t, config))
	other := d
	other.Store = state.Open(filepath.Join(t.TempDir(), filepath.Base(d.Store.Root())), state.Options{})
	_, err := lifecycle.Up(t.Context(), other, newSpec(t, config), lifecycle.UpOptions{})
	if e, ok := errors.AsType[*compose.ForeignProjectError](err); !ok || e.Dir != d.Store.Root() {
		t.Errorf("up: %v, want a *compose.ForeignProjectError with %s", err, d.Store.Root())
	}
	_, err = lifecycle.Down(t.Context(), other, config.Name, lifecycle.DownOptions{Volumes: true})
	if _, ok := errors.AsType[*compose.ForeignProjectError](err); !ok {
		t.Errorf("down: %v, want a *compose.ForeignProjectError", err)
	}
	if other.Store.Exists() {
		t.Error("the refused up left files")
	}
}

// TestIntegrationPortTaken says which container has the port, and with an open
// port takes another one.
func TestIntegrationPortTaken(t *testing.T) {
	d, config := realDeps(t)
	first := up(t, d, newSpec(t, config))
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) { takePort(t, first, serve) })
	}
}

// takePort brings up a stack whose registry is to have the port of another one.
func takePort(t *testing.T, first lifecycle.Result, serve stack.Serve) {
	taken := first.Spec.Registry.Publish.String()
	d2, config2 := edgeDeps(t)
	config2.Serve = string(serve)
	config2.Registry.Publish = &taken
	_, err := lifecycle.Up(t.Context(), d2, newSpec(t, config2), lifecycle.UpOptions{})
	e, ok := errors.AsType[*compose.PortError](err)
	if !ok || e.Service != stack.Registry || e.Container != first.Spec.ContainerName(stack.Registry) {
		t.Fatalf("up: %v (%+v), want a *compose.PortError that names %s", err, e, first.Spec.ContainerName(stack.Registry))
	}

	open := "127.0.0.1:0"
	config2.Registry.Publish = &open
	tries := 0
	free := d2.FreePort
	d2.FreePort = func(ip netip.Addr) (int, error) {
		if tries++; tries == 1 {
			return first.Spec.Registry.Publish.Port, nil
		}
		return free(ip)
	}
	if err := os.RemoveAll(d2.Store.Root()); err != nil {
		t.Fatal(err)
	}
	res := upEdge(t, d2, newSpec(t, config2))
	if res.Spec.Registry.Publish.Port == first.Spec.Registry.Publish.Port || tries < 3 {
		t.Errorf("port %d after %d tries, want another one than %s", res.Spec.Registry.Publish.Port, tries, taken)
	}
}

// TestIntegrationUsers has a chosen and a generated password, and a user who
// comes later.
func TestIntegrationUsers(t *testing.T) {
	d, config := realDeps(t)
	config.Registry.Users = []stack.UserConfig{{Name: "chosen", PasswordFile: "pw"}, {Name: "ci"}}
	up(t, d, newSpec(t, config))
	before := container(t, d, stack.Registry).ID
	config.Registry.Users = append(config.Registry.Users, stack.UserConfig{Name: "late"})
	slices.Reverse(config.Registry.Users) // the proof uses the first one
	up(t, d, newSpec(t, config))
	if container(t, d, stack.Registry).ID != before {
		t.Error("another user made a new registry container; htpasswd is read again by itself")
	}
}

// TestIntegrationInterrupted stops up at many moments; the next one finishes.
func TestIntegrationInterrupted(t *testing.T) {
	d, config := realDeps(t)
	spec := newSpec(t, config)
	for _, after := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, 900 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := lifecycle.Up(ctx, d, spec, lifecycle.UpOptions{})
		cancel()
		t.Logf("stopped after %v: %v", after, err)
	}
	up(t, d, spec)
}
