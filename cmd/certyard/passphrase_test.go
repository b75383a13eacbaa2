package main

import (
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/term"
)

// TestInterruptedPrompt: an interrupt ends the wait for a person, and the
// terminal shows again what is typed.
func TestInterruptedPrompt(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("opening a pseudo-terminal: %v", err)
	}
	defer terminal.Close()
	before, err := term.GetState(int(terminal.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	interrupted := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(interrupted) })
	a := &app{stdin: terminal, stderr: io.Discard, ui: newUI(io.Discard), interrupted: interrupted}
	if _, err := a.promptPassphrase(false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after, err := term.GetState(int(terminal.Fd())); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("the terminal is left in another state: %v", err)
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"one\n": "one", "one": "one", "one\r\ntwo": "one", " a b \n\n": " a b ",
		"": "is empty", "\nx": "is empty", strings.Repeat("x", maxPassphrase+1): "longer than 4096 bytes",
		strings.Repeat("x", maxPassphrase): strings.Repeat("x", maxPassphrase),
	} {
		got, err := firstLine(strings.NewReader(text))
		if string(got) != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("firstLine(%.20q) = %.20q, %v, want %.20q", text, got, err, want)
		}
	}
}
