package compose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// The engine lets two networks have one name. That is how they come to be: an
// Up is killed while the engine makes the network for it, the next Up finds
// none yet and asks for one too, and from then on no container can start.

// oneNetworkEach removes, of a project's networks with the same name, all but
// the one that is in use.
func (e *Engine) oneNetworkEach(ctx context.Context, project string) error {
	list, err := e.api.NetworkList(ctx, client.NetworkListOptions{
		Filters: make(client.Filters).Add("label", api.ProjectLabel+"="+strings.ToLower(project)),
	})
	if err != nil {
		return fmt.Errorf("listing the networks of %q: %w", project, err)
	}
	byName := map[string][]network.Summary{}
	for _, n := range list.Items {
		byName[n.Name] = append(byName[n.Name], n)
	}
	for name, same := range byName {
		if len(same) < 2 {
			continue
		}
		if err := e.keepOne(ctx, same); err != nil {
			return fmt.Errorf("removing what is there twice of network %q: %w", name, err)
		}
	}
	return nil
}

// keepOne keeps the network that has containers, or else the oldest one.
func (e *Engine) keepOne(ctx context.Context, same []network.Summary) error {
	slices.SortFunc(same, func(a, b network.Summary) int { return a.Created.Compare(b.Created) })
	keep := same[0].ID
	for _, n := range same {
		details, err := e.api.NetworkInspect(ctx, n.ID, client.NetworkInspectOptions{})
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		if len(details.Network.Containers) > 0 {
			keep = n.ID
		}
	}
	for _, n := range same {
		if n.ID == keep {
			continue
		}
		if _, err := e.api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// ambiguous reports whether the engine found two networks for one name
// (FindNetwork in moby's daemon/network.go).
func ambiguous(err error) bool { return strings.Contains(err.Error(), "is ambiguous (") }
