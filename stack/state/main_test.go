package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/certyard/certyard/stack"
)

// The test binary runs itself in several roles: to be killed, to be another
// user, to have a file system of its own. These variables say which.
const (
	roleVar = "CERTYARD_STATE_TEST_ROLE"
	rootVar = "CERTYARD_STATE_TEST_ROOT"
	killVar = "CERTYARD_STATE_TEST_KILL"
)

// roles are what a child may be told to do. An error makes it exit with 1.
func roles() map[string]func(root string) error {
	all := map[string]func(root string) error{
		"write":      childWrite,
		"write pair": childWritePair,
		"swap":       childSwap,
		"step":       childStep,
		"rewrite":    childRewrite,
		"purge":      childPurge,
		"lock":       childLock,
		"hold":       childHold,
		"read only":  childReadOnly,
	}
	maps.Copy(all, mountRoles())
	return all
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles()[role](os.Getenv(rootVar)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// nobody is a uid that owns nothing, for the parts that root must not do.
const nobody = 65534

// child prepares a run of this binary in a role.
func child(t *testing.T, role, root string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), roleVar+"="+role, rootVar+"="+root)
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // else each child of a race build lingers for a second
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stderr = &out
	return cmd, &out
}

// asNobody makes a command run without root's powers, if there are any.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	// The directory of the go command is closed to others.
	data, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(openTemp(t), "state.test")
	if err := os.WriteFile(cmd.Path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// openTemp returns a temporary directory that any user can reach.
func openTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "certyard-state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// registryUID is what the registry's files belong to, when we are root.
const registryUID = 64999

var opts = Options{RegistryUID: registryUID}

// testDir returns a state directory that does not exist yet.
func testDir(t *testing.T) *Dir {
	t.Helper()
	return Open(filepath.Join(t.TempDir(), parentName, "yard"), opts)
}

// sweepDir is testDir for tests that make hundreds of them, in memory where the
// system has a place for that: whether fsync waits for a disk is nothing that a
// kill can show.
func sweepDir(t *testing.T) *Dir {
	t.Helper()
	top, err := os.MkdirTemp("/dev/shm", "certyard-state-")
	if err != nil {
		return testDir(t)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(top); err != nil {
			t.Error(err)
		}
	})
	return Open(filepath.Join(top, parentName, "yard"), opts)
}

func lock(t *testing.T, d *Dir) {
	t.Helper()
	release, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
}

func write(t *testing.T, d *Dir, files []stack.File) Changes {
	t.Helper()
	changes, err := d.Write(files)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func key(p, content string) stack.File {
	return stack.File{Path: p, Mode: 0o600, Once: true,
		Data: []byte("-----BEGIN PRIVATE KEY-----\n" + content + "\n-----END PRIVATE KEY-----\n")}
}

func file(p, content string) stack.File {
	return stack.File{Path: p, Mode: 0o600, Data: []byte(content + "\n")}
}

func forRegistry(f stack.File) stack.File {
	f.Owner = stack.OwnerRegistry
	return f
}

// yard returns the files of a small stack. Those of another version differ,
// except for the keys; version 2 has one key pair more.
func yard(version int) []stack.File {
	v := fmt.Sprintf("version %d", version)
	files := []stack.File{
		file("ca/ca.crt", "ca"),
		key("ca/ca.key", "ca"),
		forRegistry(file("registry/auth/htpasswd", v)),
		forRegistry(file("registry/certs/registry.crt", v)),
		forRegistry(key("registry/certs/registry.key", "registry")),
		{Path: "compose.yaml", Mode: 0o644, Data: []byte(v)},
	}
	if version > 1 {
		files = append(files, file("client/cert.pem", v), key("client/key.pem", "client"))
	}
	return files
}

// contents returns files as Load does.
func contents(files []stack.File) map[string]string {
	m := map[string]string{}
	for _, f := range files {
		m[f.Path] = string(f.Data)
	}
	return m
}

func text(files map[string][]byte) map[string]string {
	m := map[string]string{}
	for p, data := range files {
		m[p] = string(data)
	}
	return m
}

// listing describes everything below a directory, one line each, as somebody
// sees it who follows links. Of a generation that is as it should be only the
// public names are listed; all else that is about generations is.
func listing(root string) (string, error) {
	var lines []string
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if hidden(p, info) {
			return nil
		}
		if target, _ := os.Readlink(p); target == "..data/"+filepath.Base(p) {
			if there, err := os.Stat(p); err == nil {
				info = there
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		line := fmt.Sprintf("%s %v %d", rel, info.Mode(), ownerOf(info))
		if info.Mode().IsRegular() && rel != lockFile {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", data)
		}
		lines = append(lines, line)
		return nil
	})
	sort.Strings(lines)
	return strings.Join(lines, "\n"), err
}

// hidden reports whether a path is a role's pointer to a generation, that
// generation, closed to others, or a file of it that has a public link.
func hidden(p string, info fs.FileInfo) bool {
	name, above := filepath.Base(p), filepath.Dir(p)
	current, _ := os.Readlink(filepath.Join(above, "..data"))
	if name == "..data" {
		return isGeneration(current)
	}
	if isGeneration(name) {
		top, err := os.Stat(above)
		return name == current && err == nil && info.Mode() == fs.ModeDir|0o700 && ownerOf(info) == ownerOf(top)
	}
	link, _ := os.Readlink(filepath.Join(above, "..", name))
	return isGeneration(filepath.Base(above)) && link == "..data/"+name
}

func mustList(t *testing.T, root string) string {
	t.Helper()
	list, err := listing(root)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// wantListing is what listing must show for a state directory with files.
func wantListing(files []stack.File) string {
	me, registry := os.Geteuid(), os.Geteuid()
	if me == 0 {
		registry = registryUID
	}
	lines := map[string]string{
		".":      fmt.Sprintf(". drwx------ %d", me),
		lockFile: fmt.Sprintf(".lock -rw------- %d", me),
	}
	for _, f := range files {
		uid := me
		if f.Owner == stack.OwnerRegistry {
			uid = registry
		}
		lines[f.Path] = fmt.Sprintf("%s %v %d %q", f.Path, f.Mode, uid, f.Data)
		for p := filepath.Dir(f.Path); p != "."; p = filepath.Dir(p) {
			if lines[p] == "" || f.Owner == stack.OwnerRegistry {
				lines[p] = fmt.Sprintf("%s drwx------ %d", p, uid)
			}
		}
	}
	var all []string
	for _, l := range lines {
		all = append(all, l)
	}
	sort.Strings(all)
	return strings.Join(all, "\n")
}

// wasKilled reports whether a child ended by SIGKILL, and fails on any other
// bad end.
func wasKilled(t *testing.T, err error, stderr *bytes.Buffer) bool {
	t.Helper()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signal() == syscall.SIGKILL {
			return true
		}
	}
	t.Fatalf("child: %v\n%s", err, stderr)
	return false
}
