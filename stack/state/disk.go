package state

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hook is called before each operation that changes the disk. An error takes
// the operation's place. Tests use it to fail, to record and to be killed.
type hook func(op, path string) error

// maxStateFile is far more than certyard writes: a record of 10,000 clients has 4
// MiB. What is larger came here by mistake, and must not be read whole.
const maxStateFile = 16 << 20

// dir is an open directory. The names that its methods take are single path
// elements, looked up in this very directory, and links are never followed.
type dir struct {
	f    *os.File
	path string // for messages
	hook hook
	// changed says that there are changes since the last sync.
	changed bool
}

const (
	openDirFlags  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	openFileFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC |
		unix.O_NONBLOCK | unix.O_NOCTTY // a pipe in place of a file must not block us
	createFlags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	lockFlags   = unix.O_RDWR | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
)

// openDir opens a directory by its path. Only the last element may not be a
// link: what lies above the state directory is the caller's own choice.
func openDir(path string, h hook) (*dir, error) {
	return openDirAt(unix.AT_FDCWD, path, path, h)
}

func openDirAt(at int, name, path string, h hook) (*dir, error) {
	fd, err := openat(at, name, openDirFlags)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		if kind := kindAt(at, name); kind != "" {
			return nil, &KindError{Path: path, Have: kind, Want: "a directory"}
		}
	}
	if err != nil {
		return nil, diskError("opening", path, err)
	}
	return &dir{f: os.NewFile(uintptr(fd), path), path: path, hook: h}, nil
}

func (d *dir) fd() int                 { return int(d.f.Fd()) }
func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

// sub opens a directory in d. It returns nil when there is none.
func (d *dir) sub(name string) (*dir, error) {
	s, err := openDirAt(d.fd(), name, d.join(name), d.hook)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return s, err
}

// open opens a regular file for reading. It returns nil when there is none.
func (d *dir) open(name string) (*os.File, fs.FileInfo, error) {
	path := d.join(name)
	fd, err := openat(d.fd(), name, openFileFlags)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // a link; a socket
		return nil, nil, &KindError{Path: path, Have: kindAt(d.fd(), name), Want: "a file"}
	case err != nil:
		return nil, nil, diskError("opening", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &KindError{Path: path, Have: kindAt(d.fd(), name), Want: "a file"}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// read returns the content of a regular file, and nil when there is none.
func (d *dir) read(name string) ([]byte, fs.FileInfo, error) {
	f, info, err := d.open(name)
	if f == nil {
		return nil, nil, err
	}
	return readAll(f, info)
}

// readAll returns the content of a file that open opened, and closes it.
func readAll(f *os.File, info fs.FileInfo) ([]byte, fs.FileInfo, error) {
	defer f.Close()
	data, err := readAtMost(f, maxStateFile)
	if errors.Is(err, errTooLarge) {
		return nil, nil, &SizeError{Path: f.Name(), Most: maxStateFile, Ours: true}
	}
	return data, info, diskError("reading", f.Name(), err)
}

// names lists the directory, sorted.
func (d *dir) names() ([]string, error) {
	// A second listing has to start over, also where the first one ended.
	_, err := d.f.Seek(0, io.SeekStart)
	if err != nil {
		return nil, diskError("listing", d.path, err)
	}
	names, err := d.f.Readdirnames(-1)
	sort.Strings(names)
	return names, diskError("listing", d.path, err)
}

// change runs one system call that changes the disk.
func (d *dir) change(op, name string, call func() error) error {
	path := d.join(name)
	d.changed = true
	if d.hook != nil {
		if err := d.hook(op, path); err != nil {
			return diskError(op, path, err)
		}
	}
	return diskError(op, path, uninterrupted(call))
}

func (d *dir) mkdir(name string) error {
	return d.change("creating", name, func() error { return unix.Mkdirat(d.fd(), name, 0o700) })
}

// create makes a new file with its final owner and mode, still empty.
func (d *dir) create(name string, mode fs.FileMode, uid int) (*os.File, error) {
	var fd int
	err := d.change("creating", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, createFlags, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.join(name))
	if err := d.own(f, name, mode, uid); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// own gives an open file or directory its owner and mode, if it has others.
func (d *dir) own(f *os.File, name string, mode fs.FileMode, uid int) error {
	info, err := f.Stat()
	if err != nil {
		return diskError("reading", d.join(name), err)
	}
	if ownerOf(info) != uid {
		err := d.change("changing the owner of", name, func() error { return f.Chown(uid, -1) })
		if err != nil {
			return err
		}
	}
	if info.Mode().Perm() == mode {
		return nil
	}
	return d.change("changing the mode of", name, func() error { return f.Chmod(mode) })
}

// fill writes the content of a file that create made, makes its time later
// than that of the file it will replace, syncs and closes it.
func (d *dir) fill(f *os.File, name string, data []byte, after fs.FileInfo) error {
	err := d.change("writing", name, func() error {
		_, err := f.Write(data)
		return err
	})
	if err == nil && after != nil {
		err = d.date(f, name, after.ModTime())
	}
	if err == nil {
		err = d.change("syncing", name, f.Sync)
	}
	return errors.Join(err, diskError("closing", d.join(name), f.Close()))
}

// date makes the modification time of a file later than the given one. The
// registry reads htpasswd again only when the time differs, and two writes may
// fall into one tick of the kernel's clock, or the clock may have been set back
// (facts, section B). Two seconds is the coarsest step of any file system.
func (d *dir) date(f *os.File, name string, after time.Time) error {
	info, err := f.Stat()
	if err != nil || info.ModTime().After(after) {
		return diskError("reading", d.join(name), err)
	}
	ts, err := unix.TimeToTimespec(after.Add(2 * time.Second))
	if err != nil {
		return diskError("dating", d.join(name), err)
	}
	return d.change("dating", name, func() error {
		return unix.UtimesNanoAt(d.fd(), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// rename moves a file to another directory, over what is there.
func (d *dir) rename(name string, to *dir, toName string) error {
	return to.change("placing", toName, func() error {
		return unix.Renameat(d.fd(), name, to.fd(), toName)
	})
}

// link gives a file a second name, which must not exist.
func (d *dir) link(name string, to *dir, toName string) error {
	return to.change("placing", toName, func() error {
		return unix.Linkat(d.fd(), name, to.fd(), toName, 0)
	})
}

func (d *dir) unlink(name string) error {
	return d.change("removing", name, func() error { return unix.Unlinkat(d.fd(), name, 0) })
}

func (d *dir) rmdir(name string) error {
	return d.change("removing", name, func() error { return unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR) })
}

// removeAll removes a file, a link (not what it leads to) or a whole directory.
func (d *dir) removeAll(name string) error {
	if kindAt(d.fd(), name) != "a directory" {
		return d.unlink(name)
	}
	sub, err := d.sub(name)
	if sub == nil {
		return err
	}
	defer sub.close()
	names, err := sub.names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := sub.removeAll(n); err != nil {
			return err
		}
	}
	return d.rmdir(name)
}

func (d *dir) sync() error {
	err := d.change("syncing", ".", d.f.Sync)
	d.changed = err != nil
	return err
}

// syncChanges is sync, where anything was changed through d since the last one.
func (d *dir) syncChanges() error {
	if !d.changed {
		return nil
	}
	return d.sync()
}

// close gives the descriptor back. Nothing is written through it, so there is
// no error to lose.
func (d *dir) close() { _ = d.f.Close() }

// kindAt says what a name is, in words, and "" when there is nothing.
func kindAt(at int, name string) string {
	var st unix.Stat_t
	if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ""
	}
	switch uint32(st.Mode) & unix.S_IFMT { // 16 bits wide on some systems
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFREG:
		return "a file"
	default:
		return "a device, pipe or socket"
	}
}

func openat(at int, name string, flags int) (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(at, name, flags, 0)
		return err
	})
	return fd, err
}

// uninterrupted repeats a system call that a signal interrupted, which happens
// on network file systems (os.File does the same).
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// ownUID is who runs certyard.
func ownUID() int { return os.Geteuid() }

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func deviceOf(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Dev) }
