package lifecycle_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"

	"github.com/certyard/certyard/stack/smoke/runstep"
)

// worker is somebody who builds, one build after the other.
type worker struct {
	base string        // the repository that the builds begin from
	run  string        // their RUN step, as a Dockerfile has it
	rest time.Duration // between two builds, while everybody rests
}

// quick is a worker with short builds. It rests about as long as a script takes to
// start the next buildctl, and long enough for a builder that is stopped only when
// nobody has built for 50 ms.
func quick() worker { return worker{"traffic/old", `["/step"]`, 100 * time.Millisecond} }

// slow is a worker whose builds are met in the middle of a RUN step. It rests for
// longer than they take, so that nobody has to wait long until it does.
func slow() worker { return worker{"traffic/slow", `["/sleep", "3s"]`, 5 * time.Second} }

// dockerfile is what a build does. The file that it copies is the same each time,
// so that the builder would have the step in its cache: what it has not seen is
// the variable.
func (who worker) dockerfile(host, fresh string) string {
	return fmt.Sprintf("FROM %s/%s:1\nCOPY --from=%[1]s/%[3]s:1 /%[4]s /%[4]s\nENV TRAFFIC=%[5]s\nRUN %[6]s\n",
		host, who.base, fresh, runstep.Seen, rand.Text(), who.run)
}

// stepping is an image with what the step of a proof needs.
func stepping(t *testing.T) llb.State {
	t.Helper()
	executable, err := runstep.For("linux", runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	random := []byte(rand.Text() + rand.Text())[:runstep.Size]
	return llb.Scratch().File(llb.Mkfile("/step", 0o755, executable).
		Mkfile("/"+runstep.Nonce, 0o644, random).Mkfile("/"+runstep.Seen, 0o644, random).Mkfile("/"+rand.Text(), 0o644, random))
}

// sleeping is an image with a program that sleeps.
func sleeping(t *testing.T) llb.State {
	t.Helper()
	executable, err := os.ReadFile(sleeper(t))
	if err != nil {
		t.Fatal(err)
	}
	return llb.Scratch().File(llb.Mkfile("/sleep", 0o755, executable).Mkfile("/"+rand.Text(), 0o644, nil))
}

// sleeper makes a program that sleeps as long as its argument says. It must run
// in an image that has nothing else.
func sleeper(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "sleep.go"), filepath.Join(dir, "sleep")
	const text = `package main

import (
	"os"
	"time"
)

func main() {
	d, err := time.ParseDuration(os.Args[1])
	if err != nil {
		panic(err)
	}
	time.Sleep(d)
}
`
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the program that sleeps: %v\n%s", err, said)
	}
	return out
}
