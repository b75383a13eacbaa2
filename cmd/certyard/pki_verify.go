package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

func (a *app) pkiVerifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "verify certificates as their peers do", ArgsUsage: "[FILE|DIR|HOST:PORT...]",
		Description: `Without arguments every certificate of the stack, for what it is used for.
With arguments the leaf of each file, each file of a directory, or what a live
server shows: chain, dates, role, names, and the key if it is there. Trusted is
what --trust names, else the stack's CA, else a root in the same file. Exits
with 3 when something does not hold, and with 1 when it could not be looked at.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "host", Usage: "it has to be valid for `NAME`, a host name or an address; repeatable"},
			&cli.StringFlag{Name: "role", Usage: "it has to be good for `ROLE`: server or client (default: what it says)"},
			&cli.StringFlag{Name: "trust", Usage: "trust the certificates of `FILE`"},
			&cli.StringFlag{Name: "at", Usage: "as if it were `TIME`, as 2027-01-31 or 2027-01-31T12:00:00Z (default: now)"},
		},
		Action: func(c *cli.Context) error {
			v, err := a.verifier(c)
			if err != nil {
				return err
			}
			var results []lifecycle.Verified
			if c.Args().Present() {
				results = v.targets(c.Context, c.Args().Slice())
			} else if results, err = v.stack(); err != nil {
				return err
			}
			return a.verified(results, v.unseen)
		},
	}
}

// verifier is one run of the command.
type verifier struct {
	app    *app
	hosts  pki.SANs
	role   pki.Role // "": what the certificate says
	trust  pki.TrustBundle
	now    time.Time
	unseen []error // targets that could not be looked at
}

func (a *app) verifier(c *cli.Context) (*verifier, error) {
	v := &verifier{app: a, role: pki.Role(c.String("role")), now: time.Now()}
	if v.role != "" && v.role != pki.RoleServer && v.role != pki.RoleClient {
		return nil, usagef("--role %q is not known; want server or client", v.role)
	}
	var err error
	if v.hosts, err = pki.ParseSANs(c.StringSlice("host")...); err != nil {
		return nil, usagef("--host: %v", err)
	}
	if at := c.String("at"); at != "" {
		v.now, err = time.Parse(time.RFC3339, at)
		if err != nil {
			v.now, err = time.Parse(time.DateOnly, at)
		}
		if err != nil {
			return nil, usagef("--at %q is no time; want 2027-01-31 or 2027-01-31T12:00:00Z", at)
		}
	}
	if file := c.String("trust"); file != "" {
		data, err := state.ReadPublic(file)
		if err != nil {
			return nil, err
		}
		if v.trust, err = pki.ParseTrustBundle(data); err != nil {
			return nil, &fileError{file, err}
		}
	}
	return v, nil
}

func (v *verifier) stack() ([]lifecycle.Verified, error) {
	if v.hosts.Len() > 0 || v.role != "" || len(v.trust.Certs()) > 0 {
		return nil, usagef("--host, --role and --trust are about a FILE, DIR or HOST:PORT; the stack's own certificates are verified for what its config says")
	}
	d, err := v.app.filesDeps()
	if err != nil {
		return nil, err
	}
	d.Now = func() time.Time { return v.now }
	return lifecycle.VerifyStack(d)
}

func (v *verifier) targets(ctx context.Context, targets []string) []lifecycle.Verified {
	results := []lifecycle.Verified{}
	for _, target := range targets {
		if address, name, live := liveTarget(target); live {
			results = append(results, v.live(ctx, target, address, name)...)
			continue
		}
		for _, f := range findFiles([]string{target}) {
			if f.err != nil {
				v.unseen = append(v.unseen, &fileError{f.file, f.err})
			} else if len(f.contents.Certs) > 0 {
				results = append(results, v.file(f))
			}
		}
	}
	return results
}

// liveTarget tells an address from a file, which wins where both could be meant.
func liveTarget(target string) (address, name string, live bool) {
	if u, err := url.Parse(target); err == nil && u.Host != "" && slices.Contains([]string{"https", "tcp", "tls"}, u.Scheme) {
		port := cmp.Or(u.Port(), "443")
		return net.JoinHostPort(u.Hostname(), port), u.Hostname(), true
	}
	if _, err := os.Lstat(target); err == nil {
		return "", "", false
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" || port == "" || strings.Contains(host, "/") {
		return "", "", false
	}
	return target, host, true
}

func (v *verifier) live(ctx context.Context, target, address, name string) []lifecycle.Verified {
	trust := v.trustFor(nil)
	asked := name
	if hosts := v.hosts.Strings(); len(hosts) > 0 && !strings.HasPrefix(hosts[0], "*") {
		asked = hosts[0]
	}
	shown, err := smoke.Fetch(ctx, address, asked, trust)
	if err != nil {
		v.unseen = append(v.unseen, &fileError{target, err})
		return nil
	}
	kp := &pki.KeyPair{Cert: shown.Certs[0], Chain: shown.Certs[1:]}
	want := pki.Want{Role: pki.RoleServer, SANs: v.hosts}
	if want.SANs.Len() == 0 {
		if want.SANs, err = pki.ParseSANs(name); err != nil {
			v.unseen = append(v.unseen, &fileError{target, err})
			return nil
		}
	}
	return []lifecycle.Verified{v.judge(target, kp, trust, want, false)}
}

func (v *verifier) file(f found) lifecycle.Verified {
	kp, err := f.contents.Pair()
	if kp == nil {
		return lifecycle.Verified{Source: f.file, Findings: []string{err.Error()}, Notes: []string{}}
	}
	trust := v.trustFor(kp.Chain)
	if kp.Cert.IsCA && (kp.Cert.KeyUsage == 0 || kp.Cert.KeyUsage&x509.KeyUsageCertSign != 0) && len(kp.Cert.DNSNames) == 0 {
		return v.report(f.file, kp, pki.VerifyCA(kp, v.now), err)
	}
	want := pki.Want{Role: v.role, SANs: v.hosts}
	if want.Role == "" {
		want.Role = roleOf(kp.Cert)
	}
	result := v.judge(f.file, kp, trust, want, kp.Key != nil)
	if err != nil {
		result.Findings = append(result.Findings, err.Error())
	}
	return result
}

// roleOf returns the role that a certificate claims.
func roleOf(cert *x509.Certificate) pki.Role {
	if slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return pki.RoleClient
	}
	return pki.RoleServer
}

// trustFor returns what is trusted: what was named, else the stack's CA and the
// roots that came with the certificate.
func (v *verifier) trustFor(chain []*x509.Certificate) pki.TrustBundle {
	if len(v.trust.Certs()) > 0 {
		return v.trust
	}
	var certs []*x509.Certificate
	if d, err := v.app.filesDeps(); err == nil {
		if data, err := d.Store.Read(stack.FileClientCA); err == nil {
			if bundle, err := pki.ParseTrustBundle(data); err == nil {
				certs = bundle.Certs()
			}
		}
	}
	for _, cert := range chain {
		if cert.CheckSignatureFrom(cert) == nil {
			certs = append(certs, cert)
		}
	}
	return pki.NewTrustBundle(certs...)
}

// judge verifies a leaf. A certificate without its key is a sound one.
func (v *verifier) judge(source string, kp *pki.KeyPair, trust pki.TrustBundle, want pki.Want, key bool) lifecycle.Verified {
	findings := pki.VerifyShown(kp, trust, want, v.now)
	if key {
		findings = pki.Verify(kp, trust, want, v.now)
	}
	return v.report(source, kp, append(findings, pki.NameFindings(kp.Cert)...), nil)
}

func (v *verifier) report(source string, kp *pki.KeyPair, findings []pki.Finding, err error) lifecycle.Verified {
	out := lifecycle.Verified{Name: kp.Cert.Subject.CommonName, Source: source, Findings: []string{}, Notes: []string{}}
	for _, f := range findings {
		out.Findings = append(out.Findings, f.String())
	}
	if err != nil {
		out.Findings = append(out.Findings, err.Error())
	}
	for _, f := range pki.Lint(kp.Cert) {
		out.Notes = append(out.Notes, f.String())
	}
	return out
}

// verified prints the results, one line each and one for every finding.
func (a *app) verified(results []lifecycle.Verified, unseen []error) error {
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
	case len(unseen) > 0:
		return errors.Join(unseen...)
	case bad:
		return errNotOK
	default:
		return nil
	}
}
