package compose

import (
	"context"

	"github.com/moby/moby/client"
)

// steady is an API client that waits for the end of what it has begun to
// create. An engine goes on creating after its client has hung up, so that a
// Down that follows an interrupted Up would miss what appears a moment later.
// The SDK hangs up whenever one of several services fails.
type steady struct {
	client.APIClient
}

// ContainerCreate is part of client.APIClient.
func (s steady) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	if err := ctx.Err(); err != nil {
		return client.ContainerCreateResult{}, err
	}
	return s.APIClient.ContainerCreate(context.WithoutCancel(ctx), o)
}

// NetworkCreate is part of client.APIClient.
func (s steady) NetworkCreate(ctx context.Context, name string, o client.NetworkCreateOptions) (client.NetworkCreateResult, error) {
	if err := ctx.Err(); err != nil {
		return client.NetworkCreateResult{}, err
	}
	return s.APIClient.NetworkCreate(context.WithoutCancel(ctx), name, o)
}

// VolumeCreate is part of client.APIClient.
func (s steady) VolumeCreate(ctx context.Context, o client.VolumeCreateOptions) (client.VolumeCreateResult, error) {
	if err := ctx.Err(); err != nil {
		return client.VolumeCreateResult{}, err
	}
	return s.APIClient.VolumeCreate(context.WithoutCancel(ctx), o)
}
