package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// rotateOptions reads the flags of rotate.
func rotateOptions(c *cli.Context) (lifecycle.RotateOptions, error) {
	opts := lifecycle.RotateOptions{
		All: c.Bool("all"), Leaves: c.StringSlice("leaf"), Clients: c.Bool("clients"),
		Passwords: c.Bool("passwords"), Users: c.StringSlice("user"),
		AllCAs: c.Bool("ca"), Compromised: c.Bool("compromised"), Abort: c.Bool("abort"),
		Force: c.Bool("force"), Ready: c.Duration("ready"),
	}
	for _, name := range []string{pki.CAIssuing, pki.CAClient} {
		if c.Bool(name) {
			opts.CAs = append(opts.CAs, name)
		}
	}
	err := caOptions(c, &opts)
	for _, f := range []struct {
		name  string
		to    *time.Duration
		least time.Duration
	}{
		{"bake", &opts.Bake, 0},
		{"wait-idle", &opts.WaitIdle, 1}, // 0 would be the default, and --force does not wait
		{"within", &opts.Within, 1},
	} {
		if err == nil {
			*f.to, err = duration(f.name, c.String(f.name), f.least)
		}
	}
	return opts, err
}

// duration reads the value of a flag that takes days as well. An empty --within is
// none; of the others it would be taken for 0.
func duration(flag, text string, least time.Duration) (time.Duration, error) {
	d, err := stack.ParseDuration(text)
	switch {
	case flag == "within" && text == "":
		return 0, nil
	case err != nil:
		return 0, usagef("--%s %q is not a duration; want days as 30d, or hours as 720h", flag, text)
	case d < 0:
		return 0, usagef("--%s %s is negative", flag, text)
	case d < least:
		return 0, usagef("--%s %s: want more than 0", flag, text)
	default:
		return d, nil
	}
}

// caOptions refuses flags that do not go together: a CA is replaced with all that
// it has signed, and nothing else is replaced with it.
func caOptions(c *cli.Context, opts *lifecycle.RotateOptions) error {
	others := []string{"all", "leaf", "clients", "within", "passwords", "user", "if-due"}
	phased := []string{"ca", "issuing-ca", "client-ca", "abort"}
	set := func(names []string) string {
		for _, name := range names {
			if c.IsSet(name) {
				return name
			}
		}
		return ""
	}
	what := set(phased)
	switch other := set(others); {
	case what != "" && other != "":
		return usagef("--%s and --%s do not go together: run one after the other", what, other)
	case c.Bool("abort") && set(phased[:3]) != "":
		return usagef("--abort takes back whatever is open: leave --%s out", what)
	case c.Bool("ca") && set(phased[1:3]) != "":
		return usagef("--ca replaces every CA: leave --%s out", set(phased[1:3]))
	case set(phased[:3]) == "" && set([]string{"bake", "compromised", "pause-after"}) != "":
		return usagef("--%s is for --ca", set([]string{"bake", "compromised", "pause-after"}))
	case c.Bool("if-due") && set(others[:6]) != "" && set(others[:6]) != "within":
		return usagef("--if-due and --%s do not go together", set(others[:6]))
	case c.String("pause-after") == "":
		return nil
	}
	var err error
	if opts.PauseAfter, err = stack.ParsePhase(c.String("pause-after")); err != nil {
		return usagef("--pause-after: %v", err)
	}
	return nil
}
