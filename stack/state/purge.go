package state

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Purge removes the state directory with all that is in it, and the .certyard
// directory above when nothing else is left there. The lock must be held, or
// the error is [ErrNotLocked]. It ends with the directory; release may still be
// called. When a purge is interrupted, the next Lock completes it.
func (d *Dir) Purge() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.doing("purging", d.purge())
}

func (d *Dir) purge() error {
	if d.held == nil {
		return ErrNotLocked
	}
	t, err := d.openTree()
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.mark(); err != nil {
		return err
	}
	if err := t.empty(); err != nil {
		return err
	}
	if kindAt(t.root.fd(), ignoreFile) != "" {
		if err := t.root.unlink(ignoreFile); err != nil {
			return err
		}
	}
	if err := t.root.unlink(lockFile); err != nil {
		return err
	}
	// From here on others may lock what is at this path, so we hold nothing.
	f := d.held
	d.held = nil
	return errors.Join(d.removeRoot(true), unlock(f))
}

// mark notes that from now on this is no stack any more: half of one must never
// be taken for a broken one. On a full disk there may be no room for the note,
// and the purge is what makes room.
func (t *tree) mark() error {
	f, err := t.root.create(purgeMark, 0o600, ownUID())
	var full *FullError
	if errors.As(err, &full) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), t.root.sync())
}

// empty removes everything but the lock and the .gitignore, the mark last.
func (t *tree) empty() error {
	names, err := t.root.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == lockFile || name == ignoreFile || name == purgeMark {
			continue
		}
		t.forget()
		if err := t.root.removeAll(name); err != nil {
			return err
		}
	}
	if slices.Contains(names, purgeMark) {
		return t.root.unlink(purgeMark)
	}
	return nil
}

// forget closes the directories below the root, which are about to go.
func (t *tree) forget() {
	for p, d := range t.dirs {
		if p != "." {
			d.close()
			delete(t.dirs, p)
		}
	}
}

// removeRoot removes the empty state directory, and with above also the one that
// it is in, if only our own .gitignore is left there. Other processes may do the same there, or begin
// anew: what is gone already is as good as removed.
func (d *Dir) removeRoot(above bool) error {
	err := d.removeUpwards(above)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *Dir) removeUpwards(too bool) error {
	above, name, err := d.split()
	if err != nil {
		return err
	}
	parent, err := d.openAbove(above)
	if err != nil {
		return err
	}
	defer parent.close()
	if err := parent.rmdir(name); err != nil || !too || filepath.Base(above) != parentName {
		return err
	}
	return d.removeAbove(parent)
}

func (d *Dir) removeAbove(parent *dir) error {
	names, err := parent.names()
	if err != nil || !slices.Equal(names, []string{ignoreFile}) {
		return err
	}
	if err := parent.unlink(ignoreFile); err != nil {
		return err
	}
	grand, err := d.openAbove(filepath.Dir(parent.path))
	if err != nil {
		return err
	}
	defer grand.close()
	err = grand.rmdir(filepath.Base(parent.path))
	if errors.Is(err, unix.ENOTEMPTY) {
		return parent.ignore() // another stack was made in it this moment
	}
	return err
}
