package compose

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"

	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
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

// handedOver returns the names of the volumes that belong to their owners already:
// a container of the service has run as that one, which it does only after
// ownVolumes. Looking into a volume takes longer than to ask for this.
func (e *Engine) handedOver(ctx context.Context, owners []VolumeOwner, containers []Container) (map[string]bool, error) {
	out := map[string]bool{}
	for _, o := range owners {
		for _, c := range containers {
			if c.Service != o.Service || c.State == "created" {
				continue
			}
			have, err := e.api.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
			if errdefs.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("inspecting container %s: %w", c.Name, err)
			}
			if name := volumeAt(have.Container, o.Target); name != "" && have.Container.Config.User == fmt.Sprintf("%d:%d", o.UID, o.GID) {
				out[name] = true
			}
		}
	}
	return out, nil
}

// volumeAt returns the name of the volume that a container has at a path, or "".
func volumeAt(c container.InspectResponse, target string) string {
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume && m.Destination == target {
			return m.Name
		}
	}
	return ""
}

// ownVolumes hands volumes over to their owners, for services whose container has
// never been started, except those that were handed over before.
func (e *Engine) ownVolumes(ctx context.Context, owners []VolumeOwner, containers []Container, handed map[string]bool) error {
	for _, o := range owners {
		for _, c := range containers {
			if c.Service != o.Service || c.State != "created" {
				continue
			}
			if err := e.ownVolume(ctx, o, c.ID, handed); err != nil {
				return fmt.Errorf("giving the volume at %s of service %s to uid %d: %w", o.Target, o.Service, o.UID, err)
			}
		}
	}
	return nil
}

func (e *Engine) ownVolume(ctx context.Context, o VolumeOwner, id string, handed map[string]bool) error {
	c, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	if handed[volumeAt(c.Container, o.Target)] {
		return nil
	}
	have, err := e.rootOf(ctx, id, o.Target)
	if err != nil {
		return err
	}
	everybody := have.Mode&0o1002 == 0o1002 // as /tmp
	if have.Uid == o.UID && have.Gid == o.GID || everybody {
		return nil
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
	volume := volumeAt(of, target)
	if volume == "" {
		return "", fmt.Errorf("nothing is mounted there as a volume")
	}
	created, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		// With the labels of the project's command containers it is removed with
		// the project, if this process is killed before it does that.
		Config: &container.Config{Image: of.Image, Entrypoint: []string{"/never-runs"}, Labels: map[string]string{
			api.ProjectLabel: of.Config.Labels[api.ProjectLabel], api.ServiceLabel: of.Config.Labels[api.ServiceLabel], api.OneoffLabel: "True", api.ConfigHashLabel: "helper",
		}},
		HostConfig: &container.HostConfig{
			NetworkMode: "none",
			Mounts:      []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: target}},
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
