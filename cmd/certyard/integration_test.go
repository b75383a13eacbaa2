package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack"
)

// tidy runs the tests and then removes what [program] built.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	dir, err := os.MkdirTemp("", "certyard-program-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv(programDir, dir)
	return m.M.Run()
}

// programDir tells the tests where [program] goes.
const programDir = "CERTYARD_TEST_PROGRAM_DIR"

// program builds the real binary once: what is killed and what runs as another
// user has to be a process of its own.
var program = sync.OnceValues(func() (string, error) {
	dir := os.Getenv(programDir)
	file := filepath.Join(dir, "certyard")
	cmd := exec.Command("go", "build", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build: it runs in containers too
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, os.Chmod(dir, 0o755)
})

// yard is a stack of the real binary in a directory of its own.
type yard struct {
	t    *testing.T
	file string
	dir  string // the working directory
	name string
	cred *syscall.Credential
	env  []string // for every call, besides the usual

	images []string // to be removed with the test
}

// newYard needs Docker: without it the test is skipped, or fails where Docker is
// required. The stack is taken down when the test ends.
func newYard(t *testing.T) *yard {
	t.Helper()
	composetest.Connect(t)
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "certyard-yard-")
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, file: file, dir: dir, name: "certyard-test-" + strings.ToLower(filepath.Base(dir)[len("certyard-yard-"):])}
	t.Cleanup(func() { os.RemoveAll(dir) }) // even where down could not be run
	t.Cleanup(func() {
		if r := y.run("down", "--volumes", "--purge", "--yes"); r.status != exitOK {
			t.Errorf("down: %+v", r)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("left in the working directory: %v, %v", entries, err)
		}
	})
	return y
}

type result struct {
	status         int
	stdout, stderr string
}

// command prepares one call, with free ports and bundled images.
func (y *yard) command(args ...string) *exec.Cmd {
	daemons, err := filepath.Abs("../../bin/daemons")
	if err != nil {
		y.t.Fatal(err)
	}
	cmd := exec.Command(y.file, append([]string{"--name", y.name}, args...)...)
	cmd.Dir = y.dir
	cmd.Env = append(os.Environ(), "CERTYARD_DAEMONS="+daemons, "HOME="+y.dir,
		"CERTYARD_IMAGES=bundled", "CERTYARD_REGISTRY_PUBLISH=127.0.0.1:0", "CERTYARD_BUILDER_PUBLISH=127.0.0.1:0")
	cmd.Env = append(cmd.Env, y.env...)
	if y.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: y.cred}
	}
	return cmd
}

func (y *yard) run(args ...string) result { return finish(y.t, y.command(args...)) }

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %v: %v", cmd.Args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (y *yard) must(status int, args ...string) result {
	y.t.Helper()
	r := y.run(args...)
	if r.status != status {
		y.t.Fatalf("certyard %v: exit status %d, want %d\n%s%s", args, r.status, status, r.stdout, r.stderr)
	}
	return r
}

func (y *yard) state(file string) string { return filepath.Join(y.dir, ".certyard", y.name, file) }

// password returns the generated password.
func (y *yard) password() string {
	y.t.Helper()
	data, err := os.ReadFile(y.state(stack.FileSecrets))
	if err != nil {
		y.t.Fatal(err)
	}
	s, err := stack.ParseSecrets(data)
	if err != nil {
		y.t.Fatal(err)
	}
	return s.Passwords[stack.DefaultUser]
}

// TestIntegrationCommands is a day with the real binary: every command, its exit
// status, one JSON document on stdout, and no secret in any of it.
func TestIntegrationCommands(t *testing.T) {
	y := newYard(t)
	for _, args := range [][]string{{"up", "--json"}, {"smoke", "--json"}, {"status", "--json"}, {"up", "--json", "--dry-run"}} {
		r := y.must(exitOK, args...)
		d := json.NewDecoder(strings.NewReader(r.stdout))
		var document map[string]any
		if err := d.Decode(&document); err != nil || d.More() {
			t.Errorf("%v: stdout is not one JSON document: %v\n%s", args, err, r.stdout)
		}
		if strings.Contains(r.stdout+r.stderr, y.password()) {
			t.Errorf("%v prints the password", args)
		}
	}
	if r := y.must(exitOK, "logs", "--tail", "5"); strings.Contains(r.stdout, y.password()) || !strings.Contains(r.stdout, "registry") {
		t.Errorf("logs: %s", r.stdout)
	}
	if r := y.must(exitOK, "up", "--quiet"); r.stdout+r.stderr != "" {
		t.Errorf("up --quiet prints %q %q", r.stdout, r.stderr)
	}

	y.must(exitOK, "down")
	r := y.must(exitNotOK, "smoke")
	if !strings.Contains(r.stderr, "proving host -> registry") || !strings.Contains(r.stderr, "certyard: hint: nothing answers") {
		t.Errorf("smoke of a stack that is down:\n%s", r.stderr)
	}
	r = y.must(exitNotOK, "status")
	if !strings.Contains(r.stderr, "no container") {
		t.Errorf("status of a stack that is down:\n%s", r.stderr)
	}
	y.must(exitOK, "down")
	y.must(exitUsage, "down", "--purge")
}

// TestIntegrationBuildctl builds, pushes and builds on what it pushed, with a
// stock buildctl and nothing but the variables of env. With the edge the host
// knows the image by the same name.
func TestIntegrationBuildctl(t *testing.T) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			var y *yard
			t.Cleanup(func() { y.removeImages() })
			y = newYard(t)
			y.must(exitOK, "up", "--tls", "mutual", "--serve", string(serve))
			y.remember()
			y.buildctl(serve)
		})
	}
}

func (y *yard) buildctl(serve stack.Serve) {
	y.t.Helper()
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /it\n", "Again": "ARG BASE\nFROM $BASE\nCOPY Again /again\n"} {
		file := filepath.Join(y.dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			y.t.Fatal(err)
		}
		defer os.Remove(file)
	}
	tool, err := filepath.Abs("../../bin/daemons/linux-" + runtime.GOARCH + "/buildctl")
	if err != nil {
		y.t.Fatal(err)
	}
	host := "$DOCKER_REGISTRY_ON_HOST"
	if serve == stack.ServeEdge {
		host = "$DOCKER_REGISTRY"
	}
	build := tool + ` --tlsdir "$BUILDKIT_TLS_DIR" build --frontend dockerfile.v0 --local context=. --local dockerfile=. `
	script := `set -e
eval "$(` + y.file + ` --name ` + y.name + ` env)"
` + build + `--output type=image,name=$DOCKER_REGISTRY/demo:1,push=true
` + build + `--opt filename=Again --opt build-arg:BASE=$DOCKER_REGISTRY/demo:1 --output type=image,name=$DOCKER_REGISTRY/demo:2,push=true
curl -sSf --cacert "$REGISTRY_CERT" -u "$REGISTRY_AUTH_USERNAME:$REGISTRY_AUTH_PASSWORD" "https://` + host + `/v2/demo/tags/list"`
	cmd := y.command()
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", script}
	if r := finish(y.t, cmd); r.status != 0 || !strings.Contains(r.stdout, `"tags":["1","2"]`) {
		y.t.Errorf("exit status %d: %s\n%s", r.status, r.stdout, r.stderr)
	}
}

// remember notes the images that were made of the program that the tests built.
func (y *yard) remember() {
	y.t.Helper()
	data, err := os.ReadFile(y.state(stack.FileState))
	if err != nil {
		y.t.Fatal(err)
	}
	s, err := stack.ParseState(data)
	if err != nil {
		y.t.Fatal(err)
	}
	if s.Spec.Serve == stack.ServeEdge {
		y.images = []string{s.Facts.Images[stack.Edge], s.Facts.Images[stack.Builder]}
	}
}

func (y *yard) removeImages() {
	if y == nil || len(y.images) == 0 {
		return
	}
	if out, err := exec.Command("docker", append([]string{"image", "rm"}, y.images...)...).CombinedOutput(); err != nil {
		y.t.Errorf("removing images: %v\n%s", err, out)
	}
}

// TestIntegrationKilled kills up at many moments; the next one finishes.
func TestIntegrationKilled(t *testing.T) {
	y := newYard(t)
	for _, after := range []time.Duration{5, 20, 40, 60, 100, 200, 400, 700, 1000, 1500} {
		cmd := y.command("up")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after*time.Millisecond, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		t.Logf("after %d ms: %v", after, err)
	}
	y.must(exitOK, "up")
	y.must(exitOK, "smoke")
}

// TestIntegrationInterruptedByHand sends what Ctrl-C sends.
func TestIntegrationInterruptedByHand(t *testing.T) {
	y := newYard(t)
	cmd := y.command("up")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { cmd.Process.Signal(os.Interrupt) })
	if err := cmd.Wait(); err == nil {
		t.Fatal("up ended before it was interrupted")
	}
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "interrupted") || !strings.Contains(stderr.String(), "certyard: hint: ") {
		t.Errorf("exit status %d:\n%s", code, stderr.String())
	}
	y.must(exitOK, "up")
}

// TestIntegrationTwoAtOnce lets one of two ups in, and tells the other why not. Of
// two rotations one may follow on the other.
func TestIntegrationTwoAtOnce(t *testing.T) {
	y := newYard(t)
	atOnce := func(args ...string) (won, lost result) {
		var both sync.WaitGroup
		results := make([]result, 2)
		for i := range results {
			both.Go(func() { results[i] = y.run(args...) })
		}
		both.Wait()
		won, lost = results[0], results[1]
		if won.status != exitOK {
			won, lost = lost, won
		}
		return won, lost
	}
	refused := func(r result) bool {
		return r.status == exitFailed && strings.Contains(r.stderr, "in use by another certyard") && strings.Contains(r.stderr, "certyard: hint: wait")
	}
	if won, lost := atOnce("up"); won.status != exitOK || !refused(lost) {
		t.Errorf("exit statuses %d and %d:\n%s", won.status, lost.status, lost.stderr)
	}
	// One that looks while the other one replaces may see what does not hold.
	early := func(r result) bool {
		return r.status == exitNotOK && strings.Contains(r.stderr, "before anything is replaced")
	}
	if won, lost := atOnce("rotate", "--all", "--passwords"); won.status != exitOK || lost.status != exitOK && !refused(lost) && !early(lost) {
		t.Errorf("rotated: exit statuses %d and %d:\n%s%s", won.status, lost.status, won.stderr, lost.stderr)
	}
	y.must(exitOK, "smoke")
	y.must(exitOK, "status")
}

// TestIntegrationUnprivileged is a user who may only use the engine's socket.
func TestIntegrationUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		// Then every other test here runs as such a user already.
		t.Log("not root: covered by the other tests")
		return
	}
	y := newYard(t)
	socket, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		t.Fatal(err)
	}
	gid := socket.Sys().(*syscall.Stat_t).Gid
	y.cred = &syscall.Credential{Uid: 54321, Gid: 54321, Groups: []uint32{gid}}
	if err := os.Chown(y.dir, 54321, 54321); err != nil {
		t.Fatal(err)
	}
	// The images are loaded by now or by root, whose cache others cannot read.
	warm := newYard(t)
	warm.must(exitOK, "up", "--quiet")
	daemons := t.TempDir()
	copyReadable(t, "../../bin/daemons", daemons)
	up := y.command("up", "--tls", "mutual")
	up.Env = append(up.Env, "CERTYARD_DAEMONS="+daemons)
	if r := finish(t, up); r.status != exitOK {
		t.Fatalf("up as another user: %+v", r)
	}
	info, err := os.Stat(y.state(stack.FileRegistryKey))
	if err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != 54321 {
		t.Errorf("the registry's key: %v, %v", info, err)
	}
}

// copyReadable copies the list of daemons to where everybody can read it; the
// images themselves are in the engine already.
func copyReadable(t *testing.T, from, to string) {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join(from, "linux-*", "daemons.json"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("no daemons in %s: %v", from, err)
	}
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(to, filepath.Base(filepath.Dir(list)))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "daemons.json"), data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for dir := to; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIntegrationPullOnly cannot pull, says so within seconds, and writes
// nothing that the next up would trip over.
func TestIntegrationPullOnly(t *testing.T) {
	y := newYard(t)
	// No name below .invalid ever resolves (RFC 2606).
	r := finish(t, y.command("up", "--images", "pull", "--registry-image", "registry.invalid/registry:3"))
	if r.status != exitFailed || !strings.Contains(r.stderr, "pulling registry.invalid/registry:3") || !strings.Contains(r.stderr, "certyard: hint: set images: auto or bundled") {
		t.Errorf("exit status %d:\n%s", r.status, r.stderr)
	}
	y.must(exitOK, "up")
}
