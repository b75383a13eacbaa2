package explain

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/stacktest"
)

// testStacks: stacks as certyard runs them, in containers and each way to serve, and
// clients that do not fit.
func testStacks(t *testing.T, r *real) {
	for _, c := range []struct {
		serve             stack.Serve
		tls               stack.BuilderTLS
		registry, builder stacktest.Fault
	}{
		{stack.ServeDaemon, stack.TLSServer, stacktest.WrongName, stacktest.Expired},
		{stack.ServeDaemon, stack.TLSMutual, stacktest.OtherCA, stacktest.NotYetValid},
		{stack.ServeEdge, stack.TLSServer, stacktest.Expired, stacktest.OtherCA},
		{stack.ServeEdge, stack.TLSMutual, stacktest.OtherCA, stacktest.WrongName},
	} {
		t.Run(string(c.serve)+"-"+string(c.tls), func(t *testing.T) {
			t.Parallel()
			y := &realStack{stacktest.Start(t, stacktest.Options{Serve: c.serve, TLS: c.tls, Proof: stacktest.Quick, Images: stack.ImagesBundled}), r}
			y.clients(t, c.tls)
			y.pushes(t)
			y.engine(t, c.serve)
			y.Registry.Fault(t, c.registry)
			y.registryFault(t, c.serve, faultEntries[c.registry])
			y.Stop(t, stack.Registry)
			y.stopped(t, c.tls)
			y.Builder.Fault(t, c.builder)
			y.client(t, faultEntries[c.builder], y.proven()...)
		})
	}
}

var faultEntries = map[stacktest.Fault]string{
	stacktest.Expired: "expired", stacktest.NotYetValid: "not-yet-valid", stacktest.WrongName: "wrong-name", stacktest.OtherCA: "unknown-authority",
}

type realStack struct {
	*stacktest.Stack
	r *real
}

// client calls buildctl with flags, which has to fail.
func (y *realStack) client(t *testing.T, wanted string, flags ...string) {
	t.Helper()
	out, ok := y.r.run(t, nil, append(append([]string{"buildctl", "--addr", y.Builder.Address()}, flags...), "debug", "workers")...)
	if ok {
		t.Errorf("%q succeeded:\n%s", flags, out)
	}
	y.r.explains(t, out, want(wanted, ClientBuilder))
}

// proven returns the flags of a client that fits.
func (y *realStack) proven() []string {
	flags := []string{"--tlscacert", y.file(stack.FileClientCA)}
	if _, err := os.Stat(y.file(stack.FileClientCert)); err == nil {
		flags = append(flags, "--tlscert", y.file(stack.FileClientCert), "--tlskey", y.file(stack.FileClientKey))
	}
	return flags
}

func (y *realStack) file(name string) string { return filepath.Join(y.Dir(), name) }

// clients: who goes to the builder and does not fit.
func (y *realStack) clients(t *testing.T, tls stack.BuilderTLS) {
	t.Helper()
	dir, other := t.TempDir(), pkitest.New(t, time.Now())
	y.client(t, "plaintext-to-builder|builder-broke-off")
	y.client(t, "unknown-authority", "--tlscacert", write(t, dir, "other.pem", other.Trust().PEM()))
	y.client(t, "wrong-name", append(y.proven(), "--tlsservername", "build.lan")...)
	if tls == stack.TLSMutual {
		trust := []string{"--tlscacert", y.file(stack.FileClientCA)}
		y.client(t, "client-certificate-required|builder-broke-off", trust...)
		cert, key := pair(t, dir, "foreign", other.Client(t, "me"))
		y.client(t, "client-certificate-required|builder-broke-off", append(trust, "--tlscert", cert, "--tlskey", key)...)
	}
	if out, ok := y.r.run(t, nil, append(append([]string{"buildctl", "--addr", y.Builder.Address()}, y.proven()...), "debug", "workers")...); !ok {
		t.Errorf("who fits is refused:\n%s", out)
	}
}

// pushes: builds whose push fails in the network of the stack.
func (y *realStack) pushes(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ registry, login, want string }{
		{y.Registry.NetworkHost(), "", "unauthorized"},
		{y.Registry.NetworkHost(), "wrong", "unauthorized"},
		{"127.0.0.1:5999", "", "connection-refused"},
		{"nobody.invalid:5000", "", "no-such-host"},
	} {
		y.push(t, c.registry, c.login, c.want)
	}
}

func (y *realStack) push(t *testing.T, registry, login, wanted string) {
	t.Helper()
	out, ok := y.r.push(t, strings.TrimPrefix(y.Builder.Address(), "tcp://"), registry, login, y.proven()...)
	if ok {
		t.Errorf("the push to %s succeeded:\n%s", registry, out)
	}
	y.r.explains(t, out, want(wanted, BuilderRegistry))
}

// stopped: the registry does not run. An edge waits for it for a while, so each stack
// tries one of two.
func (y *realStack) stopped(t *testing.T, tls stack.BuilderTLS) {
	t.Helper()
	if tls == stack.TLSMutual {
		y.push(t, y.Registry.NetworkHost(), "", "no-such-host|unexpected-eof")
		return
	}
	out, ok := y.r.docker(t, "pull", y.Registry.Host()+"/app:1")
	if ok {
		t.Errorf("the pull succeeded:\n%s", out)
	}
	y.r.explains(t, out, want("connection-refused|unexpected-eof", EngineRegistry))
}

// registryFault: a registry that shows what clients must refuse. A builder behind an
// edge has a way to the registry of its own, which the fault does not touch.
func (y *realStack) registryFault(t *testing.T, serve stack.Serve, wanted string) {
	t.Helper()
	if serve == stack.ServeDaemon {
		y.push(t, y.Registry.NetworkHost(), "", wanted)
	}
	out, ok := y.r.run(t, nil, "curl", "-sS", "--cacert", y.file(stack.FileClientCA), "https://"+y.Registry.Host()+"/v2/")
	if ok {
		t.Errorf("curl succeeded:\n%s", out)
	}
	y.r.explains(t, out, want(wanted, Command))
}

// engine: the engine goes to the registry's container by its address.
func (y *realStack) engine(t *testing.T, serve stack.Serve) {
	t.Helper()
	container := y.Name() + "-registry-1"
	if serve == stack.ServeEdge {
		container = y.Name() + "-edge-1"
	}
	out, ok := y.r.docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", container)
	if !ok || len(strings.Fields(out)) == 0 {
		t.Fatalf("looking for the address of %s: %s", container, out)
	}
	address, err := netip.ParseAddr(strings.Fields(out)[0])
	if err != nil {
		t.Fatal(err)
	}
	if out, ok = y.r.docker(t, "pull", address.String()+":5000/app:1"); ok {
		t.Errorf("the pull succeeded:\n%s", out)
	}
	y.r.explains(t, out, want("wrong-name", EngineRegistry))
	_, port, err := net.SplitHostPort(y.Registry.Host())
	if err != nil {
		t.Fatal(err)
	}
	y.takenPort(t, port)
}

// takenPort: another container is to have the registry's port.
func (y *realStack) takenPort(t *testing.T, port string) {
	t.Helper()
	image := y.Name() + "-port:1"
	y.r.image(t, image)
	out, ok := y.r.docker(t, "run", "--rm", "-p", "127.0.0.1:"+port+":5000", image, "/file")
	if ok {
		t.Errorf("it ran:\n%s", out)
	}
	y.r.explains(t, out, want("address-in-use", DaemonStart))
}
