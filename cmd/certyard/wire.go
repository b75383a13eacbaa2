package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/remote"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/state"
)

const (
	defaultDir      = ".certyard"
	defaultConfig   = "certyard.yaml"
	defaultOverride = "compose.override.yaml"
)

// readConfig reads the config file that the flags name, or the one in the
// working directory, or none.
func (a *app) readConfig() (stack.Config, error) {
	file := cmp.Or(a.global.config, defaultConfig)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) && a.global.config == "" {
		return stack.Config{}, nil
	}
	if err != nil {
		return stack.Config{}, &usageError{fmt.Sprintf("reading the config: %v", err)}
	}
	defer f.Close()
	return stack.ReadConfig(f, file)
}

// stackName returns the name of the stack that a command is about, when it
// needs nothing else of the config.
func (a *app) stackName() (string, error) {
	if a.global.name != "" {
		return checkedName(a.global.name)
	}
	c, err := a.readConfig()
	if err != nil {
		return "", err
	}
	return checkedName(cmp.Or(c.Name, stack.DefaultName))
}

// checkedName refuses a name that would lead out of the directory of stacks.
func checkedName(name string) (string, error) {
	s, err := stack.NewSpec(stack.Config{Name: name})
	return s.Name, err
}

// baseDeps returns what needs no engine, for the stack of a name.
func (a *app) baseDeps(name string) (lifecycle.Deps, error) {
	root, err := filepath.Abs(filepath.Join(cmp.Or(a.global.dir, defaultDir), name))
	if err != nil {
		return lifecycle.Deps{}, fmt.Errorf("finding the state directory: %w", err)
	}
	configDir, err := filepath.Abs(a.beside("."))
	if err != nil {
		return lifecycle.Deps{}, fmt.Errorf("finding the config's directory: %w", err)
	}
	d := local.Deps(root)
	d.Password, d.Passphrase, d.CAKeysSet, d.Remote = a.password, a.passphrase, a.caKeysSet, a.remote
	d.Bundle = compose.Bundle{Dir: daemonsDir(), Program: compose.Program{Exe: programFile(), Version: readVersion().Version}}
	d.Override, d.ConfigDir, d.Observe = a.override(), configDir, a.ui.observe
	return d, nil
}

// filesDeps returns what needs no engine, for the stack that the flags name.
func (a *app) filesDeps() (lifecycle.Deps, error) {
	name, err := a.stackName()
	if err != nil {
		return lifecycle.Deps{}, err
	}
	return a.dryDeps(name)
}

// dryDeps returns what needs no engine. With --dry-run it changes nothing.
func (a *app) dryDeps(name string) (lifecycle.Deps, error) {
	d, err := a.baseDeps(name)
	if err == nil && a.global.dryRun {
		d.Store = dryStore{d.Store}
	}
	return d, err
}

// dryStore finds out what would be written, and does not write it.
type dryStore struct{ lifecycle.Store }

func (dryStore) Lock(context.Context) (func() error, error) { return func() error { return nil }, nil }

func (s dryStore) Write(files []stack.File) (state.Changes, error) { return s.Plan(files) }

// specDeps returns the spec and what needs no engine.
func (a *app) specDeps(c *cli.Context) (stack.Spec, lifecycle.Deps, error) {
	spec, err := a.spec(c)
	if err != nil {
		return spec, lifecycle.Deps{}, err
	}
	d, err := a.dryDeps(spec.Name)
	return spec, d, err
}

// depsFor returns everything, or what needs no engine.
func (a *app) depsFor(ctx context.Context, name string, engine bool) (lifecycle.Deps, func(), error) {
	if engine {
		return a.engineDeps(ctx, name)
	}
	d, err := a.dryDeps(name)
	return d, func() {}, err
}

// engineDeps returns everything, connected to the engine, and what closes the
// connection.
func (a *app) engineDeps(ctx context.Context, name string) (lifecycle.Deps, func(), error) {
	d, err := a.baseDeps(name)
	if err != nil {
		return d, nil, err
	}
	engine, err := a.connect(ctx)
	if err != nil {
		return d, nil, err
	}
	d.Engine = engine
	return d, func() { engine.Close() }, nil
}

func (a *app) connect(ctx context.Context) (*compose.Engine, error) {
	if a.global.dockerHost != "" && a.global.dockerCtx != "" {
		return nil, usagef("--docker-host and --context exclude each other")
	}
	return compose.Connect(ctx, compose.Options{
		Host: a.global.dockerHost, Context: a.global.dockerCtx, ConfigDir: local.DockerConfigDir(os.Getenv("DOCKER_CONFIG")), Stderr: a.stderr,
	})
}

// daemonsDir returns where the daemons for bundled images are: beside the
// executable, unless CERTYARD_DAEMONS says otherwise.
func daemonsDir() string {
	if dir := os.Getenv("CERTYARD_DAEMONS"); dir != "" {
		return dir
	}
	exe := executable()
	if exe == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(exe), "daemons")
}

// programFile returns what the edge's container runs: this executable, unless
// CERTYARD_PROGRAM says otherwise.
func programFile() string {
	if file := os.Getenv("CERTYARD_PROGRAM"); file != "" {
		return file
	}
	return executable()
}

// executable returns the file that is running, "" if the system does not say.
func executable() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	if resolved, err := filepath.EvalSymlinks(exe); err == nil {
		return resolved
	}
	return exe
}

// beside returns a path relative to the config's directory.
func (a *app) beside(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(a.global.config), file)
}

func (a *app) override() string {
	file, err := filepath.Abs(a.beside(defaultOverride))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// passwordSourceError says that a given password is not where the config says.
type passwordSourceError struct{ err error }

func (e *passwordSourceError) Error() string { return e.err.Error() }
func (e *passwordSourceError) Unwrap() error { return e.err }

// password reads a user's given password: the first line of a file, or an
// environment variable.
func (a *app) password(u stack.UserSpec) (string, error) {
	if u.PasswordEnv != "" {
		value, ok := os.LookupEnv(u.PasswordEnv)
		if !ok {
			return "", &passwordSourceError{fmt.Errorf("environment variable %s is not set", u.PasswordEnv)}
		}
		return value, nil
	}
	data, err := os.ReadFile(a.beside(u.PasswordFile))
	if err != nil {
		return "", &passwordSourceError{err}
	}
	line, err := bufio.NewReader(bytes.NewReader(data)).ReadString('\n')
	if err == nil && len(bytes.TrimSpace(data)) > len(strings.TrimSpace(line)) {
		return "", &passwordSourceError{fmt.Errorf("%s holds more than one line; want the password alone", u.PasswordFile)}
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// remote returns the cfssl server of the spec.
func (a *app) remote(spec stack.RemoteSpec) (lifecycle.RemoteAuthority, error) {
	data, err := state.ReadPublic(spec.CA)
	if err != nil {
		return nil, fmt.Errorf("reading pki.remote.ca: %w", err)
	}
	roots, err := pki.ParseTrustBundle(data)
	if err != nil {
		return nil, &pki.ParseError{Name: "pki.remote.ca", File: spec.CA, Err: err}
	}
	key, err := state.ReadPrivate(spec.AuthKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading pki.remote.auth_key_file: %w", err)
	}
	return remote.New(remote.Options{URL: spec.URL, Roots: roots, AuthKey: string(key), Profile: spec.Profile, Label: spec.Label})
}
