package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// site is a directory as somebody has it.
type site struct {
	style  string
	root   string            // what is looked at is in it
	away   string            // the keys of its CAs, where no daemon sees them
	roles  map[string]string // what files are for: their paths from root
	now    time.Time
	turn   int            // which fault is made now
	taken  map[string]int // files that a fault has as it wants them
	target func(*site) (doctor.Target, doctor.Deps, error)
	// deserved are the warnings that the style deserves while it is healthy.
	deserved []string
}

// errAbsent is for an injection that does not fit a site: what it changes is not
// there.
var errAbsent = errors.New("is not there to be changed")

// at returns the path of what a file is for.
func (s *site) at(role string) (string, error) {
	rel, ok := s.roles[role]
	if !ok {
		return "", fmt.Errorf("%s: %s %w", s.style, role, errAbsent)
	}
	return filepath.Join(s.root, rel), nil
}

func (s *site) read(role string) ([]byte, error) {
	file, err := s.at(role)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %s %w: %v", s.style, role, errAbsent, err)
	}
	return data, nil
}

// take says that a fault wants a file as it leaves it. Configs can have several
// mistakes, of which each finds its own text.
func (s *site) take(role string) error {
	file, err := s.at(role)
	if err != nil || slices.Contains([]string{"compose", "toml", "yml"}, role) {
		return err
	}
	return s.takePath(file)
}

func (s *site) takePath(file string) error {
	if turn, ok := s.taken[file]; ok && turn != s.turn {
		return fmt.Errorf("%s: %s as it was %w", s.style, file, errAbsent)
	}
	s.taken[file] = s.turn
	return nil
}

// overwrite keeps mode and owner.
func (s *site) overwrite(role string, data []byte) error {
	file, err := s.at(role)
	if err != nil {
		return err
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %s %w", s.style, role, errAbsent)
	}
	if err := s.take(role); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// copied returns the same site elsewhere, with modes and owners.
func (s *site) copied(t testing.TB) *site {
	t.Helper()
	out := *s
	out.root, out.taken = t.TempDir(), map[string]int{}
	if err := copyTree(s.root, out.root); err != nil {
		t.Fatal(err)
	}
	return &out
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		dest := filepath.Join(to, strings.TrimPrefix(path, from))
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := copyOne(path, dest, info); err != nil {
			return err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			return os.Lchown(dest, int(owner.Uid), int(owner.Gid))
		}
		return nil
	})
}

func copyOne(path, dest string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return os.Mkdir(dest, info.Mode().Perm())
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(to, dest)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(dest, data, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chmod(dest, info.Mode().Perm()) // whatever the umask
}

// examined looks at the files of a site.
func (s *site) examined(t testing.TB) doctor.Result {
	t.Helper()
	r, err := s.examine(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", s.style, err)
	}
	return r
}

func (s *site) examine(ctx context.Context) (doctor.Result, error) {
	target, deps, err := s.target(s)
	if err != nil {
		return doctor.Result{}, err
	}
	deps.Now = func() time.Time { return s.now }
	target.FilesOnly = true
	return doctor.Examine(ctx, deps, target)
}

// ofCompose is the target of a site that has a compose file.
func ofCompose(s *site) (doctor.Target, doctor.Deps, error) {
	file, err := s.at("compose")
	return doctor.Target{Compose: file}, doctor.Deps{Load: compose.LoadFile}, err
}

// ofFlags is the target of one that has none.
func ofFlags(s *site) (t doctor.Target, d doctor.Deps, err error) {
	t.Certs = filepath.Join(s.root, "certs")
	t.Builder, t.Registry = "localhost:1234", "localhost:5005"
	if t.BuildkitdConfig, err = s.at("toml"); err != nil {
		return t, d, err
	}
	t.RegistryConfig, err = s.at("yml")
	return t, d, err
}

// rulesOf returns the rules of findings of a severity, each once.
func rulesOf(r doctor.Result, severity lint.Severity) []string {
	var out []string
	for _, f := range r.Findings {
		if r.Severity(f) == severity && !slices.Contains(out, f.Rule) {
			out = append(out, f.Rule)
		}
	}
	return out
}

// told prints findings for a failing test.
func told(r doctor.Result) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n  %s %s %s:%d %s: %s", r.Severity(f), f.Rule, filepath.Base(f.File), f.Line, f.Object, f.Problem)
	}
	return b.String()
}
