package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) pkiExportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write a certificate, its chain and its key in another format", ArgsUsage: "NAME|FILE",
		Description: `NAME is one of the stack's: ca, client-ca, registry, buildkit, client,
clients/bob ... FILE is any certificate in PEM or DER, with the key in the same
file or named by --key. Formats: pem (all in one), p12 (PKCS #12), k8s-secret (a
manifest of type kubernetes.io/tls).`,
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
		if f, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) && (kp.Key != nil || kp.Locked()) {
			return usagef("a private key does not belong on a terminal: name a file with --out, pipe it, or leave it out with --no-key")
		}
		_, err = a.stdout.Write(data)
		return err
	}
	abs, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("finding %s: %w", out, err)
	}
	files := []stack.File{{Path: filepath.Base(abs), Mode: 0o600, Once: true, Data: data}}
	if a.global.dryRun {
		if err := state.CheckExport(filepath.Dir(abs), files); err != nil {
			return err
		}
		a.ui.linef("would write %s", a.ui.path(abs))
		return nil
	}
	if err := state.Export(filepath.Dir(abs), files); err != nil {
		return err
	}
	a.ui.linef("written to %s", a.ui.path(abs))
	return nil
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
	if _, err := os.Stat(what); err == nil {
		kp, err := lifecycle.FromFiles(lookDeps(), what, keyFile)
		return kp, pki.NewTrustBundle(), err
	}
	d, err := a.filesDeps()
	if err != nil {
		return nil, pki.TrustBundle{}, err
	}
	kp, trust, err := lifecycle.Named(d, what)
	if err == nil && (kp == nil || kp.Cert == nil) {
		err = usagef("%q is neither a file nor a certificate of the stack; \"certyard pki show\" lists those", what)
	}
	return kp, trust, err
}
