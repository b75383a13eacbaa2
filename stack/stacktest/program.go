package stacktest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/local"
)

const module = "github.com/certyard/certyard"

// bundle says where the daemons are that are loaded where nothing can be pulled,
// and what runs in the edge's container.
func bundle(ctx context.Context, serve stack.Serve) (compose.Bundle, error) {
	b := compose.Bundle{Dir: os.Getenv("CERTYARD_DAEMONS")}
	if serve != stack.ServeEdge {
		return b, nil
	}
	b.Program = compose.Program{Exe: os.Getenv("CERTYARD_PROGRAM"), Version: "test"}
	if b.Program.Exe != "" {
		return b, nil
	}
	var err error
	b.Program.Exe, err = program(context.WithoutCancel(ctx))
	return b, err
}

// dockerConfigDir returns where docker's contexts are.
func dockerConfigDir() string { return local.DockerConfigDir(os.Getenv("DOCKER_CONFIG")) }

// building has one process build the program once, whoever asks.
var building struct {
	once sync.Once
	file string
	err  error
}

func program(ctx context.Context) (string, error) {
	building.once.Do(func() {
		if building.file, building.err = build(ctx); building.err != nil {
			building.err = fmt.Errorf("building certyard for the edge's container: %w", building.err)
		}
	})
	return building.file, building.err
}

// build builds certyard, for Linux, in the version that the test's module names (a
// workspace or a vendor directory is not looked at), and keeps it below the account's
// directory for caches. It is built in its own module: the test's may lack what only
// the command needs.
func build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	source, err := output(ctx, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return "", err
	}
	// Another version, or checkout, has another source directory.
	of := sha256.Sum256([]byte(source))
	dir := filepath.Join(cache, "certyard", "program", hex.EncodeToString(of[:6]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// Several test processes may do this at once: each has a file of its own
	// until it is whole.
	own, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(own)
	name := "certyard-linux-" + runtime.GOARCH
	if _, err := output(ctx, "build", "-C", source, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(own, name), "./cmd/certyard"); err != nil {
		return "", err
	}
	file := filepath.Join(dir, name)
	return file, os.Rename(filepath.Join(own, name), file)
}

// output runs the go command.
func output(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
