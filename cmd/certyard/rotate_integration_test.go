package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

// TestIntegrationRotateCA replaces the CA by hand, as README has it: what it would
// do, how far it is, how it goes on and back, and as lines of JSON.
func TestIntegrationRotateCA(t *testing.T) {
	y := newYard(t)
	y.must(exitOK, "up", "--tls", "mutual")
	dry := y.must(exitOK, "rotate", "--ca")
	for _, want := range []string{"contract  CA and client CA", "recreate  container buildkit", "hint: this was a dry run; --yes does it"} {
		if !strings.Contains(dry.stderr, want) {
			t.Errorf("the dry run lacks %q:\n%s", want, dry.stderr)
		}
	}
	if out := y.must(exitFailed, "rotate", "--abort"); !strings.Contains(out.stderr, "no replacement of a CA is open") {
		t.Errorf("nothing to take back: %s", out.stderr)
	}
	paused := y.must(exitOK, "rotate", "--ca", "--yes", "--pause-after", "expand", "--json")
	events := eventsOf(t, paused.stdout)
	if want := "preflight running, preflight done, stage running, stage done, expand running, expand done, result"; events != want {
		t.Errorf("got the events %s, want %s", events, want)
	}
	open := "--name " + y.name + ` rotate --ca --yes" goes on`
	if out := y.must(exitNotOK, "status"); !strings.Contains(out.stderr, "at expand") || !strings.Contains(out.stderr, open) {
		t.Errorf("status: %s", out.stderr)
	}
	if out := y.must(exitOK, "up", "--tls", "mutual"); !strings.Contains(out.stderr, open) {
		t.Errorf("up: %s", out.stderr)
	}
	if out := y.must(exitFailed, "rotate", "--if-due"); !strings.Contains(out.stderr, "the replacement of CA and client CA is open") {
		t.Errorf("another rotation: %s", out.stderr)
	}
	y.must(exitOK, "rotate", "--abort")
	y.must(exitOK, "status")
	y.must(exitOK, "rotate", "--ca", "--yes", "--bake", "0s")
	y.must(exitOK, "status")
	if out := y.must(exitOK, "rotate", "--if-due"); !strings.Contains(out.stderr, "nothing is due") {
		t.Errorf("afterwards: %s", out.stderr)
	}
	if events := eventsOf(t, y.must(exitOK, "rotate", "--all", "--json").stdout); !strings.HasPrefix(events, "proof running, proof done, ") || !strings.HasSuffix(events, ", proof running, proof done, result") {
		t.Errorf("the events of all leaves: %s", events)
	}
}

// TestIntegrationRotatePutBack: a registry that dies right after it got its new leaf
// brings the old one back, proven, with status 3.
func TestIntegrationRotatePutBack(t *testing.T) {
	y := newYard(t)
	y.must(exitOK, "up")
	leaf, err := os.ReadFile(y.state(stack.ServeDaemon.PairOf(stack.LeafRegistry).Cert))
	if err != nil {
		t.Fatal(err)
	}
	killed := y.killNext(stack.Registry)
	out := y.must(exitNotOK, "rotate", "--all")
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.stderr, "what was there before is in place again, and proven") {
		t.Errorf("it says:\n%s", out.stderr)
	}
	if now, err := os.ReadFile(y.state(stack.ServeDaemon.PairOf(stack.LeafRegistry).Cert)); err != nil || !bytes.Equal(now, leaf) {
		t.Errorf("the leaf is not the one of before: %v", err)
	}
	y.must(exitOK, "smoke")
	y.must(exitOK, "status")
}

// killNext kills the next container of a service that starts, and returns how that
// went.
func (y *yard) killNext(service string) <-chan error {
	y.t.Helper()
	now := time.Now()
	events := exec.CommandContext(y.t.Context(), "docker", "events", "--since", fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()), "--format", "{{.ID}}",
		"--filter", "event=start", "--filter", "label=com.docker.compose.project="+y.name, "--filter", "label=com.docker.compose.service="+service)
	started, err := events.StdoutPipe()
	if err == nil {
		err = events.Start()
	}
	if err != nil {
		y.t.Fatal(err)
	}
	killed := make(chan error, 1)
	go func() {
		id, err := bufio.NewReader(started).ReadString('\n')
		if err == nil {
			err = exec.Command("docker", "kill", strings.TrimSpace(id)).Run()
		}
		_ = events.Process.Kill()
		_ = events.Wait()
		killed <- err
	}()
	return killed
}

// TestIntegrationRotateInterruptedByHand sends what Ctrl-C sends at many moments of
// a rotation that does not wait for builds: nothing stays stopped or frozen, and what
// is served is what is on the disk.
func TestIntegrationRotateInterruptedByHand(t *testing.T) {
	y := newYard(t)
	y.must(exitOK, "up")
	interrupted := 0
	for _, after := range []time.Duration{300, 700, 1000, 1300, 1700, 2200} {
		cmd := y.command("rotate", "--all", "--force")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after*time.Millisecond, func() { cmd.Process.Signal(os.Interrupt) })
		_ = cmd.Wait()
		timer.Stop()
		code := cmd.ProcessState.ExitCode()
		t.Logf("after %d ms: status %d", after, code)
		if code == exitFailed {
			interrupted++
		}
		if code != exitOK && (code != exitFailed || !strings.Contains(stderr.String(), "interrupted")) {
			t.Errorf("exit status %d:\n%s", code, stderr.String())
		}
		y.must(exitOK, "smoke")
		y.must(exitOK, "status")
	}
	if interrupted == 0 {
		t.Error("none was interrupted")
	}
}

// eventsOf names the events of an output, one line each.
func eventsOf(t *testing.T, stdout string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(stdout) {
		var e struct {
			Event string
			Step  struct{ Step, State string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in the line %q", err, line)
		}
		out = append(out, strings.TrimSpace(strings.Join([]string{e.Step.Step, e.Step.State}, " ")))
		if e.Event != "step" {
			out[len(out)-1] = e.Event
		}
	}
	return strings.Join(out, ", ")
}
