package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestIntegrationEphemeral: a command has the stack as long as it runs, its exit
// status is passed on, and nothing is left; of what is killed, the next one leaves
// nothing either, and what runs stays.
func TestIntegrationEphemeral(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	cache := t.TempDir()
	y.env = []string{"XDG_CACHE_HOME=" + cache}
	up := func(args ...string) []string { return append([]string{"up", "--ephemeral", "--quick"}, args...) }

	out := y.run("up", "--ephemeral", "--", "sh", "-c", `test -r "$REGISTRY_CERT" && echo "$DOCKER_REGISTRY_ON_HOST"; cat; exit 7`)
	if out.status != 7 || !strings.HasPrefix(out.stdout, "localhost:") || !strings.Contains(out.stderr, "hold") {
		t.Errorf("a command that exits with 7: %+v", out)
	}
	if out := y.run(up("--", "sh", "-c", "kill -9 $$")...); out.status != 128+9 {
		t.Errorf("a command that is killed: %+v", out)
	}
	y.noneLeft(cache)

	killed := y.begin(up("--", "sh", "-c", "echo runs; exec sleep 600")...)
	if out := y.run(up("--", "true")...); out.status != exitFailed || !strings.Contains(out.stderr, "is in use by another certyard") {
		t.Errorf("a second stack of the name: %+v", out)
	}
	if list := y.list(); len(list) != 1 || list[0].Abandoned || list[0].Running != 2 || list[0].Owner == "" || list[0].Expires.Before(time.Now()) || len(list[0].Ports) != 2 {
		t.Errorf("while it runs: %+v", list)
	}
	if out := y.run("prune"); out.status != exitOK || !strings.Contains(out.stderr, "nothing to remove") {
		t.Errorf("prune while it runs: %+v", out)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	if list := y.list(); len(list) != 1 || !list[0].Abandoned {
		t.Errorf("after it was killed: %+v", list)
	}
	if out := y.run("prune", "--dry-run"); out.status != exitOK || !strings.Contains(out.stderr, "would remove eph-"+y.name) || len(y.list()) != 1 {
		t.Errorf("prune --dry-run: %+v", out)
	}
	// The next one of the same name removes what there is.
	if out := y.run(up("--", "true")...); out.status != exitOK {
		t.Errorf("after a killed one: %+v", out)
	}
	y.noneLeft(cache)

	asked := y.begin(up("--", "sh", "-c", "trap 'exit 9' TERM; echo runs; while :; do sleep 0.1; done")...)
	if err := asked.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = asked.Wait() // its status is looked at
	if status := asked.ProcessState.ExitCode(); status != 9 {
		t.Errorf("a command that was asked to end: exit status %d", status)
	}
	y.noneLeft(cache)
}

// begin starts a command, and returns when what it runs has said something. What it
// runs ends with the test.
func (y *yard) begin(args ...string) *exec.Cmd {
	y.t.Helper()
	cmd := y.command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		y.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // most have ended
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "runs\n" {
		y.t.Fatalf("%v says %q, %v", args, line, err)
	}
	return cmd
}

// list returns what list says of this yard's stack.
func (y *yard) list() []lifecycle.Listed {
	y.t.Helper()
	out := y.run("list", "--json")
	var all, mine []lifecycle.Listed
	if err := json.Unmarshal([]byte(out.stdout), &all); err != nil || out.status != exitOK {
		y.t.Fatalf("list: %v, %+v", err, out)
	}
	for _, s := range all {
		if s.Stack == "eph-"+y.name {
			mine = append(mine, s)
		}
	}
	return mine
}

// noneLeft looks for the stack on the engine, and for ephemeral ones on the disk.
func (y *yard) noneLeft(cache string) {
	y.t.Helper()
	if list := y.list(); len(list) > 0 {
		y.t.Errorf("left: %+v", list)
	}
	engine, err := compose.Connect(y.t.Context(), compose.Options{})
	if err != nil {
		y.t.Fatal(err)
	}
	defer engine.Close()
	if left, err := engine.Remains(y.t.Context(), "eph-"+y.name); err != nil || len(left) > 0 {
		y.t.Errorf("left: %v, %v", left, err)
	}
	if files, err := os.ReadDir(filepath.Join(cache, "certyard", "ephemeral")); err != nil || len(files) > 0 {
		y.t.Errorf("left on the disk: %v, %v", files, err)
	}
}

// TestIntegrationEphemeralOthers: another account on the same engine sees the stacks,
// and removes neither what runs nor what was left.
func TestIntegrationEphemeralOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: there is no other account")
		return
	}
	up := []string{"up", "--ephemeral", "--quick", "--", "sh", "-c", "echo runs; exec sleep 600"}
	left, runs, other := newYard(t), newYard(t), newYard(t)
	left.env = []string{"XDG_CACHE_HOME=" + t.TempDir()}
	runs.env = left.env
	running := runs.begin(up...) // first: it would remove what the other one leaves
	killed := left.begin(up...)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed

	socket, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		t.Fatal(err)
	}
	const uid = 54321
	other.cred = &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{socket.Sys().(*syscall.Stat_t).Gid}}
	daemons := t.TempDir()
	copyReadable(t, "../../bin/daemons", daemons)
	other.env = []string{"CERTYARD_DAEMONS=" + daemons, "XDG_CACHE_HOME=" + filepath.Join(other.dir, "cache")}
	if err := os.Chown(other.dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"prune"}, {"prune", "--older-than", "1ms"}, {"up", "--ephemeral", "--quick", "--", "true"}} {
		if out := other.run(args...); out.status != exitOK {
			t.Errorf("%v: %+v", args, out)
		}
	}
	if err := os.RemoveAll(filepath.Join(other.dir, "cache")); err != nil {
		t.Error(err)
	}
	for _, y := range []*yard{left, runs} {
		if list := y.list(); len(list) != 1 || list[0].Running != 2 || list[0].Abandoned != (y == left) {
			t.Errorf("another account has touched %+v", list)
		}
		seen := y.name
		y.name, other.name = other.name, seen // as the other account sees it
		if list := other.list(); len(list) != 1 || list[0].Abandoned || !list[0].Expires.IsZero() {
			t.Errorf("another account sees %+v", list)
		}
		y.name, other.name = seen, y.name
	}
	if out := left.run("prune"); out.status != exitOK || !strings.Contains(out.stderr, "removed eph-"+left.name) {
		t.Errorf("prune: %+v", out)
	}
	if err := running.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = running.Wait() // its command was told to end
	if list := append(left.list(), runs.list()...); len(list) > 0 {
		t.Errorf("left: %+v", list)
	}
}
