package lifecycle_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestIntegrationEphemeralEngine: an engine that is started again while a command
// has its stack, or that is away when the stack has to go.
func TestIntegrationEphemeralEngine(t *testing.T) {
	e := newEngine(t)
	t.Setenv("XDG_CACHE_HOME", e.at("cache"))

	command, goOn := e.ephemeral()
	e.stop(syscall.SIGKILL)
	e.start()
	goOn()
	if err := command.Wait(); err != nil {
		t.Errorf("the engine was killed and started again: %v", err)
	}
	e.empty()

	command, goOn = e.ephemeral()
	e.stop(syscall.SIGTERM)
	goOn()
	if err := command.Wait(); err == nil {
		t.Error("the stack cannot be removed without an engine, and it did not say so")
	}
	e.start()
	if out, err := e.certyard(t.Context(), "prune"); err != nil || !strings.Contains(out, "removed eph-") {
		t.Errorf("prune: %v\n%s", err, out)
	}
	e.empty()
}

// ephemeral starts a command with a stack, and returns it once it runs, with what
// has it end.
func (e *ownEngine) ephemeral() (command *exec.Cmd, goOn func()) {
	e.t.Helper()
	in, hold, err := os.Pipe()
	if err != nil {
		e.t.Fatal(err)
	}
	defer in.Close()
	command = e.command(e.t.Context(), "up", "--ephemeral", "--quick", "--images", "bundled", "--", "sh", "-c", "echo runs; cat")
	var log strings.Builder
	command.Stdin, command.Stderr = in, &log
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "runs\n" {
		_ = hold.Close()
		_ = command.Wait() // why it did not run is in the log
		e.t.Fatalf("up --ephemeral: %q, %v\n%s", line, err, log.String())
	}
	return command, func() { _ = hold.Close() } // nothing was written to it
}

// empty finds nothing of certyard on the engine, nor in the directory for caches.
func (e *ownEngine) empty() {
	e.t.Helper()
	for _, what := range []string{"ps -aq", "volume ls -q", "network ls -q --filter type=custom"} {
		if left := e.run(append([]string{"docker", "-H", e.host()}, strings.Fields(what)...)...); left != "" {
			e.t.Errorf("docker %s: %s", what, left)
		}
	}
	if files, err := os.ReadDir(e.at("cache/certyard/ephemeral")); err != nil || len(files) > 0 {
		e.t.Errorf("left on the disk: %v, %v", files, err)
	}
}
