package doctor

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certyard/certyard/stack/lint"
)

// onHost returns where a path of a daemon's container is on this machine, and
// whether that is known. Without a compose file it is the file of that name among
// the certificates that were named, or the path itself.
func (p *patient) onHost(subject lint.Subject, inside string) (string, bool) {
	if s := p.services()[subject]; s != nil {
		host, ok := s.HostPath(inside)
		return host, ok && p.local() && !p.sourceMissing(*s, inside)
	}
	if p.target.Certs == "" || inside == "" {
		return inside, exists(inside)
	}
	file := filepath.Join(p.target.Certs, filepath.Base(inside))
	if exists(file) || !exists(inside) && p.standsFor(filepath.Dir(inside)) {
		return file, true
	}
	return inside, exists(inside)
}

// standsFor reports whether the directory of certificates that was named holds
// what the configs name in another directory, as that of a container: what else
// they name there has to be in it too.
func (p *patient) standsFor(dir string) bool {
	return slices.ContainsFunc(p.namedPaths(), func(named string) bool {
		return filepath.Dir(named) == dir && exists(filepath.Join(p.target.Certs, filepath.Base(named)))
	})
}

// namedPaths returns the certificates and keys that the configs name.
func (p *patient) namedPaths() []string {
	var out []string
	if b := p.buildkitd; b != nil && b.Decoded {
		cert, key, ca := b.TLS()
		out = append(out, cert, key, ca)
		for _, section := range b.Config.Registries {
			out = append(out, section.RootCAs...)
		}
	}
	if p.registry != nil && p.registry.Config != nil {
		t := p.registry.Config.HTTP.TLS
		out = append(append(out, t.Certificate, t.Key), t.ClientCAs...)
	}
	return slices.DeleteFunc(out, func(file string) bool { return file == "" })
}

// sourceMissing reports whether a path is on a mount of something that does not
// exist, which is told by itself.
func (p *patient) sourceMissing(s lint.Service, inside string) bool {
	return slices.ContainsFunc(s.Mounts, func(m lint.Mount) bool {
		return m.Type == "bind" && !exists(m.Source) && within(m.Target, path.Clean(inside))
	})
}

// within reports whether a path is a directory or something in it.
func within(dir, file string) bool {
	return file == dir || strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
}

// ofImages are where images have certificates of their own.
var ofImages = []string{"/etc/ssl/certs", "/etc/pki", "/usr"}

// unmounted tells of a path that a config names and that nothing brings into the
// container. What an image of one's own has in it is not known here.
func (p *patient) unmounted(subject lint.Subject, inside, file string, line int, object string) {
	s := p.services()[subject]
	if s == nil || s.Built || !path.IsAbs(inside) || slices.ContainsFunc(ofImages, func(dir string) bool { return within(dir, inside) }) {
		return
	}
	if slices.ContainsFunc(s.Mounts, func(m lint.Mount) bool { return within(m.Target, path.Clean(inside)) }) {
		return // a volume, or what is told by itself
	}
	p.judge(nil, lint.Finding{
		Rule: ruleUnmounted, Subject: subject, File: file, Line: line, Object: object,
		Problem: fmt.Sprintf("%s is on no mount of the service %s: the daemon does not find it in its container", inside, s.Name),
		Mend:    "mount the directory " + path.Dir(inside) + ", or name the path where the file is mounted",
	})
}

// readBeside reads what lies beside the certificates and keys that are used: a
// container that has their directory can read the key of a CA there too.
func (p *patient) readBeside() {
	for _, dir := range dirsOf(p.uses) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it is found missing by what is in it
		}
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); p.mounted(path) && calledCert(path) && len(p.certs) < maxFiles {
				p.addCert(path)
			}
		}
	}
}

func dirsOf(uses []lint.Used) (out []string) {
	for _, u := range uses {
		if dir := filepath.Dir(u.Path); u.Path != "" && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// mounted reports whether a container sees a file.
func (p *patient) mounted(file string) bool {
	for _, s := range p.services() {
		if mountOf(s, file) != nil {
			return true
		}
	}
	return false
}
