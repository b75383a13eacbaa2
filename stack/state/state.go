package state

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/certyard/certyard/stack"
)

// Names of our own bookkeeping at the top of the state directory.
const (
	lockFile   = ".lock"
	ignoreFile = ".gitignore"
	stageDir   = ".stage"
	purgeMark  = ".purge" // a purge has begun: what is here is no stack any more
	parentName = ".certyard"
)

// Options says what a Dir cannot know by itself.
type Options struct {
	// RegistryUID owns the files of [stack.OwnerRegistry] when certyard runs
	// as root. Other users cannot give files away, and own all of them.
	RegistryUID int
}

// Dir is a state directory. All methods may be called from several goroutines;
// those that write take turns, and need the lock.
type Dir struct {
	root string
	opts Options
	hook hook

	mu   sync.Mutex // guards held, and makes writers take turns
	held *os.File   // the lock file, while this Dir holds the lock
	made made       // what the last Lock had to make
}

// Open returns the state directory with the given path. It does no I/O: the
// directory need not exist.
func Open(root string, opts Options) *Dir {
	// A trailing slash would make the system follow a link at the end.
	return &Dir{root: filepath.Clean(root), opts: opts}
}

// Root returns the path of the state directory.
func (d *Dir) Root() string { return d.root }

// Exists reports whether there is a directory at the root's path.
func (d *Dir) Exists() bool {
	info, err := os.Lstat(d.root)
	return err == nil && info.IsDir()
}

// uid returns who shall own a file on disk.
func (d *Dir) uid(owner stack.Owner) int {
	euid := os.Geteuid()
	if euid == 0 && owner == stack.OwnerRegistry {
		return d.opts.RegistryUID
	}
	return euid
}

// openTree opens the root of the state directory.
func (d *Dir) openTree() (*tree, error) {
	root, err := openDir(d.root, d.hook)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, dirs: map[string]*dir{".": root}}, nil
}

// doing adds to an error what the Dir was about.
func (d *Dir) doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s state directory %s: %w", what, d.root, err)
}
