package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

func (a *app) statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show certificates, files and containers, without touching them",
		Description: `Exits with 3 when a certificate is due, a file is not as written, a container
does not run, or a rotation is open or was interrupted. It dials nothing:
"certyard smoke" does.`,
		Action: func(c *cli.Context) error {
			s, err := a.status(c.Context)
			if err != nil {
				return err
			}
			if a.global.json {
				err = a.printJSON(s)
			}
			a.printStatus(s)
			switch {
			case err != nil:
				return err
			case !s.OK():
				return errNotOK
			case s.Engine != "":
				return errNotSeen
			}
			return nil
		},
	}
}

func (a *app) status(ctx context.Context) (lifecycle.Status, error) {
	name, err := a.stackName()
	if err != nil {
		return lifecycle.Status{}, err
	}
	d, done, engineErr := a.engineDeps(ctx, name)
	if engineErr == nil {
		defer done()
	}
	if d.Store == nil {
		return lifecycle.Status{}, engineErr
	}
	return lifecycle.GetStatus(ctx, d, engineErr)
}

func (a *app) printStatus(s lifecycle.Status) {
	a.ui.linef("stack %q in %s, made %s", s.Stack, a.ui.path(s.Dir), s.Made.Local().Format("2006-01-02 15:04"))
	for _, c := range s.Certificates {
		a.ui.linef("  %-13s serial %s, until %s (%d days), %d names, %s", c.Name, short(c.Serial, 12), c.NotAfter.Format("2006-01-02"), c.DaysLeft, len(c.SANs), c.File)
	}
	for _, c := range s.Containers {
		a.ui.linef("  %-13s %s", c.Service, containerLine(c))
	}
	for _, e := range append(s.Spec.HostEndpoints(stack.Registry, s.Facts), s.Spec.HostEndpoints(stack.Builder, s.Facts)...) {
		a.ui.linef("  %-13s %s", "reach it at", e)
	}
	for _, p := range s.Due {
		a.ui.linef("  %-13s %s %s: %s", "due", p.Action, p.Object, p.Cause)
	}
	if r := s.Rotation; r != nil {
		a.ui.linef("  %-13s replacement of the CA since %s, at %s", "open", r.Started.Local().Format("2006-01-02 15:04"), r.Phase)
	}
	if s.Unproven {
		a.ui.linef("  %-13s what a rotation has written is not proven yet", "open")
	}
	if len(s.Changed) > 0 {
		a.ui.linef("  %-13s %s", "changed", strings.Join(s.Changed, ", "))
	}
	if s.Engine != "" {
		a.ui.linef("  %-13s not seen: %s", "containers", s.Engine)
	}
	a.rotationOpen(s.Rotation)
	a.ending(s.Ending)
	for _, hint := range a.here(statusHints(s)) {
		a.ui.linef("certyard: hint: %s", hint)
	}
}

// statusHints say what mends what status shows, but for the CAs.
func statusHints(s lifecycle.Status) (hints []string) {
	there := func(c lifecycle.ContainerStatus) bool { return c.State != "missing" }
	if s.Unproven && (s.Engine != "" || slices.ContainsFunc(s.Containers, there)) {
		hints = append(hints, `if no rotation runs now, one was interrupted: "certyard rotate" finishes it, and proves it`)
	}
	switch {
	case s.Well():
	case s.Renews():
		hints = append(hints, `"certyard rotate" renews what is due, and starts nothing again while somebody builds`)
	default:
		hints = append(hints, `"certyard up" issues what is due, writes what changed and starts what does not run`)
	}
	return hints
}

func containerLine(c lifecycle.ContainerStatus) string {
	if c.State == "missing" {
		return "no container"
	}
	text := fmt.Sprintf("%s %s (%s)", c.Name, c.State, c.Image)
	if c.State != "running" {
		text += fmt.Sprintf(", exit status %d", c.ExitCode)
	}
	if c.Health != "" {
		text += ", " + c.Health
	}
	return text
}
