package lint

import (
	"fmt"
	"net/url"
	"strings"
)

func judgeKeyPairs(b *Buildkitd) []Finding {
	var out []Finding
	for _, s := range b.sections() {
		for i, pair := range s.KeyPairs {
			want, have := "key", "cert"
			switch {
			case pair.Key != "" && pair.Certificate != "":
				continue
			case pair.Key != "":
				want, have = have, want
			case pair.Certificate == "":
				want = "key and cert"
			}
			if b.isExplained("registry", s.host, "keypair", "key") || b.isExplained("registry", s.host, "keypair", "cert") {
				continue
			}
			out = append(out, Finding{
				Line: b.pairLine(s.host, i, have), Object: keyPath("registry", s.host, "keypair"),
				Problem: fmt.Sprintf("the keypair has no %s, so every connection to %s fails, from the first build on", want, s.host),
				Mend:    fmt.Sprintf("set %s", want),
			})
		}
	}
	return out
}

// pairLine returns the line of a key of the keypair with this index, or of the
// keypair.
func (b *Buildkitd) pairLine(host string, i int, key string) int {
	at := -1
	header := 0
	for _, e := range b.toml.find("registry", host, "keypair") {
		if at++; at == i || e.items != nil { // an inline list has them all
			header = e.line
		}
	}
	if header == 0 {
		return b.Line("registry", host, "keypair", key)
	}
	for _, e := range b.toml.find("registry", host, "keypair", key) {
		if e.line >= header && b.headerAbove(e.line) == b.headerAbove(header) {
			return e.line
		}
	}
	return header
}

// headerAbove returns the line of the last header up to a line.
func (b *Buildkitd) headerAbove(line int) int {
	at := 0
	for _, e := range b.toml.entries {
		if e.header && e.line <= line {
			at = e.line
		}
	}
	return at
}

// mirrorHost takes the host out of a mirror as buildkitd does (buildkit v0.34.2
// util/resolver/utils.go:9-22).
func mirrorHost(mirror string) string {
	u, err := url.Parse(mirror)
	if err != nil || u.Host == "" {
		u, err = url.Parse("//" + mirror)
	}
	if err != nil || u.Host == "" {
		return mirror
	}
	return u.Host
}

func judgeMirrorSchemes(b *Buildkitd) []Finding {
	var out []Finding
	for _, s := range b.sections() {
		for i, m := range s.Mirrors {
			scheme, _, ok := strings.Cut(m, "://")
			own := b.Config.Registries[mirrorHost(m)]
			if !ok || strings.EqualFold(scheme, "https") && !(section{mirrorHost(m), 0, own}).becomesHTTP() || own.PlainHTTP != nil {
				continue
			}
			out = append(out, Finding{
				Line: b.itemLine(i, "registry", s.host, "mirrors"), Object: keyPath("registry", s.host, "mirrors"),
				Problem: fmt.Sprintf("buildkitd drops the scheme of %q: whether it speaks TLS is decided by http in the section of %s, which is not written", m, mirrorHost(m)),
				Mend:    fmt.Sprintf("write %q, and http in [%s]", strings.TrimPrefix(m, scheme+"://"), keyPath("registry", mirrorHost(m))),
			})
		}
	}
	return out
}

func judgeMirrorSections(b *Buildkitd) []Finding {
	var out []Finding
	for _, s := range b.sections() {
		for i, m := range s.Mirrors {
			host := mirrorHost(m)
			_, own := b.Config.Registries[host]
			if own || b.isExplained("registry", host) || !s.hasTLS() && !s.http() && !s.unverified() {
				continue
			}
			how := "with TLS, and trusts only the CAs of its own image"
			if (section{host: host}).becomesHTTP() {
				how = "in plain HTTP, since it is a loopback name"
			}
			out = append(out, Finding{
				Line: b.itemLine(i, "registry", s.host, "mirrors"), Object: keyPath("registry", s.host, "mirrors"),
				Problem: fmt.Sprintf("the mirror %s has no section of its own, and what is said about %s does not hold for it: buildkitd speaks to it %s", host, s.host, how),
				Mend:    fmt.Sprintf("add [%s] with its own http and ca", keyPath("registry", host)),
			})
		}
	}
	return out
}
