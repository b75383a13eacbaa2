package compose

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The daemons that scripts/daemons builds run as bundled images, hardened as
// far as each allows: the registry without root and capabilities, buildkitd
// with what an engine gives that refuses privileged containers.
func TestIntegrationRealDaemons(t *testing.T) {
	e := dockerEngine(t)
	dir, err := filepath.EvalSymlinks("../bin/daemons")
	if err != nil {
		t.Fatalf("run scripts/daemons first: %v", err)
	}
	images, err := e.Images(t.Context(), []Image{
		{Service: "registry", Bundled: BundledRegistry}, {Service: "buildkit", Bundled: BundledBuildkit},
	}, Bundled, Bundle{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The images stay: the next run, and whoever uses this engine for a stack,
	// has them at hand.
	p := newProject(t, e)
	config := filepath.Join(p.dir, "config")
	if err := os.Mkdir(config, 0o755); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, filepath.Join(config, "config.yml"),
		"version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: ':5000'}\n")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf(`services:
  registry:
    image: %s
    user: "65532:65532"
    read_only: true
    cap_drop: [ALL]
    security_opt: [no-new-privileges]
    volumes: ["./config:/etc/distribution:ro", "registry:/var/lib/registry"]
  buildkit:
    image: %s
    command: [--addr, "unix:///run/buildkit/buildkitd.sock"]
    read_only: true
    tmpfs: [/run, /tmp]
    cap_add: [SYS_ADMIN, NET_ADMIN]
    security_opt: [no-new-privileges, seccomp=unconfined, apparmor=unconfined, systempaths=unconfined]
    volumes: ["/sys/fs/cgroup:/sys/fs/cgroup", "buildkit:/var/lib/buildkit"]
volumes: {registry: {}, buildkit: {}}
`, images[0].Ref, images[1].Ref)
	p.up(yaml, UpOptions{Volumes: []VolumeOwner{{Service: "registry", Target: "/var/lib/registry", UID: 65532, GID: 65532}}})

	if line := p.logLine("listening on"); !strings.HasPrefix(line, "registry-1") || !strings.Contains(line, images[0].Version) {
		t.Errorf("the registry says %q, want its version %s", line, images[0].Version)
	}
	if line := p.logLine("running server on"); !strings.HasPrefix(line, "buildkit-1") {
		t.Errorf("buildkitd says %q", line)
	}
	want := map[string]Change{"registry": Kept, "buildkit": Kept}
	if got := p.up(yaml, UpOptions{}); !maps.Equal(got.Services, want) {
		t.Errorf("second up: %v", got.Services)
	}
}

// BenchmarkUp has the two numbers that an up adds to what the proof costs.
func BenchmarkUp(b *testing.B) {
	e := dockerEngine(b)
	img := idleImage(b, e)
	yaml := "services:\n  a: {image: '" + img + "'}\n  b: {image: '" + img + "'}\n"
	b.Run("first", func(b *testing.B) {
		p := newProject(b, e)
		for b.Loop() {
			p.up(yaml, UpOptions{})
			b.StopTimer()
			if _, err := e.Down(b.Context(), p.name, DownOptions{Volumes: true}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("nothing to do", func(b *testing.B) {
		p := newProject(b, e)
		p.up(yaml, UpOptions{})
		for b.Loop() {
			p.up(yaml, UpOptions{})
		}
	})
}
