package main

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
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

// found is a file of certificates that somebody named, or that is in a directory
// that somebody named.
type found struct {
	file     string
	contents pki.Contents
	err      error
}

// maxDepth keeps a named directory from becoming a search of the whole disk.
const maxDepth = 3

// findFiles reads the named files, and in named directories those that look like
// certificates. A named file that is none is an error; in a directory it is
// passed over, unless it is damaged.
func findFiles(paths []string) []found {
	var out []found
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			out = append(out, readFound(path))
			continue
		}
		start := len(out)
		err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			depth := strings.Count(strings.TrimPrefix(file, path), string(filepath.Separator))
			switch {
			case err != nil:
				out = append(out, found{file: file, err: err})
			case entry.IsDir() && depth > maxDepth:
				return fs.SkipDir
			case entry.Type().IsRegular() && isCertificateName(file):
				if f := readFound(file); !errors.Is(f.err, pki.ErrNothing) {
					out = append(out, f)
				}
			}
			return nil
		})
		if err == nil && len(out) == start {
			err = errors.New("it holds no certificates (*.pem, *.crt, *.cert, *.cer, *.der, *.key)")
		}
		if err != nil {
			out = append(out, found{file: path, err: err})
		}
	}
	return out
}

func isCertificateName(file string) bool {
	return slices.Contains([]string{".pem", ".crt", ".cert", ".cer", ".der", ".key"}, strings.ToLower(filepath.Ext(file)))
}

func readFound(file string) found {
	data, err := state.ReadPublic(file)
	if err != nil {
		return found{file: file, err: err}
	}
	contents, err := pki.ParseContents(data)
	return found{file: file, contents: contents, err: err}
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
			if anyProblem(forest) {
				return errNotOK
			}
			return nil
		},
	}
}

// sources returns the certificates that were named, or the stack's.
func (a *app) sources(paths []string) ([]pki.Source, error) {
	if len(paths) == 0 {
		d, err := a.filesDeps()
		if err != nil {
			return nil, err
		}
		return lifecycle.Inventory(d)
	}
	var out []pki.Source
	var errs []error
	files := findFiles(paths)
	for _, f := range files {
		if f.err != nil {
			errs = append(errs, &fileError{f.file, f.err})
		}
		for _, cert := range f.contents.Certs {
			out = append(out, pki.Source{Cert: cert, File: f.file, Key: keyFile(cert, files)})
		}
	}
	return out, errors.Join(errs...)
}

// keyFile returns which of the files holds the key of a certificate.
func keyFile(cert *x509.Certificate, files []found) string {
	for _, f := range files {
		for _, key := range f.contents.Keys {
			if pki.Belongs(key, cert) {
				return f.file
			}
		}
	}
	return ""
}

// fileError says which of somebody's files cannot be looked at.
type fileError struct {
	file string
	err  error
}

func (e *fileError) Error() string { return "reading " + e.file + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

func anyProblem(nodes []*pki.Node) bool {
	return slices.ContainsFunc(nodes, func(n *pki.Node) bool { return len(n.Problems) > 0 || anyProblem(n.Signed) })
}
