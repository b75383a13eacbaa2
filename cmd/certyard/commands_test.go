package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/explain"
)

// parsed reports what the command line says of a command, and does nothing of it.
// What an argument is does not matter, nor which command it is where any may be meant.
func parsed(command string) error {
	command = strings.Replace(command, "COMMAND", "up", 1)
	a := &app{stdin: strings.NewReader(""), stdout: &output{to: io.Discard}, stderr: io.Discard, ui: newUI(io.Discard)}
	root := newApp(a)
	inert(root.Commands)
	return root.Run(flagsFirst(root, strings.Fields(command)))
}

// inert has commands look at their flags and their number of arguments alone.
func inert(commands []*cli.Command) {
	for _, c := range commands {
		if c.Subcommands != nil {
			inert(c.Subcommands) // such a command says itself which it has not
			continue
		}
		name, takesArgs := c.Name, c.ArgsUsage != ""
		c.Action = func(ctx *cli.Context) error {
			if !takesArgs && ctx.Args().Present() {
				return usagef("%s takes no argument", name)
			}
			if name == "rotate" {
				_, err := rotateOptions(ctx)
				return err
			}
			return nil
		}
	}
}

// accepted reports each command of ours in a text that the command line refuses,
// and returns how many there are.
func accepted(t *testing.T, where, text string) int {
	t.Helper()
	commands := ownCommand.FindAllString(text, -1)
	for _, quoted := range commands {
		if err := parsed(strings.Trim(quoted, `"`)); err != nil {
			t.Errorf("%s: %s is refused: %v", where, quoted, err)
		}
	}
	return len(commands)
}

// TestParsed: the command line that hints are held against refuses what is wrong.
func TestParsed(t *testing.T) {
	for _, right := range []string{"certyard up", "certyard --name x up", "certyard client add NAME", "certyard pki verify FILE --role client", "certyard rotate --client-ca --yes", "certyard edge --help"} {
		if err := parsed(right); err != nil {
			t.Errorf("%q: %v", right, err)
		}
	}
	for _, wrong := range []string{"certyard upp", "certyard up --nope", "certyard status x", "certyard pki shw", "certyard pki show --nope", "certyard rotate --ca --abort", "certyard rotate ca"} {
		if err := parsed(wrong); statusOf(err) != exitUsage {
			t.Errorf("%q: %v, want a usage error", wrong, err)
		}
	}
}

// TestAdviceIsAccepted: whatever people are told to run is a command with its flags.
func TestAdviceIsAccepted(t *testing.T) {
	open := &stack.Rotation{CAs: []string{pki.CAIssuing, pki.CAClient}, Phase: stack.PhaseStage}
	for _, a := range []*app{
		{program: "certyard"},
		{program: "certyard", open: open, global: globals{dir: "yards", config: "x.yaml", name: "two", nameByFlag: true, dockerHost: "tcp://h:1"}},
	} {
		for _, c := range advised {
			accepted(t, c.name, strings.Join(a.hintsFor(c.err), "\n"))
		}
		accepted(t, "an open replacement", strings.Join(a.here(openHints(*open)), "\n"))
		for _, reason := range declaredReasons(t) {
			for _, hop := range []stack.Hop{stack.HopHostRegistry, stack.HopHostBuilder, stack.HopBuilderRegistry} {
				r := stack.Report{Checks: []stack.Check{{Hop: hop, Outcome: stack.Fails, Reason: reason}}}
				accepted(t, string(reason), strings.Join(a.checkHints(r), "\n"))
			}
		}
		for _, r := range doctor.Rules() { // those of lint are among them
			accepted(t, r.ID, strings.Join(a.here([]string{r.Hint}), "\n"))
		}
		for _, e := range explain.Entries() {
			m := e.General()
			accepted(t, e.ID, strings.Join(a.here([]string{m.Mend.Certyard, m.Mend.Hand, m.Confirm}), "\n"))
		}
	}
}

// verb is where a format puts something into a command.
var verb = regexp.MustCompile(`%(\[\d\])?[a-z]`)

// TestTextIsAccepted: the same for every text of ours, shown or not. What a format
// puts in is left out.
func TestTextIsAccepted(t *testing.T) {
	found := 0
	for _, dir := range []string{"cmd/certyard", "compose", "pki", "pki/remote", "stack", "stack/doctor", "stack/edge", "stack/explain", "stack/htpasswd", "stack/lifecycle", "stack/lint", "stack/local", "stack/render", "stack/smoke", "stack/stacktest", "stack/state"} {
		for _, file := range goFiles(t, dir) {
			source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(source, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					if text != ownCommand.String() {
						found += accepted(t, file, verb.ReplaceAllString(text, ""))
					}
				}
				return true
			})
		}
	}
	if found < 150 {
		t.Errorf("found %d commands only", found)
	}
}
