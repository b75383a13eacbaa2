package main

import (
	"flag"
	"os"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
)

// TestWantedSpec: new CAs may sign what the config wants, if there is a config; CAs
// that are made already do not ask for it.
func TestWantedSpec(t *testing.T) {
	c := cli.NewContext(nil, flag.NewFlagSet("rotate", flag.ContinueOnError), nil)
	t.Chdir(t.TempDir())
	if spec, err := (&app{}).wantedSpec(c); spec != nil || err != nil {
		t.Errorf("without a config: %v, %v, want the recorded one", spec, err)
	}
	write := func(text string) {
		if err := os.WriteFile(defaultConfig, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("registry:\n  hosts: [build.lan]\n")
	spec, err := (&app{}).wantedSpec(c)
	if err != nil || spec == nil || len(spec.Registry.Hosts) != 1 {
		t.Errorf("with a config: %v, %v", spec, err)
	}
	write("nope: 1\n")
	if _, err := (&app{}).wantedSpec(c); statusOf(err) != exitUsage {
		t.Errorf("with a broken config: %v, want what is wrong with it", err)
	}
	if spec, err := (&app{open: &stack.Rotation{}}).wantedSpec(c); spec != nil || err != nil {
		t.Errorf("with an open replacement: %v, %v", spec, err)
	}
}
