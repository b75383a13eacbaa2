package main

import (
	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// smokeResult is the JSON document of smoke.
type smokeResult struct {
	Stack  string       `json:"stack"`
	Dir    string       `json:"dir"`
	OK     bool         `json:"ok"`
	Report stack.Report `json:"report"`
	Hints  []string     `json:"hints,omitempty"`
}

func (a *app) smokeCommand() *cli.Command {
	return &cli.Command{
		Name:  "smoke",
		Usage: "prove that the running stack works, and change nothing",
		Description: `Real connections by every name, a real build that is pushed and read back,
and everything that must be refused. Exits with 3 when a line does not hold.`,
		Action: func(c *cli.Context) error {
			name, err := a.stackName()
			if err != nil {
				return err
			}
			d, err := a.baseDeps(name)
			if err != nil {
				return err
			}
			if a.global.dryRun {
				a.ui.linef("would prove stack %q in %s, and change nothing", name, a.ui.path(d.Store.Root()))
				return nil
			}
			report, _, err := lifecycle.Smoke(c.Context, d)
			if err != nil {
				return err
			}
			if a.global.json {
				// run says if it was lost, unless there is worse.
				_ = a.printJSON(smokeResult{Stack: name, Dir: d.Store.Root(), OK: report.OK(), Report: report, Hints: a.checkHints(report)})
			}
			a.ui.report(report)
			if !report.OK() {
				a.ui.failures(report, a.checkHints(report))
				return errNotOK
			}
			return nil
		},
	}
}
