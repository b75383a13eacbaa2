package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certyard/certyard/stack/lint"
)

// lookAtCompose judges the compose file, and finds the two services in it.
func (p *patient) lookAtCompose(ctx context.Context) error {
	file := p.target.Compose
	if file == "" {
		return nil
	}
	data, err := readFile(file)
	if err != nil {
		return &FileError{"--compose", file, err}
	}
	p.saw(Files, file)
	project, err := p.Load(ctx, file)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.judge([]string{ruleLoads})
	if err != nil {
		p.judge(nil, lint.Finding{Rule: ruleLoads, File: file, Problem: "Compose does not load it: " + err.Error()})
	}
	p.project = project
	p.compose = lint.JudgeCompose(file, data, project)
	p.judge(ids(lint.ComposeRules()), p.compose.Findings...)
	p.judge([]string{ruleSource, ruleServices, ruleSeveral}, p.missingSources()...)
	for _, s := range p.compose.PassedOver() {
		p.judge(nil, lint.Finding{Rule: ruleSeveral, File: file, Line: s.Line, Object: s.Name, Problem: "it is a registry or a builder too, and was not looked at"})
	}
	if err == nil && len(p.services()) == 0 {
		p.judge(nil, lint.Finding{Rule: ruleServices, File: file, Problem: "no service in it looks like a registry or a buildkitd, so that nothing was judged; services of a profile that is not active are left out"})
	}
	return nil
}

// local reports whether the paths of the compose file are on this machine.
func (p *patient) local() bool { return p.info == nil || p.info.Host == "" }

// missingSources finds what is mounted, and is not there. The engine makes an
// empty directory in its place when the short form asked for it, also where a
// file was meant, and does not start the container otherwise (P24).
func (p *patient) missingSources() (out []lint.Finding) {
	if !p.local() {
		return nil
	}
	for _, subject := range subjects() {
		s := p.services()[subject]
		if s == nil {
			continue
		}
		for _, m := range s.Mounts {
			if m.Type != "bind" || exists(m.Source) {
				continue
			}
			out = append(out, lint.Finding{
				Rule: ruleSource, Subject: subject, File: p.target.Compose, Line: m.Line, Object: s.Name + ": " + m.Target,
				Problem: fmt.Sprintf("%s is mounted at %s and does not exist: the engine makes an empty directory of that name, or does not start the container", m.Source, m.Target),
				Mend:    "make " + m.Source + ", or correct the path; where the engine has made a directory of a file's name, remove that first",
			})
		}
	}
	return out
}

// subjects are the daemons, in the order in which they are reported.
func subjects() []lint.Subject { return []lint.Subject{lint.Registry, lint.Builder} }

// services returns the services that were found, by what they are.
func (p *patient) services() map[lint.Subject]*lint.Service {
	out := map[lint.Subject]*lint.Service{}
	if p.compose.Builder != nil {
		out[lint.Builder] = p.compose.Builder
	}
	if p.compose.Registry != nil {
		out[lint.Registry] = p.compose.Registry
	}
	return out
}

// lookAtBuildkitd judges the buildkitd.toml that was named, or that the compose
// file mounts.
func (p *patient) lookAtBuildkitd(context.Context) error {
	var flags lint.BuildkitdFlags
	if s := p.compose.Builder; s != nil {
		flags.Addresses, flags.TLSCert, flags.TLSKey, flags.TLSCA = s.BuildkitdFlags()
	}
	file, data, err := p.config(p.target.BuildkitdConfig, "--buildkitd-config", p.compose.Builder, lint.Service.BuildkitdConfig)
	switch {
	case err != nil:
		return err
	case data == nil && p.unread(lint.Builder):
	case data != nil:
		p.saw(Files, file)
		b := lint.ParseBuildkitd(file, data, flags)
		p.buildkitd, p.toml = &b, file
		p.judge(ids(lint.BuildkitdRules()), p.reached(b.Findings)...)
	case p.compose.Builder != nil:
		// Without a file the daemon goes by its flags alone (P8).
		b := lint.ParseBuildkitd("", nil, flags)
		p.buildkitd = &b
		p.judge(ids(lint.BuildkitdRules()), p.reached(b.Findings)...)
	}
	return nil
}

// reached leaves out who may reach a builder without client authentication, where
// the compose file tells that for certain: that is a rule about its ports. On the
// host's network none is published, and every address is reached.
func (p *patient) reached(findings []lint.Finding) []lint.Finding {
	if s := p.compose.Builder; s == nil || s.NetworkMode == "host" {
		return findings
	}
	return slices.DeleteFunc(slices.Clone(findings), func(f lint.Finding) bool { return f.Rule == "buildkitd.no-client-auth" })
}

// lookAtRegistry judges the registry's config, and the passwords that it names.
func (p *patient) lookAtRegistry(context.Context) error {
	var env map[string]string
	if s := p.compose.Registry; s != nil {
		env = s.Environment
	}
	file, data, err := p.config(p.target.RegistryConfig, "--registry-config", p.compose.Registry, lint.Service.RegistryConfig)
	if err != nil {
		return err
	}
	if data == nil && (p.compose.Registry == nil || p.unread(lint.Registry)) {
		return nil
	}
	if data != nil {
		p.saw(Files, file)
	} else {
		file = p.target.Compose // its environment is all that is said
	}
	r := lint.ParseRegistry(file, data, env)
	p.registry, p.yml = &r, file
	if data == nil {
		r.Findings = p.ofImage(r.Findings)
	}
	p.judge(configRules(), r.Findings...)
	p.lookAtPasswords()
	return nil
}

// ofImage leaves out what lint says of the config of an image of version 3 where
// the image is an older one: only that of version 3 is known to open a debug server.
func (p *patient) ofImage(findings []lint.Finding) []lint.Finding {
	s := p.compose.Registry
	if s.RegistryConfig() != "/etc/docker/registry/config.yml" || s.Environment["REGISTRY_HTTP_DEBUG_ADDR"] != "" {
		return findings
	}
	return slices.DeleteFunc(findings, func(f lint.Finding) bool { return f.Rule == "registry.debug-open" })
}

// unread reports whether a daemon has a config that could not be looked at: what
// it would do without one is then not the question.
func (p *patient) unread(subject lint.Subject) bool {
	return p.broken(ruleConfig, subject) || p.broken("compose.config-mount", subject)
}

// configRules are the rules about the registry's config alone.
func configRules() []string {
	passwords := append(ids(lint.HtpasswdRules()), ruleHtpasswd)
	return slices.DeleteFunc(ids(lint.RegistryRules()), func(id string) bool { return slices.Contains(passwords, id) })
}

// config finds and reads a config: the file that was named, or the one that the
// service mounts where its program looks. No data and no error is none.
func (p *patient) config(named, flag string, s *lint.Service, inside func(lint.Service) string) (string, []byte, error) {
	if named != "" {
		data, err := readFile(named)
		if err != nil {
			return named, nil, &FileError{flag, named, err}
		}
		return named, nonNil(data), nil
	}
	if s == nil || !p.local() {
		return "", nil, nil
	}
	p.judge([]string{ruleConfig})
	host, ok := s.HostPath(inside(*s))
	if !ok {
		p.elsewhere(s, inside(*s))
		return "", nil, nil
	}
	data, err := readFile(host)
	if err != nil {
		p.judge(nil, lint.Finding{
			Rule: ruleConfig, Subject: p.subject(s), File: p.target.Compose, Line: s.Line, Object: s.Name,
			Problem: fmt.Sprintf("%s, which is %s in the container, cannot be read (%s): without it the daemon starts with its own defaults, or not at all", host, inside(*s), cause(err)),
			Mend:    "put the config there",
		})
		return host, nil, nil
	}
	return host, nonNil(data), nil
}

// elsewhere finds the config in a directory that is mounted where the daemon does
// not look. What the compose file alone tells of that is a rule of lint.
func (p *patient) elsewhere(s *lint.Service, inside string) {
	for _, m := range s.Mounts {
		file := filepath.Join(m.Source, filepath.Base(inside))
		if m.Type != "bind" || p.broken(ruleMount, p.subject(s)) || !exists(file) {
			continue
		}
		at := path.Join(m.Target, path.Base(inside))
		p.judge(nil, lint.Finding{
			Rule: ruleMount, Subject: p.subject(s), File: p.target.Compose, Line: m.Line, Object: s.Name,
			Problem: fmt.Sprintf("%s is in the container as %s, and the daemon reads %s: it runs without what is written there, without TLS too", file, at, inside),
			Mend:    fmt.Sprintf("mount it there, or name %s in the command", at),
		})
	}
}

// nonNil keeps an empty file apart from none.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

func (p *patient) subject(s *lint.Service) lint.Subject {
	if s == p.compose.Builder {
		return lint.Builder
	}
	return lint.Registry
}

func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// lookAtPasswords judges the htpasswd file. A registry that finds none makes one
// with a user "docker", and logs the password in clear (P26).
func (p *patient) lookAtPasswords() {
	c := p.registry.Config
	if c == nil {
		return
	}
	inside, ok := c.Auth.Parameters()["path"].(string)
	if c.Auth.Type() != "htpasswd" || !ok || inside == "" {
		return
	}
	file, known := p.onHost(lint.Registry, inside)
	if !known {
		p.unmounted(lint.Registry, inside, p.yml, p.registry.Line("auth.htpasswd.path"), "auth.htpasswd.path")
		return
	}
	data, err := readFile(file)
	if err != nil {
		p.judge([]string{ruleHtpasswd}, lint.Finding{
			Rule: ruleHtpasswd, Subject: lint.Registry, File: p.yml, Line: p.registry.Line("auth.htpasswd.path"), Object: "auth.htpasswd.path",
			Problem: fmt.Sprintf("%s cannot be read (%s): the registry makes such a file with one user \"docker\" and writes its password to the log, or ends with a panic where it cannot", file, cause(err)),
		})
		return
	}
	p.saw(Files, file)
	if user, _, _ := strings.Cut(string(data), ":"); user == "docker" && strings.Count(strings.TrimSpace(string(data)), "\n") == 0 {
		p.strange = file
	}
	p.judge(append(ids(lint.HtpasswdRules()), ruleHtpasswd), lint.Htpasswd(file, data)...)
}
