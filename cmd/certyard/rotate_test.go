package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
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

// TestRotateEnded: the exit status and the words for every way a rotation ends.
func TestRotateEnded(t *testing.T) {
	bad := &stack.Report{Checks: []stack.Check{{Hop: stack.HopHostRegistry, Title: "it verifies", Outcome: stack.Fails, Reason: stack.ReasonStale}}}
	good := &stack.Report{Checks: []stack.Check{{Hop: stack.HopHostRegistry, Title: "it verifies", Outcome: stack.Holds}}}
	var out lifecycle.Rotated
	out.Due = true
	with := func(change func(*lifecycle.Rotated)) lifecycle.Rotated {
		o := out
		change(&o)
		return o
	}
	rolledBack := func(r *stack.Report) func(*lifecycle.Rotated) {
		return func(o *lifecycle.Rotated) { o.Report, o.RolledBack = r, true }
	}
	busy := &lifecycle.BusyError{Builds: []smoke.Build{{Ref: "x1"}}}
	for name, c := range map[string]struct {
		out    lifecycle.Rotated
		err    error
		status int
		says   string
	}{
		"done":                    {with(func(o *lifecycle.Rotated) { o.Report = good }), nil, exitOK, "it verifies"},
		"nothing due":             {lifecycle.Rotated{}, nil, exitOK, "nothing is due"},
		"finished, nothing due":   {lifecycle.Rotated{Finished: &lifecycle.Result{Report: good, Changes: []lifecycle.ServiceChange{{Service: "edge", Change: "kept"}, {Service: "registry", Change: "recreated"}}}}, nil, exitOK, "what an earlier run had written, registry recreated, proven"},
		"the CA ends":             {lifecycle.Rotated{Ending: []lifecycle.EndingCA{{Name: "client-ca", DaysLeft: 20, Ours: true}}}, nil, exitOK, `(20 days), and every certificate below it by then: "certyard rotate --client-ca --yes" replaces it`},
		"somebody's CA ends":      {lifecycle.Rotated{Ending: []lifecycle.EndingCA{{Name: "ca", DaysLeft: 20}}}, nil, exitOK, "whoever has it has to make another one"},
		"nothing runs":            {out, nil, exitOK, "the stack does not run"},
		"nothing is published":    {with(func(o *lifecycle.Rotated) { o.Changes = []lifecycle.ServiceChange{{Service: "registry"}} }), nil, exitOK, "nothing was proven"},
		"broken before":           {out, &lifecycle.NotSoundError{Report: *bad}, exitNotOK, "before anything is replaced"},
		"left broken":             {out, &lifecycle.NotSoundError{Report: *bad, Finishing: true}, exitNotOK, "with what an earlier run has written"},
		"did not hold, put back":  {with(rolledBack(bad)), nil, exitNotOK, "what was there before is in place again, and proven"},
		"did not start, put back": {with(rolledBack(nil)), &lifecycle.NotReadyError{Stack: "x", Err: errors.New("ended")}, exitNotOK, "what was there before is in place again, and proven; what went wrong:"},
		"did not start, stuck":    {out, errors.Join(&lifecycle.NotReadyError{Stack: "x", Err: errors.New("ended")}, &lifecycle.PutBackError{What: "it back", Err: busy}), exitNotOK, "putting it back: builds still run"},
		"engine failed, stuck":    {out, errors.Join(errors.New("no answer"), &lifecycle.PutBackError{What: "it back", Err: busy}), exitFailed, "putting it back: builds still run"},
		"interrupted proof":       {with(func(o *lifecycle.Rotated) { o.Report = bad }), context.Canceled, exitFailed, "context canceled"},
		"disk failed, put back":   {with(rolledBack(nil)), &state.UnfinishedError{Err: errors.New("input/output error")}, exitFailed, "in place again, and proven; what went wrong:"},
		"interrupted, put back":   {with(rolledBack(nil)), context.Canceled, exitFailed, "in place again"},
		"put back, broken too":    {out, fmt.Errorf("putting back: %w", &lifecycle.NotSoundError{Report: *bad, PutBack: true}), exitNotOK, "with what was there before, put back"},
		"cannot be put back":      {with(func(o *lifecycle.Rotated) { o.Report = bad }), fmt.Errorf("putting the old CA in force again: %w", busy), exitNotOK, "proving host -> registry"},
		"builds go on":            {with(func(o *lifecycle.Rotated) { o.Report = good }), busy, exitFailed, "builds still run"},
	} {
		var stderr bytes.Buffer
		a := &app{program: "certyard", stderr: &stderr, stdout: &output{to: io.Discard}, ui: newUI(&stderr)}
		err := a.rotateEnded(c.out, c.err)
		status := exitOK
		if err != nil {
			status = a.fail(err)
		}
		if status != c.status || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", name, status, c.status, c.says, stderr.String())
		}
		for reason := range strings.SplitSeq(fmt.Sprint(c.err), "\n") {
			if c.err == nil || strings.Contains(stderr.String(), reason) {
				continue
			}
			t.Errorf("%s: the reason is not told:\n%s", name, stderr.String())
		}
	}
}

// TestLostResult: how a rotation ended is told where its result could not be
// written too, and only where it went well that is the failure.
func TestLostResult(t *testing.T) {
	failed, held := report(), stack.Report{Checks: report().Checks[:1]}
	open := &stack.Rotation{CAs: []string{pki.CAClient}, Phase: stack.PhaseExpand}
	const lost = "certyard: error: writing to stdout: "
	for name, c := range map[string]struct {
		out    lifecycle.Rotated
		err    error
		status int
		said   []string
	}{
		"replaced":      {lifecycle.Rotated{Due: true, Result: lifecycle.Result{Report: &held}}, nil, exitFailed, []string{"verifies as localhost", lost}},
		"rolled back":   {lifecycle.Rotated{Due: true, RolledBack: true, Result: lifecycle.Result{Report: &failed}}, nil, exitNotOK, []string{"plain HTTP is refused", "is in place again", "hint: "}},
		"not sound":     {lifecycle.Rotated{Due: true}, &lifecycle.NotSoundError{Report: failed}, exitNotOK, []string{"before anything is replaced"}},
		"put back":      {lifecycle.Rotated{Due: true, RolledBack: true}, errors.New("the engine is gone"), exitFailed, []string{"in place again", "certyard: error: the engine is gone", lost}},
		"wrong leaf":    {lifecycle.Rotated{}, &lifecycle.LeafNameError{Name: "x"}, exitUsage, []string{`no leaf "x"`, `hint: "certyard status"`, lost}},
		"left open":     {lifecycle.Rotated{Due: true, Open: open}, errors.New("the engine is gone"), exitFailed, []string{"is open, at expand", `rotate --client-ca --yes" goes on`, lost}},
		"nothing to do": {lifecycle.Rotated{}, nil, exitFailed, []string{"nothing is due", lost}},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			a := &app{program: "certyard", stdout: &output{to: closed(t)}, stderr: &said, ui: newUI(&said), changes: true, eventLines: true, global: globals{json: true}}
			if status := a.fail(a.concluded(c.out, c.err)); status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			for _, want := range c.said {
				if !strings.Contains(said.String(), want) {
					t.Errorf("it says %q, want %q", &said, want)
				}
			}
		})
	}
}

// TestBegunWith: what is open goes on with the time to bake that it was begun with.
func TestBegunWith(t *testing.T) {
	for _, c := range []struct {
		open *stack.Rotation
		want time.Duration
	}{{nil, time.Minute}, {&stack.Rotation{Bake: new(time.Hour)}, time.Hour}, {&stack.Rotation{Bake: new(time.Duration(0))}, 0}, {&stack.Rotation{}, time.Minute}} {
		if got := (&app{open: c.open}).begunWith(time.Minute); got != c.want {
			t.Errorf("%+v: %v, want %v", c.open, got, c.want)
		}
	}
}
