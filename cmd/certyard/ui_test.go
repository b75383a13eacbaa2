package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// some is a run as lifecycle reports it.
func some(u *ui) {
	u.linef("stack %q in %s", "demo", "dir")
	u.observe(lifecycle.Progress{Step: lifecycle.StepFiles, State: lifecycle.Running})
	u.observe(lifecycle.Progress{Step: lifecycle.StepFiles, State: lifecycle.Done, Detail: "20 written"})
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Running, Detail: "registry pulling 10%"})
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Running, Detail: "registry pulling 20%"})
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Failed, Took: 1500 * time.Millisecond})
	u.observe(lifecycle.Progress{Step: lifecycle.StepContainers, State: lifecycle.Done, Note: "said once"})
	u.error(errors.New("pulling registry:3: refused"), []string{"try again"})
	u.close()
}

func report() stack.Report {
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	return stack.Report{Checks: []stack.Check{
		{
			Hop: stack.HopHostRegistry, Target: "localhost:5005", Title: "verifies as localhost", Outcome: stack.Holds, Took: 3 * time.Millisecond,
			Evidence: stack.Evidence{HTTPStatus: 200, TLSVersion: "TLS 1.3", Serial: "0123456789abcdef", Issuer: "demo CA", NotAfter: &until},
		},
		{
			Hop: stack.HopHostRegistry, Target: "localhost:5005", Title: "plain HTTP is refused", Outcome: stack.Fails,
			Reason: stack.ReasonAccepted, Error: "it was answered with 200",
		},
		{Hop: stack.HopBuilderRegistry, Target: "registry:5000", Title: "the result is pushed", Outcome: stack.Skipped, Error: "needs builder.tls"},
	}}
}

// TestPlain: without a terminal a step is one line when it has ended, and
// nothing is coloured or drawn over.
func TestPlain(t *testing.T) {
	var out bytes.Buffer
	some(newUI(&out))
	const want = `stack "demo" in dir
  files         20 written
  images        failed                                                       1.5s
                said once
certyard: error: pulling registry:3: refused
certyard: hint: try again
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &out, want)
	}
}

// TestPlainGoesOn: a long step says now and then that it goes on.
func TestPlainGoesOn(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&out)
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Running, Detail: "10%"})
	u.mu.Lock()
	u.started, u.spoke = u.started.Add(-time.Minute), u.spoke.Add(-time.Minute)
	u.mu.Unlock()
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Running, Detail: "20%"})
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Running, Detail: "30%"})
	u.close()
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "  images        ") || !strings.Contains(got, "% ... 60") {
		t.Errorf("got %q, want one line about the step", got)
	}
}

// TestLive: on a terminal the running step is one line that is drawn over, cut
// to the width, and gone when the step has ended.
func TestLive(t *testing.T) {
	var out bytes.Buffer
	u := &ui{out: &out, live: true, color: true, width: 40}
	u.observe(lifecycle.Progress{Step: lifecycle.StepImages, State: lifecycle.Running, Detail: strings.Repeat("long ", 50)})
	u.close()
	for drawn := range strings.SplitSeq(out.String(), "\r\x1b[K") {
		if len(drawn) >= 40 || strings.Contains(drawn, "\n") {
			t.Errorf("drew %q, want one line of less than 40 characters", drawn)
		}
	}
	out.Reset()
	u.width = 80
	some(u)
	if got := out.String(); !strings.Contains(got, "\r\x1b[K  images        registry pulling 20% 0.0s\r\x1b[K  images        \x1b[31mfailed\x1b[0m") {
		t.Errorf("got %q, want the step drawn, cleared and ended", got)
	}
	screen := lastOf(out.String())
	const want = "stack \"demo\" in dir\n  files         20 written\n  images        \x1b[31mfailed\x1b[0m"
	if !strings.HasPrefix(screen, want) {
		t.Errorf("the screen shows %q, want it to begin with %q", screen, want)
	}
}

// lastOf returns what a terminal shows in the end.
func lastOf(out string) string {
	var lines []string
	for line := range strings.SplitSeq(out, "\n") {
		parts := strings.Split(line, "\r\x1b[K")
		lines = append(lines, parts[len(parts)-1])
	}
	return strings.Join(lines, "\n")
}

// TestLiveWithoutColor: NO_COLOR leaves the live line.
func TestLiveWithoutColor(t *testing.T) {
	var out bytes.Buffer
	u := &ui{out: &out, live: true, width: 80}
	some(u)
	u.report(report())
	u.failures(report(), (&app{program: "certyard"}).checkHints(report()))
	if strings.Contains(strings.ReplaceAll(out.String(), "\x1b[K", ""), "\x1b") {
		t.Errorf("coloured: %q", out.String())
	}
	if !strings.Contains(out.String(), "\x1b[K") {
		t.Error("nothing is drawn live")
	}
}

// TestTerminal: what newUI makes of a real terminal and the environment.
func TestTerminal(t *testing.T) {
	for name, c := range map[string]struct {
		env         map[string]string
		live, color bool
	}{
		"terminal": {nil, true, true},
		"NO_COLOR": {map[string]string{"NO_COLOR": "1"}, true, false},
		"dumb":     {map[string]string{"TERM": "dumb"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
			if err != nil {
				t.Fatalf("opening a pseudo-terminal: %v", err)
			}
			defer terminal.Close()
			t.Setenv("TERM", "xterm")
			t.Setenv("NO_COLOR", "")
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if u := newUI(terminal); u.live != c.live || u.color != c.color {
				t.Errorf("live %v, color %v; want %v, %v", u.live, u.color, c.live, c.color)
			}
		})
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, out := range []io.Writer{file, io.Discard} {
		if u := newUI(out); u.live || u.color {
			t.Errorf("live %v, color %v on %T, which is no terminal", u.live, u.color, out)
		}
	}
}

// TestQuiet: errors are all that is left, also of a report.
func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&out)
	u.configure(true, false)
	some(u)
	u.report(report())
	u.failures(report(), (&app{program: "certyard"}).checkHints(report()))
	const want = `certyard: error: pulling registry:3: refused
certyard: hint: try again
certyard: error: proving host -> registry at localhost:5005: plain HTTP is refused: it was answered with 200
`
	if got, rest, _ := strings.Cut(out.String(), "certyard: hint: the running"); got != want || rest == "" {
		t.Errorf("got:\n%s\nwant:\n%sand one more hint", &out, want)
	}
}

// TestReport: a heading for each hop, a line for each check, with what the
// probe saw, or what is wrong and where.
func TestReport(t *testing.T) {
	var out bytes.Buffer
	newUI(&out).report(report())
	const want = `
  host -> registry      1 of 2 hold
    ok    verifies as localhost                                      HTTP 200, TLS 1.3, serial 0123456789ab, by demo CA, until 2030-01-02, 3ms
    FAIL  localhost:5005: plain HTTP is refused                      it was answered with 200

  builder -> registry   0 of 1 hold
    skip  registry:5000: the result is pushed                        needs builder.tls
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &out, want)
	}
}

// TestConfirm: only yes from a terminal is one.
func TestConfirm(t *testing.T) {
	var stderr bytes.Buffer
	for name, stdin := range map[string]io.Reader{"no file": strings.NewReader("yes\n"), "nothing": nil, "no terminal": devNull(t)} {
		a := &app{program: "certyard", stdin: stdin, stdout: &output{to: io.Discard}, stderr: &stderr, ui: newUI(&stderr)}
		if err := a.confirm("remove it?"); statusOf(err) != exitUsage {
			t.Errorf("%s: %v has status %d, want %d", name, err, statusOf(err), exitUsage)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("asked where nobody can answer: %s", &stderr)
	}
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestInvocation: the commands that are printed at the end mean the same stack.
func TestInvocation(t *testing.T) {
	for _, c := range []struct {
		global globals
		want   string
	}{
		{globals{}, "certyard"},
		{globals{dir: ".certyard"}, "certyard"},
		{globals{dir: "/srv/x"}, "certyard --dir /srv/x"},
		{globals{name: "demo", nameByFlag: true}, "certyard --name demo"},
		{globals{config: "x.yaml"}, "certyard --config x.yaml"},
		{globals{dir: "/srv/my stack"}, "certyard --dir '/srv/my stack'"},
		{globals{dockerHost: "tcp://10.1.2.3:2376"}, "certyard --docker-host tcp://10.1.2.3:2376"},
		{globals{dockerCtx: "lab", name: "demo", nameByFlag: true}, "certyard --context lab --name demo"},
		{globals{config: "x.yaml", name: "demo", nameByFlag: true}, "certyard --config x.yaml --name demo"},
	} {
		if got := (&app{program: "certyard", global: c.global}).invocation(c.global.name); got != c.want {
			t.Errorf("invocation of %+v: %q, want %q", c.global, got, c.want)
		}
	}
}
