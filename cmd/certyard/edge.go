package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/stack/edge"
)

// exampleEdge is a config of edge with every key; the help shows it, and a test
// reads it.
const exampleEdge = `version: 1
admin: /run/edge/admin.sock          # unix socket for /healthz and /metrics
drain_timeout: 30s                   # for open connections, when it stops
listeners:
  - name: builder
    addresses: [":1234"]
    certificates: /etc/edge/builder  # directory with tls.crt and tls.key
    certificate_file: tls.crt        # the certificate's file there
    clients: /etc/edge/builder       # with clients.crt; access.json if any
    access_required: false           # true: access.json must be there
    alpn: [h2]
    target: unix:/run/buildkit/buildkitd.sock  # or tcp:HOST:PORT
    max_connections: 4096
    handshake_timeout: 10s
    target_timeout: 10s              # for a target that is still starting
    drain_idle: 1h                   # when it stops, end what is silent for so long
  - name: relay
    plain: true                      # copies TCP as it is
    addresses: ["127.0.0.1:5005"]
    target: tcp:registry:5005`

func (a *app) edgeCommand() *cli.Command {
	return &cli.Command{
		Name:      "edge",
		Usage:     "put TLS in front of other servers, with certificates that change without a restart",
		ArgsUsage: "[-- COMMAND [ARGUMENT...]]",
		Description: `Takes TLS connections, judges client certificates, and copies bytes to a
socket. Certificates, the clients' CAs and the access list are looked at
before every handshake: what has changed holds from then on, and what does
not load is refused while the old stays served. Logs JSON on stderr.

With a COMMAND, runs it beside the listeners, forwards signals to it, and
exits with its status.

A config with every key, for --config:

` + exampleEdge,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "health", Usage: "ask the edge that runs with this config how it is, and exit with 0 or 1"},
		},
		Action: func(c *cli.Context) error {
			config, err := a.edgeConfig()
			if err != nil {
				return err
			}
			command := c.Args().Slice()
			if c.Bool("health") {
				return edgeHealth(c.Context, config, command)
			}
			server, err := edge.New(config, edge.Options{Now: time.Now, Log: a.edgeLog(), Idle: debug.FreeOSMemory})
			if err != nil {
				return err
			}
			if a.global.dryRun {
				a.ui.linef("would serve %d listeners of %s; everything they need loads", len(config.Listeners), config.File)
				return nil
			}
			return a.runEdge(c.Context, server, command)
		},
	}
}

// edgeConfig reads the config, which has no default place: what an edge serves
// should never depend on where it was started.
func (a *app) edgeConfig() (edge.Config, error) {
	if a.global.config == "" {
		return edge.Config{}, usagef("edge wants --config FILE")
	}
	f, err := os.Open(a.global.config)
	if err != nil {
		return edge.Config{}, usagef("reading the config: %v", err)
	}
	defer f.Close()
	return edge.ReadConfig(f, a.global.config)
}

func edgeHealth(ctx context.Context, config edge.Config, command []string) error {
	switch {
	case len(command) > 0:
		return usagef("--health takes no command")
	case config.Admin == "":
		return usagef("--health needs admin in %s", config.File)
	}
	return edge.Health(ctx, config.Admin)
}

func (a *app) edgeLog() *slog.Logger {
	level := slog.LevelInfo
	if a.global.quiet {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// gcPercent is the room for garbage while an edge runs, unless GOGC says
// otherwise.
const gcPercent = 50

// runEdge serves until the context ends, or until the command does.
func (a *app) runEdge(ctx context.Context, server *edge.Server, command []string) error {
	if err := server.Listen(ctx); err != nil {
		return err
	}
	// What the libraries of the other commands have built up is garbage here. And
	// an idle connection needs little that changes: half of the usual room for
	// garbage costs no time that could be measured.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	debug.FreeOSMemory()
	if len(command) == 0 {
		server.Serve(ctx)
		return nil
	}
	// A signal is the command's to answer: the listeners are there as long as it
	// is.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(serving)
	}()
	err := a.runChild(context.WithoutCancel(ctx), command)
	stop()
	server.Cut()
	<-served
	if err != nil {
		return fmt.Errorf("running %q: %w", command[0], err)
	}
	return nil
}
