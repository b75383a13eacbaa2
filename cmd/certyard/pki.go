package main

import (
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
)

func (a *app) pkiCommand() *cli.Command {
	return &cli.Command{
		Name:  "pki",
		Usage: "certificates: show, verify, export, csr, import, root",
		Description: `show, verify and export work on the stack's certificates and on any others:
PEM, DER, directories, live servers.`,
		Subcommands: []*cli.Command{
			a.pkiShowCommand(), a.pkiVerifyCommand(), a.pkiExportCommand(),
			a.csrCommand(), a.importCommand(), a.rootCommand(),
		},
	}
}

func (a *app) pkiShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "show certificates as a tree", ArgsUsage: "[FILE|DIR...]",
		Description: `Without arguments the stack's: names, usages, serial, fingerprint, validity,
which file, where the key is, and which container reads it. With arguments any
PEM or DER files, arranged by who has signed whom. Keys are never printed. Exits
with 3 when something is wrong with one of them.`,
		Action: func(c *cli.Context) error {
			sources, err := a.sources(c.Args().Slice())
			if err != nil {
				return err
			}
			forest := pki.Forest(sources, time.Now())
			if a.global.json {
				if err := a.printJSON(forest); err != nil {
					return err
				}
			} else {
				a.printForest(forest, "")
			}
			if slices.ContainsFunc(forest, func(n *pki.Node) bool { return !n.Sound() }) {
				return errNotOK
			}
			return nil
		},
	}
}

// sources returns the certificates that were named, or the stack's.
func (a *app) sources(paths []string) ([]pki.Source, error) {
	if len(paths) > 0 {
		return lifecycle.Sources(local.Look(), paths)
	}
	d, err := a.filesDeps()
	if err != nil {
		return nil, err
	}
	return lifecycle.Inventory(d)
}
