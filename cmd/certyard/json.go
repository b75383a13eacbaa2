package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// failure is an error as JSON has it.
type failure struct {
	Event      string   `json:"event,omitempty"` // "error", where events are printed
	Error      string   `json:"error"`
	ExitStatus int      `json:"exit_status"`
	Hints      []string `json:"hints"`
}

// printFailure prints the document, or the last of the events.
func (a *app) printFailure(f failure) error {
	if !a.eventLines {
		return a.printJSON(f)
	}
	f.Event = "error"
	return a.encodeJSON(f, "")
}

// printJSON prints the one document that --json promises.
func (a *app) printJSON(v any) error { return a.encodeJSON(v, "  ") }

// event prints one line of JSON: its kind, and under a name what there is to it.
func (a *app) event(kind, name string, value any) error {
	return a.encodeJSON(map[string]any{"event": kind, name: value}, "")
}

// encodeJSON prints a value, on one line without an indent.
func (a *app) encodeJSON(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false) // "host -> registry" stays readable
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	_, err := io.WriteString(a.stdout, escapeJSON(b.String()))
	return err
}

// escapeJSON escapes what the encoder leaves as it is and a terminal obeys. It
// can be in strings alone, and means the same there.
func escapeJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x7f || !obeyed(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
