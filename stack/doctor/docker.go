package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack/lint"
)

// lookAtDocker judges what clients of the registry and the builder keep beside the
// engine: its certs.d, and the builders of buildx.
func (p *patient) lookAtDocker(context.Context) error {
	if p.target.FilesOnly {
		return nil
	}
	if leaf := p.leaf(lint.Registry); leaf != nil {
		p.judge([]string{ruleCertsD}, p.certsD(leaf)...)
	}
	if p.Engine != nil || p.EngineErr != nil {
		p.judge([]string{ruleContext}, p.dockerContext()...)
	}
	if p.registry != nil && p.registry.Config != nil {
		p.judge([]string{ruleLoopback}, p.loopback()...)
	}
	if p.DockerConfig != "" && (p.leaf(lint.Builder) != nil || p.leaf(lint.Registry) != nil) {
		p.judge([]string{ruleBuildx}, p.buildx()...)
	}
	return nil
}

// dockerContext finds a context that somebody chose and that is not used: DOCKER_HOST goes
// before it (docker/cli v29.8.2 cli/command/cli.go, resolveContextName).
func (p *patient) dockerContext() []lint.Finding {
	file := filepath.Join(p.DockerConfig, "config.json")
	var config struct{ CurrentContext string }
	data, err := readFile(file)
	if err != nil || json.Unmarshal(data, &config) != nil || p.DockerHost == "" {
		return nil
	}
	if name := config.CurrentContext; name != "" && name != "default" {
		return []lint.Finding{{
			Rule: ruleContext, File: file, Object: "currentContext",
			Problem: fmt.Sprintf("the context %q is chosen, and DOCKER_HOST=%s goes before it: docker and certyard ask that engine", name, p.DockerHost),
		}}
	}
	return nil
}

// loopback finds a registry that the engine cannot log in to: of a name of the
// loopback it verifies nothing and does not read certs.d, so that it has no client
// certificate to show (P28).
func (p *patient) loopback() []lint.Finding {
	if len(p.registry.Config.HTTP.TLS.ClientCAs) == 0 || p.compose.Registry == nil {
		return nil
	}
	for _, port := range p.compose.Registry.Ports {
		return []lint.Finding{{
			Rule: ruleLoopback, Subject: lint.Registry, File: p.yml, Line: p.registry.Line("http.tls.clientcas"), Object: "http.tls.clientcas",
			Problem: fmt.Sprintf("the registry asks for a client certificate, and for localhost:%s the engine has none: of loopback names it does not read certs.d, so that docker login, pull and push are refused", port.Published),
		}}
	}
	return nil
}

// leaf returns the certificate of a server, as its file has it.
func (p *patient) leaf(subject lint.Subject) *x509.Certificate {
	for _, u := range p.uses {
		if u.Use == lint.ServerCert && u.Subject == subject {
			if certs := p.certsIn(u.Path); len(certs) > 0 {
				return certs[0]
			}
		}
	}
	return nil
}

// registryHosts returns the registry as the host's docker command names it.
func (p *patient) registryHosts() []string {
	var out []string
	if p.target.Registry != "" {
		out = append(out, p.target.Registry)
	}
	if s := p.compose.Registry; s != nil {
		for _, port := range s.Ports {
			out = append(out, "localhost:"+port.Published, "127.0.0.1:"+port.Published)
		}
	}
	if p.target.Own != nil {
		out = append(out, p.target.Names...)
	}
	return out
}

// certsD judges what the engine has for the registry, where it has something: a
// directory of its name. Files that end in .crt are CAs, .cert and .key a client's
// pair, and everything else is passed over (P28).
func (p *patient) certsD(leaf *x509.Certificate) (out []lint.Finding) {
	for _, base := range p.CertsD {
		for _, host := range p.registryHosts() {
			dir := filepath.Join(base, host)
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue
			}
			p.saw(Docker, dir)
			out = append(out, p.certsDir(dir, host, entries, leaf)...)
		}
	}
	return out
}

func (p *patient) certsDir(dir, host string, entries []os.DirEntry, leaf *x509.Certificate) (out []lint.Finding) {
	add := func(file, problem string) {
		out = append(out, lint.Finding{Rule: ruleCertsD, Subject: lint.Registry, File: filepath.Join(dir, file), Object: host, Problem: problem})
	}
	var cas []*x509.Certificate
	for _, e := range entries {
		name := e.Name()
		switch filepath.Ext(name) {
		case ".crt":
			data, _ := readFile(filepath.Join(dir, name))
			found, err := pki.ParseContents(data)
			if err != nil {
				add(name, "holds no certificate: the engine passes it over")
			}
			cas = append(cas, found.Certs...)
		case ".key":
			if cert := strings.TrimSuffix(name, ".key") + ".cert"; !exists(filepath.Join(dir, cert)) {
				add(name, "has no "+cert+" beside it: every pull ends with \"missing client certificate "+cert+" for key "+name+"\"")
			}
		case ".pem":
			add(name, "is passed over: the engine takes CAs from files that end in .crt alone")
		}
	}
	if len(cas) > 0 && !signs(cas, leaf) {
		add("", "none of its CAs has signed the registry's certificate: pulls end with \"x509: certificate signed by unknown authority\"")
	}
	return out
}

// signs reports whether one of the CAs has signed the certificate, or is it.
func signs(cas []*x509.Certificate, leaf *x509.Certificate) bool {
	return slices.ContainsFunc(cas, func(ca *x509.Certificate) bool {
		return ca.Equal(leaf) || leaf.CheckSignatureFrom(ca) == nil
	})
}

// buildxNode is what buildx keeps of a builder, as far as it concerns us (buildx
// store/nodegroup.go, NodeGroup and Node).
type buildxNode struct {
	Endpoint   string
	DriverOpts map[string]string
	Files      map[string][]byte
}

// buildx judges the builders of buildx that point to this builder or know this
// registry: they keep copies of what was there when they were made (P24 and the
// table after it).
func (p *patient) buildx() (out []lint.Finding) {
	dir := filepath.Join(p.DockerConfig, "buildx", "instances")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		var group struct {
			Name, Driver string
			Nodes        []buildxNode
		}
		file := filepath.Join(dir, e.Name())
		data, err := readFile(file)
		if err != nil || json.Unmarshal(data, &group) != nil {
			continue
		}
		for _, n := range group.Nodes {
			if problem := p.buildxProblem(group.Driver, n); problem != "" {
				out = append(out, lint.Finding{
					Rule: ruleBuildx, File: file, Object: group.Name, Problem: problem,
					Mend: fmt.Sprintf("docker buildx rm %s, and create it again", group.Name),
				})
			}
		}
	}
	return out
}

func (p *patient) buildxProblem(driver string, n buildxNode) string {
	if leaf := p.leaf(lint.Builder); driver == "remote" && leaf != nil && p.isBuilder(n.Endpoint) {
		file := n.DriverOpts["cacert"]
		if file == "" {
			return "it has no cacert, and the builder speaks TLS: buildx connects without TLS and ends with \"context deadline exceeded\", or refuses the other TLS options"
		}
		data, err := readFile(file)
		if err != nil {
			return fmt.Sprintf("its cacert %s cannot be read: %s", file, cause(err))
		}
		if found, err := pki.ParseContents(data); err != nil || !signs(found.Certs, leaf) {
			return fmt.Sprintf("its cacert %s did not sign the builder's certificate: it ends with \"context deadline exceeded\", which hides \"certificate signed by unknown authority\"", file)
		}
	}
	return p.snapshotProblem(n)
}

// snapshotProblem judges the copy that a builder of the docker-container driver
// has of a buildkitd.toml and its certificates.
func (p *patient) snapshotProblem(n buildxNode) string {
	leaf := p.leaf(lint.Registry)
	toml := string(n.Files["buildkitd.toml"])
	if leaf == nil || toml == "" {
		return ""
	}
	for _, host := range append(p.registryHosts(), p.sections()...) {
		if !strings.Contains(toml, strconv.Quote(host)) {
			continue
		}
		for name, data := range n.Files {
			found, err := pki.ParseContents(data)
			if strings.HasSuffix(name, ".toml") || err != nil || len(found.Certs) == 0 || len(found.Keys) > 0 {
				continue
			}
			if found.Certs[0].IsCA && !signs(found.Certs, leaf) {
				return fmt.Sprintf("its copy of %s is of another CA than the one that has signed the certificate of %s: buildx copies files when a builder is made, and not again", name, host)
			}
		}
	}
	return ""
}

// isBuilder reports whether an address is the builder that is looked at.
func (p *patient) isBuilder(endpoint string) bool {
	e, ok := p.live(lint.Builder)
	return ok && strings.TrimPrefix(endpoint, "tcp://") == e.Address()
}
