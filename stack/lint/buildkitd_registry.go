package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	resolver "github.com/moby/buildkit/util/resolver/config"
)

// section is what a file says about one registry.
type section struct {
	host string
	line int
	resolver.RegistryConfig
}

func (s section) http() bool       { return s.PlainHTTP != nil && *s.PlainHTTP }
func (s section) unverified() bool { return s.Insecure != nil && *s.Insecure }
func (s section) hasCA() bool      { return len(s.RootCAs)+len(s.TLSConfigDir) > 0 }

// hasTLS is true when something is written that only TLS needs.
func (s section) hasTLS() bool { return s.hasCA() || len(s.KeyPairs) > 0 }

// becomesHTTP is true when buildkitd would speak plain HTTP because nothing else is
// said (P1).
func (s section) becomesHTTP() bool {
	ok, _ := docker.MatchLocalhost(s.host) // an error is no, for buildkitd too
	return ok && s.PlainHTTP == nil
}

// sections returns the registries by their lines, but for those of which it was
// found that they were meant to be others.
func (b *Buildkitd) sections() []section {
	var out []section
	for host, c := range b.Config.Registries {
		if !b.isExplained("registry", host) {
			out = append(out, section{host, b.Line("registry", host), c})
		}
	}
	slices.SortFunc(out, func(x, y section) int {
		if x.line != y.line {
			return x.line - y.line
		}
		return strings.Compare(x.host, y.host)
	})
	return out
}

// each returns the findings of the sections, with line and object where they have
// none.
func (b *Buildkitd) each(judge func(section) *Finding) []Finding {
	var out []Finding
	for _, s := range b.sections() {
		f := judge(s)
		if f == nil {
			continue
		}
		if f.Line == 0 {
			f.Line = s.line
		}
		if f.Object == "" {
			f.Object = keyPath("registry", s.host)
		}
		out = append(out, *f)
	}
	return out
}

func judgeHosts(b *Buildkitd) []Finding {
	mirrors := map[string]bool{}
	for _, c := range b.Config.Registries {
		for _, m := range c.Mirrors {
			mirrors[mirrorHost(m)] = true
		}
	}
	return b.each(func(s section) *Finding {
		why, better := hostProblem(s.host)
		if why == "" || mirrors[s.host] {
			return nil
		}
		f := &Finding{Problem: fmt.Sprintf("%s, so this section is never used", why)}
		if better == "" {
			return f
		}
		f.Mend = fmt.Sprintf("write [%s]", keyPath("registry", better))
		plain := strings.HasPrefix(strings.ToLower(s.host), "http://") && s.PlainHTTP == nil // it would get TLS
		if !plain {                                                                          // a section that has the better name already is seen when the edit is tried
			f.Edits = b.renamed(s.host, better)
		}
		return f
	})
}

// hostProblem says why no image reference has a registry of this name, and which
// one was probably meant. It is decided as buildkitd does when it takes a
// reference apart.
func hostProblem(host string) (why, better string) {
	if registryOf(host) == host {
		return "", ""
	}
	bare := host
	if i := strings.Index(bare, "://"); i >= 0 {
		why, bare = fmt.Sprintf("%q has a scheme, and images are named without", host), bare[i+3:]
	}
	if i := strings.IndexByte(bare, '/'); i >= 0 {
		bare = bare[:i]
		if why == "" {
			why = fmt.Sprintf("%q has a path, and buildkitd compares the host alone", host)
		}
	}
	if bare == "index.docker.io" {
		why, bare = "images of Docker Hub are named docker.io, not index.docker.io", "docker.io"
	}
	if bare != host && registryOf(bare) == bare {
		return why, bare
	}
	switch {
	case why != "":
		return why, ""
	case registryOf(host) == "docker.io":
		return fmt.Sprintf("an image %s/app is docker.io/%s/app: without a dot or a port %q is no registry", host, host, host), ""
	default:
		return fmt.Sprintf("no image can name a registry %q", host), ""
	}
}

// registryOf returns the registry of an image below a host, "" when that is no
// image.
func registryOf(host string) string {
	named, err := reference.ParseNormalizedNamed(host + "/namespace/image")
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// renamed returns the edits that give a section another host, wherever it is
// named.
func (b *Buildkitd) renamed(host, to string) []Edit {
	var out []Edit
	for _, e := range b.toml.entries {
		part, ok := e.part(1)
		if !ok || !hasPrefix(e.path, []string{"registry", host}) {
			continue
		}
		fix := b.toml.splice(part, quoteKey(to))
		if slices.ContainsFunc(out, func(o Edit) bool { return o.From == fix.From }) {
			return nil
		}
		out = append(out, fix)
	}
	return out
}

func judgeLoopback(b *Buildkitd) []Finding {
	return b.each(func(s section) *Finding {
		if !s.becomesHTTP() || s.unverified() || b.isExplained("registry", s.host, "http") {
			return nil
		}
		f := &Finding{
			Object:  keyPath("registry", s.host, "http"),
			Problem: fmt.Sprintf("%s is a loopback name, and without http = false buildkitd speaks plain HTTP to it", s.host),
			Mend:    "write http = false when the registry speaks TLS, http = true when it does not",
		}
		if s.hasTLS() {
			f.Problem += ": ca and keypair are ignored, and a registry with TLS answers \"Client sent an HTTP request to an HTTPS server\""
		}
		if s.hasTLS() || s.Insecure != nil {
			f.Mend, f.Edits = "write http = false", b.withTLS(s)
		}
		return f
	})
}

// withTLS returns the edit that adds http = false to a section.
func (b *Buildkitd) withTLS(s section) []Edit {
	header, ok := b.toml.header("registry", s.host)
	if !ok {
		return nil
	}
	return []Edit{b.toml.under(header, "http = false")}
}

func judgeInsecure(b *Buildkitd) []Finding {
	return b.each(func(s section) *Finding {
		if !s.unverified() {
			return nil
		}
		f := &Finding{Line: b.Line("registry", s.host, "insecure"), Object: keyPath("registry", s.host, "insecure")}
		f.Problem = fmt.Sprintf("buildkitd does not verify the certificate of %s: whoever stands between reads the password and changes images", s.host)
		if s.hasCA() {
			f.Problem += ", and ca proves nothing"
		}
		if s.http() || s.becomesHTTP() {
			f.Problem += "; where TLS does not work it goes on in plain HTTP"
		}
		if set := b.toml.find("registry", s.host, "insecure"); s.hasCA() && !s.http() && len(set) == 1 {
			f.Mend = "write insecure = false; the certificate has to be valid for this name"
			f.Edits = []Edit{b.toml.splice(set[0].value, "false")}
			if s.becomesHTTP() { // else it would speak plain HTTP from then on
				f.Mend = "write http = false and insecure = false; the certificate has to be valid for this name"
				f.Edits = append(f.Edits, b.withTLS(s)...)
				if len(f.Edits) < 2 {
					f.Edits = nil
				}
			}
		}
		return f
	})
}

func judgeHTTPWithCA(b *Buildkitd) []Finding {
	return b.each(func(s section) *Finding {
		if !s.http() || s.unverified() || !s.hasTLS() {
			return nil
		}
		return &Finding{
			Line: b.Line("registry", s.host, "http"), Object: keyPath("registry", s.host, "http"),
			Problem: fmt.Sprintf("with http = true buildkitd speaks plain HTTP to %s: what is written about certificates is read and not used", s.host),
		}
	})
}

func judgeNoCA(b *Buildkitd) []Finding {
	return b.each(func(s section) *Finding {
		tls := s.PlainHTTP != nil && !*s.PlainHTTP
		if !tls || s.unverified() || s.hasCA() || s.host == "docker.io" {
			return nil
		}
		if b.isExplained("registry", s.host, "ca") || b.isExplained("registry", s.host, "tlsconfigdir") {
			return nil
		}
		return &Finding{
			Object:  keyPath("registry", s.host, "ca"),
			Problem: fmt.Sprintf("without ca buildkitd trusts for %s only the CAs of its own image: a registry with a CA of yours is refused as signed by unknown authority", s.host),
		}
	})
}
