package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/certyard/certyard/stack"
)

// Lock makes the directory if it does not exist, takes its lock, and completes
// or undoes what an interrupted process left. The lock ends with release, which
// may be called again, or with the process, however that ends.
//
// A release removes a directory that Lock has made and that nothing was written
// into, so that a command that fails at once leaves nothing behind.
//
// It does not wait: a lock that is held is a [*LockedError]. A directory with
// files that are not certyard's is a [*NotOursError], and is left as it was.
func (d *Dir) Lock(ctx context.Context) (release func() error, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made = made{}
	f, err := d.acquire(ctx)
	if err != nil {
		return nil, d.doing("locking", err)
	}
	if err := d.tidy(); err != nil {
		return nil, errors.Join(d.doing("recovering", err), unlock(f))
	}
	d.held = f
	return func() error { return d.release(f) }, nil
}

func (d *Dir) release(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != f {
		return nil
	}
	return d.doing("unlocking", errors.Join(d.forsake(), unlock(f)))
}

// made says what there was not before.
type made struct {
	root, above bool // the state directory, and the .certyard that it is in
}

// forsake gives up the lock, and with it what Lock has made, if nothing else is
// in it. The lock file goes while the lock is still held: who opens it meanwhile
// finds out that it has no name any more.
func (d *Dir) forsake() error {
	d.held = nil
	if !d.made.root {
		return nil
	}
	root, err := openDir(d.root, d.hook)
	if err != nil {
		return err
	}
	defer root.close()
	names, err := root.names()
	if err != nil || slices.ContainsFunc(names, func(name string) bool { return name != lockFile && name != ignoreFile }) {
		return err
	}
	for _, name := range names {
		if err := root.unlink(name); err != nil {
			return err
		}
	}
	return d.removeRoot(d.made.above)
}

// unlock gives the lock up and closes its file. Closing alone is not enough: a
// child of this process has the same open file until it runs its own program,
// and the lock stays as long as anybody has it.
func unlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

func (d *Dir) tidy() error {
	t, err := d.openTree()
	if err != nil {
		return err
	}
	defer t.close()
	return t.recover()
}

// acquire takes the lock. Another process may purge the directory while we are
// at it; then we may hold a lock file that has no name any more, or find parts
// missing, and start over. Something else is wrong when that does not end.
func (d *Dir) acquire(ctx context.Context) (f *os.File, err error) {
	for range 20 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err = d.tryLock()
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, err
}

func (d *Dir) tryLock() (*os.File, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	root, err := openDir(d.root, d.hook)
	if err != nil {
		return nil, err
	}
	defer root.close()
	if err := ours(root); err != nil {
		return nil, err
	}
	f, err := root.openLock()
	if err != nil {
		return nil, err
	}
	err = root.change("locking", lockFile, func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &LockedError{Path: d.root, PID: readPID(f)}
	}
	if err == nil {
		err = d.confirm(root, f)
	}
	if err != nil {
		return nil, errors.Join(err, unlock(f))
	}
	writePID(f)
	return f, nil
}

// make makes the directory and what is above it, and keeps git out.
func (d *Dir) make() error {
	above, name, err := d.split()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(above); errors.Is(err, fs.ErrNotExist) {
		d.made.above = true
	}
	if err := os.MkdirAll(above, 0o755); err != nil {
		return diskError("creating", above, err)
	}
	parent, err := d.openAbove(above)
	if err != nil {
		return err
	}
	defer parent.close()
	if filepath.Base(above) == parentName {
		if err := parent.ignore(); err != nil {
			return err
		}
	}
	err = parent.mkdir(name)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	d.made.root = d.made.root || err == nil
	return err
}

// openAbove opens the directory that holds the state directory. It is not part
// of it and may well be a link.
func (d *Dir) openAbove(path string) (*dir, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, diskError("opening", path, err)
	}
	return &dir{f: f, path: path, hook: d.hook}, nil
}

// split returns the directory above and the name in it, also for a root like
// "." that does not say either.
func (d *Dir) split() (above, name string, err error) {
	abs, err := filepath.Abs(d.root)
	return filepath.Dir(abs), filepath.Base(abs), err
}

// ours refuses a directory in which somebody else keeps files. In an empty one
// we may have been killed.
func ours(root *dir) error {
	names, err := root.names()
	if err != nil || len(names) == 0 {
		return err
	}
	if slices.Contains(names, lockFile) || slices.Contains(names, stack.FileState) {
		return nil
	}
	return &NotOursError{Path: root.path}
}

func (d *dir) openLock() (*os.File, error) {
	if kind := kindAt(d.fd(), lockFile); kind != "" && kind != "a file" {
		return nil, &KindError{Path: d.join(lockFile), Have: kind, Want: "a file"}
	}
	var fd int
	err := d.change("opening", lockFile, func() (err error) {
		fd, err = unix.Openat(d.fd(), lockFile, lockFlags, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.join(lockFile)), nil
}

// confirm checks, with the lock held, that it is the lock of the directory that
// has the path now, and puts the directory's own mode and .gitignore right.
func (d *Dir) confirm(root *dir, f *os.File) error {
	now, err := openDir(d.root, d.hook)
	if err != nil {
		return err
	}
	defer now.close()
	current, info, err := now.open(lockFile)
	if err != nil {
		return err
	}
	if current == nil {
		return fs.ErrNotExist
	}
	defer current.Close()
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(mine, info) {
		return fs.ErrNotExist // purged and made anew since we opened it
	}
	top, err := root.f.Stat()
	if err != nil {
		return err
	}
	if err := root.own(root.f, ".", dirMode, ownerOf(top)); err != nil {
		return err
	}
	above, _, err := d.split()
	if err != nil || filepath.Base(above) == parentName {
		return err // make saw to it
	}
	return root.ignore()
}

// ignore makes a .gitignore that hides a directory from git. One that has
// content is somebody's own. An empty one may be ours, from a process that was
// killed before it wrote. Only a directory that is there for nothing but state
// directories gets one: it would hide all of anybody else's.
func (d *dir) ignore() error {
	have, _, err := d.read(ignoreFile)
	if err != nil || len(have) > 0 {
		return err
	}
	var fd int
	err = d.change("opening", ignoreFile, func() (err error) {
		fd, err = unix.Openat(d.fd(), ignoreFile, lockFlags, 0o644)
		return err
	})
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), d.join(ignoreFile))
	err = d.change("writing", ignoreFile, func() error {
		_, err := f.WriteString("*\n")
		return err
	})
	return errors.Join(err, f.Close())
}

// writePID leaves our process number for a message to others. It is not needed
// for anything else, and must not fail where a full disk is being cleared.
func writePID(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
}

func readPID(f *os.File) int {
	data, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return pid
}
