package compose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// helperLabel is on containers that never run, and that are removed by the process
// that has made them, within seconds. What is made of an image of theirs has the
// label, too, with another value.
const helperLabel, helperYes, helperNo = "io.certyard.helper", "yes", "no"

// SweepHelpers removes the helper containers that were made before a time, as by a
// process that was killed, whoever's they are. They hold nothing.
func (e *Engine) SweepHelpers(ctx context.Context, before time.Time) error {
	return e.sweepHelpers(ctx, helperYes, before)
}

func (e *Engine) sweepHelpers(ctx context.Context, value string, before time.Time) error {
	list, err := e.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", helperLabel+"="+value).Add("status", "created"),
	})
	if err != nil {
		return fmt.Errorf("listing what killed processes have left: %w", err)
	}
	var errs []error
	for _, c := range list.Items {
		if !time.Unix(c.Created, 0).Before(before) {
			continue
		}
		_, err := e.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing container %s: %w", containerName(c), err))
		}
	}
	return errors.Join(errs...)
}
