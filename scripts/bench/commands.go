package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// rowNothing is a command beside those of the usual bench: an up that finds
// everything in place, with all proofs.
const rowNothing = "up, with nothing to do"

// commands measures what the commands cost the machine, on a stack that runs.
func (b *stackBench) commands(ctx context.Context) error {
	if _, _, err := b.yard.up(ctx); err != nil {
		return err
	}
	run := 0
	err := b.turns(ctx, "commands", func(counts bool) error {
		b.counts = counts
		run++
		return b.commandsOnce(ctx, filepath.Join(b.tmp, fmt.Sprint("init", run)))
	})
	if err != nil {
		return err
	}
	if _, _, err := b.yard.certyard(ctx, b.yard.args("down", "--volumes")...); err != nil {
		return err
	}
	return b.table("what commands cost", b.runs, func(t io.Writer) {
		fmt.Fprintln(t, "\ttime\tof the processors\tpeak memory\tlimit\tholds")
		for _, row := range []string{rowVersion, rowInit, rowNothing, rowSmoke, rowStatus} {
			samples := b.samples[row]
			peak := slices.MaxFunc(samples, func(a, b sample) int { return cmp.Compare(a.peak, b.peak) }).peak
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", row, duration(median(times(samples))), duration(median(processorTimes(samples))),
				megabytes(peak), megabytes(memoryLimit), yes(peak <= memoryLimit))
		}
	})
}

func (b *stackBench) commandsOnce(ctx context.Context, empty string) error {
	for _, c := range []struct {
		row  string
		args []string
	}{
		{rowVersion, []string{"version"}},
		{rowInit, []string{"--dir", empty, "init"}},
		{rowNothing, b.yard.args("up")},
		{rowSmoke, b.yard.args("smoke")},
		{rowStatus, b.yard.args("status")},
	} {
		s, _, err := b.yard.certyard(ctx, c.args...)
		if err != nil {
			return err
		}
		b.add(c.row, s)
	}
	return nil
}
