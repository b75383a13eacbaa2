package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/certyard/certyard/stack/lint"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// wire judges how the two configs and the compose file fit together.
func (p *patient) wire() {
	if p.compose.Builder != nil || p.compose.Registry != nil {
		p.judge(nil, p.open()...)
		if p.registry != nil {
			p.judge(nil, p.compose.WithRegistry(*p.registry)...)
		}
	}
	if p.buildkitd == nil || !p.buildkitd.Decoded || p.target.Own != nil && p.target.Own.Takes {
		return // behind the edge the builder's config says little of TLS
	}
	if p.compose.Registry != nil {
		p.judge([]string{ruleSection, rulePort, ruleInside})
		p.judgeSections()
	}
	if p.registry != nil && p.registry.Config != nil {
		p.judge([]string{ruleScheme, ruleKeyPair})
		p.judgeSchemes()
	}
}

// open finds a builder that everybody may use. What its config says has to be
// known: one that does not start lets nobody in.
func (p *patient) open() []lint.Finding {
	if p.compose.Builder != nil && (p.buildkitd == nil || !p.buildkitd.Decoded) {
		return nil
	}
	return p.compose.Open(p.clientAuth())
}

// clientAuth reports whether the builder asks clients for a certificate.
func (p *patient) clientAuth() bool {
	if p.buildkitd == nil {
		return false
	}
	cert, key, ca := p.buildkitd.TLS()
	return cert != "" && key != "" && ca != ""
}

// sectionFinding is about a section of buildkitd.toml.
func (p *patient) sectionFinding(rule, host, key, problem, mend string) {
	p.findings = append(p.findings, lint.Finding{
		Rule: rule, Subject: lint.Builder, File: p.toml, Line: p.buildkitd.Line("registry", host, key),
		Object: `registry."` + host + `"`, Problem: problem, Mend: mend,
	})
}

// judgeSections holds the builder's sections against the registry's service: what
// an image reference says is dialled from within the builder's container.
func (p *patient) judgeSections() {
	s, found := p.compose.Registry, false
	want := s.Name + ":" + p.registryPort()
	for _, host := range p.sections() {
		switch {
		case slices.Contains(p.networkNames(), hostOf(host)):
			found = true
			if portOf(host) != p.registryPort() {
				p.sectionFinding(rulePort, host, "", fmt.Sprintf("the registry listens on port %s inside of the network, and the published one is for the host: nothing answers the builder at %s", p.registryPort(), host),
					fmt.Sprintf(`write [registry.%q], and push to %s/NAME`, want, want))
			}
		case p.target.Own == nil && isLoopback(hostOf(host)) && p.meansRegistry(host) && !p.sharesNetwork():
			p.sectionFinding(ruleInside, host, "", fmt.Sprintf("inside of the builder's container %s is the container itself: builds that push to %s find nothing there", hostOf(host), host),
				fmt.Sprintf(`have builds name the registry %s, or run the builder in the network of the registry (certyard: "serve: edge")`, want))
		}
	}
	if !found && !p.sharesNetwork() {
		p.findings = append(p.findings, lint.Finding{
			Rule: ruleSection, Subject: lint.Builder, File: cmp.Or(p.toml, p.target.Compose), Object: `registry."` + want + `"`,
			Problem: fmt.Sprintf("there is no section for %s, which is the registry's name on the network: the builder trusts the system's CAs alone for it", want),
			Mend:    fmt.Sprintf("add [registry.%q] with http = false and ca = [\"/path/of/the/ca.crt\"]", want),
		})
	}
}

// networkNames returns the names that the registry's container has on its networks.
func (p *patient) networkNames() []string {
	s := p.project.Services[p.compose.Registry.Name]
	out := []string{s.Name, s.ContainerName, s.Hostname}
	for _, n := range s.Networks {
		if n != nil {
			out = append(out, n.Aliases...)
		}
	}
	return slices.DeleteFunc(out, func(name string) bool { return name == "" })
}

// registryPort returns the port that the registry listens on in its container.
func (p *patient) registryPort() string {
	if p.registry != nil && p.registry.Config != nil {
		if _, port, ok := strings.Cut(p.registry.Config.HTTP.Addr, ":"); ok && port != "" {
			return port
		}
	}
	return "5000"
}

// sharesNetwork reports whether the builder's localhost is the registry's, or the
// host's where the registry is published.
func (p *patient) sharesNetwork() bool {
	return p.compose.Builder != nil && p.compose.Builder.NetworkMode != ""
}

// tlsFinding is about what a section says and the registry's config does not, or
// the other way round: it is of both of them, and so is what explains it.
func (p *patient) tlsFinding(rule, host, key, problem, mend string) {
	p.sectionFinding(rule, host, key, problem, mend)
	p.findings[len(p.findings)-1].Subject = ""
}

// judgeSchemes holds what the builder speaks against what the registry speaks.
func (p *patient) judgeSchemes() {
	c := p.registry.Config.HTTP
	secured := c.TLS.Certificate != "" || c.TLS.LetsEncrypt.CacheFile != ""
	for _, host := range p.sections() {
		if !p.meansRegistry(host) && p.compose.Registry != nil {
			continue
		}
		section := p.buildkitd.Config.Registries[host]
		plain := section.PlainHTTP != nil && *section.PlainHTTP
		switch {
		case plain && secured:
			p.tlsFinding(ruleScheme, host, "http", "says http = true, and the registry speaks TLS: it answers with 400 \"Client sent an HTTP request to an HTTPS server\"", "write http = false, and ca = [...] with the registry's CA")
		case section.PlainHTTP != nil && !plain && !secured:
			p.tlsFinding(ruleScheme, host, "http", "says http = false, and the registry speaks plain HTTP: the builder ends with \"http: server gave HTTP response to HTTPS client\"", "give the registry a certificate: http.tls.certificate and http.tls.key")
		}
		if len(c.TLS.ClientCAs) > 0 && len(section.KeyPairs) == 0 && len(section.TLSConfigDir) == 0 && !plain {
			p.tlsFinding(ruleKeyPair, host, "", "has no keypair, and the registry asks every client for a certificate: the builder ends with \"remote error: tls: certificate required\"",
				fmt.Sprintf("add [[registry.%q.keypair]] with cert and key, or take http.tls.clientcas out of the registry's config", host))
		}
	}
}
