package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/state"
)

// passphraseFlags say where the passphrase of the CA keys comes from: never from
// the command line itself, which every process of the machine can read.
func (a *app) passphraseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "passphrase-file", EnvVars: []string{"CERTYARD_PASSPHRASE_FILE"}, Category: "Encrypted CA keys:",
			Usage:  "read the passphrase from the first line of `FILE` (pki.passphrase_file)",
			Action: func(_ *cli.Context, v string) error { a.passphraseFile = v; return nil }},
		&cli.IntFlag{Name: "passphrase-fd", Value: -1, Category: "Encrypted CA keys:", DefaultText: "none",
			Usage:  "read it from the open file descriptor `N`",
			Action: func(_ *cli.Context, v int) error { a.passphraseFD = &v; return nil }},
	}
}

// passphraseError says that there is no passphrase to be had.
type passphraseError struct{ why string }

func (e *passphraseError) Error() string { return e.why }

// maxPassphrase is far more than anybody types, and keeps a wrong file from
// being read whole.
const maxPassphrase = 4096

// passphrase is lifecycle's Passphrase: from a descriptor, a file, or a person.
func (a *app) passphrase(spec stack.PKISpec, twice bool) ([]byte, error) {
	switch {
	case a.passphraseFD != nil:
		f := os.NewFile(uintptr(*a.passphraseFD), "passphrase")
		if f == nil {
			return nil, &passphraseError{fmt.Sprintf("%d is not a file descriptor", *a.passphraseFD)}
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
		if err != nil {
			return nil, &passphraseError{fmt.Sprintf("reading file descriptor %d: %v", *a.passphraseFD, err)}
		}
		return onlyLine(data)
	case a.passphraseFile != "":
		return a.passphraseOf(a.passphraseFile)
	case spec.PassphraseFile != "":
		return a.passphraseOf(spec.PassphraseFile)
	default:
		return a.promptPassphrase(twice)
	}
}

func (a *app) passphraseOf(path string) ([]byte, error) {
	data, err := state.ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	return onlyLine(data)
}

// onlyLine returns the passphrase without the end of its line.
func onlyLine(data []byte) ([]byte, error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return nil, &passphraseError{"the passphrase is empty"}
	case len(line) > maxPassphrase:
		return nil, &passphraseError{fmt.Sprintf("the passphrase is longer than %d bytes", maxPassphrase)}
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, &passphraseError{"there is more than one line; want the passphrase alone"}
	}
	return line, nil
}

// promptPassphrase asks the person at the terminal.
func (a *app) promptPassphrase(twice bool) ([]byte, error) {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, &passphraseError{"there is no terminal to ask for it"}
	}
	ask := func(prompt string) ([]byte, error) {
		a.ui.close()
		fmt.Fprint(a.stderr, prompt)
		line, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(a.stderr)
		if err != nil {
			return nil, fmt.Errorf("reading the terminal: %w", err)
		}
		if len(line) == 0 {
			return nil, &passphraseError{"the passphrase is empty"}
		}
		return line, nil
	}
	first, err := ask("passphrase of the CA keys: ")
	if err != nil || !twice {
		return first, err
	}
	second, err := ask("once more: ")
	if err == nil && !bytes.Equal(first, second) {
		err = &passphraseError{"the two passphrases differ"}
	}
	return first, errors.Join(err)
}
