package explain

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
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
	good, twin := r.ca.Server(t, gateway), r.ca.Twin(t)
	reject := pkitest.New(t, time.Now())
	for name, c := range map[string]struct {
		yard     yard
		pull     string
		push     string // "" is the same
		noEngine bool
	}{
		"unknown CA":                  {yard{serve: good}, "unknown-authority", "", false},
		"another CA of the same name": {yard{serve: twin.Server(t, gateway)}, "unknown-authority", "", false},
		"another CA":                  {yard{serve: reject.Server(t, gateway)}, "unknown-authority", "", false},
		"plain HTTP":                  {yard{}, "https-to-http", "", false},
		"wrong name":                  {yard{serve: r.ca.Server(t, "localhost", "127.0.0.1")}, "wrong-name", "", false},
		"no address":                  {yard{serve: r.ca.Server(t, "registry")}, "no-ip-san", "", false},
		"expired":                     {yard{serve: r.ca.ExpiredServer(t, gateway)}, "expired", "", false},
		"stopped":                     {yard{stopped: true}, "connection-refused", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.yard.listen = gateway
			d := r.registry(t, v, strings.ReplaceAll(name, " ", "-"), c.yard)
			if c.yard.stopped {
				d.stop(t)
			}
			out, ok := r.docker(t, "pull", d.address+"/app:1")
			if ok {
				t.Errorf("the pull succeeded:\n%s", out)
			}
			r.explains(t, out, want(c.pull, EngineRegistry))
			out, ok = r.docker(t, "login", "--username", user, "--password", password, d.address)
			if ok {
				t.Errorf("the login succeeded:\n%s", out)
			}
			r.explains(t, out, want(c.pull, EngineRegistry))
		})
	}
	t.Run("a name that nobody knows", func(t *testing.T) {
		t.Parallel()
		out, _ := r.docker(t, "pull", "registry.invalid:5000/app:1")
		r.explains(t, out, want("no-such-host", EngineRegistry))
	})
	// Over the loopback the engine does speak TLS, and verifies nothing.
	t.Run("passwords", func(t *testing.T) {
		t.Parallel()
		d := r.registry(t, v, "passwords", yard{serve: r.ca.Server(t, "localhost"), registry: "auth: {htpasswd: {realm: r, path: $htpasswd}}\n"})
		out, _ := r.docker(t, "pull", d.address+"/app:1")
		r.explains(t, out, want("unauthorized", EngineRegistry))
		out, _ = r.docker(t, "login", "--username", user, "--password", "wrong", d.address)
		r.explains(t, out, want("unauthorized", EngineRegistry))
		image := d.address + "/certyard-explain:1"
		r.image(t, image)
		out, _ = r.docker(t, "push", image)
		r.explains(t, out, want("unauthorized", EngineRegistry))
	})
	t.Run("a mount", func(t *testing.T) {
		t.Parallel()
		testMount(t, r)
	})
}

// testMount: a file that is not there is mounted.
func testMount(t *testing.T, r *real) {
	image := "certyard-explain-" + fmt.Sprint(os.Getpid()) + ":1"
	r.image(t, image)
	dir := t.TempDir()
	file := write(t, dir, "file", []byte("x"))
	// An empty directory of the file's name, as the engine makes it, over a file.
	out, ok := r.docker(t, "run", "--rm", "-v", dir+":/file", image, "/file")
	if ok {
		t.Errorf("it ran:\n%s", out)
	}
	t.Log(out, file)
}

// gateway returns the machine's address in the engine's network.
func (r *real) gateway(t *testing.T) string {
	t.Helper()
	out, ok := r.docker(t, "network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{end}}", "bridge")
	if !ok || strings.TrimSpace(out) == "" {
		t.Fatalf("the engine's network has no address here: %s", out)
	}
	address := strings.Fields(out)[0]
	if net.ParseIP(address) == nil {
		t.Fatalf("the engine's network has the address %q", address)
	}
	return address
}

// docker calls docker with a config of its own.
func (r *real) docker(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	return r.run(t, nil, append([]string{"docker", "--config", t.TempDir()}, args...)...)
}

// image makes an image with one file, which is removed with the test.
func (r *real) image(t *testing.T, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", "import", "-", name)
	// An empty archive: two blocks of zeros.
	cmd.Stdin = strings.NewReader(strings.Repeat("\x00", 1024))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making an image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "image", "rm", name).CombinedOutput(); err != nil {
			t.Errorf("removing an image: %v\n%s", err, out)
		}
	})
}
