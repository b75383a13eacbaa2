package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/term"
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
func (a *app) runChild(ctx context.Context, command []string) error {
	if err := becomeReaper(); err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	return a.follow(ctx, cmd, func() error { return reap(cmd.Process.Pid) })
}

// follow starts a command, unless ctx has ended, and forwards signals to it until
// wait returns, which waits for it. On a terminal those that come from the keyboard
// reach every process there by themselves.
func (a *app) follow(ctx context.Context, cmd *exec.Cmd, wait func() error) error {
	// Before the command starts, so that no signal is lost: one that has come
	// before has ended ctx.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	if !signal.Ignored(syscall.SIGHUP) { // the command ignores what nohup has us ignore
		signal.Notify(signals, syscall.SIGHUP)
	}
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return err
	}
	terminal := onTerminal(a.stdin, a.stdout.to, a.stderr)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout.to, a.stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- wait() }()
	for {
		select {
		case s := <-signals:
			if keyboard := s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGWINCH; terminal && keyboard {
				continue
			}
			_ = cmd.Process.Signal(s) // it fails only when the process has ended, which comes next
		case err := <-done:
			return err
		}
	}
}

// onTerminal reports whether one of the streams is a terminal.
func onTerminal(streams ...any) bool {
	return slices.ContainsFunc(streams, func(s any) bool {
		f, ok := s.(*os.File)
		return ok && term.IsTerminal(int(f.Fd()))
	})
}

// signalOf returns which signal has ended a process, 0 for none.
func signalOf(e *exec.ExitError) syscall.Signal {
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
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
