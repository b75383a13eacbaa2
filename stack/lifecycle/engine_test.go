package lifecycle_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack"
)

// ownEngine is a Docker Engine of a test's own, which may be stopped and killed:
// with its own data, socket, and network namespace, so that neither its bridges
// nor its firewall rules are the machine's.
type ownEngine struct {
	t                  *testing.T
	dir, name          string
	daemon, containerd *exec.Cmd
}

// newEngine starts one, which is gone with the test.
func newEngine(t *testing.T) *ownEngine {
	t.Helper()
	composetest.Connect(t) // skips where there is no Docker
	if os.Geteuid() != 0 {
		if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
			t.Fatal("needs root, for a Docker Engine of its own")
		}
		t.Skip("needs root, for a Docker Engine of its own")
	}
	// Sockets have short names.
	dir, err := os.MkdirTemp("", "cy-engine-")
	if err != nil {
		t.Fatal(err)
	}
	e := &ownEngine{t: t, dir: dir, name: filepath.Base(dir)}
	t.Cleanup(e.remove)
	// Files of its own, so that the machine's do not count.
	for name, text := range map[string]string{"daemon.json": "{}", "containerd.toml": "version = 2\n"} {
		if err := os.WriteFile(e.at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.run("ip", "netns", "add", e.name)
	e.run(e.inside("ip", "link", "set", "lo", "up")...)
	// As a machine has it: it outlives an engine that is killed.
	e.containerd = e.background("containerd", "--config", e.at("containerd.toml"), "--address", e.at("containerd.sock"), "--root", e.at("containerd"), "--state", e.at("state"))
	e.start()
	return e
}

func (e *ownEngine) at(name string) string { return filepath.Join(e.dir, name) }

// background starts a program in the engine's network, with its output in a log.
func (e *ownEngine) background(args ...string) *exec.Cmd {
	e.t.Helper()
	log, err := os.OpenFile(e.at("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	args = e.inside(args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	return cmd
}

// inside returns a command in the engine's network. ip netns exec would mount
// another /sys, without the cgroups that an engine needs.
func (e *ownEngine) inside(args ...string) []string {
	return append([]string{"nsenter", "--net=/var/run/netns/" + e.name, "--"}, args...)
}

func (e *ownEngine) run(args ...string) string {
	e.t.Helper()
	out, err := exec.CommandContext(e.t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		e.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (e *ownEngine) host() string { return "unix://" + e.at("docker.sock") }

// start starts the engine and waits until it answers.
func (e *ownEngine) start() {
	e.t.Helper()
	e.daemon = e.background("dockerd", "--config-file", e.at("daemon.json"), "--host", e.host(), "--data-root", e.at("data"),
		"--exec-root", e.at("exec"), "--pidfile", e.at("pid"), "--containerd", e.at("containerd.sock"), "--bridge=none")
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if exec.Command("docker", "-H", e.host(), "version").Run() == nil {
			return
		}
	}
	text, _ := os.ReadFile(e.at("log"))
	e.t.Fatalf("the engine does not start:\n%s", text[max(0, len(text)-4096):])
}

// stop ends the engine with a signal, SIGTERM or SIGKILL, and waits for it.
func (e *ownEngine) stop(signal os.Signal) {
	e.t.Helper()
	if err := e.daemon.Process.Signal(signal); err != nil {
		e.t.Fatal(err)
	}
	_ = e.daemon.Wait() // whatever it says, it is gone
	if signal == syscall.SIGKILL {
		// What it leaves behind names a process that is no more.
		_ = os.Remove(e.at("pid"))
	}
}

// remove ends everything that the engine has started, also after a failure.
func (e *ownEngine) remove() {
	if left, err := exec.Command("docker", "-H", e.host(), "ps", "-aq").Output(); err == nil && len(left) > 0 {
		_ = exec.Command("docker", append([]string{"-H", e.host(), "rm", "-fv"}, strings.Fields(string(left))...)...).Run()
	}
	for _, cmd := range []*exec.Cmd{e.daemon, e.containerd} {
		if cmd != nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	}
	e.killLeft()
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], e.dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
	for _, args := range [][]string{{"ip", "netns", "del", e.name}, {"rm", "-rf", e.dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			e.t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// killLeft kills what runs in the engine's containers, and their shims, which
// nobody else does when the engine did not answer any more.
func (e *ownEngine) killLeft() {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if !e.owns(process) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(process)); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// owns reports whether a process, by its directory in /proc, is a shim of the
// engine's containerd or has its root below the engine's directory. Nothing can
// be read of one that is gone meanwhile.
func (e *ownEngine) owns(process string) bool {
	words, _ := os.ReadFile(filepath.Join(process, "cmdline"))
	if strings.Contains(string(words), e.at("containerd.sock")) {
		return true
	}
	mounts, _ := os.ReadFile(filepath.Join(process, "mountinfo"))
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(f) > 4 && f[4] == "/" && strings.Contains(line, e.dir+"/") {
			return true
		}
	}
	return false
}

// certyard runs the command in the engine's network, and returns what it said.
func (e *ownEngine) certyard(ctx context.Context, args ...string) (string, error) {
	e.t.Helper()
	out, err := e.command(ctx, append([]string{"--dir", e.at("stacks")}, args...)...).CombinedOutput()
	return string(out), err
}

// command prepares the command for the engine's network.
func (e *ownEngine) command(ctx context.Context, args ...string) *exec.Cmd {
	e.t.Helper()
	file, err := program()
	if err != nil {
		e.t.Fatal(err)
	}
	daemons, err := filepath.Abs("../../bin/daemons")
	if err != nil {
		e.t.Fatal(err)
	}
	args = e.inside(append([]string{file, "--docker-host", e.host()}, args...)...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CERTYARD_DAEMONS="+daemons)
	return cmd
}

// TestIntegrationEngineRestart: after the engine was stopped the stack comes back
// by itself, and after it was killed with the next up.
func TestIntegrationEngineRestart(t *testing.T) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		t.Run(string(serve), func(t *testing.T) {
			e := newEngine(t)
			up := []string{"up", "--images", "bundled", "--serve", string(serve), "--registry-publish", "127.0.0.1:0", "--builder-publish", "127.0.0.1:0"}
			if out, err := e.certyard(t.Context(), up...); err != nil {
				t.Fatalf("up: %v\n%s", err, out)
			}
			// The engine starts the containers at the same time, so that each
			// time another one may be first.
			for i := range 3 {
				e.stop(syscall.SIGTERM)
				e.start()
				e.proven(fmt.Sprintf("after start %d of the engine", i+2))
			}
			// Engine 20.10 does not start again what ran when it was killed.
			e.stop(syscall.SIGKILL)
			e.start()
			if out, err := e.certyard(t.Context(), up...); err != nil {
				t.Errorf("up after the engine was killed: %v\n%s", err, out)
			}
			out, err := e.certyard(t.Context(), "down", "--volumes", "--purge", "--yes")
			if err != nil {
				t.Errorf("down: %v\n%s", err, out)
			}
		})
	}
}

// proven waits for the proof to hold.
func (e *ownEngine) proven(when string) {
	e.t.Helper()
	var out string
	var err error
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(200 * time.Millisecond) {
		if out, err = e.certyard(e.t.Context(), "smoke"); err == nil {
			return
		}
	}
	e.t.Errorf("%s: %v\n%s\n%s", when, err, out, strings.TrimSpace(e.run("docker", "-H", e.host(), "ps", "-a")))
}
