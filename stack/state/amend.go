package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ChangedError says that a file is not what it was when somebody decided what to
// make of it.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("changing %s: somebody has changed it in the meantime", e.Path)
}

// maxBackups is how many backups of one file are kept; then somebody has to look.
const maxBackups = 100

// Amend replaces the content of a user's file, which has to be what the caller has
// read, and keeps the old one beside it, as FILE.orig or FILE.orig.2 and so on,
// which it returns. Mode and owner stay. The new content is put in place in one
// step, and is on the disk when Amend returns; after an error the old one is whole.
// Of a link it is the file that it leads to. While another run changes the same file
// the error is a [*LockedError].
func Amend(path string, have, want []byte) (backup string, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", diskError("reading", path, err)
	}
	aside := asideOf(real)
	if err := removeStale(aside); err != nil {
		return "", err
	}
	f, err := createAside(aside)
	if err != nil {
		return "", err
	}
	defer f.Close() // with the lock, when the file has its place
	defer dropAside(f)
	now, err := os.ReadFile(real)
	if err != nil {
		return "", diskError("reading", path, err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", diskError("reading", path, err)
	}
	if !bytes.Equal(now, have) {
		return "", &ChangedError{Path: path}
	}
	if backup, err = keepOriginal(real, now, info); err != nil {
		return "", err
	}
	if err := fillLike(f, want, info); err != nil {
		return backup, err
	}
	if err := os.Rename(aside, real); err != nil {
		return backup, diskError("writing", path, err)
	}
	return backup, syncDir(filepath.Dir(real))
}

// keepOriginal copies a file to the first name beside it that is free.
func keepOriginal(path string, data []byte, info fs.FileInfo) (string, error) {
	for n := 1; n <= maxBackups; n++ {
		backup := path + ".orig"
		if n > 1 {
			backup = fmt.Sprintf("%s.%d", backup, n)
		}
		err := createLike(backup, data, info)
		if !errors.Is(err, fs.ErrExist) {
			return backup, err
		}
	}
	return "", diskError("creating", path+".orig", fs.ErrExist)
}

// createLike makes a new file with the mode and the owner of another one.
func createLike(path string, data []byte, like fs.FileInfo) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return diskError("creating", path, err)
	}
	defer f.Close()
	return fillLike(f, data, like)
}

// fillLike writes a new file, and gives it the mode and the owner of another one.
func fillLike(f *os.File, data []byte, like fs.FileInfo) error {
	if s, ok := like.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(s.Uid), int(s.Gid)) // only root may; else it is the caller's, as an editor would leave it
	}
	_, err := f.Write(data)
	if err = errors.Join(err, f.Chmod(like.Mode().Perm()), f.Sync()); err != nil {
		return diskError("writing", f.Name(), err)
	}
	return nil
}
