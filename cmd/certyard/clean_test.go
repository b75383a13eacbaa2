package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		`build.lan, "q" \ ü 漢 🔑 €`: `build.lan, "q" \ ü 漢 🔑 €`,
		"a\nb\r\tc\x00":            `a\nb\r\tc\x00`,
		"\x1b[31mred\x7f":          `\x1b[31mred\x7f`,
		"\u009b2J":                 `\u009b2J`,
		"a\x9bb\xff":               `a\x9bb\xff`,
		"\u202egro.live":           `\u202egro.live`,
		"\u2066\u2069\u200f\u061c": `\u2066\u2069\u200f\u061c`,
		"\u2028\u2029\u200b\ufeff": `\u2028\u2029\u200b\ufeff`,
		"\U000e0041":               `\U000e0041`,
		"\ufffd":                   `\ufffd`,
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %s, want %s", text, got, want)
		}
	}
}

// hostile is a name that begins lines and colours them.
const hostile = "evil.lan\ncertyard: error: forged\r\x1b[2J\x1b[31m\u202e"

// TestHostileText: whatever way the text of others takes, it begins no line and
// gives the terminal no order.
func TestHostileText(t *testing.T) {
	joined := errors.Join(fmt.Errorf("reading %s: %w", hostile, fs.ErrNotExist), errors.New(hostile))
	for name, print := range map[string]func(*ui){
		"text":     func(u *ui) { u.linef("  %-24s %s", hostile, "x") },
		"quoted":   func(u *ui) { u.linef("%q", hostile) },
		"an error": func(u *ui) { u.linef("%v", joined) },
		"a list":   func(u *ui) { u.linef("%v", []string{hostile}) },
		"a type":   func(u *ui) { u.linef("%s", stack.Hop(hostile)) },
		"painted":  func(u *ui) { u.linef("%s", u.paint(green, hostile)) },
		"error":    func(u *ui) { u.error(errors.New(hostile), []string{hostile}) },
		"errors":   func(u *ui) { u.error(joined, nil) },
		"detail":   func(u *ui) { u.observe(lifecycle.Progress{Step: "x", State: lifecycle.Done, Detail: hostile}) },
		"note":     func(u *ui) { u.observe(lifecycle.Progress{Step: "x", State: lifecycle.Done, Note: hostile}) },
		"live detail": func(u *ui) {
			u.live = true
			u.observe(lifecycle.Progress{Step: "x", State: lifecycle.Running, Detail: hostile})
		},
		"report":   func(u *ui) { u.report(hostileReport()) },
		"failures": func(u *ui) { u.failures(hostileReport(), (&app{program: "certyard"}).checkHints(hostileReport())) },
		"the forest": func(u *ui) {
			info := pki.Info{Subject: hostile, SANs: []string{hostile}, Permitted: []string{hostile}}
			(&app{stdout: &output{to: u.out}}).printForest([]*pki.Node{{Info: info, Problems: []string{hostile}}}, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			u := &ui{out: &out, color: true, width: 200}
			print(u)
			u.close()
			text := out.String()
			for _, ours := range []string{"\r\x1b[K", "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"} {
				text = strings.ReplaceAll(text, ours, "")
			}
			if strings.Contains(text, "\ncertyard: error: forged") || strings.Contains(text, "\nforged") {
				t.Errorf("a forged line:\n%s", text)
			}
			if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("an order to the terminal: %q", text[i:])
			}
			if !strings.Contains(text, `evil.lan\n`) && !strings.Contains(text, `evil.lan\\n`) {
				t.Errorf("the text is not shown:\n%s", text)
			}
		})
	}
}

func hostileReport() stack.Report {
	return stack.Report{Checks: []stack.Check{
		{Hop: stack.HopHostRegistry, Target: hostile, Title: hostile, Outcome: stack.Holds, Evidence: stack.Evidence{Issuer: hostile, Answer: hostile}},
		{Hop: stack.HopHostRegistry, Target: hostile, Title: hostile, Outcome: stack.Fails, Error: hostile, Reason: stack.ReasonUnreachable},
	}}
}

// TestHostileJSON: the same text in JSON is whole, and gives no order either.
func TestHostileJSON(t *testing.T) {
	const text = hostile + "\u009b\u007f\U000e0041 ü -> <"
	var out bytes.Buffer
	if err := (&app{stdout: &output{to: &out}}).printJSON([]string{text}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && obeyed(r) }); i >= 0 {
		t.Errorf("an order to the terminal: %q", out.String()[i:])
	}
	var back []string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[0] != text {
		t.Errorf("got %q, %v", back, err)
	}
	if !strings.Contains(out.String(), " ü -> <") {
		t.Errorf("too much is escaped: %s", &out)
	}
}

// TestHostileEvent: so is an event, which is one line.
func TestHostileEvent(t *testing.T) {
	var out bytes.Buffer
	if err := (&app{stdout: &output{to: &out}}).event("step", "step", hostile+"\u009b ü -> <"); err != nil {
		t.Fatal(err)
	}
	line, rest, _ := strings.Cut(out.String(), "\n")
	if rest != "" || strings.IndexFunc(line, obeyed) >= 0 {
		t.Errorf("more than a line, or an order to the terminal: %q", &out)
	}
	if !strings.Contains(line, " ü -> <") || !strings.Contains(line, `"event":"step"`) {
		t.Errorf("got %s", line)
	}
}

// TestSeveralErrors: each of several problems is one line with all that was said
// of it, and each has its hint, once.
func TestSeveralErrors(t *testing.T) {
	open := func(path string) error { return &state.ModeError{Path: path, Have: 0o644, Want: 0o600} }
	err := fmt.Errorf("reading state directory x: %w", errors.Join(open("a"), fmt.Errorf("once more: %w", errors.Join(open("b"), open("a")))))
	var out bytes.Buffer
	newUI(&out).error(err, (&app{program: "certyard"}).hintsFor(err))
	const want = `certyard: error: reading state directory x: permissions of private key a are 0644, required no more than 0600
certyard: error: reading state directory x: once more: permissions of private key b are 0644, required no more than 0600
certyard: error: reading state directory x: once more: permissions of private key a are 0644, required no more than 0600
certyard: hint: chmod 0600 "a"
certyard: hint: chmod 0600 "b"
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"one":          {errors.New("x"), []string{"x"}},
		"wrapped":      {fmt.Errorf("a: %w", errors.New("x")), []string{"a: x"}},
		"joined":       {errors.Join(nil, errors.New("x")), []string{"x"}},
		"two causes":   {fmt.Errorf("%w and %w", errors.New("x"), errors.New("y")), []string{"x and y"}},
		"in the midst": {fmt.Errorf("a: %w, b", errors.Join(errors.New("x"), errors.New("y"))), []string{`a: x\ny, b`}},
	} {
		var got []string
		for _, p := range problems(c.err) {
			got = append(got, p.lines())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
