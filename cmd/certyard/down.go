package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

func (a *app) downCommand() *cli.Command {
	return &cli.Command{
		Name:  "down",
		Usage: "stop the stack and remove its containers and network",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "volumes", Usage: "also remove the volumes: pushed images and the builder's cache"},
			&cli.BoolFlag{Name: "purge", Usage: "also remove the state directory: CA, keys, passwords"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before --purge"},
		},
		Action: func(c *cli.Context) error {
			name, err := a.stackName()
			if err != nil {
				return err
			}
			opts := lifecycle.DownOptions{Volumes: c.Bool("volumes"), Purge: c.Bool("purge")}
			d, err := a.baseDeps(name)
			if err != nil {
				return err
			}
			if opts.Purge && !c.Bool("yes") && !a.global.dryRun && d.Store.Exists() {
				if err := a.confirm("remove " + d.Store.Root() + " with the CA's key and all passwords?"); err != nil {
					return err
				}
			}
			d, done, err := a.engineDeps(c.Context, name)
			if err != nil {
				return err
			}
			defer done()
			if a.global.dryRun {
				return a.downPlan(c, d, name, opts)
			}
			res, err := lifecycle.Down(c.Context, d, name, opts)
			if err == nil && a.global.json {
				err = a.printJSON(res)
			}
			return err
		},
	}
}

func (a *app) downPlan(c *cli.Context, d lifecycle.Deps, name string, opts lifecycle.DownOptions) error {
	containers, err := d.Engine.Containers(c.Context, name)
	if err != nil {
		return err
	}
	res := lifecycle.DownResult{Stack: name, Dir: d.Store.Root(), Purged: opts.Purge && d.Store.Exists()}
	for _, x := range containers {
		res.Removed = append(res.Removed, x.Name)
	}
	if a.global.json {
		return a.printJSON(res)
	}
	a.ui.linef("would remove %d containers: %s", len(containers), strings.Join(res.Removed, ", "))
	if opts.Volumes {
		a.ui.linef("would remove the volumes of project %q", name)
	}
	if res.Purged {
		a.ui.linef("would remove %s", d.Store.Root())
	}
	return nil
}

// confirm asks a person, and takes nothing but yes for an answer. Where nobody
// can answer it is a usage error.
func (a *app) confirm(question string) error {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("--purge removes the CA and all keys, and there is nobody to ask: add --yes")
	}
	fmt.Fprintf(a.stderr, "certyard: %s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return usagef("nothing was removed")
	}
	return nil
}

func (a *app) logsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what the daemons log",
		ArgsUsage: "[registry] [buildkit] [other services]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until interrupted"},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "print the last `N` lines of each container"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "print when each line was logged"},
		},
		Action: func(c *cli.Context) error {
			name, err := a.stackName()
			if err != nil {
				return err
			}
			d, done, err := a.engineDeps(c.Context, name)
			if err != nil {
				return err
			}
			defer done()
			containers, err := d.Engine.Containers(c.Context, name)
			if err != nil {
				return err
			}
			if len(containers) == 0 {
				return &lifecycle.NoStackError{Dir: d.Store.Root()}
			}
			err = d.Engine.Logs(c.Context, name, compose.LogOptions{
				Services: c.Args().Slice(), Follow: c.Bool("follow"), Tail: c.String("tail"), Timestamps: c.Bool("timestamps"), Out: a.stdout,
			})
			if c.Bool("follow") && c.Context.Err() != nil {
				return nil
			}
			return err
		},
		BashComplete: func(c *cli.Context) {
			fmt.Fprintln(a.stdout, stack.Registry)
			fmt.Fprintln(a.stdout, stack.Builder)
		},
	}
}
