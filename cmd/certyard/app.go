package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// app is one run of the command: where it reads and writes, and the global
// flags.
type app struct {
	stdin      io.Reader
	stdout     *output
	stderr     io.Writer
	program    string // how to call this program again
	global     globals
	ui         *ui
	changes    bool // the command does more than to print
	eventLines bool // --json prints a line for each event, and no document

	open           *stack.Rotation // the replacement of CAs that rotate has found
	passphraseFile string
	caKeysSet      bool // the config or a flag says pki.ca_keys
	passphraseFD   *int
	passphraseLine []byte          // that was read of it, or typed
	interrupted    <-chan struct{} // ends what waits for a person, or for a pipe
}

// globals are the flags that every command takes, before or after its name.
type globals struct {
	dir, config, name       string
	dockerHost, dockerCtx   string
	json, quiet, dryRun     bool
	configGiven, nameByFlag bool
}

// run runs one command line and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: &output{to: stdout}, stderr: stderr, program: programName(args[0]), interrupted: ctx.Done()}
	a.ui = newUI(stderr)
	root := newApp(a)
	err := root.RunContext(ctx, flagsFirst(root, args))
	a.ui.close()
	if err == nil { // nothing is worse than what could not be written
		err = a.stdout.err
	}
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %w", err)
	}
	if _, ok := err.(cli.ExitCoder); ok {
		// The library's own, as for "certyard help nope".
		err = &usageError{err.Error()}
	}
	return a.fail(err)
}

// programName returns how to call this program again: by its name where the
// shell finds it, else by the path that it was called with.
func programName(arg string) string {
	if !strings.Contains(arg, "/") {
		return "certyard"
	}
	return arg
}

// usageError is a wrong command line.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// newApp returns the command tree.
func newApp(a *app) *cli.App {
	cmds := []*cli.Command{
		a.initCommand(), a.upCommand(), a.lockCommand(), a.smokeCommand(), a.statusCommand(), a.doctorCommand(), a.envCommand(),
		a.listCommand(), a.pruneCommand(), a.rotateCommand(), a.clientCommand(), a.pkiCommand(), a.edgeCommand(),
		a.logsCommand(), a.explainCommand(), a.downCommand(), a.versionCommand(), a.completionCommand(),
	}
	for _, c := range cmds {
		a.finishCommand(c, c.Name)
	}
	return &cli.App{
		Name:                 "certyard",
		Usage:                "a TLS registry and a TLS BuildKit builder on your Docker Engine, proven to work",
		Description:          about,
		Flags:                a.globalFlags(true),
		Commands:             cmds,
		Writer:               a.stdout,
		ErrWriter:            a.stderr,
		HideVersion:          true,
		EnableBashCompletion: true,
		OnUsageError:         onUsageError,
		// The library would exit the process by itself otherwise.
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
}

const about = `certyard makes a CA, server and client certificates, passwords and every
config, starts a registry and buildkitd as one compose project, and then
proves with real connections and a real build that every TLS path works and
that what must be refused is refused.

   certyard up                  files, containers, proof
   eval "$(certyard env)"       use it
   certyard down                stop it

Exit status: 0 done, 1 failed, 2 wrong usage or config, 3 checked and
something did not pass.`

// finishCommand adds what every command has. Its path is its name with those above.
func (a *app) finishCommand(c *cli.Command, path string) {
	c.Flags = append(c.Flags, a.globalFlags(false)...)
	if c.OnUsageError == nil {
		c.OnUsageError = onUsageError
	}
	c.HideHelpCommand = true
	for _, sub := range c.Subcommands {
		a.finishCommand(sub, path+" "+sub.Name)
	}
	if c.Subcommands != nil {
		c.Action = func(ctx *cli.Context) error {
			if ctx.Args().Present() {
				return usagef("there is no command %q", c.Name+" "+ctx.Args().First())
			}
			return cli.ShowSubcommandHelp(ctx)
		}
		return
	}
	action, takesArgs := c.Action, c.ArgsUsage != ""
	c.Action = func(ctx *cli.Context) error {
		if !takesArgs && ctx.Args().Present() {
			return usagef("%s takes no argument %q", c.Name, ctx.Args().First())
		}
		a.ui.configure(a.global.quiet, a.global.json)
		a.changes = !printing[path]
		return action(ctx)
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return &usageError{strings.Replace(err.Error(), "flag provided but not defined: ", "there is no flag ", 1)}
}

// globalFlags returns the global flags. They stand on the app and on every
// command, so that they work before and after the command's name; actions run
// only for flags that are set, so the later one wins. Environment variables
// belong to the app's alone, since they must not beat a flag.
func (a *app) globalFlags(onApp bool) []cli.Flag {
	env := func(name string) []string {
		if onApp && name != "" {
			return []string{name}
		}
		return nil
	}
	text := func(name, variable, usage string, to *string, given *bool) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, EnvVars: env(variable), Category: "Global options:", Action: func(_ *cli.Context, v string) error {
			*to = v
			if given != nil {
				*given = true
			}
			return nil
		}}
	}
	toggle := func(name, variable, usage string, to *bool, aliases ...string) cli.Flag {
		return &cli.BoolFlag{Name: name, Aliases: aliases, Usage: usage, EnvVars: env(variable), Category: "Global options:", Action: func(_ *cli.Context, v bool) error {
			*to = v
			return nil
		}}
	}
	g := &a.global
	return []cli.Flag{
		text("dir", "CERTYARD_DIR", "keep the stacks below `DIR`, each in a directory of its name (default: .certyard)", &g.dir, nil),
		text("config", "CERTYARD_CONFIG", "read the config from `FILE` (default: certyard.yaml, if there is one)", &g.config, &g.configGiven),
		text("name", "CERTYARD_NAME", "the stack's and the compose project's `NAME` (default: the config's, or certyard)", &g.name, &g.nameByFlag),
		toggle("json", "CERTYARD_JSON", "print one JSON document on stdout", &g.json),
		toggle("quiet", "CERTYARD_QUIET", "print errors only", &g.quiet, "q"),
		toggle("dry-run", "CERTYARD_DRY_RUN", "print what would be done, with the causes, and do nothing", &g.dryRun),
		text("docker-host", "", "use the Docker Engine at `URL` (default: as the docker command does)", &g.dockerHost, nil),
		text("context", "", "use the Docker context `NAME`", &g.dockerCtx, nil),
	}
}

// errNotOK ends a command that could check, and found something that does not
// pass. What it found is printed already.
var errNotOK = errors.New("something did not pass")

// notOKError is errNotOK with a reason that is yet to be told.
type notOKError struct{ err error }

func (e *notOKError) Error() string { return e.err.Error() }
func (e *notOKError) Unwrap() error { return e.err }

// errNotSeen ends a command that could not look at everything. What it saw, and
// why not all, is printed already.
var errNotSeen = errors.New("not everything could be checked")

// statusOf returns the exit status for an error.
func statusOf(err error) int {
	var usage *usageError
	var child *childError
	var past *lifecycle.PastPhaseError
	var unsound *notOKError
	switch {
	case errors.As(err, &child):
		return child.status
	case errors.Is(err, errNotOK), errors.As(err, &unsound):
		return exitNotOK
	case errors.As(err, &usage), errors.As(err, &past), isConfigError(err):
		return exitUsage
	default:
		return exitFailed
	}
}
