package main

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) clientCommand() *cli.Command {
	return &cli.Command{
		Name:  "client",
		Usage: "client certificates for people and jobs: add, list, remove",
		Description: `With builder.tls: mutual the builder lets in whoever has a certificate of
the stack's client CA. These commands give one to each person or job.`,
		Subcommands: []*cli.Command{a.clientAddCommand(), a.clientListCommand(), a.clientRemoveCommand()},
	}
}

func (a *app) clientAddCommand() *cli.Command {
	return &cli.Command{
		Name: "add", Usage: "make a client certificate for NAME, or renew the one that is there", ArgsUsage: "NAME",
		Description: `Writes clients/NAME/{ca.pem,cert.pem,key.pem} in the state directory, which
works as "buildctl --tlsdir". The builder accepts it at once.`,
		Flags: append(a.passphraseFlags(),
			&cli.StringFlag{Name: "validity", Usage: "let it be valid for `TIME`, as 30d or 12h (default: pki.leaf_validity)"},
			&cli.StringFlag{Name: "out", Usage: "write the three files into `DIR` too; a key there is never overwritten"}),
		Action: a.clientAdd,
	}
}

func (a *app) clientAdd(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return usagef("client add wants one NAME")
	}
	var validity time.Duration
	if text := c.String("validity"); text != "" {
		var err error
		if validity, err = stack.ParseDuration(text); err != nil || validity < time.Hour {
			return usagef("--validity %q is not a duration of at least 1h; want days as 90d, or hours as 12h", text)
		}
	}
	d, err := a.filesDeps()
	if err != nil {
		return err
	}
	out := c.String("out")
	if out != "" {
		if out, err = outDir(out, d); err != nil {
			return err
		}
		if err := checkClientExport(d, c.Args().First(), out); err != nil {
			return err
		}
	}
	client, res, err := lifecycle.AddClient(c.Context, d, c.Args().First(), validity)
	if err != nil {
		return err
	}
	if a.global.dryRun {
		return a.wouldWrite(res)
	}
	if out != "" {
		if err := exportClient(d, client, out); err != nil {
			return err
		}
		client.Dir = c.String("out")
	}
	a.ui.linef("client %q, serial %s, until %s (%d days), in %s", client.Name, short(client.Serial, 12), client.NotAfter.Format(time.DateOnly), client.DaysLeft, a.ui.path(client.Dir))
	if !client.Allowed {
		a.ui.linef("  builder.clients does not name it: the builder refuses it until it does and \"certyard up\" has run")
	}
	if a.global.json {
		return a.printJSON(client)
	}
	return nil
}

// wouldWrite prints what a dry run found out.
func (a *app) wouldWrite(res lifecycle.Result) error {
	for _, path := range res.Written {
		a.ui.linef("would change %s", a.ui.path(filepath.Join(res.Dir, path)))
	}
	if a.global.json {
		return a.printJSON(res)
	}
	return nil
}

// checkClientExport looks whether a client's files can be written to another
// place, before the client is made.
func checkClientExport(d lifecycle.Deps, name, out string) error {
	if err := stack.CheckClientName(name); err != nil {
		return err
	}
	files, err := clientFiles(d, name)
	if err != nil {
		return err
	}
	return state.CheckExport(out, files)
}

// exportClient writes a client's directory to another place.
func exportClient(d lifecycle.Deps, client lifecycle.ClientStatus, out string) error {
	files, err := clientFiles(d, client.Name)
	if err != nil {
		return err
	}
	return state.Export(out, files)
}

// clientFiles returns the files of a client; those that are not there have no
// content.
func clientFiles(d lifecycle.Deps, name string) ([]stack.File, error) {
	var files []stack.File
	for _, file := range []string{"ca.pem", "cert.pem", "key.pem"} {
		data, err := d.Store.Read(stack.ClientLeaf(name) + "/" + file)
		if err != nil {
			return nil, err
		}
		f := stack.File{Path: file, Mode: 0o644, Data: data}
		if file == "key.pem" {
			f.Mode, f.Once = 0o600, true
		}
		files = append(files, f)
	}
	return files, nil
}

func (a *app) clientListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the clients that were added",
		Action: func(*cli.Context) error {
			d, err := a.filesDeps()
			if err != nil {
				return err
			}
			clients, err := lifecycle.ListClients(d)
			if err != nil {
				return err
			}
			if a.global.json {
				return a.printJSON(clients)
			}
			if len(clients) == 0 {
				a.ui.linef("no clients were added")
			}
			for _, client := range clients {
				refused := ""
				if !client.Allowed {
					refused = ", not in builder.clients"
				}
				a.ui.linef("  %-20s serial %s, until %s (%d days), added %s, %s%s", client.Name, short(client.Serial, 12),
					client.NotAfter.Format(time.DateOnly), client.DaysLeft, client.Added.Format(time.DateOnly), a.ui.path(client.Dir), refused)
			}
			return nil
		},
	}
}

func (a *app) clientRemoveCommand() *cli.Command {
	return &cli.Command{
		Name: "remove", Usage: "take the certificates of NAME... back", ArgsUsage: "NAME...",
		Description: `With serve: edge the client is refused from now on, and nothing else changes.
buildkitd knows no revocation, so without it the client CA is replaced: all other
clients get new certificates for the keys that they have, the builder is
started again with the new CA, and the proof shows that it refuses
certificates of the old one. Trust in the servers does not change.`,
		Flags: append(a.passphraseFlags(),
			&cli.BoolFlag{Name: "no-restart", Usage: "write files only: the builder lets the client in until the next \"certyard up\""}),
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("client remove wants a NAME")
			}
			name, err := a.stackName()
			if err != nil {
				return err
			}
			restart := !c.Bool("no-restart") && !a.global.dryRun
			d, done, err := a.depsFor(c.Context, name, restart)
			if err != nil {
				return err
			}
			defer done()
			res, err := lifecycle.RemoveClients(c.Context, d, c.Args().Slice(), restart)
			if err != nil {
				return err
			}
			if a.global.dryRun {
				return a.wouldWrite(res)
			}
			return a.clientsRemoved(slices.Compact(slices.Sorted(slices.Values(c.Args().Slice()))), res, restart)
		},
	}
}

// clientsRemoved prints what RemoveClients did, and who needs new files.
func (a *app) clientsRemoved(names []string, res lifecycle.Result, restart bool) error {
	err := a.result(res)
	for _, name := range names {
		a.ui.linef("client %q removed", name)
	}
	for _, path := range res.Written {
		removed := slices.ContainsFunc(names, func(name string) bool { return path == stack.ClientPair(stack.ClientLeaf(name)).Cert })
		if filepath.Base(path) == "cert.pem" && !removed {
			a.ui.linef("  new certificate, same key: %s", a.ui.path(filepath.Join(res.Dir, path)))
		}
	}
	if !restart && res.Spec.Serve != stack.ServeEdge { // which reads the files by itself
		a.ui.linef("the builder lets removed clients in until the next \"%s up\"", a.invocation(res.Stack))
	}
	return err
}
