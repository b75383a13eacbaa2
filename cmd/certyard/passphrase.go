package main

import (
	"bytes"
	"context"
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

// passphrase is lifecycle's Passphrase: from a descriptor, a file, or a person. Of
// a descriptor there is one line, and a person is asked once: a command that needs
// it again gets the same.
func (a *app) passphrase(spec stack.PKISpec, twice bool) (line []byte, err error) {
	switch {
	case a.passphraseLine != nil:
		return a.passphraseLine, nil
	case a.passphraseFD != nil:
		line, err = a.passphraseFrom(*a.passphraseFD)
	case a.passphraseFile != "":
		return a.passphraseOf(a.passphraseFile)
	case spec.PassphraseFile != "":
		return a.passphraseOf(spec.PassphraseFile)
	default:
		line, err = a.promptPassphrase(twice)
	}
	if err == nil {
		a.passphraseLine = line
	}
	return line, err
}

// passphraseFrom reads one line of a file descriptor. It does not ask whether
// more comes: whoever wrote a pipe may keep it open.
func (a *app) passphraseFrom(fd int) ([]byte, error) {
	f := os.NewFile(uintptr(fd), "passphrase")
	if f == nil {
		return nil, &passphraseError{fmt.Sprintf("%d is not a file descriptor", fd)}
	}
	defer f.Close()
	line, err := interruptible(a.interrupted, func() ([]byte, error) { return firstLine(f) })
	if err == nil || errors.Is(err, context.Canceled) {
		return line, err
	}
	var none *passphraseError
	if errors.As(err, &none) {
		return nil, err
	}
	return nil, &passphraseError{fmt.Sprintf("reading file descriptor %d: %v", fd, err)}
}

// firstLine reads up to the end of a line, and not a byte more.
func firstLine(r io.Reader) ([]byte, error) {
	var line []byte
	for one := make([]byte, 1); len(line) <= maxPassphrase; {
		n, err := r.Read(one)
		if n > 0 && one[0] == '\n' || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line = append(line, one[:n]...)
	}
	return onlyLine(line)
}

// interruptible gives up waiting for a read that nothing else ends.
func interruptible(interrupted <-chan struct{}, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	select {
	case <-interrupted:
		return nil, context.Canceled
	default:
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-interrupted:
		return nil, context.Canceled
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
		line, err := a.readHidden(int(in.Fd()))
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

// readHidden reads a line that the terminal does not show. It shows what is
// typed again when the read is interrupted.
func (a *app) readHidden(fd int) ([]byte, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	line, err := interruptible(a.interrupted, func() ([]byte, error) { return term.ReadPassword(fd) })
	if errors.Is(err, context.Canceled) {
		err = errors.Join(err, term.Restore(fd, before))
	}
	return line, err
}
