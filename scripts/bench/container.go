package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// processorTime returns what the stack's containers have used of the processors
// since they were started, as the kernel counts it for their first processes.
func (s *served) processorTime(ctx context.Context) (time.Duration, error) {
	out, err := docker(ctx, "ps", "-q", "--filter", "label=com.docker.compose.project="+s.yard.name)
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, id := range strings.Fields(out) {
		pid, err := docker(ctx, "inspect", "-f", "{{.State.Pid}}", id)
		if err != nil {
			return 0, err
		}
		used, err := usedBy(strings.TrimSpace(pid))
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// usedBy reads user and system time from proc_pid_stat(5), in hundredths of a
// second: USER_HZ is 100 on every Linux that has an engine.
func usedBy(pid string) (time.Duration, error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, fmt.Errorf("reading the processor time of a container, which needs an engine on this machine: %w", err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memory returns what the edge's process has for itself. The pages of its
// executable do not count: all edges of a machine, and certyard itself, share
// them, and the kernel takes them back when it needs them.
func (s *served) memory(ctx context.Context) (int64, error) {
	time.Sleep(5 * time.Second) // at rest
	pid, err := docker(ctx, "inspect", "-f", "{{.State.Pid}}", s.yard.name+"-edge-1")
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/status")
	if err != nil {
		return 0, err
	}
	return kilobytes(string(data), "RssAnon")
}

// kilobytes returns the bytes of a line of proc_pid_status(5).
func kilobytes(status, name string) (int64, error) {
	for line := range strings.Lines(status) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("reading the memory of a container: the kernel does not tell its %s", name)
}

func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w", args[0], err)
	}
	return string(out), nil
}
