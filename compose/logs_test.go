package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// logLine follows the logs until a line with the text arrives.
func (p *project) logLine(text string) string {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	w := &finderWriter{text: text, found: cancel}
	if err := p.engine.Logs(ctx, p.name, LogOptions{Follow: true, Out: w}); err != nil && ctx.Err() == nil {
		p.Fatal(err)
	}
	return w.line
}

// finderWriter calls found at the first line with the text.
type finderWriter struct {
	text, line string
	found      func()
}

func (w *finderWriter) Write(p []byte) (int, error) {
	if w.line == "" && strings.Contains(string(p), w.text) {
		w.line = strings.TrimSpace(string(p))
		w.found()
	}
	return len(p), nil
}

func TestIntegrationLogs(t *testing.T) {
	e := dockerEngine(t)
	img := idleImage(t, e)
	p := newProject(t, e)
	p.up(fmt.Sprintf("services:\n  a:\n    image: %s\n  b:\n    image: %[1]s\n    user: '7'\n", img), UpOptions{})
	p.logLine("a-1          | ready")
	p.logLine("b-1          | ready")
	read := func(o LogOptions) string {
		t.Helper()
		var b bytes.Buffer
		o.Out = &b
		if err := e.Logs(t.Context(), p.name, o); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := read(LogOptions{Services: []string{"b"}}), "b-1          | uid 7\nb-1          | ready\n"; got != want {
		t.Errorf("logs of b are %q, want %q", got, want)
	}
	if got, want := read(LogOptions{Services: []string{"b"}, Tail: "1"}), "b-1          | ready\n"; got != want {
		t.Errorf("the last line of b is %q, want %q", got, want)
	}
	if got := read(LogOptions{Since: time.Now().Add(time.Hour)}); got != "" {
		t.Errorf("the logs of the future are %q", got)
	}
	if got := read(LogOptions{}); strings.Count(got, "\n") != 4 {
		t.Errorf("all logs are %q, want four lines", got)
	}
	if got := read(LogOptions{Services: []string{"a"}, Tail: "1", Timestamps: true}); !strings.Contains(got, "Z ready") {
		t.Errorf("logs with timestamps are %q", got)
	}
	for _, follow := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := e.Logs(ctx, p.name, LogOptions{Follow: follow, Out: brokenWriter{}})
		if !errors.Is(err, errBroken) || ctx.Err() != nil {
			t.Errorf("Logs to a broken writer, follow %v = %v, %v", follow, err, ctx.Err())
		}
		cancel()
	}
}

var errBroken = errors.New("broken pipe")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
