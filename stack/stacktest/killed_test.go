package stacktest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/stacktest"
)

// TestIntegrationKilled: what a killed test leaves, the next Start removes, and
// nothing of a test that lives.
func TestIntegrationKilled(t *testing.T) {
	engine := composetest.Connect(t)
	alive := stacktest.Start(t, stacktest.Options{Proof: stacktest.Quick, Images: stack.ImagesBundled})
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestToBeKilled$", "-test.v")
	child.Env = append(os.Environ(), toBeKilled+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var left []string // name and state directory
	for lines := bufio.NewScanner(out); left == nil && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), toBeKilled+" "); ok {
			left = strings.Fields(rest)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // it was killed
	if len(left) != 2 {
		t.Fatalf("the test to be killed has started no stack: %q", left)
	}
	if found, err := engine.Containers(t.Context(), left[0]); err != nil || len(found) != 2 {
		t.Fatalf("the killed test left %v, %v", found, err)
	}
	stacktest.Start(t, stacktest.Options{Proof: stacktest.Quick, Images: stack.ImagesBundled})
	nothingLeft(t, engine, left[0])
	for _, file := range []string{left[1], left[1] + ".owner"} {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
	push(t, alive)
}

const toBeKilled = "CERTYARD_TO_BE_KILLED"

// TestIntegrationFailed: a test that fails shows what the containers have logged, and
// leaves nothing; a config that cannot be is said to be one.
func TestIntegrationFailed(t *testing.T) {
	engine := composetest.Connect(t)
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestToBeKilled$", "-test.v")
	child.Env = append(os.Environ(), toBeKilled+"=fail")
	out, err := child.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Errorf("a test that fails ends with %v", err)
	}
	_, rest, _ := strings.Cut(string(out), toBeKilled+" ")
	name, _, _ := strings.Cut(rest, " ")
	for _, want := range []string{"the logs of stack " + name, "registry-1", "buildkit-1", "starting a stack", "is not known; want server, mutual"} {
		if name == "" || !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	nothingLeft(t, engine, name)
}

// TestToBeKilled is the other process of TestIntegrationKilled, and of
// TestIntegrationFailed.
func TestToBeKilled(t *testing.T) {
	if os.Getenv(toBeKilled) == "" {
		return
	}
	s := stacktest.Start(t, stacktest.Options{Proof: stacktest.Quick, Images: stack.ImagesBundled})
	fmt.Printf("\n%s %s %s\n", toBeKilled, s.Name(), s.Dir())
	if os.Getenv(toBeKilled) == "fail" {
		stacktest.Start(t, stacktest.Options{TLS: "nobody"})
	}
	<-t.Context().Done()
}
