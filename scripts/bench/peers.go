package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// testcontainersDir is another module, so that certyard does not depend on what it
// needs.
const testcontainersDir = "scripts/bench/testcontainers"

// findPeers finds or builds the other tools. Without them there are fewer numbers.
func (b *stackBench) findPeers(ctx context.Context) {
	var err error
	if b.compose, err = composeTool(ctx, b.tmp); err != nil {
		b.missing[rowComposeStack] = lastLine(err)
	}
	progress("building %s", testcontainersDir)
	b.testcontainers = filepath.Join(b.tmp, "testcontainers")
	if _, _, err := command(ctx, "", []string{"GOWORK=off"}, "go", "build", "-C", testcontainersDir, "-o", b.testcontainers, "."); err != nil {
		b.missing[rowTestcontainers] = lastLine(err)
	}
}

func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// composeStack is the yard's compose.yaml with the Compose CLI.
func (b *stackBench) composeStack(ctx context.Context) (life, error) {
	s, err := composeUp(ctx, b.compose, b.yard, b.ports)
	if err != nil {
		return life{}, err
	}
	down, _, err := command(ctx, b.yard.dir(), nil, b.compose, "-f", "compose.yaml", "down", "--volumes")
	return life{ready: s.took, gone: down.took}, err
}

// testcontainersRegistry is a registry by testcontainers-go.
func (b *stackBench) testcontainersRegistry(ctx context.Context) (life, error) {
	env := []string{
		// The image of what cleans up after killed tests cannot be pulled
		// everywhere, and would be one container more.
		"TESTCONTAINERS_RYUK_DISABLED=true",
		// The engine is on this machine, as for all peers here, even where the
		// machine looks like a container.
		"TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1",
	}
	_, out, err := command(ctx, b.tmp, env, b.testcontainers, "-image", b.image)
	if err != nil {
		return life{}, err
	}
	var ready, gone int64
	if _, err := fmt.Sscan(string(out), &ready, &gone); err != nil {
		return life{}, fmt.Errorf("reading what %s printed: %w", testcontainersDir, err)
	}
	return life{ready: time.Duration(ready), gone: time.Duration(gone)}, nil
}
