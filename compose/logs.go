package compose

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/docker/compose/v5/pkg/api"
)

// LogOptions say which logs, and where to.
type LogOptions struct {
	Services   []string // none means all
	Follow     bool     // go on until the context ends or every container has stopped
	Tail       string   // a number of lines from the end, or "all", as empty does
	Timestamps bool
	Since      time.Time // what was written before is left out, unless it is zero
	Out        io.Writer
}

// Logs writes the logs of a project's containers to Out, each line with the
// container that wrote it in front. It ends when Out takes no more.
func (e *Engine) Logs(ctx context.Context, project string, o LogOptions) error {
	engine, err := e.compose(newBus(nil, nil))
	if err != nil {
		return err
	}
	tail := o.Tail
	if tail == "" {
		tail = "all"
	}
	var since string
	if !o.Since.IsZero() {
		since = o.Since.UTC().Format(time.RFC3339Nano)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := &lineWriter{out: o.Out, broken: stop}
	err = engine.Logs(ctx, project, lines, api.LogOptions{
		Services: o.Services, Follow: o.Follow, Tail: tail, Since: since, Timestamps: o.Timestamps,
	})
	if lines.err != nil { // and what follows from it
		err = lines.err
	}
	if err != nil {
		return fmt.Errorf("reading the logs of %q: %w", project, err)
	}
	return nil
}

// lineWriter keeps the lines of containers that log at the same time whole.
type lineWriter struct {
	mu     sync.Mutex
	out    io.Writer
	broken func() // called when out takes no more
	err    error  // the first one
}

func (w *lineWriter) line(container, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	if _, w.err = fmt.Fprintf(w.out, "%-12s | %s\n", container, message); w.err != nil {
		w.broken()
	}
}

// Log, Err and Status are api.LogConsumer.
func (w *lineWriter) Log(container, message string) { w.line(container, message) }

// Err takes a line of a container's standard error.
func (w *lineWriter) Err(container, message string) { w.line(container, message) }

// Status takes what happened to a container, as that it exited.
func (w *lineWriter) Status(container, message string) { w.line(container, message) }
