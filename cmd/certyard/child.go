package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// childError is the exit status of a command that was run in our place.
type childError struct{ status int }

func (e *childError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// signalBase is added to a signal's number where a shell turns a death by signal
// into an exit status.
const signalBase = 128

// runChild runs a command to its end, as its init process would: every signal
// that asks a program for something is forwarded, and processes that the command
// has left behind are collected. The error is a *childError unless its status is
// 0.
func (a *app) runChild(command []string) error {
	if err := becomeReaper(); err != nil {
		return err
	}
	// Before the command starts, so that no signal is lost.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	defer signal.Stop(signals)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- reap(cmd.Process.Pid) }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it fails only when the process has ended, which comes next
		case err := <-done:
			return err
		}
	}
}

// reap collects every child that ends until the one with the given id has. That
// is done here, and not by os/exec, since waiting for all of them takes away
// what os/exec waits for.
func reap(pid int) error {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for it: %w", err)
		case got != pid:
		case status.Signaled():
			return &childError{signalBase + int(status.Signal())}
		case status.ExitStatus() != 0:
			return &childError{status.ExitStatus()}
		default:
			return nil
		}
	}
}
