package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A watched process asks before each system call that changes the disk, and
// waits for the answer: the kernel's seccomp notifications, see seccomp(2).
// Unlike strace's inject, which counts for each thread, that counts for the
// whole process, so that the n-th one is the n-th one wherever Go runs it.

// The kinds of system calls that a watched process asks for.
const (
	kindSync  = "sync"  // fsync
	kindPlace = "place" // rename, link, symlink, unlink, rmdir
	kindMake  = "make"  // openat with O_CREAT, mkdir
	kindWrite = "write" // write
	kindMode  = "mode"  // chmod, chown, times
)

// watchedCall is a system call that changes the disk. Its fd and path say which
// arguments name the file; without a path the descriptor is the file.
type watchedCall struct {
	nr         uintptr
	name, kind string
	fd, path   int
}

var watchedCalls = []watchedCall{
	{unix.SYS_FSYNC, "fsync", kindSync, 0, -1},
	{unix.SYS_FDATASYNC, "fdatasync", kindSync, 0, -1},
	{unix.SYS_RENAMEAT, "renameat", kindPlace, 2, 3},
	{unix.SYS_RENAMEAT2, "renameat2", kindPlace, 2, 3},
	{unix.SYS_LINKAT, "linkat", kindPlace, 2, 3},
	{unix.SYS_SYMLINKAT, "symlinkat", kindPlace, 1, 2},
	{unix.SYS_UNLINKAT, "unlinkat", kindPlace, 0, 1},
	{unix.SYS_OPENAT, "openat", kindMake, 0, 1},
	{unix.SYS_MKDIRAT, "mkdirat", kindMake, 0, 1},
	{unix.SYS_WRITE, "write", kindWrite, 0, -1},
	{unix.SYS_PWRITE64, "pwrite64", kindWrite, 0, -1},
	{unix.SYS_FTRUNCATE, "ftruncate", kindWrite, 0, -1},
	{unix.SYS_FCHMOD, "fchmod", kindMode, 0, -1},
	{unix.SYS_FCHMODAT, "fchmodat", kindMode, 0, 1},
	{unix.SYS_FCHOWN, "fchown", kindMode, 0, -1},
	{unix.SYS_FCHOWNAT, "fchownat", kindMode, 0, 1},
	{unix.SYS_UTIMENSAT, "utimensat", kindMode, 0, 1},
}

// mainWatched runs the command of its arguments in its own place, watched by who
// has the other end of descriptor 3.
func mainWatched() {
	runtime.LockOSThread() // the filter is this thread's, and stays with exec
	err := func() error {
		listener, err := installFilter()
		if err != nil {
			return fmt.Errorf("installing a seccomp filter: %w", err)
		}
		if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
			return err
		}
		unix.CloseOnExec(3)
		return unix.Exec(os.Args[1], os.Args[1:], os.Environ())
	}()
	fmt.Fprintln(os.Stderr, "starting a watched process:", err)
	os.Exit(125)
}

// installFilter returns the descriptor that the questions come from.
func installFilter() (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	filter := filterProgram()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// filterProgram asks for the watched calls, and of openat only where it makes
// files. The low half of an argument is its first on what Go runs on here.
func filterProgram() []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		any   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K

		number, flags = 0, 16 + 2*8 // offsets in struct seccomp_data
	)
	ask := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF}
	allow := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	out := []unix.SockFilter{{Code: load, K: number}}
	for _, c := range watchedCalls {
		if c.nr != unix.SYS_OPENAT {
			out = append(out, unix.SockFilter{Code: equal, Jf: 1, K: uint32(c.nr)}, ask)
		}
	}
	return append(out,
		unix.SockFilter{Code: equal, Jf: 3, K: unix.SYS_OPENAT},
		unix.SockFilter{Code: load, K: flags},
		unix.SockFilter{Code: any, Jf: 1, K: unix.O_CREAT}, ask, allow)
}

// startWatched starts a command as a watched process, and returns where its
// questions come from.
func startWatched(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "their end")
	ours := os.NewFile(uintptr(pair[0]), "our end")
	defer ours.Close()
	wrapper, err := exec.LookPath(watchedCommand)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{watchedCommand, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.ExtraFiles = wrapper, []*os.File{theirs}
	// The runtime's own signals would make a call that waits ask once more.
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := receiveFile(ours)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("a watched process does not start: %v", err)
	}
	return listener
}

func receiveFile(from *os.File) (int, error) {
	conn, err := net.FileConn(from)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(data, rights)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("no descriptor came: %w", err)
	}
	files, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	unix.CloseOnExec(files[0])
	return files[0], nil
}

// question is struct seccomp_notif, answer struct seccomp_notif_resp.
type question struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

const goOn = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE

// answerAll answers the questions of a process until it has ended, and has
// decide say what becomes of calls that change something below dir.
func answerAll(listener int, dir string, decide func(kind, what string) fate) error {
	defer unix.Close(listener)
	for {
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return err
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return nil // nobody is left who could ask
		}
		var q question
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q))); errno != 0 {
			continue // whoever asked is gone
		}
		a := answer{id: q.id, flags: goOn}
		if kind, call, path := q.subject(); path == dir || strings.HasPrefix(path, dir+"/") {
			switch f := decide(kind, call+" "+strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")); {
			case f.killed:
				continue // an answer might still come before the signal
			case f.errno != 0:
				a.errno, a.flags = -int32(f.errno), 0
			}
		}
		// It fails when the process was killed meanwhile.
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	}
}

// subject says which call it is, and which file it changes.
func (q question) subject() (kind, call, path string) {
	for _, c := range watchedCalls {
		if c.nr == uintptr(q.nr) {
			return c.kind, c.name, c.file(q)
		}
	}
	return "", "", ""
}

func (c watchedCall) file(q question) string {
	name := ""
	if c.path >= 0 {
		name = q.text(q.args[c.path])
	}
	if filepath.IsAbs(name) {
		return name
	}
	link := fmt.Sprintf("/proc/%d/fd/%d", q.pid, int32(q.args[c.fd]))
	if int32(q.args[c.fd]) == unix.AT_FDCWD {
		link = fmt.Sprintf("/proc/%d/cwd", q.pid)
	}
	base, _ := os.Readlink(link)
	return filepath.Join(base, name)
}

// text reads a string of the process that asks.
func (q question) text(at uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", q.pid))
	if err != nil || at == 0 {
		return ""
	}
	defer memory.Close()
	buffer := make([]byte, unix.PathMax)
	n, _ := memory.ReadAt(buffer, int64(at)) // it may end before the buffer does
	text, _, _ := strings.Cut(string(buffer[:n]), "\x00")
	return text
}
