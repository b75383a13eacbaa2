package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

// fullSweep, set to "full", has the sweep stop at every point instead of some.
const fullSweep = "CERTYARD_SWEEP"

// sweepCommand is a command that may be disturbed anywhere. The same command
// has to finish what it began.
type sweepCommand struct {
	args  []string
	first []string // is run before it each time
	over  string   // or it says this again, where it had done all
	fresh bool     // it begins where there is no stack, else with one that runs
	stops bool     // it starts nothing
	after []string // and then this has nothing to do
	says  string   // which it says

	// open is that a run which fails leaves open what it began, with daemons
	// that serve and trust what was there.
	open bool
	// undo takes that back, until the old CA is trusted no more.
	undo []string
	// few are the ways to serve for which the sample has this command, and only
	// are the disturbances that it has then, all if there are none.
	few  []stack.Serve
	only []string
}

var (
	initMutual = []string{"init", "--tls", "mutual", "--serve", "SERVE"}
	upMutual   = []string{"up", "--tls", "mutual", "--serve", "SERVE"}
)

// sweepCommands are the rows of the sweep. SERVE is the way to serve.
var sweepCommands = []sweepCommand{
	{args: initMutual, fresh: true, stops: true, after: initMutual, few: []stack.Serve{stack.ServeEdge}},
	{args: upMutual, fresh: true, after: upMutual, few: []stack.Serve{stack.ServeEdge}, only: []string{"killed at place", "killed before answer"}},
	{args: []string{"rotate", "--all"}, after: []string{"rotate"}, says: "nothing is due", few: []stack.Serve{stack.ServeEdge, stack.ServeDaemon}},
	{
		args: []string{"rotate", "--passwords"}, after: []string{"rotate"}, says: "nothing is due",
		few: []stack.Serve{stack.ServeEdge}, only: []string{"killed at sync", "EIO at place"},
	},
	{
		args: []string{"rotate", "--ca", "--yes", "--bake", "0s"}, open: true, undo: []string{"rotate", "--abort"},
		after: []string{"rotate"}, says: "nothing is due", few: []stack.Serve{stack.ServeEdge},
	},
	{
		args: []string{"rotate", "--abort"}, open: true, over: "no replacement of a CA is open",
		first: []string{"rotate", "--ca", "--yes", "--pause-after", "verify"},
		after: []string{"rotate"}, says: "nothing is due",
		few: []stack.Serve{stack.ServeDaemon}, only: []string{"killed at place", "killed before answer"},
	},
}

func (c sweepCommand) String() string {
	text, _, _ := strings.Cut(strings.Join(c.args, " "), " --tls")
	return text
}

// sweep is one command on one stack.
type sweep struct {
	*yard
	sweepCommand
	serve  stack.Serve
	tmp    string
	before map[string][]byte // the files before the command, nil without a stack
	want   map[string]string // how the state directory has to look in the end
	counts map[string]int    // the points of an undisturbed run, by kind
	// phases are what it was in at each point of some kinds.
	phases map[string][]stack.Phase
}

// TestIntegrationSweep disturbs the real binary, on the real engine, at every
// point of every command: it is killed, the disk fails, the connection to the
// engine is cut. See the fields of a row for what must hold then. It takes some
// points of each row; with CERTYARD_SWEEP=full, as make sweep has it, all.
func TestIntegrationSweep(t *testing.T) {
	full := os.Getenv(fullSweep) == "full"
	t.Logf("| %-18s | %-6s | %-23s | %s", "command", "serve", "disturbance", "points | killed | failed | unharmed  | finished | undone | wrong |     time |")
	for _, serve := range []stack.Serve{stack.ServeEdge, stack.ServeDaemon} {
		t.Run(string(serve), func(t *testing.T) {
			t.Parallel()
			for _, command := range sweepCommands {
				if full || slices.Contains(command.few, serve) {
					t.Run(command.String(), func(t *testing.T) { newSweep(t, command, serve).rows(t, full) })
				}
			}
		})
	}
}

// rows disturbs the command in every way that it can be.
func (s *sweep) rows(t *testing.T, full bool) {
	for _, d := range disturbances {
		if points := s.points(d, full); len(points) > 0 {
			t.Run(d.name, func(t *testing.T) { s.row(t, d, points) })
		}
	}
}

func newSweep(t *testing.T, command sweepCommand, serve stack.Serve) *sweep {
	t.Helper()
	var y *yard
	t.Cleanup(func() { y.removeImages() })
	tmp := t.TempDir()
	y = newYard(t)
	y.env = []string{"TMPDIR=" + tmp}
	s := &sweep{yard: y, sweepCommand: command, serve: serve, tmp: tmp}
	if !s.fresh {
		s.must(exitOK, s.words(upMutual)...)
	}
	s.started()
	out, broken := s.undisturbed()
	tree, err := s.tree()
	if out.status != exitOK || err != nil {
		t.Fatalf("%v: %+v, %v", s.sweepCommand, out.result, err)
	}
	s.counts, s.want = out.counts, outline(tree)
	t.Logf("%v, serve: %s: points %v", s.sweepCommand, s.serve, s.counts)
	if !s.stops {
		s.remember()
	}
	if broken = append(broken, s.wrong()...); len(broken) > 0 {
		t.Fatalf("undisturbed: %s", strings.Join(broken, "\n"))
	}
	s.reset()
	return s
}

// started runs what comes before the command.
func (s *sweep) started() {
	if s.first != nil {
		s.must(exitOK, s.first...)
	}
}

// reset removes the stack of a command that begins without one.
func (s *sweep) reset() {
	if s.fresh {
		s.must(exitOK, "down", "--volumes", "--purge", "--yes")
	}
}

// restore makes a stack again that a command can be tried on.
func (s *sweep) restore() {
	if s.fresh || s.run(s.words(upMutual)...).status != exitOK {
		s.must(exitOK, "down", "--volumes", "--purge", "--yes")
	}
	if !s.fresh {
		s.must(exitOK, s.words(upMutual)...)
	}
}

// words returns arguments for this way to serve.
func (s *sweep) words(args []string) []string {
	return strings.Fields(strings.ReplaceAll(strings.Join(args, " "), "SERVE", string(s.serve)))
}

// row is one way to disturb a command, at all points or at some.
//
// Of the points that it came to, at some the process was killed, at some it
// failed, and some did it no harm. The same command then finished, or what it had
// begun was taken back; what was wrong is counted once for each point.
type row struct {
	points, killed, failed, unharmed, finished, undone, wrong int
}

func (s *sweep) row(t *testing.T, d disturbance, points []int) {
	mine := *s // its messages and failures are this test's
	yard := *s.yard
	yard.t, mine.yard = t, &yard
	var r row
	began := time.Now()
	for _, n := range points {
		what, wrong := mine.trial(d, n, &r)
		for _, w := range wrong {
			t.Errorf("%v, serve: %s, %s %d (%s): %s", s.sweepCommand, s.serve, d.name, n, what, w)
		}
		if len(wrong) > 0 {
			r.wrong++
			mine.restore()
		}
		if what == "" {
			break
		}
		if r.points%25 == 0 { // a row takes up to half an hour
			t.Logf("%d of about %d points, %d wrong, %.0f s", r.points, s.counts[d.kind], r.wrong, time.Since(began).Seconds())
		}
	}
	if d.undo && r.undone == 0 {
		t.Error("nothing was taken back at any point")
	}
	t.Logf("| %-18v | %-6s | %-23s | %6d | %6d | %6d | %9d | %8d | %6d | %5d | %6.1f s |", s.sweepCommand, s.serve, d.name,
		r.points, r.killed, r.failed, r.unharmed, r.finished, r.undone, r.wrong, time.Since(began).Seconds())
}

// trial disturbs the command at one point, and looks at what it leaves, at what
// the same command makes of that, and that then nothing is left to do. It
// returns what the point was, "" when the command ended before, and what was
// wrong.
func (s *sweep) trial(d disturbance, n int, r *row) (what string, wrong []string) {
	s.started()
	s.copyFiles()
	out := s.disturb(d, n, s.words(s.args)...)
	if out.hit == "" {
		if out.status != exitOK {
			wrong = []string{"undisturbed: " + out.String()}
		}
		s.reset()
		return "", wrong
	}
	r.points++
	wrong = append(s.wrong(), s.outcome(d, out.result, r)...)
	if m, err := s.moment(); d.undo && err == nil && m.phase != "" && m.phase.Before(stack.PhaseContract) {
		r.undone++
		return out.hit, append(wrong, s.takenBack()...)
	}
	again := s.run(s.words(s.args)...)
	switch over := s.over != "" && strings.Contains(again.stderr, s.over); {
	case over:
		s.must(exitOK, s.words(s.after)...) // which tidies up
	case again.status != exitOK:
		return out.hit, append(wrong, "the same command again: "+again.String())
	}
	r.finished++
	wrong = append(wrong, s.ended()...)
	s.reset()
	return out.hit, wrong
}

// outcome counts how a disturbed command ended, and lists what of it is wrong.
func (s *sweep) outcome(d disturbance, out result, r *row) (wrong []string) {
	switch {
	case d.kills():
		if out.status != -1 {
			return []string{"it was not killed: " + out.String()}
		}
		r.killed++
		return nil
	case out.status == exitOK:
		r.unharmed++
		return nil
	case out.status != exitFailed || !strings.Contains(out.stderr, "certyard: error: "):
		wrong = append(wrong, "it failed without a clear error: "+out.String())
	case d.errno == syscall.ENOSPC && !strings.Contains(out.stderr, "certyard: hint: make room on the disk"):
		wrong = append(wrong, "no hint speaks of space: "+out.String())
	}
	r.failed++
	if _, err := os.Stat(s.state(commitPath)); err == nil || s.fresh || s.open {
		return wrong // what is committed is completed by the next command
	}
	if smoke := s.run("smoke"); smoke.status != exitOK {
		wrong = append(wrong, "then the proof does not hold: "+out.String()+smoke.String())
	}
	return wrong
}

// ended lists what is not as after an undisturbed run.
func (s *sweep) ended() []string {
	tree, err := s.tree()
	if err != nil {
		return []string{err.Error()}
	}
	return slices.Concat(s.wrong(), differ(outline(tree), s.want), s.settled())
}

// settled lists what is done where nothing is left to do.
func (s *sweep) settled() (wrong []string) {
	before, err := s.tree()
	if err != nil {
		return []string{err.Error()}
	}
	after := s.run(s.words(s.after)...)
	if after.status != exitOK || !strings.Contains(after.stderr, s.says) {
		wrong = append(wrong, fmt.Sprintf("%v: %v", s.after, after))
	}
	now, err := s.tree()
	if err != nil {
		return append(wrong, err.Error())
	}
	return append(wrong, idle(before, now)...)
}

// String leaves out what holds.
func (r result) String() string {
	var b strings.Builder
	for line := range strings.Lines(r.stdout + r.stderr) {
		if !strings.HasPrefix(line, "    ok ") {
			b.WriteString(line)
		}
	}
	return fmt.Sprintf("exit status %d\n%s", r.status, b.String())
}
