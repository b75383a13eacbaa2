package lifecycle_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// program builds the command once, as make build does: for containers.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "certyard-program-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "certyard"), "../../cmd/certyard")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the command: %w\n%s", err, out)
	}
	return filepath.Join(dir, "certyard"), nil
})

// built is where the command was built, "" while no test needed it.
var built string

// made are the images that the tests had made of the program.
var made sync.Map

func TestMain(m *testing.M) {
	code := m.Run()
	made.Range(func(ref, _ any) bool {
		if out, err := exec.Command("docker", "image", "rm", ref.(string)).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "removing image %s: %v\n%s", ref, err, out)
			code = 1
		}
		return true
	})
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// edgeDeps is realDeps for a stack that is served by the edge.
func edgeDeps(t *testing.T) (lifecycle.Deps, stack.Config) {
	t.Helper()
	d, config := realDeps(t)
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	d.Bundle.Program = compose.Program{Exe: file, Version: "test"}
	config.Serve = "edge"
	return d, config
}

// upEdge is up, and remembers the images that are to be removed.
func upEdge(t *testing.T, d lifecycle.Deps, spec stack.Spec) lifecycle.Result {
	t.Helper()
	res := up(t, d, spec)
	if spec.Serve == stack.ServeEdge {
		made.Store(res.Facts.Images[stack.Edge], true)
	}
	if res.Facts.BuilderBase != "" {
		made.Store(res.Facts.Images[stack.Builder], true)
	}
	return res
}

func ids(t *testing.T, d lifecycle.Deps, services ...string) []string {
	t.Helper()
	var out []string
	for _, s := range services {
		out = append(out, container(t, d, s).ID)
	}
	return out
}

// TestIntegrationEdge is the main job behind the edge, in both TLS modes: up, up
// again, a change that the edge takes over without a restart, and restarts of
// each container.
func TestIntegrationEdge(t *testing.T) {
	for _, mode := range []string{"server", "mutual"} {
		t.Run(mode, func(t *testing.T) {
			d, config := edgeDeps(t)
			config.Builder.TLS = mode
			first := upEdge(t, d, newSpec(t, config))
			before := ids(t, d, stack.ServeEdge.Services()...)
			name := first.Spec.RegistryEndpoint(first.Facts).Address()
			if !strings.HasPrefix(name, "localhost:") || name == "localhost:0" {
				t.Errorf("the one name is %s", name)
			}
			checkTarget(t, *first.Report, "build.push", name)
			checkTarget(t, *first.Report, "build.pull-again", "registry:5000")

			second := upEdge(t, d, newSpec(t, config))
			if len(second.Written) > 0 || !slices.Equal(ids(t, d, stack.ServeEdge.Services()...), before) {
				t.Errorf("the second up wrote %v, or made other containers", second.Written)
			}

			serial := serialOf(t, d)
			config.Builder.Hosts, config.Registry.Hosts = []string{"build.internal"}, []string{"build.internal"}
			upEdge(t, d, newSpec(t, config))
			if serialOf(t, d) == serial {
				t.Error("the certificate is the same")
			}
			if after := ids(t, d, stack.Edge, stack.Registry); !slices.Equal(after, before[:2]) {
				t.Error("a new certificate made a new container")
			}
			checkSecretsInside(t, d)
			checkListeners(t, d, first)
			for _, service := range stack.ServeEdge.Services() {
				restart(t, d, service)
				if failed := failing(t, d); len(failed) > 0 {
					t.Errorf("after a restart of %s: %+v", service, failed)
				}
			}
		})
	}
}

// checkTarget wants a check of the report to have dialled a name.
func checkTarget(t *testing.T, r stack.Report, id, target string) {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c stack.Check) bool { return c.ID == id })
	if i < 0 || r.Checks[i].Target != target {
		t.Errorf("the builder did not push to %s: %+v", target, r.Checks)
	}
}

func serialOf(t *testing.T, d lifecycle.Deps) string {
	t.Helper()
	s, err := lifecycle.GetStatus(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.Certificates, func(c lifecycle.CertificateStatus) bool { return c.Name == stack.LeafRegistry })
	return s.Certificates[i].Serial
}

// checkSecretsInside reads everything that the daemons' containers have mounted,
// and the directories of their own that hold files of ours: no private key is
// in it, and the edge has both.
func checkSecretsInside(t *testing.T, d lifecycle.Deps) {
	t.Helper()
	for service, want := range map[string]int{stack.Registry: 0, stack.Builder: 0, stack.Edge: 2} {
		id := container(t, d, service).ID
		var found int
		for _, dir := range append(mounts(t, id), "/etc") {
			out, err := exec.CommandContext(t.Context(), "docker", "cp", id+":"+dir, "-").Output()
			if err != nil { // not in this image
				continue
			}
			if dir != "/etc" || !slices.Contains(mounts(t, id), "/etc/edge") {
				found += bytes.Count(out, []byte("PRIVATE KEY-----\n")) / 2
			}
		}
		if found != want {
			t.Errorf("%s can read %d private keys, want %d", service, found, want)
		}
	}
}

// mounts returns where a container has volumes and directories of the host.
func mounts(t *testing.T, id string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{range .Mounts}}{{.Destination}}\n{{end}}", id).Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(dir string) bool {
		return strings.HasPrefix(dir, "/sys") || strings.HasPrefix(dir, "/var/lib")
	})
}

// checkListeners reads from the kernel who listens: the edge on its ports, and in
// the builder nothing but the loopback relay.
func checkListeners(t *testing.T, d lifecycle.Deps, r lifecycle.Result) {
	t.Helper()
	relay, _ := r.Spec.Relay(r.Facts)
	relays := []string{relay.String(), stack.RelayedNames().String()}
	slices.Sort(relays)
	for service, want := range map[string][]string{
		stack.Edge: {"*:1234", "*:5000", "*:5001"}, stack.Registry: nil, stack.Builder: relays,
	} {
		out, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{.State.Pid}}", container(t, d, service).ID).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := listening(t, strings.TrimSpace(string(out))); !slices.Equal(got, want) {
			t.Errorf("in %s there listen %v, want %v", service, got, want)
		}
	}
}

// listening returns the TCP ports that are listened on in a process's network,
// from /proc (proc_pid_net(5)), without Docker's own resolver on 127.0.0.11.
func listening(t *testing.T, pid string) []string {
	t.Helper()
	var out []string
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile("/proc/" + pid + "/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(data), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != "0A" { // TCP_LISTEN
				continue
			}
			address, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case address == "0B00007F":
			case strings.Trim(address, "0") == "":
				out = append(out, fmt.Sprintf("*:%d", n))
			case address == "0100007F":
				out = append(out, fmt.Sprintf("127.0.0.1:%d", n))
			default:
				out = append(out, fmt.Sprintf("%s:%d", address, n))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestIntegrationServeChange moves a running stack to the edge and back: the
// images in the registry stay, the keys move, and every proof holds.
func TestIntegrationServeChange(t *testing.T) {
	d, config := edgeDeps(t)
	config.Builder.TLS = "mutual"
	for _, serve := range []string{"daemon", "edge", "daemon"} {
		config.Serve = serve
		before, _ := os.ReadFile(at(d, stack.ServeEdge.PairOf(stack.LeafBuilder).Key))
		if before == nil {
			before, _ = os.ReadFile(at(d, stack.ServeDaemon.PairOf(stack.LeafBuilder).Key))
		}
		spec := newSpec(t, config)
		upEdge(t, d, spec)
		after, err := os.ReadFile(at(d, spec.Serve.PairOf(stack.LeafBuilder).Key))
		if err != nil || before != nil && !bytes.Equal(before, after) {
			t.Errorf("to %s: the key is another one, %v", serve, err)
		}
		other := stack.ServeEdge
		if spec.Serve == stack.ServeEdge {
			other = stack.ServeDaemon
		}
		if _, err := os.Stat(at(d, other.PairOf(stack.LeafBuilder).Key)); !os.IsNotExist(err) {
			t.Errorf("to %s: the key is still where it was: %v", serve, err)
		}
		if failed := failing(t, d); len(failed) > 0 {
			t.Errorf("served by %s: %+v", serve, failed)
		}
	}
}

// TestIntegrationEdgeClients: a client is removed by itself, within a second and
// without a restart, and what it has open is closed. Back with TLS in the
// daemons the client CA is replaced, since buildkitd would let it in again.
func TestIntegrationEdgeClients(t *testing.T) {
	d, config := edgeDeps(t)
	config.Builder.TLS = "mutual"
	spec := newSpec(t, config)
	first := upEdge(t, d, spec)
	before := ids(t, d, stack.ServeEdge.Services()...)
	for _, name := range []string{"alice", "bob"} {
		if _, _, err := lifecycle.AddClient(t.Context(), d, name, 0); err != nil {
			t.Fatal(err)
		}
	}
	alice, bob := clientPair(t, d, "alice"), clientPair(t, d, "bob")
	builder := first.Spec.HostEndpoints(stack.Builder, first.Facts)[0].Address()
	if err := visit(t, d, builder, bob).err(); err != nil {
		t.Fatalf("bob is not let in: %v", err)
	}
	open := visit(t, d, builder, bob)
	start := time.Now()
	res, err := lifecycle.RemoveClients(t.Context(), d, []string{"bob"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(res.Report.Checks, func(c stack.Check) bool {
		return strings.HasSuffix(c.Title, "is refused: bob") && c.Outcome == stack.Holds
	}) {
		t.Errorf("the proof has no line about bob: %+v", res.Report.Checks)
	}
	open.closed(t)
	t.Logf("bob's open connection was closed %v after the removal began", time.Since(start))
	if err := visit(t, d, builder, bob).err(); err == nil {
		t.Error("bob is let in")
	}
	if err := visit(t, d, builder, alice).err(); err != nil {
		t.Errorf("alice is not let in any more: %v", err)
	}
	if after := ids(t, d, stack.ServeEdge.Services()...); !slices.Equal(after, before) {
		t.Error("removing a client made other containers")
	}
	ca, err := os.ReadFile(at(d, stack.FileClientCACert))
	if err != nil {
		t.Fatal(err)
	}
	config.Serve = "daemon"
	upEdge(t, d, newSpec(t, config))
	if now, err := os.ReadFile(at(d, stack.FileClientCACert)); err != nil || bytes.Equal(now, ca) {
		t.Errorf("buildkitd accepts the CA that bob's certificate is of, %v", err)
	}
}
