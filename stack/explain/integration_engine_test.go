package explain

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/htpasswd"
)

// testEngine: what docker says when the engine goes to a registry at an address that
// is not the loopback. To those the engine does not verify anything (P28).
func testEngine(t *testing.T, r *real) {
	gateway := r.gateway(t)
	users, err := htpasswd.Render([]htpasswd.User{{Name: user, Password: password, Cost: 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	v := map[string]string{"dir": dir, "htpasswd": write(t, dir, "htpasswd", users)}
	for name, c := range map[string]struct {
		yard yard
		want string
	}{
		"unknown CA": {yard{serve: r.ca.Server(t, gateway)}, "unknown-authority"},
		"plain HTTP": {yard{}, "https-to-http"},
		"wrong name": {yard{serve: r.ca.Server(t, "localhost", "127.0.0.1")}, "wrong-name"},
		"no address": {yard{serve: r.ca.Server(t, "registry")}, "no-ip-san"},
		"expired":    {yard{serve: r.ca.ExpiredServer(t, gateway)}, "expired"},
		"stopped":    {yard{stopped: true}, "connection-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.yard.listen = gateway
			d := r.registry(t, v, name, c.yard)
			if c.yard.stopped {
				d.stop(t)
			}
			for _, args := range [][]string{{"pull", d.address + "/app:1"}, {"login", "--username", user, "--password", password, d.address}} {
				out, ok := r.docker(t, args...)
				if ok {
					t.Errorf("%q succeeded:\n%s", args, out)
				}
				r.explains(t, out, want(c.want, EngineRegistry))
			}
		})
	}
	t.Run("a name that nobody knows", func(t *testing.T) {
		t.Parallel()
		out, _ := r.docker(t, "pull", "registry.invalid:5000/app:1")
		r.explains(t, out, want("no-such-host", EngineRegistry))
	})
	// To the loopback the engine speaks HTTP as well.
	t.Run("passwords", func(t *testing.T) {
		t.Parallel()
		d := r.registry(t, v, "passwords", yard{registry: "auth: {htpasswd: {realm: r, path: $htpasswd}}\n"})
		out, _ := r.docker(t, "pull", d.address+"/app:1")
		r.explains(t, out, want("unauthorized", EngineRegistry))
		out, _ = r.docker(t, "login", "--username", user, "--password", "wrong", d.address)
		r.explains(t, out, want("unauthorized", EngineRegistry))
		image := d.address + "/certyard-explain:1"
		r.image(t, image)
		out, _ = r.docker(t, "push", image)
		r.explains(t, out, want("unauthorized", EngineRegistry))
	})
	t.Run("a directory over a file", func(t *testing.T) {
		t.Parallel()
		image := fmt.Sprintf("certyard-explain-%d:1", os.Getpid())
		r.image(t, image)
		out, ok := r.docker(t, "run", "--rm", "--network", "none", "-v", t.TempDir()+":/file", image, "/file")
		if ok {
			t.Errorf("it ran:\n%s", out)
		}
		r.explains(t, out, want("is-a-directory", DaemonStart))
	})
}

// gateway returns the machine's address in the engine's network, where containers and
// the engine find it.
func (r *real) gateway(t *testing.T) string {
	t.Helper()
	out, ok := r.docker(t, "network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", "bridge")
	if !ok {
		t.Fatalf("asking for the engine's network: %s", out)
	}
	here, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, subnet := range strings.Fields(out) {
		for _, address := range here {
			prefix, err := netip.ParsePrefix(subnet)
			if err != nil {
				t.Fatal(err)
			}
			if own, err := netip.ParsePrefix(address.String()); err == nil && prefix.Contains(own.Addr()) {
				return own.Addr().String()
			}
		}
	}
	t.Fatalf("this machine (%v) is not in the engine's network: %s", here, out)
	return ""
}

// docker calls docker with a config of its own.
func (r *real) docker(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	return r.run(t, nil, append([]string{"docker", "--config", t.TempDir()}, args...)...)
}

// image makes an image with an empty file, which is removed with the test.
func (r *real) image(t *testing.T, name string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "file", Mode: 0o755}), w.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "docker", "import", "-", name)
	cmd.Stdin = &archive
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making an image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "image", "rm", name).CombinedOutput(); err != nil {
			t.Errorf("removing an image: %v\n%s", err, out)
		}
	})
}
