package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mkcertVersion is the newest release, of April 2022.
const mkcertVersion = "v1.4.4"

// composeTool returns a Compose CLI of the version whose SDK certyard uses.
func composeTool(ctx context.Context, tmp string) (string, error) {
	const module = "github.com/docker/compose/v5"
	_, version, err := command(ctx, "", nil, "go", "list", "-m", "-f", "{{.Version}}", module)
	if err != nil {
		return "", err
	}
	v := strings.TrimSpace(string(version))
	return tool(ctx, tmp, "docker-compose", module+"/cmd", v, "-X "+module+"/internal.Version="+v)
}

func mkcertTool(ctx context.Context, tmp string) (string, error) {
	return tool(ctx, tmp, "mkcert", "filippo.io/mkcert", mkcertVersion, "-X main.Version="+mkcertVersion)
}

// tool returns the path of a program, built unless the cache has it. It is built
// in a throw-away module, because "go install" refuses modules with exclude
// directives, as Compose's.
func tool(ctx context.Context, tmp, name, pkg, version, stamp string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, "tools", name+"-"+version, name)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	progress("building %s %s into %s", name, version, filepath.Dir(file))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	module, err := os.MkdirTemp(tmp, name)
	if err != nil {
		return "", err
	}
	// The rename is what makes it whole or not there.
	built := fmt.Sprintf("%s.%d", file, os.Getpid())
	defer os.Remove(built)
	env := []string{"GOWORK=off", "GOFLAGS=-mod=mod"}
	for _, args := range [][]string{
		{"mod", "init", "throwaway"},
		{"get", pkg + "@" + version},
		{"build", "-trimpath", "-ldflags", "-s -w " + stamp, "-o", built, pkg},
	} {
		if _, _, err := command(ctx, module, env, "go", args...); err != nil {
			return "", fmt.Errorf("building %s: %w", name, err)
		}
	}
	return file, os.Rename(built, file)
}

// cacheDir is where scripts/daemons caches too.
func cacheDir() (string, error) {
	if dir := os.Getenv("CERTYARD_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "certyard"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "certyard"), err
}
