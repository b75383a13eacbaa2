package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lint"
	"github.com/certyard/certyard/stack/smoke"
)

// probes are the rules about what live connections show: one for each reason for
// which a check of the proof can fail, with what on the disk may be the cause.
var probes = []struct {
	reason stack.Reason
	title  string
	needs  []string
	hint   string
}{
	{stack.ReasonUnreachable, "the daemons answer", append(slices.Clone(startNeeds), "buildkitd.grpc-plain", "compose.config-mount"), "see that the container runs and that its port is published here"},
	{stack.ReasonPlaintext, "the daemons speak TLS", []string{"buildkitd.grpc-plain", "buildkitd.unknown-key", "buildkitd.misplaced", "registry.plain-http", "registry.unknown-key", "compose.config-mount", "compose.builder-plain", ruleScheme}, "give the daemon its certificate and key, and start it again"},
	{stack.ReasonStale, "the daemons serve the certificates of their files", nil, "restart the daemon when nobody builds"},
	{stack.ReasonExpired, "the served certificates are valid now", []string{"certs.expired", "certs.not-yet-valid", "certs.ca-expired", ruleClock}, "renew the certificate"},
	{stack.ReasonName, "the served certificates hold for the names that are dialled", []string{"certs.names", "certs.no-san", "certs.ip-as-dns"}, "make the certificate anew with the name as a SAN"},
	{stack.ReasonUntrusted, "the served certificates are signed by a CA that is trusted", certRules(lint.Error), "trust the CA that signed it, or have it signed by the one that is trusted"},
	{stack.ReasonProtocol, "the daemons speak the TLS versions and protocols that they must", nil, "see what listens on that port"},
	{stack.ReasonUnauthorized, "who has the password and the certificate is let in", []string{"registry.clients-need-certificates", ruleHtpasswd, ruleKeyPair, "registry.htpasswd-users", "registry.htpasswd-bcrypt", "certs.usage", "certs.chain", "certs.expired"}, "use the password and the client certificate that the daemon's files are made for"},
	{stack.ReasonAccepted, "who must be refused is refused", []string{"buildkitd.no-client-auth", "buildkitd.grpc-plain", "registry.no-auth", "registry.environment-off", "registry.plain-http", "registry.clientauth-ignored", "registry.unknown-key"}, "close what is open: see which check let somebody in"},
	{stack.ReasonBuild, "a build runs", nil, `"certyard explain" takes the build's output`},
	{stack.ReasonContent, "what is pushed is what is read back", nil, "look at the registry's storage"},
	{stack.ReasonDrift, "files are as they were written", []string{ruleChanged}, `"certyard up" writes them again`},
	{stack.ReasonUnexpected, "refusals have the reason that they must have", nil, `"certyard smoke" shows every check`},
}

// certRules returns the IDs of the rules about certificates of a severity.
func certRules(s lint.Severity) (out []string) {
	for _, r := range lint.CertRules() {
		if r.Severity == s {
			out = append(out, r.ID)
		}
	}
	return out
}

func probeRules() []lint.Rule {
	var out []lint.Rule
	always := []string{ruleEngine, ruleSource, ruleState, ruleServed, ruleFrozen}
	var before []string // an earlier reason may be why a later check fails
	for _, p := range probes {
		id := probePrefix + string(p.reason)
		out = append(out, lint.Rule{
			ID: id, Title: p.title, Severity: lint.Error, Needs: slices.Concat(always, p.needs, before),
			Proves: "seen in real connections", Hint: p.hint, Source: "the proof of certyard smoke",
		})
		if p.reason != stack.ReasonStale {
			before = append(before, id)
		}
	}
	return out
}

// probe makes real connections: for a stack of ours the whole proof, for what
// somebody else made the part that needs no password.
func (p *patient) probe(ctx context.Context) error {
	if p.target.FilesOnly {
		return nil
	}
	p.lookAtServed(ctx)
	report, err := p.prove(ctx)
	if err != nil {
		p.judge(nil, lint.Finding{Rule: probePrefix + string(stack.ReasonUnexpected), Problem: "the proof cannot be made: " + err.Error()})
	}
	if len(report.Checks) == 0 {
		return ctx.Err()
	}
	p.judge(ids(probeRules()))
	p.saw(Probes, fmt.Sprintf("%d checks", len(report.Checks)))
	p.judge(nil, p.failed(report)...)
	return nil
}

// failed returns one finding for each daemon and reason.
func (p *patient) failed(report stack.Report) (out []lint.Finding) {
	for _, c := range report.Failed() {
		if p.forgiven(c, report.Checks) {
			continue
		}
		id, subject := probePrefix+string(c.Reason), subjectOf(c.Hop)
		i := slices.IndexFunc(out, func(f lint.Finding) bool { return f.Rule == id && f.Subject == subject })
		if i < 0 {
			out = append(out, lint.Finding{Rule: id, Subject: subject, Object: string(c.Hop) + " at " + c.Target, Problem: p.title(c) + ": " + c.Error})
		}
	}
	return out
}

// title leaves out what was not tried: a password that is not known.
func (p *patient) title(c stack.Check) string {
	if p.target.Own != nil {
		return c.Title
	}
	return strings.TrimSuffix(c.Title, ", and the password gets 200")
}

func subjectOf(hop stack.Hop) lint.Subject {
	switch hop {
	case stack.HopHostRegistry:
		return lint.Registry
	case stack.HopHostBuilder:
		return lint.Builder
	default: // either may be at fault
		return ""
	}
}

// forgiven says which checks of somebody else's registry cannot hold: its password
// is not known, and where the first check shows that it asks for a certificate, then
// none is at hand, and no question gets as far as a password.
func (p *patient) forgiven(c stack.Check, all []stack.Check) bool {
	if p.target.Own != nil || c.Hop != stack.HopHostRegistry {
		return false
	}
	login := all[slices.IndexFunc(all, func(first stack.Check) bool { return first.Hop == c.Hop })]
	closed := login.Reason == stack.ReasonUnauthorized && login.Evidence.HTTPStatus == 0
	return c.Reason == stack.ReasonUnauthorized || closed && c.Reason == stack.ReasonUnexpected
}

func (p *patient) prove(ctx context.Context) (stack.Report, error) {
	if o := p.target.Own; o != nil {
		if p.containers == nil || p.broken(ruleState, "") {
			return stack.Report{}, nil // there is nobody to ask
		}
		return o.Prove(ctx)
	}
	return p.proveForeign(ctx), nil
}

// foreignLimit keeps a port that stays silent from stopping the examination: each of
// the checks would wait for it.
const foreignLimit = 8 * time.Second

// proveForeign makes the checks of each daemon by itself. There is no build: it
// would need a password.
func (p *patient) proveForeign(ctx context.Context) stack.Report {
	ctx, cancel := context.WithTimeout(ctx, foreignLimit)
	defer cancel()
	var registry, builder stack.Report
	var both sync.WaitGroup
	if e, ok := p.live(lint.Registry); ok {
		both.Go(func() {
			registry = smoke.Prove(ctx, smoke.Options{Trust: p.trust(lint.Registry), Registry: smoke.Registry{Endpoints: []stack.Endpoint{e}}})
		})
	}
	if e, ok := p.live(lint.Builder); ok {
		o := smoke.Builder{Endpoints: []stack.Endpoint{e}, Client: p.client()}
		o.Mutual = o.Client != nil
		both.Go(func() { builder = smoke.Prove(ctx, smoke.Options{Trust: p.trust(lint.Builder), Builder: o}) })
	}
	both.Wait()
	return stack.Report{Checks: append(registry.Checks, p.withoutClient(builder.Checks)...)}
}

// withoutClient corrects the checks of a builder that was asked without a
// certificate, because none was found: if it has to ask for one, then that it let
// us in is what is wrong, and that it did not is right.
func (p *patient) withoutClient(checks []stack.Check) []stack.Check {
	if len(checks) == 0 || !p.clientAuth() || p.client() != nil {
		return checks
	}
	first := &checks[0]
	switch {
	case first.Outcome == stack.Holds:
		first.Title, first.Outcome, first.Reason = "a client without a certificate is refused", stack.Fails, stack.ReasonAccepted
		first.Error = "it is let in, and " + p.toml + " says that clients need a certificate"
	case first.Reason == stack.ReasonUnauthorized:
		first.Title, first.Outcome, first.Reason, first.Error = "a client without a certificate is refused", stack.Holds, "", ""
	}
	return checks
}

// live returns where a daemon can be dialled from here: as it was named, or as the
// running container publishes it.
func (p *patient) live(subject lint.Subject) (stack.Endpoint, bool) {
	e, named := stack.Endpoint{Service: stack.Registry}, p.target.Registry
	if subject == lint.Builder {
		e, named = stack.Endpoint{Service: stack.Builder}, p.target.Builder
	}
	if host, port, err := net.SplitHostPort(named); err == nil {
		e.Host = host
		e.Port, err = strconv.Atoi(port)
		return e, err == nil
	}
	if port, ok := p.publishedPort(subject); ok && !p.broken(ruleState, subject) {
		e.Host, e.Port = "localhost", port
		if p.info != nil && p.info.Host != "" {
			e.Host = p.info.Host
		}
		return e, true
	}
	return e, false
}

// publishedPort returns the port of this machine that leads to a daemon: of several
// the one of the port that it listens on.
func (p *patient) publishedPort(subject lint.Subject) (int, bool) {
	ports := p.containers[subject].Ports
	if len(ports) == 0 {
		return 0, false
	}
	want := p.registryPort()
	if subject == lint.Builder {
		want = p.builderPort()
	}
	for _, port := range ports {
		if strconv.Itoa(port.ContainerPort) == want {
			return port.HostPort, true
		}
	}
	return ports[0].HostPort, true
}

// builderPort returns the port that buildkitd listens on, "" when it has none.
func (p *patient) builderPort() string {
	if p.buildkitd == nil {
		return ""
	}
	for _, address := range p.buildkitd.Listens() {
		if rest, ok := strings.CutPrefix(address, "tcp://"); ok {
			return portOf(rest)
		}
	}
	return ""
}

// lookAtServed holds what the daemons serve against the certificates in their
// files.
func (p *patient) lookAtServed(ctx context.Context) {
	for _, u := range p.uses {
		if u.Use != lint.ServerCert {
			continue
		}
		e, ok := p.live(u.Subject)
		if !ok {
			continue
		}
		shown, err := smoke.Fetch(ctx, e.Address(), e.Host, pki.NewTrustBundle())
		if err != nil || len(shown.Certs) == 0 {
			continue // what keeps it from answering is for the probes
		}
		p.judge([]string{ruleServed}, p.served(u, e, shown.Certs[0])...)
	}
}

func (p *patient) served(u lint.Used, e stack.Endpoint, cert *x509.Certificate) []lint.Finding {
	file := p.certsIn(u.Path)
	if len(file) == 0 || file[0].Equal(cert) {
		return nil
	}
	return []lint.Finding{{
		Rule: ruleServed, Subject: u.Subject, File: u.Path, Object: e.Address(),
		Problem: fmt.Sprintf("serves the certificate with serial %x, valid until %s, and the file has %x, valid until %s",
			cert.SerialNumber, cert.NotAfter.UTC().Format("2006-01-02"), file[0].SerialNumber, file[0].NotAfter.UTC().Format("2006-01-02")),
	}}
}
