package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// The rows, by the names that they are printed under.
const (
	rowFirst   = "first up"
	rowCompose = "  docker compose up -d, and both ports answer"
	rowSecond  = "second up"
	rowSmoke   = "smoke"
	rowStatus  = "status"
	rowInit    = "init"
	rowMkcert  = "  mkcert and htpasswd"
	rowOpenSSL = "  openssl and htpasswd"
	rowVersion = "start-up (version)"
)

// rows has the limits and figures of "Numbers to hold" in DESIGN.md. Peers have
// the figure that is known of them and no limit.
var rows = []struct {
	name  string
	limit time.Duration
	known time.Duration
}{
	{name: rowFirst, limit: 1600 * time.Millisecond},
	{name: rowCompose, known: 700 * time.Millisecond},
	{name: rowSecond, limit: 600 * time.Millisecond},
	{name: rowSmoke},
	{name: rowStatus, limit: 150 * time.Millisecond},
	{name: rowInit, limit: 40 * time.Millisecond},
	{name: rowMkcert, known: 88 * time.Millisecond},
	{name: rowOpenSSL, known: 156 * time.Millisecond},
	{name: rowVersion, limit: 20 * time.Millisecond},
}

// memoryLimit is for every command of certyard.
const memoryLimit = 64 << 20

// print writes the tables.
func (b *bench) print(w io.Writer, runs int) error {
	fmt.Fprintf(w, "\nmedians of %d runs, images present, %d processors%s, %s/%s, %s\n\n",
		runs, runtime.NumCPU(), load(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\tmedian\tfastest\tslowest\tlimit\tholds\tpeak memory")
	var peak int64 // of certyard, in any run
	for _, row := range rows {
		samples := b.samples[row.name]
		if len(samples) == 0 {
			fmt.Fprintf(t, "%s\tnot measured\n", row.name)
			continue
		}
		took := times(samples)
		limit, holds := atMost(median(took), row.limit)
		if row.known > 0 {
			limit = "(" + duration(row.known) + " before)"
		}
		m := slices.MaxFunc(samples, func(a, b sample) int { return cmp.Compare(a.peak, b.peak) }).peak
		if row.name[0] != ' ' {
			peak = max(peak, m)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.name, duration(median(took)),
			duration(slices.Min(took)), duration(slices.Max(took)), limit, holds, megabytes(m))
	}
	fmt.Fprintf(t, "peak memory of certyard\t%s\t\t\t%s\t%s\n", megabytes(peak), megabytes(memoryLimit), yes(peak <= memoryLimit))
	if err := b.printSizes(t); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range b.files {
		if m.missing != "" {
			fmt.Fprintf(w, "\n%s: needs %s\n", m.row[2:], m.missing)
		}
	}
	return b.printSteps(w)
}

func (b *bench) printSizes(w io.Writer) error {
	for _, file := range []struct{ name, path string }{
		{"size of certyard", b.yard.binary},
		{"  size of docker-compose", b.compose},
	} {
		info, err := os.Stat(file.path)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\n", file.name, megabytes(info.Size()))
	}
	return nil
}

// printSteps says where the first up spends its time.
func (b *bench) printSteps(w io.Writer) error {
	fmt.Fprint(w, "\nfirst up, step by step\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\tmedian\tfastest\tslowest")
	for i, step := range b.steps[0] {
		var took []time.Duration
		for _, run := range b.steps {
			if i < len(run) {
				took = append(took, run[i].Took)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", step.Step, duration(median(took)), duration(slices.Min(took)), duration(slices.Max(took)))
	}
	return t.Flush()
}

// load says how busy the machine is: the times of a machine with more to do than
// processors say little.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	minute, _, _ := strings.Cut(string(data), " ")
	return ", load " + minute
}

func times(samples []sample) []time.Duration {
	var out []time.Duration
	for _, s := range samples {
		out = append(out, s.took)
	}
	return out
}

func processorTimes(samples []sample) []time.Duration {
	var out []time.Duration
	for _, s := range samples {
		out = append(out, s.cpu)
	}
	return out
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func atMost(have, limit time.Duration) (string, string) {
	if limit == 0 {
		return "", ""
	}
	return duration(limit), yes(have <= limit)
}

func yes(holds bool) string {
	if holds {
		return "yes"
	}
	return "NO"
}

// duration prints milliseconds, with a digit more where they are few.
func duration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
