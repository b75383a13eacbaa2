package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/render"
)

// specFlags override the config, key by key.
func specFlags() []cli.Flag {
	flag := func(name, variable, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, EnvVars: []string{variable}, Category: "Config, before certyard.yaml:"}
	}
	return []cli.Flag{
		flag("serve", "CERTYARD_SERVE", "let TLS end in the daemons or in a front that reloads by itself: `WHERE` is daemon or edge (serve)"),
		flag("registry-name", "CERTYARD_REGISTRY_NAME", "with the edge, let the builder and this machine know the registry as `HOST[:PORT]` (registry.name)"),
		flag("registry-image", "CERTYARD_REGISTRY_IMAGE", "run the registry from `IMAGE` (registry.image)"),
		flag("registry-publish", "CERTYARD_REGISTRY_PUBLISH", "publish the registry on `IP:PORT`, port 0 for any free one (registry.publish)"),
		flag("builder-image", "CERTYARD_BUILDER_IMAGE", "run the builder from `IMAGE` (builder.image)"),
		flag("builder-publish", "CERTYARD_BUILDER_PUBLISH", "publish the builder on `IP:PORT`, port 0 for any free one (builder.publish)"),
		flag("tls", "CERTYARD_TLS", "`WHO` proves itself to whom at the builder: server or mutual (builder.tls)"),
		flag("privileges", "CERTYARD_PRIVILEGES", "give the builder's container auto, privileged or minimal `RIGHTS` (builder.privileges)"),
		flag("images", "CERTYARD_IMAGES", "take images from `WHERE`: auto, pull or bundled (images)"),
		flag("key", "CERTYARD_KEY", "make keys of `TYPE`: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519 (pki.key)"),
		flag("authority", "CERTYARD_AUTHORITY", "let `WHO` sign for the servers: local, files, external, remote, self-signed (pki.authority)"),
		flag("hierarchy", "CERTYARD_HIERARCHY", "have `TIERS` of CAs: single or two-tier (pki.hierarchy)"),
		flag("ca-keys", "CERTYARD_CA_KEYS", "keep CA keys `HOW`: plain or encrypted (pki.ca_keys)"),
		flag("ca-cert", "CERTYARD_CA_CERT", "your CA's certificate, and those above it, in `FILE` (pki.ca_cert)"),
		flag("ca-key", "CERTYARD_CA_KEY", "its key in `FILE` (pki.ca_key)"),
	}
}

// spec reads the config and lets the flags override it.
func (a *app) spec(c *cli.Context) (stack.Spec, error) {
	config, err := a.readConfig()
	if err != nil {
		return stack.Spec{}, err
	}
	config.Name = cmp.Or(a.global.name, config.Name)
	// An empty one says nothing: CERTYARD_TLS= in a CI job must not turn a
	// config's mutual into the default.
	override := func(flag string, to *string) {
		*to = cmp.Or(c.String(flag), *to)
	}
	override("serve", &config.Serve)
	override("registry-name", &config.Registry.Name)
	override("registry-image", &config.Registry.Image)
	override("builder-image", &config.Builder.Image)
	override("tls", &config.Builder.TLS)
	override("privileges", &config.Builder.Privileges)
	override("images", &config.Images)
	override("key", &config.PKI.Key)
	override("authority", &config.PKI.Authority)
	override("hierarchy", &config.PKI.Hierarchy)
	override("ca-keys", &config.PKI.CAKeys)
	override("ca-cert", &config.PKI.CACert)
	override("ca-key", &config.PKI.CAKey)
	a.caKeysSet = config.PKI.CAKeys != ""
	for flag, to := range map[string]**string{"registry-publish": &config.Registry.Publish, "builder-publish": &config.Builder.Publish} {
		if c.IsSet(flag) {
			value := c.String(flag)
			*to = &value
		}
	}
	if err := a.anchorPaths(c, &config.PKI); err != nil {
		return stack.Spec{}, err
	}
	return stack.NewSpec(config)
}

// anchorPaths makes the files of the authority absolute: those of flags are
// relative to the working directory, those of the config to the config. They
// are recorded, and used by commands that are run somewhere else.
func (a *app) anchorPaths(c *cli.Context, p *stack.PKIConfig) error {
	for _, at := range []struct {
		path *string
		flag string
	}{{&p.CACert, "ca-cert"}, {&p.CAKey, "ca-key"}, {&p.PassphraseFile, ""}, {&p.Remote.CA, ""}, {&p.Remote.AuthKeyFile, ""}} {
		if *at.path == "" {
			continue
		}
		path := *at.path
		if at.flag == "" || c.String(at.flag) == "" {
			path = a.beside(path)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("finding %s: %w", path, err)
		}
		*at.path = abs
	}
	return nil
}

func (a *app) initCommand() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "write every file of the stack, without Docker",
		Description: `Makes the CA, the certificates, htpasswd and every config in the state
directory. What is there and fits is kept; keys are never overwritten.
"certyard up" does this too.`,
		Flags: append(slices.Concat(specFlags(), a.passphraseFlags(), lockedFlags()), &cli.BoolFlag{Name: "print-config", Usage: "print a certyard.yaml with every key and its default, and do nothing"}),
		Action: func(c *cli.Context) error {
			if c.Bool("print-config") {
				_, err := fmt.Fprint(a.stdout, exampleConfig)
				return err
			}
			spec, lock, err := a.lockedSpec(c)
			if err != nil {
				return err
			}
			d, err := a.baseDeps(spec.Name)
			if err != nil {
				return err
			}
			if a.global.dryRun {
				return a.dryRun(c.Context, d, spec, lock)
			}
			a.heading(spec.Name, d)
			res, err := lifecycle.Init(c.Context, d, spec, lock)
			if err != nil {
				return err
			}
			if res.Rotation, err = openRotation(d.Store); err != nil {
				return err
			}
			return a.result(res)
		},
	}
}

func (a *app) upCommand() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "make the stack, start it, and prove that it works",
		Description: `Certificates, files, images, containers, proof: what already is as it should
be is kept, so running it again is cheap, and after an interruption it
goes on. Exits with 3 when everything was done and the proof does not hold.

   certyard up --ephemeral -- go test ./...

runs a command in the environment of a stack of its own: under another name,
on free ports, and gone with all that it held when the command ends, whose
exit status is passed on. Any number of them may run at once. Its files are
below your directory for caches, whatever --dir says. What is left by one
that was killed, the next one removes, or "certyard prune".`,
		ArgsUsage: "[--ephemeral -- COMMAND...]",
		Flags: append(slices.Concat(specFlags(), a.passphraseFlags(), lockedFlags()),
			readyFlag(),
			&cli.BoolFlag{Name: "quick", Usage: "prove nothing, and end when the daemons answer over TLS"},
			&cli.BoolFlag{Name: "ephemeral", Usage: "run COMMAND with a stack that ends with it"}),
		Action: func(c *cli.Context) error {
			if c.Bool("ephemeral") {
				return a.upEphemeral(c)
			}
			if c.Args().Present() {
				return usagef("up takes no argument %q without --ephemeral", c.Args().First())
			}
			spec, lock, err := a.lockedSpec(c)
			if err != nil {
				return err
			}
			if a.global.dryRun {
				d, done, err := a.engineDeps(c.Context, spec.Name)
				if err != nil {
					return err
				}
				defer done()
				return a.dryRun(c.Context, d, spec, lock)
			}
			d, done, err := a.engineDeps(c.Context, spec.Name)
			if err != nil {
				return err
			}
			defer done()
			a.heading(spec.Name, d)
			res, err := lifecycle.Up(c.Context, d, spec, lifecycle.UpOptions{Ready: c.Duration("ready"), Quick: c.Bool("quick"), Locked: lock})
			if err != nil {
				return err
			}
			return a.result(res)
		},
	}
}

func readyFlag() cli.Flag {
	return &cli.DurationFlag{Name: "ready", Value: time.Minute, Usage: "wait `TIME` for the daemons to answer", Action: func(_ *cli.Context, d time.Duration) error {
		if d <= 0 {
			return usagef("--ready %s: want more than 0", d)
		}
		return nil
	}}
}

func (a *app) heading(name string, d lifecycle.Deps) {
	a.ui.linef("stack %q in %s", name, a.ui.path(d.Store.Root()))
}

// dryRun prints the plan.
func (a *app) dryRun(ctx context.Context, d lifecycle.Deps, spec stack.Spec, lock *stack.Lock) error {
	d.Observe = func(lifecycle.Progress) {}
	res, err := lifecycle.DryRun(ctx, d, spec, lock)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(res)
	}
	a.ui.linef("stack %q in %s: would do", spec.Name, a.ui.path(d.Store.Root()))
	for _, s := range res.Plan {
		a.ui.linef("  %-8s %-30s %s", s.Action, s.Object, s.Cause)
	}
	return nil
}

// result prints what Init or Up did. A report that does not hold is errNotOK.
func (a *app) result(res lifecycle.Result) error {
	if a.global.json {
		_ = a.printJSON(res) // run says if it was lost, unless there is worse
	}
	if res.Report != nil {
		a.ui.report(*res.Report)
	}
	a.rotationOpen(res.Rotation)
	if res.Report == nil && len(res.Changes) == 0 {
		return nil // nothing was started
	}
	if res.Report != nil && !res.Report.OK() {
		a.ui.failures(*res.Report, a.checkHints(*res.Report))
		return errNotOK
	}
	again := a.invocation(res.Stack)
	a.ui.linef("\nuse it:  eval \"$(%s env)\"        stop it:  %s down", again, again)
	return nil
}

// again is invocation for the stack that the flags name.
func (a *app) again() string { return a.invocation(a.global.name) }

// invocation returns how to call certyard again for the same stack on the same
// engine, for a shell to read.
func (a *app) invocation(name string) string {
	words := []string{render.ShellQuote(a.program)}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, render.ShellQuote(value))
		}
	}
	add("--docker-host", a.global.dockerHost)
	add("--context", a.global.dockerCtx)
	if a.global.dir != defaultDir {
		add("--dir", a.global.dir)
	}
	add("--config", a.global.config)
	if a.global.nameByFlag {
		add("--name", name)
	}
	return strings.Join(words, " ")
}
