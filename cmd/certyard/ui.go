package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// Every byte that a person reads goes through this file.
//
//   - All of it is for stderr; stdout holds what was asked for (JSON, env, logs).
//   - What others have written, in certificates and on servers, is shown and
//     never obeyed (clean.go).
//   - No capital at the start and no period at the end.
//   - An error is "certyard: error: what was done to what: why", and each next
//     step "certyard: hint: ...". Several errors are as many lines.
//   - On a terminal the running step is one live line, with a time; elsewhere a
//     step is printed when it has ended, and a long one says now and then that
//     it goes on.
//   - Colour and live lines need a terminal; NO_COLOR (no-color.org) switches
//     colour off, TERM=dumb both.
type ui struct {
	mu          sync.Mutex
	out         io.Writer
	live, color bool
	width       int
	quiet, json bool

	current lifecycle.Progress // the running step; Step is "" when none runs
	started time.Time
	spoke   time.Time // when a plain line last said that a step goes on
	stop    chan struct{}
	stopped chan struct{}
}

// plainEvery is how often a long step says that it goes on without a terminal.
const plainEvery = 10 * time.Second

func newUI(out io.Writer) *ui {
	u := &ui{out: out, width: 80}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		u.live, u.color = true, os.Getenv("NO_COLOR") == ""
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			u.width = w
		}
	}
	return u
}

// configure takes the flags that say how much is printed.
func (u *ui) configure(quiet, json bool) { u.quiet, u.json = quiet, json }

// linef prints one line for a person.
func (u *ui) linef(format string, args ...any) {
	if u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	fmt.Fprintf(u.out, format+"\n", cleaned(args)...)
}

// observe shows the progress of a step. It is lifecycle's Observe.
func (u *ui) observe(p lifecycle.Progress) {
	if u.quiet {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p.Detail, p.Note = clean(p.Detail), clean(p.Note)
	if p.State == lifecycle.Running {
		if u.current.Step != p.Step {
			u.started, u.spoke = time.Now(), time.Now()
			u.animate()
		}
		u.current = p
		u.goesOn()
		return
	}
	u.clear()
	u.current = lifecycle.Progress{}
	if p.Note != "" {
		fmt.Fprintf(u.out, "  %-13s %s\n", "", p.Note)
		return
	}
	detail := painted(p.Detail)
	if p.State == lifecycle.Failed {
		detail = u.paint(red, "failed")
	}
	fmt.Fprintln(u.out, strings.TrimRight(fmt.Sprintf("  %-13s %-60s %s", p.Step, detail, took(p.Took)), " "))
}

// goesOn shows a running step: live, or as a plain line from time to time.
func (u *ui) goesOn() {
	if u.live {
		u.draw()
		return
	}
	if time.Since(u.spoke) >= plainEvery {
		u.spoke = time.Now()
		fmt.Fprintf(u.out, "  %-13s %s ... %s\n", u.current.Step, u.current.Detail, took(time.Since(u.started)))
	}
}

// animate starts redrawing, so that the time moves while nothing is reported.
func (u *ui) animate() {
	if u.stop != nil {
		return
	}
	u.stop, u.stopped = make(chan struct{}), make(chan struct{})
	go func(stop, stopped chan struct{}) {
		defer close(stopped)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				u.mu.Lock()
				if u.current.Step != "" {
					u.goesOn()
				}
				u.mu.Unlock()
			}
		}
	}(u.stop, u.stopped)
}

// close ends the live line. The ui can be used again.
func (u *ui) close() {
	u.mu.Lock()
	u.clear()
	u.current = lifecycle.Progress{}
	stop, stopped := u.stop, u.stopped
	u.stop = nil
	u.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
	}
}

func (u *ui) draw() {
	text := fmt.Sprintf("  %-13s %s", u.current.Step, u.current.Detail)
	elapsed := fmt.Sprintf(" %.1fs", time.Since(u.started).Seconds())
	if room := u.width - len(elapsed) - 1; len([]rune(text)) > room {
		text = string([]rune(text)[:room])
	}
	fmt.Fprintf(u.out, "\r\x1b[K%s%s", text, elapsed)
}

func (u *ui) clear() {
	if u.live && u.current.Step != "" {
		fmt.Fprint(u.out, "\r\x1b[K")
	}
}

type colour string

const (
	red   colour = "31"
	green colour = "32"
	dim   colour = "2"
)

func (u *ui) paint(c colour, text string) painted {
	text = clean(text)
	if !u.color {
		return painted(text)
	}
	return painted("\x1b[" + string(c) + "m" + text + "\x1b[0m")
}

// took renders a time that is worth a look; nothing for a short one.
func took(d time.Duration) string {
	if d < 50*time.Millisecond {
		return ""
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// report prints a report: one heading for each hop, one line for each check.
func (u *ui) report(r stack.Report) {
	for _, hop := range []stack.Hop{stack.HopHostRegistry, stack.HopHostBuilder, stack.HopBuilderRegistry} {
		var held, total int
		var lines []painted
		for _, c := range r.Checks {
			if c.Hop != hop {
				continue
			}
			total++
			if c.Outcome == stack.Holds {
				held++
			}
			lines = append(lines, u.checkLine(c))
		}
		if total == 0 {
			continue
		}
		u.linef("\n  %-21s %d of %d hold", hop, held, total)
		for _, line := range lines {
			u.linef("%s", line)
		}
	}
}

func (u *ui) checkLine(c stack.Check) painted {
	mark := map[stack.Outcome]painted{
		stack.Holds: u.paint(green, "ok  "), stack.Fails: u.paint(red, "FAIL"), stack.Skipped: u.paint(dim, "skip"),
	}[c.Outcome]
	text := c.Title
	if c.Target != "" && c.Outcome != stack.Holds {
		text = c.Target + ": " + text
	}
	facts := evidence(c)
	if c.Outcome != stack.Holds {
		facts = c.Error
	}
	return painted(strings.TrimRight(fmt.Sprintf("    %s  %-58s %s", mark, clean(text), u.paint(dim, facts)), " "))
}

// evidence renders what a probe saw, in one order for all checks.
func evidence(c stack.Check) string {
	e := c.Evidence
	var parts []string
	add := func(format, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	if e.HTTPStatus != 0 {
		add("HTTP %s", fmt.Sprint(e.HTTPStatus))
	}
	add("%s", e.TLSVersion)
	add("%s", e.ALPN)
	add("%s", e.Version)
	add("%s", e.Platform)
	add("%s", short(e.Digest, 19))
	add("serial %s", short(e.Serial, 12))
	add("by %s", e.Issuer)
	if e.NotAfter != nil {
		add("until %s", e.NotAfter.UTC().Format(time.DateOnly))
	}
	add("%s", ellipsis(e.Answer, 90))
	parts = append(parts, fmt.Sprintf("%dms", c.Took.Milliseconds()))
	return strings.Join(parts, ", ")
}

// ellipsis keeps a long answer to one line.
func ellipsis(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return text
}

func short(text string, n int) string {
	if len(text) > n {
		return text[:n]
	}
	return text
}

// error prints an error and its hints, also when quiet.
func (u *ui) error(err error, hints []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	for _, p := range problems(err) {
		fmt.Fprintf(u.out, "certyard: %s %s\n", u.paint(red, "error:"), p.lines())
	}
	u.hints(hints)
}

func (u *ui) hints(hints []string) {
	for _, h := range hints {
		fmt.Fprintf(u.out, "certyard: hint: %s\n", clean(h))
	}
}

// failures prints what a report says does not hold, hop first, and what to do.
func (u *ui) failures(r stack.Report, hints []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	for _, c := range r.Failed() {
		fmt.Fprintf(u.out, "certyard: %s proving %s at %s: %s: %s\n", u.paint(red, "error:"), c.Hop, clean(c.Target), clean(c.Title), clean(c.Error))
	}
	u.hints(hints)
}

// path shows a path relative to the working directory where that is shorter.
func (u *ui) path(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
