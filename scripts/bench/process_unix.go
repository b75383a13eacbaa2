//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"time"
)

// ownGroup keeps the terminal's interrupt from cmd, so that it gets exactly one,
// from us, and with it all that it has started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
}

// ownTime returns what this process, and the kernel for it, has used of the
// processors.
func ownTime() (user, system time.Duration) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, 0
	}
	return time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
}
