package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/certyard/certyard/compose"
)

// DownOptions says how much Down removes.
type DownOptions struct {
	Volumes bool // also the registry's images and the builder's cache
	Purge   bool // also the state directory, with the CA
}

// DownResult is what Down removed.
type DownResult struct {
	Stack   string   `json:"stack"`
	Dir     string   `json:"dir"`
	Removed []string `json:"removed"`
	Purged  bool     `json:"purged"`
}

// Down removes the stack's containers and network, found by their labels, and
// what the options add. It is done when nothing is there, so a second Down
// succeeds too.
func Down(ctx context.Context, d Deps, name string, opts DownOptions) (DownResult, error) {
	res := DownResult{Stack: name, Dir: d.Store.Root()}
	if err := d.Engine.Foreign(ctx, name, d.Store.Root()); err != nil {
		return res, err
	}
	opts.Purge = opts.Purge && d.Store.Exists()
	if d.Store.Exists() {
		release, err := d.Store.Lock(ctx)
		if err != nil {
			return res, err
		}
		defer release()
	}
	_, err := d.run(StepRemove, func(say func(string)) (string, error) {
		down, err := d.Engine.Down(ctx, name, compose.DownOptions{
			Volumes: opts.Volumes, Progress: func(e compose.Event) { say(describeEvent(e)) },
		})
		res.Removed = slices.Concat(down.Containers, down.Networks, down.Volumes)
		if len(res.Removed) == 0 {
			return "nothing there", err
		}
		return fmt.Sprintf("%d containers, %d networks, %d volumes", len(down.Containers), len(down.Networks), len(down.Volumes)), err
	})
	if err != nil || !opts.Purge {
		return res, err
	}
	_, err = d.run(StepPurge, func(func(string)) (string, error) {
		return d.Store.Root(), d.Store.Purge()
	})
	res.Purged = err == nil
	return res, err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
