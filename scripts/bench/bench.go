package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// bench collects samples under the names that table.go prints.
type bench struct {
	yard    *yard
	compose string // the Compose CLI
	files   []fileMaker

	counts  bool // whether the samples of this run count
	samples map[string][]sample
	steps   []stepTimes // of the first up
}

func (b *bench) add(name string, s sample) {
	if !b.counts {
		return
	}
	if b.samples == nil {
		b.samples = map[string][]sample{}
	}
	b.samples[name] = append(b.samples[name], s)
}

// once measures everything once. Peers take turns, so that whatever else the
// machine does meanwhile befalls all of them.
func (b *bench) once(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := b.onFiles(ctx, dir); err != nil {
		return err
	}
	return b.onEngine(ctx)
}

// onFiles measures what needs no engine: start-up, init, and its peers.
func (b *bench) onFiles(ctx context.Context, dir string) error {
	s, _, err := b.yard.certyard(ctx, "version")
	if err != nil {
		return err
	}
	b.add(rowVersion, s)

	out := filepath.Join(dir, "init")
	if s, _, err = b.yard.certyard(ctx, "--dir", out, "init"); err != nil {
		return err
	}
	b.add(rowInit, s)
	names, err := readNames(filepath.Join(out, "certyard"))
	if err != nil {
		return err
	}
	for _, maker := range b.files {
		if maker.missing != "" {
			continue
		}
		if s, err = maker.run(ctx, filepath.Join(dir, maker.tool), names); err != nil {
			return err
		}
		b.add(maker.row, s)
	}
	return nil
}

// onEngine measures a stack from nothing to nothing, and in the middle lets
// Compose start the same compose.yaml with volumes as empty.
func (b *bench) onEngine(ctx context.Context) error {
	first, result, err := b.yard.up(ctx)
	if err != nil {
		return err
	}
	b.add(rowFirst, first)
	if b.counts {
		b.steps = append(b.steps, result.Steps)
	}
	second, _, err := b.yard.up(ctx)
	if err != nil {
		return err
	}
	b.add(rowSecond, second)
	for _, row := range []string{rowSmoke, rowStatus} {
		s, _, err := b.yard.certyard(ctx, b.yard.args(row)...)
		if err != nil {
			return err
		}
		b.add(row, s)
	}

	if _, _, err := b.yard.certyard(ctx, b.yard.args("down", "--volumes")...); err != nil {
		return err
	}
	peer, err := composeUp(ctx, b.compose, b.yard, result.ports())
	if err != nil {
		return fmt.Errorf("starting the same stack with docker compose: %w", err)
	}
	b.add(rowCompose, peer)
	return b.yard.remove(ctx)
}
