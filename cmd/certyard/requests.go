package main

import (
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) csrCommand() *cli.Command {
	return &cli.Command{
		Name: "csr", Usage: "write the requests that an external CA has to sign",
		Description: `For pki.authority: external. Each request has the names and the usages that
its server needs; keys are made where there are none and stay here. Give the
files to the CA, and what comes back to "certyard pki import".`,
		Flags: append(specFlags(),
			&cli.BoolFlag{Name: "all", Usage: "also for certificates that are not due"},
			&cli.StringFlag{Name: "out", Usage: "write the requests into `DIR` too"}),
		Action: func(c *cli.Context) error {
			spec, d, err := a.specDeps(c)
			if err != nil {
				return err
			}
			out := c.String("out")
			if out != "" {
				if out, err = outDir(out, d); err != nil {
					return err
				}
			}
			requests, err := lifecycle.Requests(c.Context, d, spec, c.Bool("all"))
			if err != nil {
				return err
			}
			if out != "" && !a.global.dryRun {
				if err := exportRequests(requests, c.String("out"), out); err != nil {
					return err
				}
			}
			return a.printRequests(d, requests)
		},
	}
}

func exportRequests(requests []lifecycle.CertificateRequest, typed, out string) error {
	var files []stack.File
	for i, r := range requests {
		files = append(files, stack.File{Path: filepath.Base(r.File), Mode: 0o644, Data: r.PEM})
		requests[i].File = filepath.Join(typed, filepath.Base(r.File))
	}
	return state.Export(out, files)
}

func (a *app) printRequests(d lifecycle.Deps, requests []lifecycle.CertificateRequest) error {
	for i, r := range requests {
		if !strings.HasPrefix(r.File, stack.DirRequests+"/") {
			continue
		}
		requests[i].File = filepath.Join(d.Store.Root(), r.File)
	}
	for _, r := range requests {
		a.ui.linef("  %-10s %s (%s): %s", r.Leaf, a.ui.path(r.File), r.Cause, strings.Join(r.Names, ", "))
	}
	if len(requests) == 0 {
		a.ui.linef("nothing to sign: every certificate is there and fits (--all writes the requests all the same)")
	}
	if a.global.json {
		return a.printJSON(requests)
	}
	return nil
}

func (a *app) importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "take over certificates that the external CA has signed", ArgsUsage: "FILE...",
		Description: `Each FILE holds certificates in PEM, with those above them in any order, or
one in DER. Each belongs to the server whose key it is for. Names, usages, dates and the chain
to pki.ca_cert are checked; unless all files pass, nothing is written. The next
"certyard up" starts the servers with them.`,
		Flags: specFlags(),
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("pki import wants the FILEs that came back from the CA")
			}
			spec, d, err := a.specDeps(c)
			if err != nil {
				return err
			}
			var signed []lifecycle.Signed
			for _, file := range c.Args().Slice() {
				data, err := state.ReadPublic(file)
				if err != nil {
					return err
				}
				signed = append(signed, lifecycle.Signed{File: file, Data: data})
			}
			imported, err := lifecycle.Import(c.Context, d, spec, signed)
			if err != nil {
				return err
			}
			for _, i := range imported {
				a.ui.linef("  %-10s %s, serial %s, %d certificates above it", i.Leaf, i.File, short(i.Serial, 12), i.Chain)
			}
			if a.global.json {
				return a.printJSON(imported)
			}
			return nil
		},
	}
}

func (a *app) rootCommand() *cli.Command {
	return &cli.Command{
		Name: "root", Usage: "the root of pki.hierarchy: two-tier",
		Subcommands: []*cli.Command{{
			Name: "export", Usage: "move the root's key away from here",
			Description: `Writes ca.crt and ca.key into DIR, and removes the key from the state
directory once it is on the disk there. From then on the issuing CA signs, and
a stolen state directory cannot make another one. To have the root back, copy
ca.key to ca/ca.key.`,
			Flags:  []cli.Flag{&cli.StringFlag{Name: "out", Usage: "write the root into `DIR`, as on a stick that is kept in a safe"}},
			Action: a.exportRoot,
		}},
	}
}

func (a *app) exportRoot(c *cli.Context) error {
	if c.String("out") == "" {
		return usagef("pki root export wants --out DIR")
	}
	d, err := a.filesDeps()
	if err != nil {
		return err
	}
	out, err := outDir(c.String("out"), d)
	if err != nil {
		return err
	}
	err = lifecycle.ExportRoot(c.Context, d, func(files []stack.File) error {
		if a.global.dryRun {
			return state.CheckExport(out, files)
		}
		return exportApart(out, files, filepath.Join(d.Store.Root(), stack.FileCAKey))
	})
	if err != nil {
		return err
	}
	if a.global.dryRun {
		a.ui.linef("would move the root's key to %s", a.ui.path(out))
		return nil
	}
	a.ui.linef("the root's key is in %s and no longer here: offline root", a.ui.path(out))
	if a.global.json {
		return a.printJSON(map[string]string{"dir": out})
	}
	return nil
}

// exportApart exports files, and makes sure that the key among them is on the
// disk a second time: the original goes next.
func exportApart(out string, files []stack.File, original string) error {
	if err := state.Export(out, files); err != nil {
		return err
	}
	for _, f := range files {
		if !f.Once {
			continue
		}
		if err := state.CheckExported(out, f, original); err != nil {
			return err
		}
	}
	return nil
}

// outDir returns the absolute path of an --out. The state directory is no place
// to carry something away to: a key that is removed there would be gone.
func outDir(out string, d lifecycle.Deps) (string, error) {
	abs, err := filepath.Abs(out)
	if err != nil {
		return "", err
	}
	inside, err := state.Inside(abs, d.Store.Root())
	if err != nil {
		return "", err
	}
	if inside {
		return "", usagef("--out %q leads into the state directory %s; want a place outside of it", out, d.Store.Root())
	}
	return abs, nil
}
