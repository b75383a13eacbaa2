package edge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxFile is far more than a certificate, a list or an answer needs, and keeps a
// wrong file from being read whole.
const maxFile = 1 << 20

// folder is a directory with a few files that belong together.
type folder struct {
	path  string
	names []string
}

// look is what can be seen of a folder without reading its files.
type look struct {
	dir   string        // resolved; "" when that failed
	paths []string      // of the files, in the order of names
	infos []fs.FileInfo // of the files; nil: there is no such one
	err   error         // the first thing that could not be seen
}

// look resolves the directory, and looks at the files below what it resolves to:
// a pointer that is swapped meanwhile cannot mix two generations.
func (f folder) look() look {
	outer, dir, err := resolve(f.path)
	if err != nil {
		return look{err: err}
	}
	l := look{dir: dir}
	for _, name := range f.names {
		path := fileIn(outer, dir, name)
		info, err := os.Stat(path)
		l.paths = append(l.paths, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && l.err == nil {
			l.err = err
		}
		l.infos = append(l.infos, info)
	}
	return l
}

// dataPointer is the link that Kubernetes swaps inside a mounted directory; the
// files that people see are links through it (AtomicWriter in
// pkg/volume/util/atomic_writer.go).
const dataPointer = "..data"

// resolve returns the directory that a path leads to, and the one in which its
// files are: behind its pointer, if it has one.
func resolve(path string) (outer, inner string, err error) {
	outer, err = filepath.EvalSymlinks(path)
	if err != nil {
		return "", "", err
	}
	inner, err = filepath.EvalSymlinks(filepath.Join(outer, dataPointer))
	if errors.Is(err, fs.ErrNotExist) {
		return outer, outer, nil
	}
	return outer, inner, err
}

// fileIn returns where a file is: below the pointer, or where somebody has put
// one in place of the link through it, as with mv. That is what people see.
func fileIn(outer, inner, name string) string {
	path := filepath.Join(outer, name)
	if outer == inner {
		return path
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		return path
	}
	return filepath.Join(inner, name)
}

// same reports whether nothing has changed from one look to another.
func (l look) same(other look) bool {
	if l.dir != other.dir || len(l.infos) != len(other.infos) || (l.err == nil) != (other.err == nil) {
		return false
	}
	for i, a := range l.infos {
		b := other.infos[i]
		if (a == nil) != (b == nil) {
			return false
		}
		if a != nil && (!os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime())) {
			return false
		}
	}
	return true
}

// settleTime is more than the granularity of the times that file systems keep. A
// file that was changed so recently may change again without a sign of it.
const settleTime = 2 * time.Second

// settled reports whether a change after now would be seen.
func (l look) settled(now time.Time) bool {
	for _, info := range l.infos {
		if info != nil && now.Sub(info.ModTime()).Abs() <= settleTime {
			return false
		}
	}
	return true
}

// content is what a folder holds: nil for a file that does not exist.
type content struct {
	dir   string
	paths map[string]string
	files map[string][]byte
}

// file returns the path of one of the files, for messages.
func (c content) file(name string) string { return c.paths[name] }

// readAttempts is how often a folder is read that changes meanwhile.
const readAttempts = 3

// read returns the files as they were at one time, and the look that goes with
// them.
func (f folder) read() (content, look, error) {
	before := f.look()
	for attempt := 1; ; attempt++ {
		c, err := f.readOnce(before)
		after := f.look()
		if after.same(before) {
			return c, after, err
		}
		if attempt == readAttempts {
			return c, after, errors.New("it changes while it is read")
		}
		before = after
	}
}

func (f folder) readOnce(l look) (content, error) {
	c := content{dir: l.dir, paths: map[string]string{}, files: map[string][]byte{}}
	if l.err != nil {
		return c, l.err
	}
	for i, name := range f.names {
		data, err := readFile(l.paths[i])
		if err != nil {
			return c, err
		}
		c.paths[name], c.files[name] = l.paths[i], data
	}
	return c, nil
}

// readFile reads a regular file that is not too large. It returns nil without an
// error when there is none.
func readFile(path string) ([]byte, error) {
	// Without blocking, so that a named pipe is found out below.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return data, err
}

// sum identifies what was read, or why nothing was.
func (c content) sum(names []string, err error) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", c.dir)
	for _, name := range names {
		fmt.Fprintf(h, "%t %d\n", c.files[name] == nil, len(c.files[name]))
		h.Write(c.files[name])
	}
	if err != nil {
		fmt.Fprintf(h, "%q", err.Error())
	}
	return [sha256.Size]byte(h.Sum(nil))
}
