package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/certyard/certyard/stack"
)

// Export writes files into a directory of the user's, outside of any state
// directory: for another person, or to be carried away. It makes the directory
// (mode 0700) where there is none. A private key is created and never written
// over; the same content is fine. Everything is checked before anything is
// written, and what was written is on the disk when Export returns.
func Export(dir string, files []stack.File) error {
	if err := CheckExport(dir, files); err != nil {
		return err
	}
	return export(dir, files)
}

// CheckExport returns the error that Export has before it writes.
func CheckExport(dir string, files []stack.File) error {
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		have, err := os.ReadFile(path)
		if err == nil && f.Once && !bytes.Equal(have, f.Data) {
			return &KeyExistsError{Path: path, Public: !holdsKey(f.Data)}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return diskError("reading", path, err)
		}
	}
	return nil
}

func export(dir string, files []stack.File) error {
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

// exportFile writes one file beside its place and puts it there: linked, which
// fails where a key is, or renamed over a file that is none.
func exportFile(path string, f stack.File) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, f.Data) {
		return diskError("changing the mode of", path, os.Chmod(path, f.Mode))
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".certyard-*")
	if err != nil {
		return diskError("creating", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(f.Data)
	err = errors.Join(err, tmp.Chmod(f.Mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return diskError("writing", path, err)
	}
	place := os.Rename
	if f.Once {
		place = os.Link
	}
	err = place(tmp.Name(), path)
	if f.Once && errors.Is(err, fs.ErrExist) {
		return &KeyExistsError{Path: path, Public: !holdsKey(f.Data)}
	}
	return diskError("placing", path, err)
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
