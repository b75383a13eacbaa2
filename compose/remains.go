package compose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// LeftError says that something of a project could not be removed with it, since
// somebody else uses it.
type LeftError struct {
	Project string
	Left    []string // as Remains has it
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("of the project %q is left, because it is in use: %s", e.Project, strings.Join(e.Left, ", "))
}

// Remains returns all that the engine has of a project, by its label: containers in
// any state, also those of one command, networks and volumes, each as its kind and
// its name, in a fixed order.
func (e *Engine) Remains(ctx context.Context, project string) ([]string, error) {
	label := make(client.Filters).Add("label", api.ProjectLabel+"="+strings.ToLower(project))
	var containers, networks, volumes []string
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		list, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: label})
		for _, c := range list.Items {
			containers = append(containers, "container "+containerName(c))
		}
		return err
	})
	g.Go(func() error {
		list, err := e.api.NetworkList(ctx, client.NetworkListOptions{Filters: label})
		for _, n := range list.Items {
			networks = append(networks, "network "+n.Name)
		}
		return err
	})
	g.Go(func() error {
		list, err := e.api.VolumeList(ctx, client.VolumeListOptions{Filters: label})
		for _, v := range list.Items {
			volumes = append(volumes, "volume "+v.Name)
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("looking for what there is of %q: %w", project, err)
	}
	out := slices.Concat(containers, networks, volumes)
	slices.Sort(out)
	return out, nil
}
