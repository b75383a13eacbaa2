package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/render"
)

func (a *app) envCommand() *cli.Command {
	return &cli.Command{
		Name:  "env",
		Usage: "print the environment that uses the stack",
		Description: `For a shell:      eval "$(certyard env)"
For fish:         certyard env --format fish | source
For GitHub:       certyard env --format github >>"$GITHUB_ENV"

DOCKER_REGISTRY is the registry's name for the builder, which pulls and
pushes; DOCKER_REGISTRY_ON_HOST its name for programs on this machine.
DOCKER_CONFIG makes Docker's clients find the password, in place of your own
~/.docker; --no-docker-config leaves it out.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "sh", Usage: "print `FORMAT`: " + strings.Join(render.EnvFormats(), ", ")},
			&cli.BoolFlag{Name: "unset", Usage: "print what takes the variables away again (sh, fish, powershell)"},
			&cli.BoolFlag{Name: "no-docker-config", Usage: "leave DOCKER_CONFIG out"},
		},
		Action: func(c *cli.Context) error {
			format := c.String("format")
			if a.global.json {
				format = "json"
			}
			if !slices.Contains(render.EnvFormats(), format) {
				return usagef("--format %q is not known; want %s", format, strings.Join(render.EnvFormats(), ", "))
			}
			vars, err := a.environment()
			if err != nil {
				return err
			}
			if c.Bool("no-docker-config") {
				vars = slices.DeleteFunc(vars, func(v stack.Variable) bool { return v.Name == "DOCKER_CONFIG" })
			}
			print := render.Environment
			if c.Bool("unset") {
				if format == "json" || format == "dotenv" || format == "github" {
					return usagef("--unset is for shells: --format sh, fish or powershell")
				}
				print = render.Unset
			}
			out, err := print(vars, format)
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(out)
			return err
		},
	}
}

func (a *app) environment() ([]stack.Variable, error) {
	name, err := a.stackName()
	if err != nil {
		return nil, err
	}
	d, err := a.baseDeps(name)
	if err != nil {
		return nil, err
	}
	return lifecycle.Environment(d)
}
