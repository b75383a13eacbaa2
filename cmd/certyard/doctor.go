package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/lint"
	"github.com/certyard/certyard/stack/local"
)

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "find what is wrong with a stack, ours or somebody else's, and change nothing",
		Description: `Without flags it looks at our stack: files, certificates, containers, what they
serve, and the proof. With flags it looks at what they name, whoever made it: a
compose file leads to the configs and certificates that it mounts, and to the
containers of its project.

   certyard doctor --compose docker-compose.yml
   certyard doctor --buildkitd-config buildkitd.toml --certs certs
   certyard doctor --registry localhost:5005 --builder tcp://localhost:1234 --certs certs

The cause is told before what follows from it, with the line and the corrected
lines. --fix prints the mends that are certain as a diff, and with --yes makes
them, and keeps each old file beside the new one.
Exits with 3 when something is wrong; warnings alone count with --strict.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "compose", Usage: "look at the stack of the compose file `FILE`"},
			&cli.StringFlag{Name: "buildkitd-config", Usage: "look at the buildkitd.toml `FILE`"},
			&cli.StringFlag{Name: "registry-config", Usage: "look at the registry's config.yml `FILE`"},
			&cli.StringFlag{Name: "certs", Usage: "look at the certificates and keys in `DIR`"},
			&cli.StringFlag{Name: "builder", Usage: "connect to the builder at `ADDRESS`, as tcp://localhost:1234"},
			&cli.StringFlag{Name: "registry", Usage: "connect to the registry at `HOST:PORT`"},
			&cli.StringSliceFlag{Name: "host", Usage: "clients dial the registry as `NAME` too; repeatable"},
			&cli.BoolFlag{Name: "files-only", Usage: "look at files alone: ask no engine and connect to nothing"},
			&cli.BoolFlag{Name: "all", Usage: "show every rule, with what it proves"},
			&cli.BoolFlag{Name: "strict", Usage: "exit with 3 for warnings too"},
			&cli.BoolFlag{Name: "fix", Usage: "print the mends that are certain; with --yes make them"},
			&cli.BoolFlag{Name: "yes", Usage: "with --fix: change the files, each kept as FILE.orig"},
		},
		Action: a.doctor,
	}
}

// noPatientError says that there is nothing to look at: no stack of ours, and
// nothing was named.
type noPatientError struct{ err error }

func (e *noPatientError) Error() string { return e.err.Error() }
func (e *noPatientError) Unwrap() error { return e.err }

// foreignFlags are the flags that name something of somebody's.
var foreignFlags = []string{"compose", "buildkitd-config", "registry-config", "certs", "builder", "registry"}

func (a *app) doctor(c *cli.Context) error {
	if c.Bool("yes") && !c.Bool("fix") {
		return usagef("--yes is about --fix")
	}
	deps := doctor.Deps{
		Now: local.Look().Now, Load: compose.LoadFile, DockerConfig: local.DockerConfigDir(os.Getenv("DOCKER_CONFIG")), CertsD: certsD(),
	}
	if a.global.dockerHost == "" && a.global.dockerCtx == "" {
		deps.DockerHost = os.Getenv("DOCKER_HOST")
	}
	target, named, done, err := a.patient(c, &deps)
	if err != nil {
		return err
	}
	defer done()
	result, err := doctor.Examine(c.Context, deps, target)
	if err != nil {
		return err
	}
	if a.global.json {
		if err := a.printJSON(result); err != nil {
			return err
		}
	}
	a.ui.examined(named, result, c.Bool("all"), a.here)
	if c.Bool("fix") {
		if err := a.mend(result, c.Bool("yes") && !a.global.dryRun); err != nil {
			return err
		}
	}
	return verdict(result, c.Bool("strict"))
}

// patient returns what to look at, in the flags' words or ours, and what ends the
// connection to the engine.
func (a *app) patient(c *cli.Context, deps *doctor.Deps) (t doctor.Target, named string, done func(), err error) {
	for _, name := range foreignFlags {
		if c.IsSet(name) {
			t, err = foreignTarget(c)
			done = func() {}
			if t.Compose != "" && !c.Bool("files-only") {
				done = a.doctorEngine(c.Context, deps)
			}
			return t, "what the flags name", done, err
		}
	}
	return a.ownTarget(c, deps)
}

// doctorEngine connects to the engine. That it does not answer is a finding.
func (a *app) doctorEngine(ctx context.Context, deps *doctor.Deps) func() {
	engine, err := a.connect(ctx)
	if err != nil {
		deps.EngineErr = err
		return func() {}
	}
	deps.Engine = engine
	return func() { engine.Close() }
}

func foreignTarget(c *cli.Context) (doctor.Target, error) {
	t := doctor.Target{
		Compose: c.String("compose"), BuildkitdConfig: c.String("buildkitd-config"), RegistryConfig: c.String("registry-config"),
		Certs: c.String("certs"), Names: c.StringSlice("host"), FilesOnly: c.Bool("files-only"),
	}
	var err error
	if t.Builder, err = addressFlag("builder", c.String("builder"), "tcp://", "1234"); err != nil {
		return t, err
	}
	t.Registry, err = addressFlag("registry", c.String("registry"), "https://", "443")
	return t, err
}

// addressFlag reads an address with or without its scheme and its port.
func addressFlag(flag, text, scheme, port string) (string, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(text, scheme), "/")
	switch host, number, err := net.SplitHostPort(address); {
	case address == "":
		return "", nil
	case strings.Contains(address, "@"): // not shown: what is before it may be a password
		return "", usagef("--%s takes no user and no password; want HOST:PORT or %sHOST:PORT", flag, scheme)
	case strings.Contains(address, "/"):
		return "", usagef("--%s %q is no address; want HOST:PORT or %sHOST:PORT", flag, text, scheme)
	case err != nil:
		return net.JoinHostPort(strings.Trim(address, "[]"), port), nil
	case host == "":
		return "", usagef("--%s %q is no address: it has no host", flag, text)
	default:
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 {
			return "", usagef("--%s %q is no address: its port is a number up to 65535", flag, text)
		}
		return address, nil
	}
}

// certsD returns where the engine looks for the CAs of registries (P28).
func certsD() []string {
	dirs := []string{"/etc/docker/certs.d"}
	if home, err := os.UserHomeDir(); err == nil { // where a rootless engine looks
		dirs = append(dirs, filepath.Join(home, ".config", "docker", "certs.d"))
	}
	return dirs
}

// ownTarget returns the stack that the flags and the config name.
func (a *app) ownTarget(c *cli.Context, deps *doctor.Deps) (t doctor.Target, named string, done func(), err error) {
	name, err := a.stackName()
	if err != nil {
		return t, "", nil, err
	}
	d, err := a.baseDeps(name)
	if err != nil {
		return t, "", nil, err
	}
	s, err := lifecycle.GetRecord(d.Store)
	if _, none := errors.AsType[*lifecycle.NoStackError](err); none {
		err = &noPatientError{err}
	}
	if err != nil {
		return t, "", nil, err
	}
	own := doctor.NewOwn(s.Spec, s.Facts, d.Store.Root())
	own.Changed = s.Changed
	if s.Rotation != nil {
		own.Open, own.Mend = string(s.Rotation.Phase), strings.Join(openHints(*s.Rotation), "; ")
	}
	own.Prove = func(ctx context.Context) (stack.Report, error) {
		quiet := d
		quiet.Observe = func(lifecycle.Progress) {}
		report, _, err := lifecycle.Smoke(ctx, quiet)
		return report, err
	}
	deps.Load = func(ctx context.Context, file string) (*types.Project, error) {
		files := []string{file}
		if d.Override != "" {
			files = append(files, d.Override)
		}
		return compose.Load(ctx, compose.Source{Name: s.Spec.Name, Dir: d.Store.Root(), Files: files})
	}
	done = func() {}
	if !c.Bool("files-only") {
		done = a.doctorEngine(c.Context, deps)
	}
	t = doctor.Target{Own: own, Compose: filepath.Join(d.Store.Root(), stack.FileCompose), Names: c.StringSlice("host"), FilesOnly: c.Bool("files-only")}
	return t, "stack \"" + name + "\" in " + a.ui.path(d.Store.Root()), done, nil
}

// verdict turns what was found into the exit status.
func verdict(r doctor.Result, strict bool) error {
	if r.Worst() == lint.Error || strict && len(r.Findings) > 0 {
		return errNotOK
	}
	return nil
}
