package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack/explain"
)

func (a *app) explainCommand() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "say what an error message about TLS, a registry or a builder means", ArgsUsage: "[TEXT...|ID|-]",
		Description: `Recognises what Go, BuildKit, buildx, the registry, Docker Engine, kaniko, curl,
OpenSSL and GnuTLS say, in a message or in a whole log, and prints for each which
connection it is about, what it means, the usual causes and how to tell them
apart, one command that confirms it, and how to mend it with certyard and by hand.

   certyard explain "x509: certificate is valid for registry, not localhost"
   docker buildx build . 2>&1 | certyard explain
   certyard explain unknown-authority

Without an argument, or with -, the text is read from the standard input. Exits
with 3 when nothing in it is known.`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "list", Usage: "list the messages that are known"}},
		Action: func(c *cli.Context) error {
			if c.Bool("list") {
				if c.Args().Present() {
					return usagef("--list takes no argument %q", c.Args().First())
				}
				return a.listEntries(explain.Entries())
			}
			if entry, ok := explain.Find(c.Args().First()); ok && c.NArg() == 1 {
				return a.explained(explain.Result{Messages: []explain.Message{entry.General()}})
			}
			result, err := explain.Scan(c.Context, a.textToExplain(c))
			if err != nil {
				return err
			}
			err = a.explained(result)
			if file := c.Args().First(); result.Unknown && c.NArg() == 1 && isFile(file) {
				a.ui.linef("certyard: hint: %s is a file; certyard explain < %[1]s reads it", file)
			}
			return err
		},
		BashComplete: func(*cli.Context) {
			for _, e := range explain.Entries() {
				fmt.Fprintln(a.stdout, e.ID)
			}
		},
	}
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// textToExplain returns the arguments, or what there is to read.
func (a *app) textToExplain(c *cli.Context) io.Reader {
	if text := strings.Join(c.Args().Slice(), " "); text != "" && text != "-" {
		return strings.NewReader(text)
	}
	if a.stdin == nil {
		return strings.NewReader("")
	}
	if onTerminal(a.stdin) {
		a.ui.linef("reading the text from the terminal: paste it, then press Ctrl-D on a line of its own")
	}
	return interruptibleReader{a.stdin, a.interrupted}
}

// interruptibleReader ends with an error when the program is interrupted while it
// waits for somebody to write.
type interruptibleReader struct {
	from        io.Reader
	interrupted <-chan struct{}
}

func (r interruptibleReader) Read(p []byte) (int, error) {
	data, err := interruptible(r.interrupted, func() ([]byte, error) {
		// Its own memory: the caller has gone on when an interrupted read ends.
		buf := make([]byte, min(len(p), 64<<10))
		n, err := r.from.Read(buf)
		return buf[:n], err
	})
	return copy(p, data), err
}

// entryLine is an entry in a list, for JSON.
type entryLine struct {
	ID    string        `json:"id"`
	Title string        `json:"title"`
	Hops  []explain.Hop `json:"hops"`
}

func (a *app) listEntries(entries []explain.Entry) error {
	var lines []entryLine
	var text strings.Builder
	for _, e := range entries {
		lines = append(lines, entryLine{e.ID, e.Title, e.Hops})
		fmt.Fprintf(&text, "%-30s %s\n%-30s   %s\n", e.ID, e.Title, "", hopNames(e.Hops))
	}
	if a.global.json {
		return a.printJSON(lines)
	}
	_, err := fmt.Fprint(a.stdout, text.String())
	return err
}

func hopNames(hops []explain.Hop) string {
	var names []string
	for _, h := range hops {
		names = append(names, string(h))
	}
	return strings.Join(names, "; ")
}

// explained prints what a text says, on stdout: it is what was asked for.
func (a *app) explained(r explain.Result) error {
	if a.global.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := a.printMessages(r); err != nil {
		return err
	}
	if r.Unknown {
		a.ui.linef("nothing in the text (%d lines) is a message that certyard knows", r.Lines)
		a.ui.linef("certyard: hint: give it the whole output, also of the daemons (\"docker logs\"); \"certyard explain --list\" shows what is known")
		return errNotOK
	}
	return nil
}

func (a *app) printMessages(r explain.Result) error {
	var p page
	for i, m := range r.Messages {
		if i > 0 {
			p.line("", "")
		}
		p.message(m)
	}
	if r.More > 0 {
		p.line("", fmt.Sprintf("\n%d more lines have further messages, which are not shown; mend these first", r.More))
	}
	_, err := fmt.Fprint(a.stdout, p.String())
	return err
}

// page is text for a person. Whatever came from the text that is explained is
// clean in it.
type page struct{ strings.Builder }

const (
	pageWidth = 96
	pageTitle = 10 // of the column with titles
)

func (p *page) message(m explain.Message) {
	p.WriteString(clean(m.ID) + ": " + clean(m.Title) + "\n")
	if m.Line > 0 {
		p.line("line", fmt.Sprintf("%d%s: %s", m.Line, times(m.Count), clean(m.Text)))
	}
	p.line("where", hopText(m))
	p.wrapped("means", m.Means)
	for i, c := range m.Causes {
		p.wrapped(firstOnly("causes", i), fmt.Sprintf("%d. %s", i+1, c.Cause))
		p.wrapped("", "   how to tell: "+c.Tell)
	}
	p.line("confirm", clean(m.Confirm))
	p.wrapped("certyard", m.Mend.Certyard)
	for i, line := range strings.Split(strings.TrimRight(m.Mend.Hand, "\n"), "\n") {
		p.wrapped(firstOnly("by hand", i), line)
	}
	p.wrapped("source", m.Source)
}

// firstOnly is a title for the first of several.
func firstOnly(title string, i int) string {
	if i > 0 {
		return ""
	}
	return title
}

func times(n int) string {
	if n > 1 {
		return fmt.Sprintf(" (and %d more)", n-1)
	}
	return ""
}

func hopText(m explain.Message) string {
	if m.Hop != "" {
		return clean(string(m.Hop))
	}
	if m.Line == 0 {
		return clean(hopNames(m.Hops))
	}
	return "the text does not say; it may be: " + clean(hopNames(m.Hops))
}

// line writes one line, however long: a command has to stay whole.
func (p *page) line(title, text string) {
	fmt.Fprintln(p, strings.TrimRight(fmt.Sprintf("  %-*s %s", pageTitle, title, text), " "))
}

// wrapped writes a sentence on as many lines as it needs. A line that is indented
// is config, or a command, and stays as it is.
func (p *page) wrapped(title, text string) {
	text = clean(text)
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	words := strings.Fields(text)
	if indent != "" && !strings.HasPrefix(text, "   how to tell") || len(words) == 0 {
		p.line(title, text)
		return
	}
	line := indent + words[0]
	for _, w := range words[1:] {
		if len([]rune(line))+1+len([]rune(w)) > pageWidth-pageTitle-3 {
			p.line(title, line)
			title, line = "", indent+w
			continue
		}
		line += " " + w
	}
	p.line(title, line)
}
