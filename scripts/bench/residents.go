package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/stack/local"
)

// residents is the memory of containers' processes, by proc_pid_status(5): all that
// is resident, and what of it belongs to one process alone. The difference are
// mostly the pages of the executables, which all stacks share, and which count for
// each of them in the first number.
type residents struct{ all, anonymous int64 }

func residentsOf(ctx context.Context, projects []string) (residents, error) {
	var total residents
	ids, err := labelled(ctx, projects, "ps", "--no-trunc")
	if err != nil || len(ids) == 0 {
		return total, err
	}
	pids, err := docker(ctx, append([]string{"inspect", "-f", "{{.State.Pid}}"}, ids...)...)
	if err != nil {
		return total, err
	}
	for _, pid := range strings.Fields(pids) {
		if err := total.add(pid); err != nil {
			return total, err
		}
	}
	return total, nil
}

// add adds a process and its children.
func (r *residents) add(pid string) error {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return fmt.Errorf("reading the memory of a container, which needs an engine on this machine: %w", err)
	}
	for name, to := range map[string]*int64{"VmRSS": &r.all, "RssAnon": &r.anonymous} {
		n, err := kilobytes(string(status), name)
		if err != nil {
			return err
		}
		*to += n
	}
	// No matches where the kernel does not tell; the daemons have no children
	// while nothing is built.
	lists, err := filepath.Glob("/proc/" + pid + "/task/*/children")
	if err != nil {
		return err
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // the thread may be gone
		for _, child := range strings.Fields(string(children)) {
			_ = r.add(child) // so may a health check
		}
	}
	return nil
}

// labelled returns the ids of what a listing of the engine has of projects.
func labelled(ctx context.Context, projects []string, listing ...string) ([]string, error) {
	const label = "com.docker.compose.project"
	id := "{{.ID}}"
	if listing[0] == "volume" {
		id = "{{.Name}}"
	}
	out, err := docker(ctx, append(listing, "--filter", "label="+label, "--format", id+` {{.Label "`+label+`"}}`)...)
	if err != nil {
		return nil, err
	}
	var ids []string
	for line := range strings.Lines(out) {
		if id, project, _ := strings.Cut(strings.TrimSpace(line), " "); slices.Contains(projects, project) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// left says what there still is of stacks that have ended.
func left(ctx context.Context, projects []string, goroutines int) (string, error) {
	var out []string
	note := func(n int, what string) {
		if n > 0 {
			out = append(out, fmt.Sprint(n, " ", what))
		}
	}
	for what, listing := range map[string][]string{"containers": {"ps", "-a"}, "networks": {"network", "ls"}, "volumes": {"volume", "ls"}} {
		ids, err := labelled(ctx, projects, listing...)
		if err != nil {
			return "", err
		}
		note(len(ids), what)
	}
	ephemeral, err := local.EphemeralStacks("")
	if err != nil {
		return "", err
	}
	files, err := os.ReadDir(ephemeral.Dir())
	if err != nil {
		return "", err
	}
	note(len(files), "files")
	// Those of connections have been told to end.
	for start := time.Now(); runtime.NumGoroutine() > goroutines && time.Since(start) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	note(runtime.NumGoroutine()-goroutines, "goroutines")
	if out == nil {
		return "nothing", nil
	}
	return strings.Join(out, ", "), nil
}
