package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// sample is one run of a command.
type sample struct {
	took time.Duration
	cpu  time.Duration // of the processors; 0 where nobody asked
	peak int64         // bytes of memory, of the largest process; 0 where that is unknown
}

// command runs a program in dir and measures its time. An error quotes what the
// program said last.
func command(ctx context.Context, dir string, env []string, program string, args ...string) (sample, []byte, error) {
	var stdout bytes.Buffer
	took, err := commandTo(ctx, &stdout, dir, env, program, args...)
	return sample{took: took}, stdout.Bytes(), err
}

// commandTo is command with the program's output going to stdout at once.
func commandTo(ctx context.Context, stdout io.Writer, dir string, env []string, program string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(environment(), env...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	// A program that is interrupted may clean up; bench waits for that. A registry
	// that is stopped while it starts may miss that, and is killed in 65 seconds.
	ownGroup(cmd)
	cmd.WaitDelay = 2 * time.Minute

	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, fmt.Errorf("running %s %s: %w%s", filepath.Base(program), strings.Join(args, " "), err, tail(stderr.String()))
	}
	return took, nil
}

// environment is ours without what would configure certyard or Compose.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "CERTYARD_") && !strings.HasPrefix(kv, "COMPOSE_") {
			env = append(env, kv)
		}
	}
	return env
}

// tail returns the last lines of text, indented on lines of their own.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if lines[0] == "" {
		return ""
	}
	return "\n\t" + strings.Join(lines[max(0, len(lines)-8):], "\n\t")
}
