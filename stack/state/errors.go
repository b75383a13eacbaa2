package state

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// ErrNotLocked is returned by methods that write when the lock is not held.
var ErrNotLocked = errors.New("the state directory is not locked by this process")

// LockedError says that another process works on the state directory.
type LockedError struct {
	Path string // of the state directory
	PID  int    // of the holder; 0 when it is not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another certyard", e.Path)
	}
	return fmt.Sprintf("%s is in use by another certyard (process %d)", e.Path, e.PID)
}

// NotOursError says that a directory exists and is not a state directory.
// Writing there could mix with somebody's files, and a purge would delete them.
type NotOursError struct {
	Path string
}

func (e *NotOursError) Error() string {
	return fmt.Sprintf("%s exists and holds files that certyard did not make", e.Path)
}

// KeyExistsError says that a private key, or another file that is made once,
// would have to be written over. Nothing was written.
type KeyExistsError struct {
	Path   string
	Public bool // what was to be written is no key in PEM
}

func (e *KeyExistsError) Error() string {
	if e.Public {
		return fmt.Sprintf("%s exists with other content and is never overwritten", e.Path)
	}
	return fmt.Sprintf("private key %s exists with other content and is never overwritten", e.Path)
}

// ModeError says that others than its owner may read or change a private key.
type ModeError struct {
	Path string
	Have fs.FileMode
	Want fs.FileMode // no bit more than these
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("permissions of private key %s are %04o, required no more than %04o", e.Path, e.Have, e.Want)
}

// Chmod returns the command that repairs the permissions.
func (e *ModeError) Chmod() string {
	return fmt.Sprintf("chmod %04o %q", e.Want, e.Path)
}

// KindError says that something else stands where a file or a directory is
// expected, as a symbolic link that would lead elsewhere.
type KindError struct {
	Path string
	Have string // as "a symbolic link"
	Want string // as "a file"
	// Outside says that it is a file of the user's, in no state directory.
	Outside bool
}

func (e *KindError) Error() string {
	return fmt.Sprintf("%s is %s, want %s", e.Path, e.Have, e.Want)
}

// AccessError says that the system does not allow an operation. It wraps
// EACCES, EPERM or EROFS.
type AccessError struct {
	Op   string // as "creating"
	Path string
	Err  error
}

func (e *AccessError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }
func (e *AccessError) Unwrap() error { return e.Err }

// FullError says that there is no space left. It wraps ENOSPC or EDQUOT.
type FullError struct {
	Op   string
	Path string
	Err  error
}

func (e *FullError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }
func (e *FullError) Unwrap() error { return e.Err }

// UnfinishedError says that new files are on the disk, whole, and not all of them
// in their places. What there is then is neither the old nor the new: the next
// Lock or Write puts the rest in place.
type UnfinishedError struct{ Err error }

func (e *UnfinishedError) Error() string { return "completing the write: " + e.Err.Error() }
func (e *UnfinishedError) Unwrap() error { return e.Err }

// ManifestError says that what an interrupted write has left to be done is not
// what was written. Nothing of it is done.
type ManifestError struct {
	Path string
	Err  error
}

func (e *ManifestError) Error() string { return fmt.Sprintf("reading %s: %v", e.Path, e.Err) }
func (e *ManifestError) Unwrap() error { return e.Err }

// diskError says which operation on which path failed, and gives the causes
// that people can do something about their own types. A nil err stays nil.
func diskError(op, path string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err // its operation and path are said already
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return &FullError{Op: op, Path: path, Err: err}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return &AccessError{Op: op, Path: path, Err: err}
	default:
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
}
