package compose

import (
	"context"
	"errors"
	"testing"

	"github.com/moby/moby/client"
)

// What has begun to be created is waited for, and nothing new is begun.
func TestSteadyCreates(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{interrupt: cancel}
	if _, err := (steady{r}).ContainerCreate(ctx, client.ContainerCreateOptions{}); err != nil {
		t.Errorf("a creation that had begun was interrupted: %v", err)
	}
	s := steady{r}
	_, container := s.ContainerCreate(ctx, client.ContainerCreateOptions{})
	_, network := s.NetworkCreate(ctx, "n", client.NetworkCreateOptions{})
	_, volume := s.VolumeCreate(ctx, client.VolumeCreateOptions{})
	for _, err := range []error{container, network, volume} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the interruption: %v, want context.Canceled", err)
		}
	}
	if r.created != 1 {
		t.Errorf("%d containers were created, want one", r.created)
	}
}

// recorder is an engine that is interrupted while it creates.
type recorder struct {
	client.APIClient
	interrupt func()
	created   int
}

func (r *recorder) ContainerCreate(ctx context.Context, _ client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	r.created++
	r.interrupt()
	return client.ContainerCreateResult{}, ctx.Err()
}
