package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/certyard/certyard/stack/lint"
)

// lookAtCertificates reads every certificate and key that the configs name, or
// that is in the directory that was named, and judges them for what they are used
// for.
func (p *patient) lookAtCertificates(context.Context) error {
	p.wire()
	if len(p.services()) > 0 {
		p.judge([]string{ruleUnmounted})
	}
	p.uses = p.configured()
	if o := p.target.Own; o != nil {
		p.uses = o.Uses
		p.judge([]string{ruleChanged}, p.changed()...)
	}
	for _, u := range p.uses {
		p.readCert(u.Path)
	}
	p.readBeside()
	if dir := p.target.Certs; dir != "" {
		found, err := certFiles(dir)
		if err != nil {
			return &FileError{"--certs", dir, err}
		}
		if len(found) == 0 {
			return &FileError{"--certs", dir, errNoCerts}
		}
		p.saw(Certificates, dir)
		for _, file := range found {
			p.readCert(file)
		}
		p.guess()
		p.judge(nil, p.passedOver(found)...)
	}
	if len(p.certs) == 0 {
		return nil
	}
	p.judge(ids(lint.CertRules()), lint.Certificates(p.certs, p.uses, p.now)...)
	if p.compose.Builder != nil && p.compose.Registry != nil {
		p.judge([]string{ruleShared}, p.sharedKeys()...)
	}
	return nil
}

// errNoCerts says that a directory has nothing to look at.
var errNoCerts = errors.New("nothing in it is called as a certificate or a key is")

// passedOver tells of files in the directory that was named which nothing can be
// said of, so that nobody takes silence for praise.
func (p *patient) passedOver(found []string) (out []lint.Finding) {
	add := func(file, problem string) {
		out = append(out, lint.Finding{Rule: "certs.unreadable", File: file, Problem: problem})
	}
	if len(found) >= maxFiles {
		add(p.target.Certs, fmt.Sprintf("it has more than %d files of certificates and keys, and the rest was not looked at", maxFiles))
	}
	for _, f := range p.certs {
		used := slices.ContainsFunc(p.uses, func(u lint.Used) bool { return u.Path == f.Path })
		if f.Unreadable != nil && !used && slices.Contains(found, f.Path) {
			add(f.Path, "it was not looked at: "+cause(f.Unreadable))
		}
	}
	return out
}

// readCert reads a file that is used, or that was named with its directory.
func (p *patient) readCert(path string) {
	if path != "" && p.addCert(path) && p.target.Certs == "" {
		p.saw(Certificates, path)
	}
}

// addCert reads a file, and reports whether it was not yet read.
func (p *patient) addCert(path string) bool {
	if slices.ContainsFunc(p.certs, func(f lint.CertFile) bool { return f.Path == path }) {
		return false
	}
	f := certFile(path)
	f.Mounted = p.mounted(path)
	p.certs = append(p.certs, f)
	return true
}

// guess adds what files are for that no config names. Whom a client's certificate
// has to satisfy, the builder's config knows better.
func (p *patient) guess() {
	configured := slices.Clone(p.uses)
	for _, u := range lint.Guess(p.certs, map[lint.Subject][]string{lint.Registry: p.registryNames(), lint.Builder: p.builderNames()}) {
		if accepted := pathsOf(configured, u.Subject, lint.ClientCA); u.Use == lint.ClientCert && len(accepted) > 0 {
			u.Trust = accepted
		}
		if !slices.ContainsFunc(configured, func(have lint.Used) bool { return have.Path == u.Path }) {
			p.uses = append(p.uses, u)
		}
	}
}

// configured returns what the configs say about files.
func (p *patient) configured() []lint.Used {
	out := append(p.builderUses(), p.registryUses()...)
	for i, u := range out {
		switch u.Use {
		case lint.ServerCert:
			out[i].Trust = pathsOf(out, u.Subject, lint.TrustCA)
		case lint.ClientCert:
			out[i].Trust = pathsOf(out, u.Subject, lint.ClientCA)
		}
	}
	return out
}

func pathsOf(uses []lint.Used, subject lint.Subject, use lint.Use) (out []string) {
	for _, u := range uses {
		if u.Subject == subject && u.Use == use && !slices.Contains(out, u.Path) {
			out = append(out, u.Path)
		}
	}
	return out
}

// builderUses are the files that buildkitd's config names.
func (p *patient) builderUses() (out []lint.Used) {
	b := p.buildkitd
	if b == nil || !b.Decoded {
		return nil
	}
	add := func(u lint.Used, inside string, line int, object string) {
		host, known := p.onHost(lint.Builder, inside)
		if inside == "" || !known {
			p.unmounted(lint.Builder, inside, p.toml, line, object)
			return
		}
		u.Path, u.Reader, u.File, u.Line, u.Object = host, p.reader(lint.Builder), p.toml, line, object
		out = append(out, u)
	}
	cert, key, ca := b.TLS()
	pair, _ := p.onHost(lint.Builder, key)
	add(lint.Used{Subject: lint.Builder, Use: lint.ServerCert, Names: p.builderNames(), Pair: pair}, cert, b.Line("grpc", "tls", "cert"), "grpc.tls.cert")
	add(lint.Used{Subject: lint.Builder, Use: lint.ServerKey}, key, b.Line("grpc", "tls", "key"), "grpc.tls.key")
	add(lint.Used{Subject: lint.Builder, Use: lint.ClientCA}, ca, b.Line("grpc", "tls", "ca"), "grpc.tls.ca")
	for _, host := range p.sections() {
		if !p.meansRegistry(host) {
			continue // another registry, about whose certificate nothing is known here
		}
		section, object := b.Config.Registries[host], `registry."`+host+`"`
		for _, ca := range section.RootCAs {
			add(lint.Used{Subject: lint.Registry, Use: lint.TrustCA}, ca, b.Line("registry", host, "ca"), object+".ca")
		}
		for _, kp := range section.KeyPairs {
			pair, _ := p.onHost(lint.Builder, kp.Key)
			add(lint.Used{Subject: lint.Registry, Use: lint.ClientCert, Pair: pair}, kp.Certificate, b.Line("registry", host, "keypair"), object+".keypair.cert")
			add(lint.Used{Subject: lint.Registry, Use: lint.ClientKey}, kp.Key, b.Line("registry", host, "keypair"), object+".keypair.key")
		}
	}
	return out
}

// registryUses are the files that the registry's config names.
func (p *patient) registryUses() (out []lint.Used) {
	if p.registry == nil || p.registry.Config == nil {
		return nil
	}
	t := p.registry.Config.HTTP.TLS
	add := func(u lint.Used, inside, key string) {
		host, known := p.onHost(lint.Registry, inside)
		if inside == "" || !known {
			p.unmounted(lint.Registry, inside, p.yml, p.registry.Line("http.tls."+key), "http.tls."+key)
			return
		}
		u.Subject, u.Path, u.Reader, u.File, u.Line, u.Object = lint.Registry, host, p.reader(lint.Registry), p.yml, p.registry.Line("http.tls."+key), "http.tls."+key
		out = append(out, u)
	}
	pair, _ := p.onHost(lint.Registry, t.Key)
	add(lint.Used{Use: lint.ServerCert, Names: p.registryNames(), Pair: pair}, t.Certificate, "certificate")
	add(lint.Used{Use: lint.ServerKey}, t.Key, "key")
	for _, ca := range t.ClientCAs {
		add(lint.Used{Use: lint.ClientCA}, ca, "clientcas")
	}
	return out
}

// reader returns the user that a daemon reads its files as, -1 when that is not
// known. The registry's image runs as root, and so does BuildKit's, but for the
// rootless one, whose user is 1000 (P25).
func (p *patient) reader(subject lint.Subject) int {
	s := p.services()[subject]
	if s == nil {
		return -1
	}
	user, _, _ := strings.Cut(s.User, ":")
	switch uid, err := strconv.Atoi(user); {
	case err == nil:
		return uid
	case user == "root":
		return 0
	case user != "":
		return -1
	case subject == lint.Builder && strings.Contains(s.Image, "rootless"):
		return 1000
	default:
		return 0
	}
}

// changed are the files of a stack of ours that are not as they were written.
func (p *patient) changed() (out []lint.Finding) {
	for _, file := range p.target.Own.Changed {
		name, missing := strings.CutSuffix(file, " (missing)") // as lifecycle.Status has it
		problem := "is not as certyard wrote it"
		if missing {
			problem = "does not exist, and certyard wrote it"
		}
		out = append(out, lint.Finding{
			Rule: ruleChanged, File: filepath.Join(p.target.Own.Dir, name), Problem: problem,
		})
	}
	return out
}
