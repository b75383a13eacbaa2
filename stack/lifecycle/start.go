package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
)

// start brings the containers up. Where the engine refuses what BuildKit
// documents, and the spec leaves it open, the builder is given the minimal
// privileges instead; where a port that certyard chose has been taken since,
// another one is chosen.
func (u *upRun) start(ctx context.Context) error {
	existed, err := u.existing(ctx)
	if err != nil {
		return err
	}
	project, err := u.project(ctx, u.draft.spec.Name) // before anything is stopped for it
	if err != nil {
		return err
	}
	stopped, err := u.stopIdle(ctx, project)
	if err == nil && !stopped {
		err = ctx.Err()
	}
	if stopped || u.asRecorded {
		ctx = context.WithoutCancel(ctx) // what is stopped is started again
	}
	if err != nil {
		if stopped {
			_, again := u.upOnce(ctx, project, func(string) {})
			err = errors.Join(err, again)
		}
		return err
	}
	err = u.step(StepContainers, func(say func(string)) (string, error) {
		for tries := 0; ; tries++ {
			result, err := u.upOnce(ctx, project, say)
			if err == nil {
				return u.changes(result, existed), nil
			}
			if again, cause := u.retry(err); !again || tries == 5 {
				return "", err
			} else {
				say(cause)
			}
			if err := u.write(); err != nil {
				return "", err
			}
			if project, err = u.project(ctx, u.draft.spec.Name); err != nil {
				return "", err
			}
		}
	})
	if err == nil && u.wanted.Builder.Privileges == stack.PrivilegesAuto && u.draft.facts.Privileges == stack.PrivilegesMinimal {
		before := u.draft.prior.state
		if before == nil || before.Facts.Privileges != stack.PrivilegesMinimal {
			u.res.Steps[len(u.res.Steps)-1].Note = "the engine refuses privileged containers; the builder runs with SYS_ADMIN and without seccomp and AppArmor profiles instead"
			u.Observe(u.res.Steps[len(u.res.Steps)-1])
		}
	}
	return err
}

// retry changes the draft so that another try may work, and says how.
func (u *upRun) retry(err error) (bool, string) {
	var refused *compose.PrivilegeError
	if errors.As(err, &refused) && refused.Service == stack.Builder &&
		u.wanted.Builder.Privileges == stack.PrivilegesAuto && u.draft.facts.Privileges == stack.PrivilegesFull {
		u.draft.facts.Privileges = stack.PrivilegesMinimal
		return true, "privileged refused, trying minimal"
	}
	var full *compose.SubnetError
	if errors.As(err, &full) {
		u.draft.facts.Subnets = u.subnets()
		return true, "address range taken, trying another"
	}
	var taken *compose.PortError
	if !errors.As(err, &taken) {
		return false, ""
	}
	service := u.whosePort(taken)
	p := u.wanted.Published(service)
	if service == "" || !p.On() || p.Port != 0 {
		return false, ""
	}
	port, err := u.FreePort(p.IP)
	if err != nil {
		return false, ""
	}
	u.draft.spec = u.draft.spec.WithPort(service, port)
	return true, "port taken, trying another"
}

// subnets chooses an address range for each network.
func (u *upRun) subnets() map[string]netip.Prefix {
	out := map[string]netip.Prefix{}
	for _, name := range u.wanted.Serve.Networks() {
		out[name] = u.Subnet()
	}
	return out
}

// whosePort returns the service whose published port is taken, also where one
// container publishes those of both; "" for a port that is none of theirs.
func (u *upRun) whosePort(taken *compose.PortError) string {
	for _, service := range []string{stack.Registry, stack.Builder} {
		p := u.draft.spec.Published(service)
		ours := p.On() && (taken.Service == service || taken.Service == u.draft.spec.Serve.Publisher(service))
		if ours && strings.HasSuffix(taken.Address, fmt.Sprintf(":%d", p.Port)) {
			return service
		}
	}
	return ""
}

// project reads the compose project as it was written, with what is the user's.
func (d Deps) project(ctx context.Context, name string) (*types.Project, error) {
	files := []string{filepath.Join(d.Store.Root(), stack.FileCompose)}
	if d.Override != "" {
		files = append(files, d.Override)
	}
	return compose.Load(ctx, compose.Source{Name: name, Dir: d.Store.Root(), Files: files})
}

func (u *upRun) upOnce(ctx context.Context, project *types.Project, say func(string)) (compose.UpResult, error) {
	// What the other way to serve has, and the ports that it holds.
	remove := slices.DeleteFunc([]string{stack.Edge}, func(s string) bool { return slices.Contains(u.draft.spec.Serve.Services(), s) })
	result, err := u.Engine.Up(ctx, project, compose.UpOptions{
		Remove:   remove,
		Progress: func(e compose.Event) { say(describeEvent(e)) },
		Volumes: []compose.VolumeOwner{
			{Service: stack.Registry, Target: stack.DataRegistry, UID: u.draft.facts.RegistryUID, GID: u.draft.facts.RegistryGID},
		},
	})
	if taken, ok := errors.AsType[*compose.PortError](err); ok {
		taken.Service = cmp.Or(u.whosePort(taken), taken.Service)
	}
	return result, err
}

func describeEvent(e compose.Event) string {
	text := e.Service
	if text == "" {
		text = e.Name
	}
	text = strings.TrimSpace(text + " " + strings.ToLower(e.Status))
	if e.Percent > 0 && !e.Done {
		text += fmt.Sprintf(" %d%%", e.Percent)
	}
	return text
}

// existing returns which services have a container already.
func (u *upRun) existing(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	containers, err := u.Engine.Containers(ctx, u.draft.spec.Name)
	for _, c := range containers {
		out[c.Service] = true
	}
	return out, err
}

// changes describes what happened since before the first try: what a try made
// and the next one found is still new.
func (u *upRun) changes(result compose.UpResult, existed map[string]bool) string {
	var parts []string
	for _, service := range slices.Sorted(maps.Keys(result.Services)) {
		change := string(result.Services[service])
		if !existed[service] {
			change = string(compose.Created)
		}
		u.res.Changes = append(u.res.Changes, ServiceChange{service, change})
		parts = append(parts, service+" "+change)
	}
	return strings.Join(parts, ", ")
}
