package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestIntegrationRotateCA replaces the CA by hand, as README has it: what it would
// do, how far it is, how it goes on and back, and as lines of JSON.
func TestIntegrationRotateCA(t *testing.T) {
	y := newYard(t)
	y.must(exitOK, "up", "--tls", "mutual")
	dry := y.must(exitOK, "rotate", "--ca")
	for _, want := range []string{"contract  CA and client CA", "recreate  container buildkit", "hint: this was a dry run; --yes does it"} {
		if !strings.Contains(dry.stderr, want) {
			t.Errorf("the dry run lacks %q:\n%s", want, dry.stderr)
		}
	}
	if out := y.must(exitFailed, "rotate", "--abort"); !strings.Contains(out.stderr, "no replacement of a CA is open") {
		t.Errorf("nothing to take back: %s", out.stderr)
	}
	paused := y.must(exitOK, "rotate", "--ca", "--yes", "--pause-after", "expand", "--json")
	events := eventsOf(t, paused.stdout)
	if want := "preflight running, preflight done, stage running, stage done, expand running, expand done, result"; events != want {
		t.Errorf("got the events %s, want %s", events, want)
	}
	open := "--name " + y.name + ` rotate --ca --yes" goes on`
	if out := y.must(exitNotOK, "status"); !strings.Contains(out.stderr, "at expand") || !strings.Contains(out.stderr, open) {
		t.Errorf("status: %s", out.stderr)
	}
	if out := y.must(exitOK, "up", "--tls", "mutual"); !strings.Contains(out.stderr, open) {
		t.Errorf("up: %s", out.stderr)
	}
	if out := y.must(exitFailed, "rotate", "--if-due"); !strings.Contains(out.stderr, "the replacement of CA and client CA is open") {
		t.Errorf("another rotation: %s", out.stderr)
	}
	y.must(exitOK, "rotate", "--abort")
	y.must(exitOK, "status")
	y.must(exitOK, "rotate", "--ca", "--yes", "--bake", "0s")
	y.must(exitOK, "status")
	if out := y.must(exitOK, "rotate", "--if-due"); !strings.Contains(out.stderr, "nothing is due") {
		t.Errorf("afterwards: %s", out.stderr)
	}
	if events := eventsOf(t, y.must(exitOK, "rotate", "--all", "--json").stdout); !strings.HasPrefix(events, "proof running, proof done, ") || !strings.HasSuffix(events, ", proof running, proof done, result") {
		t.Errorf("the events of all leaves: %s", events)
	}
}

// eventsOf names the events of an output, one line each.
func eventsOf(t *testing.T, stdout string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(stdout) {
		var e struct {
			Event string
			Step  struct{ Step, State string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in the line %q", err, line)
		}
		out = append(out, strings.TrimSpace(strings.Join([]string{e.Step.Step, e.Step.State}, " ")))
		if e.Event != "step" {
			out[len(out)-1] = e.Event
		}
	}
	return strings.Join(out, ", ")
}
