package lint

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
)

// likeliest returns the service with the most to say for it, the first of equals;
// nil when none has anything.
func likeliest(services []Service, likely func(Service) int) *Service {
	var best *Service
	for i, s := range services {
		if n := likely(s); n > 0 && (best == nil || n > likely(*best)) {
			best = &services[i]
		}
	}
	return best
}

// certain is how much has to tell that a service is a daemon for somebody to miss it.
const certain = 2

// PassedOver returns the services that are a registry or a builder too, and that
// were not judged: of each there is one.
func (c Compose) PassedOver() (out []Service) {
	for i, s := range c.Services {
		chosen := c.Builder == &c.Services[i] || c.Registry == &c.Services[i]
		if !chosen && max(s.builds(), s.stores()) >= certain {
			out = append(out, s)
		}
	}
	return out
}

// builds says how much tells that a service is a buildkitd.
func (s Service) builds() int {
	words := s.words()
	switch {
	case slices.Contains(programs(words), "buildctl"):
		return 0 // its client
	case strings.Contains(s.repository(), "buildkit"), slices.Contains(programs(words), "buildkitd"):
		return 3
	case s.mountsFile("buildkitd.toml"):
		return 2
	case strings.Contains(s.Name, "buildkit") && s.exposes("1234"):
		return 1
	}
	return 0
}

// stores says how much tells that a service is a registry.
func (s Service) stores() int {
	switch name := path.Base(s.repository()); {
	case name == "registry" || name == "distribution" || strings.HasSuffix(s.repository(), "bundled-registry"):
		return 3
	case s.builds() > 1:
		return 0 // it has the registry's certificates, or its variables
	case slices.Contains(programs(s.words()), "registry") && slices.Contains(s.words(), "serve"):
		return 3
	case s.covers("/etc/distribution/config.yml", "/etc/docker/registry/config.yml"), s.hasVariable("REGISTRY_HTTP_TLS_", "REGISTRY_STORAGE_", "REGISTRY_AUTH_HTPASSWD_"):
		return 2
	case strings.Contains(s.Name, "registry") && s.exposes("5000"):
		return 1
	}
	return 0
}

// repository returns the image without registry host, tag and digest.
func (s Service) repository() string {
	name, _, _ := strings.Cut(s.Image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	if host, rest, ok := strings.Cut(name, "/"); ok && strings.ContainsAny(host, ".:") {
		return rest
	}
	return name
}

// tag returns the image's tag, "" when it has none.
func (s Service) tag() string {
	name, _, _ := strings.Cut(s.Image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		return name[i+1:]
	}
	return ""
}

// words returns the command in words, what a shell is given too.
func (s Service) words() []string {
	var out []string
	for _, arg := range s.Command {
		out = append(out, strings.Fields(arg)...)
	}
	return out
}

func programs(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, path.Base(w))
	}
	return out
}

func (s Service) exposes(port string) bool {
	return slices.ContainsFunc(s.Ports, func(p Port) bool { return p.Target == port })
}

func (s Service) mountsFile(name string) bool {
	return slices.ContainsFunc(s.Mounts, func(m Mount) bool { return path.Base(m.Target) == name })
}

func (s Service) covers(paths ...string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { m := s.covering(p); return m != nil && m.Target != "/" })
}

func (s Service) hasVariable(prefixes ...string) bool {
	for name := range s.Environment {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return true
		}
	}
	return false
}

// flag returns the values of a flag of the command, "--name value" or
// "--name=value".
func (s Service) flag(name string) []string {
	var out []string
	words := s.words()
	for i, w := range words {
		if !strings.HasPrefix(w, "-") {
			continue
		}
		key, value, has := strings.Cut(strings.TrimLeft(w, "-"), "=")
		switch {
		case key != name:
		case has:
			out = append(out, strings.Trim(value, `"'`))
		case i+1 < len(words):
			out = append(out, strings.Trim(words[i+1], `"'`))
		}
	}
	return out
}

// BuildkitdConfig returns the path in the container where buildkitd looks for its
// config: buildkit v0.34.2 cmd/buildkitd/main.go:173-178, 554-559. It starts
// without one, too.
func (s Service) BuildkitdConfig() string {
	if given := s.flag("config"); len(given) > 0 {
		return given[len(given)-1]
	}
	if given := s.Environment["BUILDKITD_CONFIG"]; given != "" {
		return given
	}
	if given := s.tomlOfScript(); given != "" {
		return given
	}
	if !strings.Contains(s.tag(), "rootless") {
		return "/etc/buildkit/buildkitd.toml"
	}
	home := cmp.Or(s.Environment["HOME"], "/home/user") // buildkit v0.34.2 Dockerfile:500
	return path.Join(cmp.Or(s.Environment["XDG_CONFIG_HOME"], path.Join(home, ".config")), "buildkit", "buildkitd.toml")
}

// buildkitPrograms are those that a command starts a builder with.
func buildkitPrograms() []string { return []string{"buildkitd", "rootlesskit", "buildkitd-entrypoint"} }

// tomlOfScript returns where the one buildkitd.toml is that a service mounts whose
// entrypoint is a script: what the script gives to buildkitd is not known, and
// that file is the likeliest. "" when there is none, or several.
func (s Service) tomlOfScript() string {
	var found []string
	for _, m := range s.Mounts {
		if path.Base(m.Target) == "buildkitd.toml" {
			found = append(found, m.Target)
		}
	}
	if len(found) != 1 || !s.scripted(buildkitPrograms()...) {
		return ""
	}
	return found[0]
}

// The paths of the registry image's config, in its two versions: distribution
// v3.1.2 Dockerfile, and that of v2.8.3.
const (
	registryConfig   = "/etc/distribution/config.yml"
	registryConfigV2 = "/etc/docker/registry/config.yml"
)

// RegistryConfig returns the path in the container of the config that the
// registry reads: what "serve" is given, or the image's own.
func (s Service) RegistryConfig() string {
	words := s.words()
	if i := slices.Index(words, "serve"); i >= 0 {
		for _, w := range words[i+1:] {
			if !strings.HasPrefix(w, "-") {
				return w
			}
		}
		return cmp.Or(s.Environment["REGISTRY_CONFIGURATION_PATH"], s.imageConfig())
	}
	for _, w := range words { // the official image's entrypoint adds "registry serve"
		if strings.HasSuffix(w, ".yml") || strings.HasSuffix(w, ".yaml") {
			return w
		}
	}
	return s.imageConfig()
}

func (s Service) imageConfig() string {
	if s.old() {
		return registryConfigV2
	}
	return registryConfig
}

// old says whether the image is a registry of version 2, whose tags are 2, 2.8,
// 2.8.3.
func (s Service) old() bool {
	major, _, _ := strings.Cut(strings.TrimPrefix(s.tag(), "v"), ".")
	major, _, _ = strings.Cut(major, "-")
	return major == "2"
}

// BuildkitdFlags returns what the command tells buildkitd about its addresses and
// TLS files: flags win over buildkitd.toml.
func (s Service) BuildkitdFlags() (addresses []string, tlscert, tlskey, tlscacert string) {
	for _, a := range s.flag("addr") {
		addresses = append(addresses, strings.Split(a, ",")...)
	}
	last := func(name string) string {
		if v := s.flag(name); len(v) > 0 {
			return v[len(v)-1]
		}
		return ""
	}
	return addresses, last("tlscert"), last("tlskey"), last("tlscacert")
}

func portText(port uint32) string { return strconv.FormatUint(uint64(port), 10) }
