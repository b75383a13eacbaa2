package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// at returns a call of the real binary in a directory, without an engine, after what
// a shell does before.
func at(t *testing.T, dir, before string, args ...string) *exec.Cmd {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file, args...)
	if before != "" {
		cmd = exec.Command("sh", append([]string{"-c", before + `; exec "$@"`, "sh", file}, args...)...)
	}
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "DOCKER_HOST=unix:///nonexistent.sock")
	return cmd
}

// closed returns a pipe that nobody reads any more.
func closed(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// full returns a file that takes no byte.
func full(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// filesOf lists what is below a directory.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		out = append(out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wholeStack returns a working directory that init has written a stack into, and
// the files that it then has.
func wholeStack(t *testing.T) (string, []string) {
	t.Helper()
	dir := t.TempDir()
	if r := finish(t, at(t, dir, "", "init")); r.status != exitOK {
		t.Fatalf("init: %+v", r)
	}
	return dir, filesOf(t, dir)
}

// TestNobodyReadsMessages: what changes something does not end in the middle
// because whoever read its messages has gone.
func TestNobodyReadsMessages(t *testing.T) {
	t.Parallel()
	_, want := wholeStack(t)
	for name, to := range map[string]func(*testing.T) *os.File{"closed": closed, "full": full} {
		dir := t.TempDir()
		cmd := at(t, dir, "", "init")
		cmd.Stderr = to(t)
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: init: %v", name, err)
		}
		if got := filesOf(t, dir); !slices.Equal(got, want) {
			t.Errorf("%s: init wrote %q, want %q", name, got, want)
		}
	}
}

// TestNobodyReadsResult: a result that could not be printed is no success. What was
// to be done is done all the same; what only prints ends without a word when its
// reader has gone.
func TestNobodyReadsResult(t *testing.T) {
	t.Parallel()
	made, want := wholeStack(t)
	for _, c := range []struct {
		args         []string
		to           func(*testing.T) *os.File
		said, unsaid string
	}{
		{[]string{"init", "--json"}, closed, "certyard: error: writing to stdout: broken pipe", ""},
		{[]string{"init", "--json"}, full, "writing to stdout: no space left on device", ""},
		{[]string{"init", "--print-config"}, full, "writing to stdout: no space left on device", ""},
		{[]string{"status", "--json"}, full, "writing to stdout: no space left on device", ""},
		{[]string{"status", "--json"}, closed, "stack ", "error:"},
		{[]string{"env"}, full, "certyard: error: writing to stdout: no space left on device", ""},
		{[]string{"env"}, closed, "", "error"},
		{[]string{"pki", "show"}, full, "no space left", ""},
		{[]string{"pki", "show"}, closed, "", "error"},
		{[]string{"pki", "export", "ca", "--no-key"}, closed, "", "error"},
		{[]string{"client", "list", "--json"}, closed, "", "error"},
		{[]string{"explain", "--list"}, closed, "", "error"},
		{[]string{"completion", "bash"}, closed, "", "error"},
		{[]string{"version"}, closed, "", "error"},
		{[]string{"--help"}, full, "no space left", ""},
		{[]string{"--help"}, closed, "", "error"},
		{[]string{"pki", "show", "--help"}, closed, "", "error"},
	} {
		dir := made
		if c.args[0] == "init" {
			dir = t.TempDir()
		}
		cmd := at(t, dir, "", c.args...)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = c.to(t), &said
		_ = cmd.Run() // its status is looked at
		if status := cmd.ProcessState.ExitCode(); status != exitFailed {
			t.Errorf("%q: %v, want exit status %d", c.args, cmd.ProcessState, exitFailed)
		}
		if !strings.Contains(said.String(), c.said) || c.unsaid != "" && strings.Contains(said.String(), c.unsaid) {
			t.Errorf("%q: said %q, want %q and not %q", c.args, &said, c.said, c.unsaid)
		}
		if got := filesOf(t, dir); len(c.args) == 2 && c.args[1] == "--json" && !slices.Equal(got, want) {
			t.Errorf("%q wrote %q, want %q", c.args, got, want)
		}
	}
}

// waitingInit starts init, and returns when it waits for a passphrase, with what
// takes that.
func waitingInit(t *testing.T, dir, before string) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	t.Helper()
	cmd := at(t, dir, before, "init", "--ca-keys", "encrypted", "--passphrase-fd", "0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // most have ended
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "stack ") {
		t.Fatalf("init begins with %q, %v", line, err)
	}
	return cmd, in, lines
}

// TestHangup: a terminal that is closed interrupts, as SIGTERM does.
func TestHangup(t *testing.T) {
	t.Parallel()
	cmd, _, lines := waitingInit(t, t.TempDir(), "")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is looked at
	if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(said), "certyard: error: interrupted: ") {
		t.Errorf("%v, and said %q", cmd.ProcessState, said)
	}
}

// TestHangupIgnored: nohup is obeyed.
func TestHangupIgnored(t *testing.T) {
	t.Parallel()
	_, want := wholeStack(t)
	dir := t.TempDir()
	cmd, in, lines := waitingInit(t, dir, `trap "" HUP`)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "a passphrase\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, and said %q", err, said)
	}
	if got := filesOf(t, dir); !slices.Equal(got, want) {
		t.Errorf("init wrote %q, want %q", got, want)
	}
}

// TestHangupTwice: the shell and the kernel both say that a terminal is closed, and
// the second time breaks off nothing that the first one has begun to end.
func TestHangupTwice(t *testing.T) {
	t.Parallel()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("version: 1\nadmin: %s\nlisteners:\n  - {name: relay, plain: true, addresses: [\"127.0.0.1:0\"], target: \"tcp:%s\"}\n", filepath.Join(dir, "admin.sock"), target.Addr())
	if err := os.WriteFile(filepath.Join(dir, "edge.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := at(t, dir, "", "edge", "--config", "edge.yaml")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended
	lines := bufio.NewReader(out)
	_, address, _ := strings.Cut(lineWith(t, lines, `"msg":"listening"`), `"addresses":["`)
	address, _, _ = strings.Cut(address, `"`)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	lineWith(t, lines, `"msg":"stopping"`)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "still here\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(server).ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("the target got %q, %v", line, err)
	}
	conn.Close()
	server.Close()
	_, _ = io.Copy(io.Discard, lines) // until it ends
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// lineWith reads up to a line with a text.
func lineWith(t *testing.T, lines *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("no line with %s: %v", text, err)
		}
		if strings.Contains(line, text) {
			return line
		}
	}
}
