package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) pkiExportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write a certificate, its chain and its key in another format", ArgsUsage: "NAME|FILE",
		Description: `NAME is one of the stack's: ca, client-ca, registry, buildkit, client,
clients/bob ... FILE is any certificate in PEM or DER, with the key in the same
file or named by --key. Formats: pem (all in one), p12 (PKCS #12), k8s-secret (a
manifest of type kubernetes.io/tls). A name of the stack's wins over a file;
./NAME is the file. With --json, --out is needed.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "pem", Usage: "write `FORMAT`: pem, p12, k8s-secret"},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE`, mode 0600, never over another file (default: stdout)"},
			&cli.StringFlag{Name: "key", Usage: "the key is in `FILE`"},
			&cli.StringFlag{Name: "password-file", Usage: "protect p12 with the first line of `FILE`"},
			&cli.StringFlag{Name: "secret-name", Usage: "call the k8s-secret `NAME` (default: the certificate's)"},
			&cli.BoolFlag{Name: "no-key", Usage: "leave the key out"},
		},
		Action: a.pkiExport,
	}
}

func (a *app) pkiExport(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return usagef("pki export wants one NAME or FILE")
	}
	if a.global.json && c.String("out") == "" {
		return usagef("with --json, pki export wants --out FILE: without it the certificate itself is what is printed")
	}
	kp, trust, err := a.exported(c.Args().First(), c.String("key"))
	if err != nil {
		return err
	}
	if c.Bool("no-key") {
		kp = &pki.KeyPair{Cert: kp.Cert, Chain: kp.Chain}
	}
	data, err := a.formatted(c, kp, trust)
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" {
		if f, ok := a.stdout.to.(*os.File); ok && term.IsTerminal(int(f.Fd())) && (kp.Key != nil || kp.Locked()) {
			return usagef("a private key does not belong on a terminal: name a file with --out, pipe it, or leave it out with --no-key")
		}
		_, err = a.stdout.Write(data)
		return err
	}
	abs, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("finding %s: %w", out, err)
	}
	write, said := state.Export, "written to"
	if a.global.dryRun {
		write, said = state.CheckExport, "would write"
	}
	err = write(filepath.Dir(abs), []stack.File{{Path: filepath.Base(abs), Mode: 0o600, Once: true, Data: data}})
	if err != nil {
		return err
	}
	a.ui.linef("%s %s", said, a.ui.path(abs))
	if a.global.json {
		return a.printJSON(exportResult{File: abs, Format: c.String("format"), Key: kp.Key != nil || kp.Locked(), Certificates: len(kp.Certs())})
	}
	return nil
}

// exportResult is what was written, for JSON.
type exportResult struct {
	File         string `json:"file"`
	Format       string `json:"format"`
	Key          bool   `json:"key"`          // the key is in it
	Certificates int    `json:"certificates"` // the leaf and its chain
}

func (a *app) formatted(c *cli.Context, kp *pki.KeyPair, trust pki.TrustBundle) ([]byte, error) {
	switch format := c.String("format"); format {
	case "pem":
		return pki.ExportPEM(kp)
	case "p12":
		file := c.String("password-file")
		if file == "" {
			return nil, usagef("p12 has the key in it, and wants a password: name a file of mode 0600 with --password-file")
		}
		password, err := a.passphraseOf(file)
		if err != nil {
			return nil, err
		}
		return pki.ExportP12(kp, trust, string(password))
	case "k8s-secret":
		name := c.String("secret-name")
		if name == "" {
			name = filepath.Base(c.Args().First())
		}
		return pki.ExportK8sSecret(name, kp, trust)
	default:
		return nil, usagef("--format %q is not known; want pem, p12, k8s-secret", format)
	}
}

// exported returns the pair that a name or a file stands for, and what its peers
// trust, as far as that is known.
func (a *app) exported(what, keyFile string) (*pki.KeyPair, pki.TrustBundle, error) {
	_, missing := os.Stat(what)
	if missing == nil && looksLikeFile(what) {
		kp, err := lifecycle.FromFiles(local.Look(), what, keyFile)
		return kp, pki.NewTrustBundle(), err
	}
	kp, trust, err := a.ofStack(what)
	if missing == nil && notOfStack(kp, err) {
		kp, err := lifecycle.FromFiles(local.Look(), what, keyFile)
		return kp, pki.NewTrustBundle(), err
	}
	switch {
	case err != nil:
		return nil, trust, err
	case kp == nil || kp.Cert == nil:
		return nil, trust, usagef("%q is neither a file nor a certificate of the stack; \"certyard pki show\" lists those", what)
	case keyFile != "":
		return nil, trust, usagef("--key is for a FILE; the key of the stack's %q is known", what)
	}
	return kp, trust, nil
}

// ofStack returns the stack's pair of a name, nil when there is none.
func (a *app) ofStack(name string) (*pki.KeyPair, pki.TrustBundle, error) {
	d, err := a.filesDeps()
	if err != nil {
		return nil, pki.TrustBundle{}, err
	}
	return lifecycle.Named(d, name)
}

// looksLikeFile tells a path from a name of the stack, which wins where both
// could be meant: a directory "registry" is in many a working directory.
func looksLikeFile(what string) bool { return strings.ContainsAny(what, "./") }

// notOfStack reports whether there is no such certificate, or no stack.
func notOfStack(kp *pki.KeyPair, err error) bool {
	var none *lifecycle.NoStackError
	return errors.As(err, &none) || err == nil && kp == nil
}
