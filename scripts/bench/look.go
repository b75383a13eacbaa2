package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/stack/stacktest"
)

// The rows of what looks at many stacks.
const (
	rowStatusMany  = "certyard status"
	rowComposePs   = "  docker compose ps"
	rowListMany    = "certyard list"
	rowComposeLs   = "  docker compose ls"
	lookLimit      = 500 * time.Millisecond
	looksInOneTurn = 5
)

// look measures what looks at stacks while many run. Every run counts: what came
// before has warmed everything up.
func (b *stackBench) look(ctx context.Context, stacks []*stacktest.Stack) error {
	b.counts = true
	for i := range looksInOneTurn {
		if len(stacks) == 0 {
			return nil // which the failures tell
		}
		s := stacks[i*len(stacks)/looksInOneTurn]
		for _, l := range []struct {
			row, program string
			args         []string
		}{
			{rowStatusMany, b.yard.binary, []string{"--dir", filepath.Dir(s.Dir()), "--name", s.Name(), "status"}},
			{rowComposePs, b.compose, []string{"-p", s.Name(), "ps"}},
			{rowListMany, b.yard.binary, []string{"list"}},
			{rowComposeLs, b.compose, []string{"ls"}},
		} {
			if l.program == "" {
				continue // Compose is missing
			}
			took, _, err := b.yard.measured(ctx, b.tmp, l.program, l.args...)
			if err != nil {
				return err
			}
			b.add(l.row, took)
		}
	}
	return nil
}

// printTogether writes what the crowds have cost, then what looked at the largest.
func (b *stackBench) printTogether(crowds []*crowd, most *crowd) error {
	err := b.table("stacks that start at once, Quick", b.runs, func(t io.Writer) {
		fmt.Fprintln(t, "stacks\tTLS in the\tall ready\tper stack\tall gone\tper stack\tfailures\tmemory per stack, resident\tof that anonymous\tleft")
		for _, c := range crowds {
			n, ready, gone := time.Duration(c.count), median(c.ready), median(c.gone)
			fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", c.count, c.serve, duration(ready), duration(ready/n), duration(gone), duration(gone/n),
				len(c.failures), megabytes(c.memory.all/int64(n)), megabytes(c.memory.anonymous/int64(n)), c.left)
		}
	})
	if err != nil {
		return err
	}
	for _, c := range crowds {
		for _, err := range c.failures {
			fmt.Printf("\none of %d, TLS in the %s: %s\n", c.count, c.serve, strings.TrimSpace(err.Error()))
		}
	}
	return b.table(fmt.Sprintf("looking at stacks while %d of them run", most.count), b.runs*looksInOneTurn, func(t io.Writer) {
		fmt.Fprintln(t, "\tmedian\tfastest\tslowest\tof the processors\tlimit\tholds")
		for _, row := range []string{rowStatusMany, rowComposePs, rowListMany, rowComposeLs} {
			b.printLook(t, row)
		}
	})
}

func (b *stackBench) printLook(w io.Writer, row string) {
	took, cpu := times(b.samples[row]), processorTimes(b.samples[row])
	if len(took) == 0 {
		fmt.Fprintf(w, "%s\tnot available: %s\n", row, b.missing[rowComposeStack])
		return
	}
	limit, holds := "", ""
	if row[0] != ' ' {
		limit, holds = atMost(median(took), lookLimit)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row, duration(median(took)), duration(slices.Min(took)), duration(slices.Max(took)), duration(median(cpu)), limit, holds)
}
