package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxUserFile is far more than any key or bundle of certificates, and keeps a
// wrong path from being read whole.
const maxUserFile = 16 << 20

// SizeError says that a file is larger than anything that it could be.
type SizeError struct {
	Path string
	Most int64 // bytes
	Ours bool  // it is in a state directory
}

func (e *SizeError) Error() string {
	if e.Ours {
		return fmt.Sprintf("%s is larger than %d MiB, so certyard did not write it", e.Path, e.Most>>20)
	}
	return fmt.Sprintf("%s is larger than %d MiB, so it is no key or certificate", e.Path, e.Most>>20)
}

// NoFileError says that a file of the user's does not exist. It is
// [fs.ErrNotExist].
type NoFileError struct{ Path string }

func (e *NoFileError) Error() string { return "opening " + e.Path + ": " + unix.ENOENT.Error() }
func (e *NoFileError) Unwrap() error { return fs.ErrNotExist }

// ReadPrivate returns the content of a secret file that the user has somewhere:
// a key, a passphrase. It refuses one that others than its owner may read or
// change with a *[ModeError], and what is no regular file with a *[KindError].
func ReadPrivate(path string) ([]byte, error) { return readUserFile(path, true) }

// ReadPublic returns the content of a file that the user has somewhere, as a
// certificate. What is no regular file is a *[KindError].
func ReadPublic(path string) ([]byte, error) { return readUserFile(path, false) }

// readUserFile follows links, since the path is the user's own choice, but does
// not wait for a pipe or a device.
func readUserFile(path string, private bool) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoFileError{Path: path}
	}
	if err != nil {
		return nil, diskError("opening", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, diskError("reading", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &KindError{Path: path, Have: kindOf(info.Mode()), Want: "a file", Outside: true}
	}
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 {
		return nil, &ModeError{Path: path, Have: mode, Want: mode & 0o700}
	}
	data, err := readAtMost(f, maxUserFile)
	if errors.Is(err, errTooLarge) {
		return nil, &SizeError{Path: path, Most: maxUserFile}
	}
	return data, diskError("reading", path, err)
}

var errTooLarge = errors.New("it is too large")

func readAtMost(r io.Reader, most int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(data) > most {
		return nil, errTooLarge
	}
	return data, err
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode.IsRegular():
		return "a file"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "a device, pipe or socket"
	}
}
