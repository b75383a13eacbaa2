package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"},
		Usage: "show all stacks on the engine",
		Description: `Shows each with its age, where its ports are, when the first of its
certificates expires, its state directory, and for an ephemeral one the process
that it ends with. It goes by the labels of containers, so that other accounts'
stacks are in it; when their certificates expire is not known.`,
		Action: func(c *cli.Context) error {
			engine, err := a.connect(c.Context)
			if err != nil {
				return err
			}
			defer engine.Close()
			stacks, err := lifecycle.Stacks(c.Context, engine, func(dir string) lifecycle.Store { return state.Open(dir, state.Options{}) })
			if err != nil {
				return err
			}
			markAbandoned(stacks)
			if a.global.json {
				return a.printJSON(append([]lifecycle.Listed{}, stacks...))
			}
			return a.printList(stacks, time.Now())
		},
	}
}

// markAbandoned marks the ephemeral stacks of this account whose process has ended.
func markAbandoned(stacks []lifecycle.Listed) {
	ephemeral, err := local.EphemeralStacks("")
	if err != nil {
		return // who has no place for them has none
	}
	for i := range stacks {
		s := &stacks[i]
		s.Abandoned = s.Owner != "" && ephemeral.Abandons(s.Stack, s.Dir)
	}
}

func (a *app) printList(stacks []lifecycle.Listed, now time.Time) error {
	if len(stacks) == 0 {
		a.ui.linef("there is no stack on this engine")
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s %-6s %-9s %-22s %-22s %-11s %s\n", "STACK", "AGE", "RUNNING", "REGISTRY", "BUILDER", "EXPIRES", "WHERE")
	for _, s := range stacks {
		expires := "-"
		if !s.Expires.IsZero() {
			expires = s.Expires.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "%-24s %-6s %-9s %-22s %-22s %-11s %s\n", s.Stack, age(now.Sub(s.Created)), fmt.Sprintf("%d of %d", s.Running, s.Containers),
			ports(s, stack.Registry), ports(s, stack.Builder), expires, where(a, s))
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

func ports(s lifecycle.Listed, service string) string {
	if len(s.Ports[service]) == 0 {
		return "-"
	}
	return strings.Join(s.Ports[service], ",")
}

func where(a *app, s lifecycle.Listed) string {
	switch {
	case s.Abandoned:
		return s.Owner + ", which has ended (certyard prune)"
	case s.Owner != "":
		return s.Owner
	default:
		return a.ui.path(s.Dir)
	}
}

// age is a duration in its largest unit.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return fmt.Sprintf("%ds", max(d, 0)/time.Second)
	}
}

func (a *app) pruneCommand() *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove ephemeral stacks whose process has ended",
		Description: `Removes what "certyard up --ephemeral" and Go tests have left that were killed:
containers, networks, volumes and state directories of this account. Stacks of a
process that runs, of other accounts, and those that are not ephemeral stay.
--older-than also removes those that were started under the same user number and
have no state directory here, as of a container that had the engine's socket, once
they are that old. Whether their process runs cannot be seen then, and on an engine
that several machines use they may be somebody else's.`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "older-than", Usage: "also remove what has no state directory here and is older than `TIME`, as 12h or 2d"}},
		Action: func(c *cli.Context) error {
			older, err := a.olderThan(c)
			if err != nil {
				return err
			}
			engine, err := a.connect(c.Context)
			if err != nil {
				return err
			}
			defer engine.Close()
			ephemeral, err := local.EphemeralStacks("")
			if err != nil {
				return err
			}
			pruned, err := ephemeral.Prune(c.Context, engine, a.global.dryRun)
			if older > 0 && err == nil {
				var more []local.Pruned
				more, err = ephemeral.PruneOlder(c.Context, engine, time.Now().Add(-older), a.global.dryRun)
				pruned = append(pruned, more...)
			}
			if !a.global.json || len(pruned) == 0 && err != nil {
				a.printPruned(pruned)
				return err
			}
			if err != nil {
				a.ui.error(err, a.hintsFor(err))
				err = errNotSeen // the document says which, and why
			}
			return errors.Join(err, a.printJSON(pruned))
		},
	}
}

func (a *app) olderThan(c *cli.Context) (time.Duration, error) {
	text := c.String("older-than")
	if text == "" {
		return 0, nil
	}
	d, err := stack.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, usagef("--older-than %q is not a duration; want days as 2d, or hours as 12h", text)
	}
	return d, nil
}

func (a *app) printPruned(pruned []local.Pruned) {
	if len(pruned) == 0 {
		a.ui.linef("nothing to remove")
	}
	for _, p := range pruned {
		switch {
		case p.Elsewhere != "":
			a.ui.linef("left    %s, which is on the engine at %s", p.Stack, p.Elsewhere)
		case p.Error != "":
			a.ui.linef("failed  %s", p.Stack)
		case a.global.dryRun:
			a.ui.linef("would remove %s", p.Stack)
		default:
			a.ui.linef("removed %s: %d containers, networks and volumes", p.Stack, len(p.Removed))
		}
	}
}
