package explain

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// patience is how long a daemon may take to say something. It takes a second on a
// machine that has nothing else to do.
const patience = time.Minute

// output is what a program prints, for one who waits for it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a program that runs until the test has ended.
type process struct {
	output
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended
	address string        // where it listens
}

// ready is what the daemons print when they listen.
var ready = regexp.MustCompile(`(?:running server on|listening on) ([0-9.]+:[0-9]+)`)

// start runs a daemon and waits until it listens.
func (r *real) start(t *testing.T, args ...string) *process {
	t.Helper()
	d := r.launch(t, args...)
	d.listens(t)
	return d
}

// listens waits until the daemon does.
func (d *process) listens(t *testing.T) {
	t.Helper()
	d.address = ready.FindStringSubmatch(d.says(t, 0, ready))[1]
}

// launch runs a daemon, for one that may not come up.
func (r *real) launch(t *testing.T, args ...string) *process {
	t.Helper()
	d := &process{done: make(chan struct{})}
	d.cmd = exec.Command(r.program(args[0]), args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.Env = r.environment()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.done)
		_ = d.cmd.Wait() // that it fails is what some tests want
	}()
	t.Cleanup(func() { d.stop(t) })
	return d
}

// program returns the path of one of the daemons' programs, and the name of another.
func (r *real) program(name string) string {
	if file := filepath.Join(r.programs, name); exists(file) {
		return file
	}
	return name
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// environment has programs find each other, and nothing of the account.
func (r *real) environment(more ...string) []string {
	return append(more, "PATH="+r.programs+":"+os.Getenv("PATH"), "OTEL_TRACES_EXPORTER=none", "HOME=/nonexistent")
}

// stop ends the daemon, as an engine does.
func (d *process) stop(t *testing.T) {
	t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	select {
	case <-d.done:
	case <-time.After(patience):
		_ = d.cmd.Process.Kill()
		<-d.done
		t.Errorf("%s does not end when it is told to:\n%s", d.cmd, d)
	}
}

// says waits until the daemon has printed something after the first bytes, and
// returns what that is, without them and in whole lines.
func (d *process) says(t *testing.T, after int, what *regexp.Regexp) string {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(5 * time.Millisecond) {
		ended := false
		select {
		case <-d.done:
			ended = true
		default:
		}
		text := d.String()[after:]
		if at := what.FindStringIndex(text); at != nil {
			if end := strings.IndexByte(text[at[1]:], '\n'); end >= 0 {
				return text[:at[1]+end+1]
			}
		}
		if ended {
			break
		}
	}
	t.Fatalf("%s has not said %q:\n%s", d.cmd, what, d)
	return ""
}

// fails waits for a daemon that cannot start, and returns what it said.
func (d *process) fails(t *testing.T) string {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Fatalf("%s still runs:\n%s", d.cmd, d)
	}
	if d.cmd.ProcessState.Success() {
		t.Errorf("%s has ended well:\n%s", d.cmd, d)
	}
	return d.String()
}

// run runs a command, and returns what it printed and whether it succeeded.
func (r *real) run(t *testing.T, env []string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program(args[0]), args[1:]...)
	cmd.Env = r.environment(env...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%q does not end:\n%s", args, out)
	}
	return string(out), err == nil
}

// pair writes a certificate and its key, as NAME.crt and NAME.key.
func pair(t *testing.T, dir, name string, kp *pki.KeyPair) (cert, key string) {
	t.Helper()
	secret, err := kp.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, name+".crt", kp.CertPEM()), write(t, dir, name+".key", secret)
}

// fill puts paths and the like into a config: $dir becomes the directory's path.
func fill(text string, values map[string]string) string {
	return os.Expand(text, func(name string) string { return values[name] })
}

// builderCommand writes a config, and returns how buildkitd is started with it.
func (r *real) builderCommand(t *testing.T, dir, config string) []string {
	t.Helper()
	return r.builderOf(t, write(t, dir, "buildkitd.toml", []byte(config)), dir)
}

// builderOf returns how buildkitd is started with a config file, so that it shares
// nothing with another one of this machine.
func (r *real) builderOf(t *testing.T, config, dir string) []string {
	t.Helper()
	// Sockets have short names.
	short, err := os.MkdirTemp("", "cy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	return []string{
		"buildkitd", "--config", config, "--root", filepath.Join(dir, "root"), "--otel-socket-path", filepath.Join(short, "otel.sock"),
		"--containerd-worker=false", "--oci-worker-net=host",
	}
}
