package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

func mountRoles() map[string]func(string) error {
	return map[string]func(string) error{"full": childFull, "no inodes": childInodes, "mounted": childMounted}
}

// TestDiskFull and TestNoInodes write on a small file system that really fills
// up: a tmpfs in a mount namespace of a child's own. Users who are not root get
// one in a user namespace.
func TestDiskFull(t *testing.T) { runMounted(t, "full") }

func TestNoInodes(t *testing.T) { runMounted(t, "no inodes") }

// TestMounted meets another file system inside of the state directory.
func TestMounted(t *testing.T) { runMounted(t, "mounted") }

func childMounted(mnt string) error {
	d, err := mountSmall(mnt, "size=1m")
	if err != nil {
		return err
	}
	if _, err := d.Write(bulky('1')); err != nil {
		return err
	}
	certs := filepath.Join(d.Root(), "registry/certs")
	if err := syscall.Mount("other", certs, "tmpfs", 0, "mode=700"); err != nil {
		return err
	}
	before, err := listing(d.Root())
	if err != nil {
		return err
	}
	_, err = d.Write(bulky('2'))
	var kind *KindError
	if !errors.As(err, &kind) || kind.Path != certs {
		return fmt.Errorf("got %w, want %s named", err, certs)
	}
	if after, err := listing(d.Root()); err != nil || after != before {
		return fmt.Errorf("something was written, %w:\n%s", err, after)
	}
	return nil
}

func runMounted(t *testing.T, role string) {
	t.Parallel()
	cmd, out := child(t, role, t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// mountSmall mounts a tmpfs and returns a locked state directory on it. Root in
// a user namespace cannot give files to other uids, so all of them are ours.
func mountSmall(at, options string) (*Dir, error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("making mounts private: %w", err)
	}
	if err := syscall.Mount("small", at, "tmpfs", 0, options); err != nil {
		return nil, fmt.Errorf("mounting: %w", err)
	}
	d := Open(filepath.Join(at, parentName, "yard"), Options{RegistryUID: 0})
	_, err := d.Lock(context.Background())
	return d, err
}

// bulky returns files of which each needs several pages.
func bulky(version byte) []stack.File {
	files := []stack.File{key("ca/ca.key", "ca")}
	for _, p := range []string{"ca/ca.crt", "registry/htpasswd", "registry/certs/registry.crt", "compose.yaml"} {
		data := make([]byte, 3*os.Getpagesize())
		for i := range data {
			data[i] = version
		}
		files = append(files, stack.File{Path: p, Mode: 0o600, Data: data})
	}
	return files
}

// childFull leaves one page more free each time, until a write succeeds.
func childFull(mnt string) error {
	d, err := mountSmall(mnt, "size=256k")
	if err != nil {
		return err
	}
	if _, err := d.Write(bulky('1')); err != nil {
		return err
	}
	old, err := listing(d.Root())
	if err != nil {
		return err
	}
	for pages := 0; ; pages++ {
		filler, err := fill(filepath.Join(mnt, "filler"), pages)
		if err != nil {
			return err
		}
		_, err = d.Write(bulky('2'))
		if err == nil {
			if pages < 10 {
				return fmt.Errorf("a write of 12 pages succeeds with %d", pages)
			}
			return purgeFull(d, filler)
		}
		var full *FullError
		if !errors.As(err, &full) || !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%d pages left: got %w", pages, err)
		}
		now, err := listing(d.Root())
		if err != nil {
			return err
		}
		if now != old {
			return fmt.Errorf("%d pages left: a failed write changed something:\n%s", pages, now)
		}
	}
}

// purgeFull purges with not a single page left: it must not need room itself.
func purgeFull(d *Dir, filler string) error {
	if _, err := fill(filler, 0); err != nil {
		return err
	}
	if err := d.Purge(); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Dir(d.Root())); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a purge leaves the directory above: %v", err)
	}
	return nil
}

// fill takes all space of a file system but some pages.
func fill(path string, pages int) (string, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	page := make([]byte, os.Getpagesize())
	for {
		if _, err = f.Write(page); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return "", err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	return path, f.Truncate(size - int64(pages*len(page)))
}

// childInodes leaves one inode more free each time. On a tmpfs a second link
// takes one as well, so here placing fails too, after the commit.
func childInodes(mnt string) error {
	d, err := mountSmall(mnt, "size=4m,nr_inodes=64")
	if err != nil {
		return err
	}
	for free := 0; ; free++ {
		fillers, err := fillInodes(mnt, free)
		if err != nil {
			return err
		}
		_, writeErr := d.Write(bulky('1'))
		files, err := d.ReadAll()
		if err != nil {
			return err
		}
		if len(files) != 0 && len(files) != len(bulky('1')) {
			return fmt.Errorf("%d inodes left: %d files are visible", free, len(files))
		}
		for _, f := range fillers {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
		if writeErr == nil {
			if free < len(bulky('1')) {
				return fmt.Errorf("a write succeeds with %d inodes", free)
			}
			if _, err := fillInodes(mnt, 0); err != nil {
				return err
			}
			return d.Purge()
		}
		var full *FullError
		if !errors.As(writeErr, &full) {
			return fmt.Errorf("%d inodes left: got %w", free, writeErr)
		}
		if err := again(d); err != nil {
			return fmt.Errorf("%d inodes left: %w", free, err)
		}
	}
}

// again writes with enough room, and starts over.
func again(d *Dir) error {
	if _, err := d.Write(bulky('1')); err != nil {
		return err
	}
	if err := d.Purge(); err != nil {
		return err
	}
	_, err := d.Lock(context.Background())
	return err
}

func fillInodes(mnt string, free int) ([]string, error) {
	var made []string
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(mnt, fmt.Sprint(i)))
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			return nil, err
		}
		made = append(made, f.Name())
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	for range free {
		last := len(made) - 1
		if err := os.Remove(made[last]); err != nil {
			return nil, err
		}
		made = made[:last]
	}
	return made, nil
}
