package compose

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// programFile writes the idle program into a directory of its own.
func programFile(t testing.TB, name string) string {
	t.Helper()
	program, err := idleProgram()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestProgramFind: the executable itself is taken where containers can run it,
// and else the one beside it.
func TestProgramFind(t *testing.T) {
	static := programFile(t, "anything")
	if file, d, err := (Program{Exe: static, Version: "v1"}).find(runtime.GOARCH); err != nil || file != static || d.BuildID == "" || d.Version != "v1" {
		t.Errorf("got %s, %+v, %v", file, d, err)
	}
	beside := programFile(t, "certyard-linux-"+runtime.GOARCH)
	dynamic := filepath.Join(filepath.Dir(beside), "certyard")
	if err := os.Symlink("/bin/sh", dynamic); err != nil {
		t.Fatal(err)
	}
	if file, _, err := (Program{Exe: dynamic}).find(runtime.GOARCH); err != nil || file != beside {
		t.Errorf("beside a dynamic one: got %s, %v", file, err)
	}
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	_, _, err := (Program{Exe: dynamic}).find(runtime.GOARCH)
	var missing *ProgramError
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("a dynamic one alone: %v", err)
	}
	if _, _, err := (Program{Exe: static}).find("riscv64"); !errors.As(err, &missing) || missing.Arch != "riscv64" {
		t.Errorf("for another architecture: %v", err)
	}
	if _, _, err := (Program{}).find(runtime.GOARCH); !errors.As(err, &missing) {
		t.Errorf("without an executable: %v", err)
	}
}

// TestIntegrationProgram: the program runs as an image by itself, whatever the
// policy, and in front of another image's entry point.
func TestIntegrationProgram(t *testing.T) {
	e := dockerEngine(t)
	base := idleImage(t, e)
	p := Program{Exe: programFile(t, "x"), Version: "v0-" + unique()}
	got, err := e.Images(t.Context(), []Image{{Service: "edge", Bundled: BundledEdge}}, Pull, Bundle{Program: p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	removeImage(t, e, got[0].Ref)
	before := []string{"/usr/bin/certyard", "relay", "--"}
	added, err := e.With(t.Context(), base, p, before)
	if err != nil {
		t.Fatal(err)
	}
	removeImage(t, e, added)
	if again, err := e.With(t.Context(), base, p, before); err != nil || again != added {
		t.Errorf("the second time: %s, %v", again, err)
	}
	if other, err := e.With(t.Context(), base, p, before[:1]); err != nil || other == added {
		t.Errorf("with other words: %s, %v", other, err)
	} else {
		removeImage(t, e, other)
	}
	img, err := e.api.ImageInspect(t.Context(), added)
	if err != nil || img.Config.Labels[helperLabel] != helperNo {
		t.Errorf("containers of the image would be taken for helpers: %v, %v", img.Config, err)
	}
	project := newProject(t, e)
	project.up("services: {alone: {image: '"+got[0].Ref+"', command: [edge], user: '65532', read_only: true, environment: [ARGS=1]}, both: {image: '"+added+"', command: [serve], environment: [ARGS=1]}}", UpOptions{})
	for service, want := range map[string]string{
		"alone": "args [/usr/bin/certyard edge]", "both": "args [/usr/bin/certyard relay -- registry serve]",
	} {
		if line := project.logLine(want); !strings.HasPrefix(line, service) {
			t.Errorf("%s says %q, want %s", service, line, want)
		}
	}
	containers, err := e.Containers(t.Context(), project.name)
	if err != nil || len(containers) != 2 {
		t.Errorf("%v, %v", containers, err)
	}
}

// TestIntegrationSweepHelpers: what was left long ago is removed, with its volumes, and
// what may be in use stays, as does what runs.
func TestIntegrationSweepHelpers(t *testing.T) {
	e := dockerEngine(t)
	image, mine := idleImage(t, e), unique() // other tests have helpers too
	made := map[string]string{}
	for _, name := range []string{"helper", "runs"} {
		c, err := e.api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Config: &container.Config{Image: image, Labels: map[string]string{helperLabel: mine}},
		})
		if err != nil {
			t.Fatal(err)
		}
		made[name] = c.ID
		t.Cleanup(func() { e.removeHelper(context.Background(), c.ID) })
	}
	if _, err := e.api.ContainerStart(t.Context(), made["runs"], client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before time.Time
		left   int
	}{{time.Now().Add(-time.Hour), 2}, {time.Now().Add(time.Hour), 1}} {
		if err := e.sweepHelpers(t.Context(), mine, c.before); err != nil {
			t.Error(err)
		}
		list, err := e.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", helperLabel+"="+mine)})
		if err != nil || len(list.Items) != c.left || list.Items[0].ID != made["runs"] && c.left == 1 {
			t.Errorf("of those before %v, %d are left, want %d: %v", c.before, len(list.Items), c.left, err)
		}
	}
}

// TestIntegrationRemoveServices: a service that is no more gives its port to the
// one that has it now.
func TestIntegrationRemoveServices(t *testing.T) {
	e := dockerEngine(t)
	image := idleImage(t, e)
	p := newProject(t, e)
	port := "ports: ['127.0.0.1:" + freePort(t) + ":80']"
	p.up("services: {old: {image: '"+image+"', "+port+"}}", UpOptions{})
	p.up("services: {new: {image: '"+image+"', "+port+"}}", UpOptions{Remove: []string{"old", "never"}})
	containers, err := e.Containers(t.Context(), p.name)
	if err != nil || len(containers) != 1 || containers[0].Service != "new" || containers[0].State != "running" {
		t.Errorf("%+v, %v", containers, err)
	}
}

// freePort returns a port of 127.0.0.1 that nobody uses now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
