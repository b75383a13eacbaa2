package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certyard/certyard/compose"
)

// BenchmarkCommand runs commands in this process, for what they allocate; scripts/bench
// has their time and peak memory as processes of their own. Those that need an engine
// are left out without one.
func BenchmarkCommand(b *testing.B) {
	dir := b.TempDir()
	daemons, err := filepath.Abs("../../bin/daemons")
	if err != nil {
		b.Fatal(err)
	}
	for name, value := range map[string]string{
		"CERTYARD_DAEMONS": daemons, "CERTYARD_IMAGES": "bundled", "CERTYARD_DIR": filepath.Join(dir, "stacks"), "CERTYARD_CONFIG": os.DevNull,
		"CERTYARD_REGISTRY_PUBLISH": "127.0.0.1:0", "CERTYARD_BUILDER_PUBLISH": "127.0.0.1:0",
	} {
		b.Setenv(name, value)
	}
	b.Run("init", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			command(b, "init", "--dir", filepath.Join(b.TempDir(), "new"))
		}
	})
	engine, err := compose.Connect(b.Context(), compose.Options{})
	if err != nil {
		b.Logf("up, smoke and status need Docker: %v", err)
		return
	}
	defer engine.Close()
	stack := strings.ToLower("certyard-bench-" + filepath.Base(filepath.Dir(dir))[len("BenchmarkCommand"):])
	defer command(b, "down", "--name", stack, "--volumes", "--purge", "--yes")
	command(b, "up", "--name", stack)
	for _, args := range [][]string{{"up"}, {"smoke"}, {"status"}} {
		b.Run(args[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				command(b, append(args, "--name", stack)...)
			}
		})
	}
}

func command(b *testing.B, args ...string) {
	b.Helper()
	var out, log bytes.Buffer
	if status := run(context.WithoutCancel(b.Context()), append([]string{"certyard"}, args...), strings.NewReader(""), &out, &log); status != exitOK {
		b.Fatalf("%v: exit status %d\n%s", args, status, &log)
	}
}
