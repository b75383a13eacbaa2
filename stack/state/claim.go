package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// claimSuffix ends the name of the file that a claim is a lock on.
const claimSuffix = ".owner"

// Claims is a directory of state directories, each of which belongs to a process
// and ends with it. A claim is a lock on a file beside the state directory, and the
// system gives it up with the process, however that ends. It needs no process
// numbers, which mean something else in another container and somebody else after a
// while. All methods may be called in parallel, from any number of processes.
type Claims struct{ dir string }

// OpenClaims returns the claims of a directory. It does no I/O.
func OpenClaims(dir string) *Claims { return &Claims{filepath.Clean(dir)} }

// Dir returns the directory.
func (c *Claims) Dir() string { return c.dir }

// Claim is a state directory that belongs to this process.
type Claim struct {
	// Root is the state directory. Making it is left to [Dir.Lock].
	Root string
	// Note is what was noted when it was claimed.
	Note string
	file *os.File // its lock is the claim
}

// Name returns the name that was claimed.
func (c *Claim) Name() string { return filepath.Base(c.Root) }

// Claim takes a name, and notes something for whoever finds it abandoned. A name
// that somebody has is a [*LockedError], also when that process has ended and left
// its state directory.
func (c *Claims) Claim(name, note string) (*Claim, error) {
	claim, err := c.claim(name, note)
	if err != nil {
		return nil, fmt.Errorf("claiming %s: %w", filepath.Join(c.dir, name), err)
	}
	return claim, nil
}

func (c *Claims) claim(name, note string) (*Claim, error) {
	if err := c.make(); err != nil {
		return nil, err
	}
	root := filepath.Join(c.dir, name)
	for {
		f, err := os.OpenFile(root+claimSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return nil, &LockedError{Path: root}
		}
		if err != nil {
			return nil, err
		}
		// Who looks for the abandoned may find the file before it is locked, and
		// then removes it.
		if err = errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX), named(f)); errors.Is(err, fs.ErrNotExist) {
			_ = f.Close() // nothing was written to it
			continue
		}
		if err == nil {
			err = free(root)
		}
		if err == nil {
			_, err = f.WriteString(note)
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(f.Name()), unlock(f))
		}
		return &Claim{Root: root, Note: note, file: f}, nil
	}
}

// free refuses a state directory that is there: it is nobody's claim, and so no
// stack that may go.
func free(root string) error {
	_, err := os.Lstat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	default:
		return &NotOursError{Path: root}
	}
}

// make makes the directory, and refuses one that others may write to: they could
// have our keys written to where they can read them.
func (c *Claims) make() error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	return c.ours()
}

// ours refuses a directory that is not this account's. One that is open to others is
// closed.
func (c *Claims) ours() error {
	info, err := os.Lstat(c.dir)
	if err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Lstat(c.dir, &stat); err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return &KindError{Path: c.dir, Have: info.Mode().Type().String(), Want: "a directory"}
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d, and this process is uid %d", c.dir, stat.Uid, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return os.Chmod(c.dir, 0o700)
	}
	return nil
}

// Abandoned claims every state directory whose process has ended. The caller ends
// each of them, or gives it up.
func (c *Claims) Abandoned() ([]*Claim, error) {
	names, err := c.Names()
	if len(names) > 0 {
		if err := c.ours(); err != nil {
			return nil, fmt.Errorf("looking for abandoned stacks in %s: %w", c.dir, err)
		}
	}
	var out []*Claim
	for _, name := range names {
		claim, took := c.take(name)
		if took != nil && !errors.Is(took, errHeld) {
			err = errors.Join(err, took)
		}
		if claim != nil {
			out = append(out, claim)
		}
	}
	if err != nil {
		err = fmt.Errorf("looking for abandoned stacks in %s: %w", c.dir, err)
	}
	return out, err
}

// Names returns the names that are claimed or abandoned.
func (c *Claims) Names() ([]string, error) {
	list, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	var out []string
	for _, entry := range list {
		if name, ok := strings.CutSuffix(entry.Name(), claimSuffix); ok && entry.Type().IsRegular() {
			out = append(out, name)
		}
	}
	return out, err
}

// Held reports whether a process that has not ended holds the name, or may hold it
// for all that can be seen.
func (c *Claims) Held(name string) bool {
	claim, err := c.take(name)
	if claim != nil {
		_ = claim.GiveUp() // it was only a question
	}
	return err != nil
}

// errHeld says that the process which holds a claim has not ended.
var errHeld = errors.New("it is held")

// take claims what was abandoned. It returns errHeld for what is not, and nil for
// what is not there.
func (c *Claims) take(name string) (*Claim, error) {
	root := filepath.Join(c.dir, name)
	f, err := os.OpenFile(root+claimSuffix, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // ended meanwhile
	}
	if err != nil {
		return nil, err
	}
	err = errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), named(f))
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = errHeld
	case errors.Is(err, fs.ErrNotExist):
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	const enough = 4096
	note, err := io.ReadAll(io.LimitReader(f, enough))
	if err != nil {
		return nil, errors.Join(err, unlock(f))
	}
	return &Claim{Root: root, Note: string(note), file: f}, nil
}

// named reports whether a file that is locked still has its name: it has not when
// another process has ended the claim in between.
func named(f *os.File) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(f.Name())
	if err == nil && !os.SameFile(mine, now) {
		err = fs.ErrNotExist
	}
	return err
}

// End ends a claim whose state directory is gone. With a state directory that is
// still there it gives the claim up instead, and says so.
func (c *Claim) End() error {
	if _, err := os.Lstat(c.Root); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s is still there", c.Root)
		}
		return errors.Join(err, c.GiveUp())
	}
	// While the lock is held: who has the file open finds that it has no name.
	err := os.Remove(c.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody has cleaned up the whole directory
	}
	return errors.Join(err, c.GiveUp())
}

// GiveUp leaves the state directory to whoever looks for the abandoned.
func (c *Claim) GiveUp() error { return unlock(c.file) }
