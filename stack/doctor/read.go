package doctor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/certyard/certyard/stack/lint"
)

// maxRead is far more than any config or certificate has, and keeps a wrong path
// from being read whole.
const maxRead = 1 << 20

// maxFiles keeps a wrong directory, as a home, from being read whole.
const maxFiles = 200

// FileError says that what somebody named cannot be looked at.
type FileError struct {
	Flag string // that named it, as "--compose"
	File string
	Err  error
}

func (e *FileError) Error() string {
	var path *fs.PathError
	cause := e.Err.Error()
	if errors.As(e.Err, &path) {
		cause = path.Err.Error()
	}
	return fmt.Sprintf("looking at %s %s: %s", e.Flag, e.File, cause)
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// readFile reads a file of a size that a config can have, and nothing that is no
// plain file: a pipe or a device would be waited for.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: kindError(info)}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err == nil && len(data) > maxRead {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it is larger than 1 MiB")}
	}
	return data, err
}

func kindError(info fs.FileInfo) error {
	if info.IsDir() {
		return syscall.EISDIR
	}
	return errors.New("it is no plain file")
}

// certFile reads a certificate or a key as it lies on the disk.
func certFile(path string) lint.CertFile {
	f := lint.CertFile{Path: path, UID: -1, GID: -1}
	f.Data, f.Unreadable = readFile(path)
	if info, err := os.Stat(path); err == nil {
		f.Mode = info.Mode() & (fs.ModePerm | fs.ModeDir)
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			f.UID, f.GID = int(s.Uid), int(s.Gid)
		}
	}
	return f
}

// certSuffixes are how files of certificates and keys are called.
var certSuffixes = []string{".crt", ".cert", ".cer", ".pem", ".key", ".der", ".p12", ".pfx", ".csr", ".p7b", ".srl"}

// certFiles lists the files of a directory, and of those in it, that are called as
// certificates and keys are. It does not follow links to directories.
func certFiles(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return err
		case err != nil: // a directory in it that is not ours to read
			return nil
		case d.IsDir() || len(out) >= maxFiles:
			return nil
		}
		if calledCert(path) {
			out = append(out, path)
		}
		return nil
	})
	return out, err
}

// calledCert reports whether a file is called as certificates and keys are.
func calledCert(path string) bool {
	return slices.Contains(certSuffixes, strings.ToLower(filepath.Ext(path)))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
