package compose

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/compose/v5/pkg/api"
	sdk "github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
)

// pingTimeout is how long an engine may take to say that it is there. A
// context over ssh needs most of it.
const pingTimeout = 5 * time.Second

// Options say which engine to use. The zero value is the engine that the docker
// CLI would use.
type Options struct {
	// Host is an address as in DOCKER_HOST, and goes before it.
	Host string
	// Context is the name of a docker context, and goes before DOCKER_HOST.
	// Host and Context together are an error.
	Context string
	// ConfigDir is where config.json and the contexts are. It is a setting of
	// the whole process: docker's library keeps it in a package variable.
	ConfigDir string
	// Stderr gets what docker's library has to say, as a warning about an
	// unreadable config.json. Nil discards it.
	Stderr io.Writer
}

// Engine is a connection to a Docker Engine.
type Engine struct {
	cli  *command.DockerCli
	api  client.APIClient
	host string
}

// connecting serialises Connect, because docker's library writes package
// variables (the configuration directory, the certificate path, a log level)
// while it resolves a context.
var connecting sync.Mutex

// Connect finds the engine and asks it for a sign of life. It returns a
// *[DaemonError] when there is none within five seconds, and a *[VersionError]
// when the engine is older than 19.03.
func Connect(ctx context.Context, o Options) (*Engine, error) {
	e, err := resolve(o)
	if err != nil {
		return nil, fmt.Errorf("finding the Docker Engine: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	result, err := e.api.Ping(ping, client.PingOptions{NegotiateAPIVersion: true})
	switch {
	case result.APIVersion != "" && versions.LessThan(result.APIVersion, client.MinAPIVersion):
		err = &VersionError{Have: result.APIVersion, Want: client.MinAPIVersion}
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = &DaemonError{Host: e.host, Err: daemonCause(ping, e.host, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the Docker Engine: %w", joinClose(err, e))
	}
	return e, nil
}

// resolve makes a client without talking to the engine.
func resolve(o Options) (*Engine, error) {
	connecting.Lock()
	defer connecting.Unlock()

	opts := flags.NewClientOptions()
	// The flags are what reads DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.
	set := pflag.NewFlagSet("docker", pflag.ContinueOnError)
	opts.InstallFlags(set)
	opts.SetDefaultOptions(set)
	if o.Host != "" {
		opts.Hosts = []string{o.Host}
	}
	if o.ConfigDir != "" {
		opts.ConfigDir = o.ConfigDir
	}
	opts.Context = o.Context
	// The SDK logs advice for authors of compose files straight to stderr,
	// where a person may be watching our progress.
	opts.LogLevel = "error"

	stderr := o.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	cli, err := command.NewDockerCli(
		command.WithInputStream(io.NopCloser(strings.NewReader(""))),
		command.WithOutputStream(stderr), command.WithErrorStream(stderr))
	if err != nil {
		return nil, err
	}
	if err := cli.Initialize(opts); err != nil {
		return nil, err
	}
	// cli.Client() ends the process when a context cannot be resolved, so the
	// client is made here, where that is an error, and handed over.
	c, err := command.NewAPIClientFromFlags(opts, cli.ConfigFile())
	if err != nil {
		return nil, err
	}
	api := steady{c}
	if err := command.WithAPIClient(api)(cli); err != nil {
		return nil, err
	}
	host, err := endpointHost(cli)
	if err != nil {
		return nil, err
	}
	return &Engine{cli: cli, api: api, host: host}, nil
}

// endpointHost returns the address as the context has it. The client has
// another one for ssh, and cli.DockerEndpoint() would ask the engine.
func endpointHost(cli *command.DockerCli) (string, error) {
	meta, err := cli.ContextStore().GetMetadata(cli.CurrentContext())
	if err != nil {
		return "", err
	}
	endpoint, err := docker.EndpointFromContext(meta)
	return endpoint.Host, err
}

// joinClose closes what cannot be used and keeps the first error.
func joinClose(err error, e *Engine) error {
	_ = e.Close() // nothing was sent that closing could lose
	return err
}

// Address returns where the engine is, as in DOCKER_HOST.
func (e *Engine) Address() string { return e.host }

// Close ends the connections to the engine.
func (e *Engine) Close() error {
	return e.api.Close()
}

// Info is what is known about an engine.
type Info struct {
	ID         string    // of the engine, which no other one has; "" if it does not say
	Version    string    // of the engine, as "20.10.24"
	APIVersion string    // the highest it speaks, as "1.41"
	OS, Arch   string    // in Go's words, as "linux" and "amd64"
	Rootless   bool      // the engine itself runs without root
	UserNS     bool      // containers run in a user namespace
	Time       time.Time // the engine's clock when it was asked; zero if it does not say
	// Host is empty when published ports are on this machine, and else the
	// name or address of the machine where they are.
	Host string
}

// Info asks the engine what it is.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	var version client.ServerVersionResult
	var system client.SystemInfoResult
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		version, err = e.api.ServerVersion(ctx, client.ServerVersionOptions{})
		return err
	})
	g.Go(func() (err error) {
		system, err = e.api.Info(ctx, client.InfoOptions{})
		return err
	})
	if err := g.Wait(); err != nil {
		return Info{}, fmt.Errorf("asking the Docker Engine what it is: %w", err)
	}
	info := Info{
		ID: system.Info.ID, Version: version.Version, APIVersion: version.APIVersion,
		OS: version.Os, Arch: version.Arch, Host: remoteHost(e.host),
	}
	if at, err := time.Parse(time.RFC3339Nano, system.Info.SystemTime); err == nil {
		info.Time = at
	}
	for _, option := range system.Info.SecurityOptions {
		// As "name=seccomp,profile=default" since Engine 1.13.
		name, _, _ := strings.Cut(option, ",")
		info.Rootless = info.Rootless || name == "name=rootless"
		info.UserNS = info.UserNS || name == "name=userns"
	}
	return info, nil
}

// remoteHost returns the machine that an engine's address names, or "" when it
// is this one: every socket and pipe, and loopback addresses.
func remoteHost(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" || u.Scheme == "fd" {
		return ""
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return ""
	}
	return host
}

// daemonCause returns the system's own error for an engine that cannot be
// reached through a socket, because the client library replaces it by advice
// and drops the type (permission, no such file).
func daemonCause(ctx context.Context, host string, err error) error {
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return err
	}
	conn, dialErr := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if dialErr != nil {
		return dialErr
	}
	_ = conn.Close() // it was only a question
	return err
}

// compose returns the SDK, reporting to bus.
func (e *Engine) compose(bus api.EventProcessor) (api.Compose, error) {
	return sdk.NewComposeService(e.cli,
		sdk.WithEventProcessor(bus),
		// The one question that Up can ask is whether to delete a volume whose
		// definition has changed. Data is never deleted unasked.
		sdk.WithPrompt(func(string, bool) (bool, error) { return false, nil }))
}
