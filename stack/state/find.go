package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certyard/certyard/pki"
)

// Found is a file of certificates that somebody named, or that is in a directory
// that somebody named.
type Found struct {
	File     string
	Contents pki.Contents
	Err      error // why it cannot be read
}

// maxDepth keeps a named directory from becoming a search of the whole disk.
const maxDepth = 3

// FindCertificates reads the named files, and in named directories those that
// look like certificates. A named file that is none has an error; in a directory
// it is passed over, unless it is damaged.
func FindCertificates(paths ...string) []Found {
	var out []Found
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			out = append(out, readFound(path))
			continue
		}
		found, err := findBelow(path)
		if err == nil && len(found) == 0 {
			err = errors.New("it holds no certificates (*.pem, *.crt, *.cert, *.cer, *.der, *.key)")
		}
		if err != nil {
			found = append(found, Found{File: path, Err: err})
		}
		out = append(out, found...)
	}
	return out
}

func findBelow(path string) ([]Found, error) {
	var out []Found
	err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		depth := strings.Count(strings.TrimPrefix(file, path), string(filepath.Separator))
		switch {
		case err != nil:
			out = append(out, Found{File: file, Err: err})
		case entry.IsDir() && (depth > maxDepth || file != path && isData(entry.Name())):
			return fs.SkipDir
		case isCertificateName(file) && (entry.Type().IsRegular() || isDataLink(file)):
			if f := readFound(file); !errors.Is(f.Err, pki.ErrNothing) {
				out = append(out, f)
			}
		}
		return nil
	})
	return out, err
}

// isData reports whether a directory is what a link of [isDataLink] leads
// through: its files are read under the names that people know.
func isData(name string) bool { return strings.HasPrefix(name, "..") && name != ".." }

// isDataLink reports whether a file is a link into the current generation of a
// directory, in a state directory or where Kubernetes has mounted one.
func isDataLink(file string) bool {
	target, err := os.Readlink(file)
	return err == nil && target == publicTarget(filepath.Base(file))
}

func isCertificateName(file string) bool {
	return slices.Contains([]string{".pem", ".crt", ".cert", ".cer", ".der", ".key"}, strings.ToLower(filepath.Ext(file)))
}

func readFound(file string) Found {
	data, err := ReadPublic(file)
	if err != nil {
		return Found{File: file, Err: err}
	}
	contents, err := pki.ParseContents(data)
	return Found{File: file, Contents: contents, Err: err}
}
