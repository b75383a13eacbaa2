package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSystemd: the unit runs a command that there is, and gives it time to wait for
// builds twice, and then to put back what was there.
func TestSystemd(t *testing.T) {
	root := filepath.Join("..", "..")
	unit, err := os.ReadFile(filepath.Join(root, "scripts", "systemd", "certyard-rotate.service"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for line := range strings.Lines(string(unit)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			set[key] = value
		}
		if install, ok := strings.CutPrefix(line, "#   "); ok && !strings.Contains(string(readme), strings.TrimSpace(install)) {
			t.Errorf("the README does not say how the timer is installed: %s", install)
		}
	}
	command := strings.Fields(strings.TrimPrefix(set["ExecStart"], "/usr/local/bin/"))
	if len(command) < 2 || command[0] != "certyard" {
		t.Fatalf("ExecStart is %q", set["ExecStart"])
	}
	if err := parsed(strings.Join(command, " ")); err != nil {
		t.Errorf("%q is refused: %v", command, err)
	}
	span := func(text string) time.Duration {
		t.Helper()
		d, err := time.ParseDuration(strings.Replace(text, "min", "m", 1))
		if err != nil {
			t.Error(err)
		}
		return d
	}
	wait := span(command[slices.Index(command, "--wait-idle")+1])
	if have := span(set["TimeoutStartSec"]); have < 2*wait+30*time.Minute {
		t.Errorf("TimeoutStartSec is %v, and builds are waited for up to %v, twice", have, wait)
	}
	if have := span(set["TimeoutStopSec"]); have < 5*time.Minute {
		t.Errorf("TimeoutStopSec is %v, and what was there before has to be put back and proven", have)
	}
}
