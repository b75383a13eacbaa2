package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) pkiVerifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "verify certificates as their peers do", ArgsUsage: "[FILE|DIR|HOST:PORT...]",
		Description: `Without arguments every certificate of the stack, for what it is used for.
With arguments the leaf of each file, each file of a directory, or what a live
server shows: chain, dates, role, names, and the key if it is there. Trusted is
what --trust names, else the stack's CA (for clients its client CA) and a root in
the same file. Exits
with 3 when something does not hold, and with 1 when it could not be looked at.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "host", Usage: "it has to be valid for `NAME`, a host name or an address; repeatable"},
			&cli.StringFlag{Name: "role", Usage: "it has to be good for `ROLE`: server or client (default: what it says)"},
			&cli.StringFlag{Name: "trust", Usage: "trust the certificates of `FILE`"},
			&cli.StringFlag{Name: "at", Usage: "as if it were `TIME`, as 2027-01-31 or 2027-01-31T12:00:00Z (default: now)"},
		},
		Action: func(c *cli.Context) error {
			d, want, err := a.wanted(c)
			if err != nil {
				return err
			}
			if c.Args().Present() {
				results, unseen := lifecycle.VerifyTargets(c.Context, d, c.Args().Slice(), want)
				return a.verified(results, unseen)
			}
			if want.Hosts.Len() > 0 || want.Role != "" || len(want.Trust.Certs()) > 0 {
				return usagef("--host, --role and --trust are about a FILE, DIR or HOST:PORT; the stack's own certificates are verified for what its config says")
			}
			results, err := lifecycle.VerifyStack(d)
			if err != nil {
				return err
			}
			return a.verified(results, nil)
		},
	}
}

// wanted reads the flags.
func (a *app) wanted(c *cli.Context) (lifecycle.Deps, lifecycle.Wanted, error) {
	want := lifecycle.Wanted{Role: pki.Role(c.String("role"))}
	if want.Role != "" && want.Role != pki.RoleServer && want.Role != pki.RoleClient {
		return lifecycle.Deps{}, want, usagef("--role %q is not known; want server or client", want.Role)
	}
	now, err := timeFlag(c.String("at"))
	if err != nil {
		return lifecycle.Deps{}, want, err
	}
	if want.Hosts, err = pki.ParseSANs(c.StringSlice("host")...); err != nil {
		return lifecycle.Deps{}, want, usagef("--host: %v", err)
	}
	if want.Trust, err = trustFlag(c.String("trust")); err != nil {
		return lifecycle.Deps{}, want, err
	}
	d, err := a.filesDeps()
	if err != nil && c.Args().Present() {
		// Somebody's files can be looked at whatever the config here is.
		d, err = local.Look(), nil
	}
	d.Now = func() time.Time { return now }
	return d, want, err
}

// timeFlag reads a time, "" for now.
func timeFlag(text string) (time.Time, error) {
	if text == "" {
		return time.Now(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usagef("--at %q is no time; want 2027-01-31 or 2027-01-31T12:00:00Z", text)
}

func trustFlag(file string) (pki.TrustBundle, error) {
	if file == "" {
		return pki.TrustBundle{}, nil
	}
	data, err := state.ReadPublic(file)
	if err != nil {
		return pki.TrustBundle{}, err
	}
	bundle, err := pki.ParseTrustBundle(data)
	if err != nil {
		return bundle, &lifecycle.FileError{File: file, Err: err}
	}
	return bundle, nil
}

// verified prints the results, one line each and one for every finding.
func (a *app) verified(results []lifecycle.Verified, unseen error) error {
	if a.global.json {
		if err := a.printJSON(results); err != nil {
			return err
		}
	}
	bad := false
	for _, r := range results {
		mark := a.ui.paint(green, "ok  ")
		if len(r.Findings) > 0 {
			mark, bad = a.ui.paint(red, "FAIL"), true
		}
		a.ui.linef("  %s  %-24s %s", mark, r.Name, a.ui.path(r.Source))
		for _, f := range r.Findings {
			a.ui.linef("        %s", f)
		}
		for _, n := range r.Notes {
			a.ui.linef("        note: %s", n)
		}
	}
	switch {
	case unseen != nil:
		return unseen
	case bad:
		return errNotOK
	default:
		return nil
	}
}
