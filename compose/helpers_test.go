package compose

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/client"
)

// dockerEngine connects to the engine of this machine. It is the only place
// where a test of this package is skipped.
func dockerEngine(t testing.TB) *Engine {
	t.Helper()
	required := os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1"
	if testing.Short() && !required {
		t.Skip("needs a Docker Engine, left out by -short")
	}
	e, err := Connect(t.Context(), Options{})
	if err != nil {
		if required {
			t.Fatal(err)
		}
		t.Skipf("needs a Docker Engine: %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// unique returns a project name that no other test has.
func unique() string { return "cy-test-" + strings.ToLower(rand.Text()[:10]) }

// idleProgram builds testdata/idle once.
var idleProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "certyard-idle")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "idle")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", file, "./testdata/idle")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
})

// writeBundle makes a directory of daemons whose files have the given content.
func writeBundle(t testing.TB, arch, version string, content map[string][]byte) Bundle {
	t.Helper()
	b := Bundle{Dir: t.TempDir()}
	dir := filepath.Join(b.Dir, "linux-"+arch)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]daemon{}
	for name, data := range content {
		sum := sha256.Sum256(data)
		files[name] = daemon{Version: version, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]any{"files": files})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "daemons.json"), list, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// idleBundle is a bundle in which every daemon is the idle program.
func idleBundle(t testing.TB, e *Engine) Bundle {
	t.Helper()
	program, err := idleProgram()
	if err != nil {
		t.Fatal(err)
	}
	info, err := e.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return writeBundle(t, info.Arch, "v0-"+unique(), map[string][]byte{
		"registry": program, "buildkitd": program, "buildctl": program, "buildkit-runc": program,
	})
}

// idleImage loads an image whose entry point is the idle program.
func idleImage(t testing.TB, e *Engine) string {
	t.Helper()
	got, err := e.Images(t.Context(), []Image{{Service: "a", Ref: "registry:3", Bundled: BundledRegistry}}, Bundled, idleBundle(t, e), nil)
	if err != nil {
		t.Fatal(err)
	}
	removeImage(t, e, got[0].Ref)
	return got[0].Ref
}

// removeImage removes an image when the test ends. Containers of it must be
// gone by then: make the project afterwards.
func removeImage(t testing.TB, e *Engine, ref string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := e.api.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{}); err != nil {
			t.Errorf("removing image %s: %v", ref, err)
		}
	})
}

// project is a compose project of a test, in a directory of its own.
type project struct {
	testing.TB
	engine *Engine
	name   string
	dir    string
}

// newProject returns a project that is taken down when the test ends.
func newProject(t testing.TB, e *Engine) *project {
	t.Helper()
	p := &project{TB: t, engine: e, name: unique(), dir: t.TempDir()}
	t.Cleanup(func() {
		if _, err := e.Down(context.Background(), p.name, DownOptions{Volumes: true}); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return p
}

// load writes a compose file and loads it.
func (p *project) load(yaml string) *types.Project {
	p.Helper()
	file := filepath.Join(p.dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		p.Fatal(err)
	}
	loaded, err := Load(p.Context(), Source{Name: p.name, Dir: p.dir, Files: []string{file}})
	if err != nil {
		p.Fatal(err)
	}
	return loaded
}

// up loads a compose file and brings it up.
func (p *project) up(yaml string, o UpOptions) UpResult {
	p.Helper()
	result, err := p.engine.Up(p.Context(), p.load(yaml), o)
	if err != nil {
		p.Fatal(err)
	}
	return result
}
