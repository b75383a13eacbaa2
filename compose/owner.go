package compose

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// VolumeOwner says which uid and gid the root directory of a volume belongs to.
// An engine makes it root's, or what the image has at that path, and a service
// that runs as somebody else without capabilities cannot change that.
type VolumeOwner struct {
	Service string
	Target  string // where the volume is mounted, absolute
	UID     int
	GID     int
}

// ownVolumes hands volumes over to their owners, for services whose container
// is new and has not started yet.
func (e *Engine) ownVolumes(ctx context.Context, owners []VolumeOwner, result UpResult, containers []Container) error {
	for _, o := range owners {
		if change := result.Services[o.Service]; change != Created && change != Recreated {
			continue
		}
		i := slices.IndexFunc(containers, func(c Container) bool { return c.Service == o.Service })
		if err := e.ownVolume(ctx, o, containers[i].ID); err != nil {
			return fmt.Errorf("giving the volume at %s of service %s to uid %d: %w", o.Target, o.Service, o.UID, err)
		}
	}
	return nil
}

func (e *Engine) ownVolume(ctx context.Context, o VolumeOwner, id string) error {
	have, err := e.rootOf(ctx, id, o.Target)
	if err != nil {
		return err
	}
	everybody := have.Mode&0o1002 == 0o1002 // as /tmp
	if have.Uid == o.UID && have.Gid == o.GID || everybody {
		return nil
	}
	c, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	// An archive cannot change the directory that it is unpacked in, only one
	// below, so it goes to the volume's parent. That is on the container's root
	// file system, and where that is read-only the engine refuses. So it goes
	// into another container, which has the volume too, is not read-only and
	// never runs.
	helper, err := e.helper(ctx, c.Container, o.Target)
	if err != nil {
		return err
	}
	defer e.removeHelper(ctx, helper)
	_, err = e.api.CopyToContainer(ctx, helper, client.CopyToContainerOptions{
		DestinationPath: path.Dir(o.Target), Content: directoryArchive(o, have.Mode), CopyUIDGID: false,
	})
	return err
}

// rootOf returns the tar header of a directory in a container.
func (e *Engine) rootOf(ctx context.Context, id, dir string) (*tar.Header, error) {
	// The rest of the archive is not wanted: ending the request is cheaper.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result, err := e.api.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: dir})
	if err != nil {
		return nil, err
	}
	defer result.Content.Close()
	return tar.NewReader(result.Content).Next()
}

// helper creates a container with one volume of another container, from the
// image that is there anyway.
func (e *Engine) helper(ctx context.Context, of container.InspectResponse, target string) (id string, err error) {
	i := slices.IndexFunc(of.Mounts, func(m container.MountPoint) bool {
		return m.Type == mount.TypeVolume && m.Destination == target
	})
	if i < 0 {
		return "", fmt.Errorf("nothing is mounted there as a volume")
	}
	created, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: of.Image, Entrypoint: []string{"/never-runs"}},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			Mounts:      []mount.Mount{{Type: mount.TypeVolume, Source: of.Mounts[i].Name, Target: target}},
		},
	})
	return created.ID, err
}

// removeHelper removes it even when ctx has ended, because nobody else would.
// The anonymous volumes of its image go with it, the named one does not.
func (e *Engine) removeHelper(ctx context.Context, id string) {
	_, _ = e.api.ContainerRemove(context.WithoutCancel(ctx), id,
		client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
}

func directoryArchive(o VolumeOwner, mode int64) *bytes.Buffer {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// Writing to a buffer cannot fail, and the header is well formed.
	_ = w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: path.Base(o.Target) + "/", Mode: mode & 0o7777, Uid: o.UID, Gid: o.GID,
	})
	_ = w.Close()
	return &b
}
