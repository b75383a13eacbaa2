package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// yard is the stack that is measured: in a directory and under a name of its
// own, on ports that are free.
type yard struct {
	binary, daemons string
	usage           string // the program that measures others
	tmp, name       string
	upFlags         []string
}

// newYard copies the binary, so that a build meanwhile does not change what is
// measured.
func newYard(ctx context.Context, binary, tmp string) (*yard, error) {
	daemons, err := filepath.Abs(filepath.Join(filepath.Dir(binary), "daemons"))
	if err != nil {
		return nil, err
	}
	y := &yard{
		binary: filepath.Join(tmp, "certyard"), daemons: daemons, usage: filepath.Join(tmp, "usage"),
		tmp: tmp, name: fmt.Sprintf("certyard-bench-%d", os.Getpid()),
	}
	if _, _, err := command(ctx, "", nil, "go", "build", "-o", y.usage, "./scripts/bench/usage"); err != nil {
		return nil, err
	}
	return y, copyProgram(y.binary, binary)
}

func copyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// dir is the stack's state directory.
func (y *yard) dir() string { return filepath.Join(y.tmp, "stacks", y.name) }

// args puts the flags that name the stack before a command.
func (y *yard) args(command ...string) []string {
	return append([]string{"--dir", filepath.Dir(y.dir()), "--name", y.name}, command...)
}

func (y *yard) certyard(ctx context.Context, args ...string) (sample, []byte, error) {
	return y.measured(ctx, y.tmp, y.binary, args...)
}

func (y *yard) env() []string { return []string{"CERTYARD_DAEMONS=" + y.daemons} }

// measured is command with all that a sample has.
func (y *yard) measured(ctx context.Context, dir, program string, args ...string) (sample, []byte, error) {
	file := filepath.Join(y.tmp, "usage.json")
	s, out, err := command(ctx, dir, y.env(), y.usage, append([]string{file, program}, args...)...)
	if err != nil {
		return s, out, err
	}
	var usage struct {
		Took time.Duration `json:"took_ns"`
		CPU  time.Duration `json:"cpu_ns"`
		Peak int64         `json:"peak_bytes"`
	}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &usage)
	}
	return sample{took: usage.Took, cpu: usage.CPU, peak: usage.Peak}, out, err
}

// upResult is what bench reads of what "up" reports.
type upResult struct {
	Steps stepTimes `json:"steps"`
	Spec  struct {
		Registry service `json:"registry"`
		Builder  service `json:"builder"`
	} `json:"spec"`
	Facts struct {
		Images map[string]string `json:"images"` // by service
	} `json:"facts"`
}

// stepTimes is what the steps of an up took, in their order.
type stepTimes []struct {
	Step string        `json:"step"`
	Took time.Duration `json:"took_ns"`
}

type service struct {
	Publish struct {
		Port int `json:"port"`
	} `json:"publish"`
}

func (r upResult) ports() []int {
	return []int{r.Spec.Registry.Publish.Port, r.Spec.Builder.Publish.Port}
}

// up starts the stack, with all proofs.
func (y *yard) up(ctx context.Context) (sample, upResult, error) {
	var result upResult
	args := y.args("--json", "up", "--registry-publish", "127.0.0.1:0", "--builder-publish", "127.0.0.1:0")
	s, out, err := y.certyard(ctx, append(args, y.upFlags...)...)
	if err != nil {
		return s, result, err
	}
	if err := json.Unmarshal(out, &result); err != nil {
		return s, result, fmt.Errorf("reading what certyard up printed: %w", err)
	}
	return s, result, nil
}

// remove removes the stack, its volumes and its files, if there is one.
func (y *yard) remove(ctx context.Context) error {
	if _, err := os.Stat(y.dir()); err != nil {
		return nil
	}
	if _, _, err := y.certyard(ctx, y.args("down", "--volumes", "--purge", "--yes")...); err != nil {
		return fmt.Errorf(`removing the stack, which "docker compose -p %s down -v" does too: %w`, y.name, err)
	}
	return nil
}
