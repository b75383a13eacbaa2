// Usage runs a program, and writes what that took, in JSON, into a file. It stands
// between bench and what bench measures since Linux has a process begin with the
// memory of the one that forked it as its peak (getrusage(2), ru_maxrss), and this
// one holds next to nothing.
//
//	usage FILE PROGRAM [ARGUMENT...]
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// usage is read by bench.
type usage struct {
	Took time.Duration `json:"took_ns"`
	CPU  time.Duration `json:"cpu_ns"`     // user and system
	Peak int64         `json:"peak_bytes"` // 0 where that is unknown
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: usage FILE PROGRAM [ARGUMENT...]")
		os.Exit(2)
	}
	err := run(os.Args[1], os.Args[2], os.Args[3:])
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "usage: error:", err)
		os.Exit(1)
	}
}

func run(file, program string, args []string) error {
	// They reach the program too, which has the same process group, and decides.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	state := cmd.ProcessState
	data, err := json.Marshal(usage{time.Since(start), state.UserTime() + state.SystemTime(), peakMemory(state)})
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}
