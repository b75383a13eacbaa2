package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/certyard/certyard/stack"
)

// Export writes files into a directory of the user's, outside of any state
// directory: for another person, or to be carried away. It makes the directory
// (mode 0700) where there is none. A private key is created and never written
// over; the same content is fine, in a file of its own and not behind a link.
// Everything is checked before anything is written, and what was written is on
// the disk when Export returns.
func Export(dir string, files []stack.File) error {
	if err := CheckExport(dir, files); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return diskError("creating", dir, err)
	}
	for _, f := range files {
		if err := exportFile(filepath.Join(dir, f.Path), f); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// CheckExport returns why [Export] could not write files into a directory, and
// changes nothing. A key whose Data is nil is yet to be made: nothing may stand
// in its place.
func CheckExport(dir string, files []stack.File) error {
	if err := checkExportDir(dir); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		have, err := readExported(path, f.Once)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if f.Once && (f.Data == nil || !bytes.Equal(have, f.Data)) {
			return &KeyExistsError{Path: path, Public: f.Data != nil && !holdsKey(f.Data)}
		}
	}
	return nil
}

// checkExportDir looks at the directory, or at the one in which it is to be
// made.
func checkExportDir(dir string) error {
	info, err := os.Stat(dir)
	for parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir; parent = filepath.Dir(dir) {
		dir = parent
		info, err = os.Stat(dir)
	}
	if err != nil {
		return diskError("reading", dir, err)
	}
	if !info.IsDir() {
		return &KindError{Path: dir, Have: kindOf(info.Mode()), Want: "a directory", Outside: true}
	}
	return diskError("writing in", dir, unix.Access(dir, unix.W_OK|unix.X_OK))
}

// readExported reads what stands in the place of a file. A key is a file of its
// own: what a link leads to may be the very file that is to be carried away.
func readExported(path string, key bool) ([]byte, error) {
	if key {
		info, err := os.Lstat(path)
		if err != nil {
			return nil, diskError("reading", path, err)
		}
		if !info.Mode().IsRegular() {
			return nil, &KindError{Path: path, Have: kindOf(info.Mode()), Want: "a file", Outside: true}
		}
	}
	return ReadPublic(path)
}

// exportFile writes one file beside its place and puts it there: linked, which
// fails where a key is, or renamed over a file that is none. The file beside has
// the same name every time, so that the next run removes what a killed one left.
func exportFile(path string, f stack.File) error {
	aside := asideOf(path)
	if err := removeStale(aside); err != nil {
		return err
	}
	if have, err := readExported(path, f.Once); err == nil && bytes.Equal(have, f.Data) {
		return diskError("changing the mode of", path, os.Chmod(path, f.Mode))
	}
	tmp, err := createAside(aside)
	if err != nil {
		return err
	}
	defer tmp.Close() // with the lock, when the file has its place
	defer dropAside(tmp)
	_, err = tmp.Write(f.Data)
	if err = errors.Join(err, tmp.Chmod(f.Mode), tmp.Sync()); err != nil {
		return diskError("writing", path, err)
	}
	place := os.Rename
	if f.Once {
		place = os.Link
	}
	err = place(aside, path)
	if f.Once && errors.Is(err, fs.ErrExist) {
		return &KeyExistsError{Path: path, Public: f.Data != nil && !holdsKey(f.Data)}
	}
	return diskError("placing", path, err)
}

// asideOf returns the file beside one of the user's, in which it is made.
func asideOf(path string) string {
	return filepath.Join(filepath.Dir(path), ".certyard-"+filepath.Base(path))
}

// createAside makes the file beside, and locks it. Whoever has the lock of the file
// that has the name may remove it or put it in its place, and nobody else: another
// run may have taken it for a stale one before it was locked.
func createAside(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, &LockedError{Path: filepath.Dir(path)}
	}
	if err != nil {
		return nil, diskError("creating", path, err)
	}
	if errors.Is(lockAside(f), unix.EWOULDBLOCK) || named(f) != nil {
		return nil, errors.Join(&LockedError{Path: filepath.Dir(path)}, f.Close())
	}
	return f, nil
}

// dropAside removes the file beside, unless that has its place.
func dropAside(f *os.File) {
	if named(f) == nil {
		_ = os.Remove(f.Name()) // what is left, the next run removes
	}
}

const staleWant = "nothing, or what an interrupted run left"

// removeStale removes what a run left that was killed. One that still runs has
// its file locked.
func removeStale(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, unix.ELOOP) {
		return &KindError{Path: path, Have: "a symbolic link", Want: staleWant, Outside: true}
	}
	if err != nil {
		return diskError("opening", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return diskError("reading", path, err)
	}
	if !info.Mode().IsRegular() {
		return &KindError{Path: path, Have: kindOf(info.Mode()), Want: staleWant, Outside: true}
	}
	if errors.Is(lockAside(f), unix.EWOULDBLOCK) {
		return &LockedError{Path: filepath.Dir(path)}
	}
	if ownerOf(info) != ownUID() {
		return &KindError{Path: path, Have: "somebody else's file", Want: staleWant, Outside: true}
	}
	if named(f) != nil {
		return nil // it has its place since, or is gone
	}
	return diskError("removing", path, os.Remove(path))
}

// lockAside tells others that a file is in use. A file system without locks has
// nobody to tell.
func lockAside(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// SameFileError says that an exported file is the very file that it was exported
// from, under another name: removing the one would remove the other.
type SameFileError struct {
	Path, Original string
}

func (e *SameFileError) Error() string {
	return fmt.Sprintf("%s is the same file as %s", e.Path, e.Original)
}

// CheckExported reads an exported file back from the disk, and makes sure that
// it has the content and is another file than the original, so that this one may
// be removed.
func CheckExported(dir string, f stack.File, original string) error {
	path := filepath.Join(dir, f.Path)
	have, err := readExported(path, true)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, f.Data) {
		return fmt.Errorf("reading %s back: it is not what was written", path)
	}
	there, err := os.Lstat(path)
	if err != nil {
		return diskError("reading", path, err)
	}
	here, err := os.Stat(original) // which may be a link to its generation
	if err != nil {
		return diskError("reading", original, err)
	}
	if os.SameFile(there, here) {
		return &SameFileError{Path: path, Original: original}
	}
	return nil
}

// Inside reports whether a path, which need not exist yet, is a directory or
// below it, whatever links and mounts lead there.
func Inside(path, dir string) (bool, error) {
	top, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, diskError("reading", dir, err)
	}
	at, err := resolve(path)
	if err != nil {
		return false, diskError("reading", path, err)
	}
	for {
		if info, err := os.Stat(at); err == nil && os.SameFile(info, top) {
			return true, nil
		}
		parent := filepath.Dir(at)
		if parent == at {
			return false, nil
		}
		at = parent
	}
}

// resolve follows the links of a path as far as it exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		real, err := filepath.EvalSymlinks(path)
		parent := filepath.Dir(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || parent == path {
			return real, err
		}
		path = parent
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return diskError("opening", dir, err)
	}
	err = errors.Join(d.Sync(), d.Close())
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
