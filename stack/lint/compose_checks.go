package lint

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (c *Compose) found(rule string, subject Subject, line int, object, problem, mend string, edits ...Edit) {
	c.Findings = append(c.Findings, c.finding(rule, subject, line, object, problem, mend, edits...))
}

func (c Compose) finding(rule string, subject Subject, line int, object, problem, mend string, edits ...Edit) Finding {
	return Finding{Rule: rule, Subject: subject, File: c.File, Line: line, Object: object, Problem: problem, Mend: mend, Edits: edits}
}

func (c Compose) lines(s Service) composeLines { return composeLines{c.tree, s.Name} }

// scripted says whether the command is a program of the user's, so that what the
// daemon is told cannot be seen.
func (s Service) scripted(daemons ...string) bool {
	words := s.words()
	if len(words) == 0 || strings.HasPrefix(words[0], "-") {
		return false
	}
	return !slices.ContainsFunc(programs(words), func(p string) bool { return slices.Contains(daemons, p) })
}

// brings says whether a mount may bring a file into the container.
func (s Service) brings(file string) bool {
	m := s.covering(file)
	return m != nil && m.Type != "tmpfs"
}

func checkBuilderConfig(c *Compose, s Service, subject Subject) {
	if subject != Builder || s.scripted(buildkitPrograms()...) {
		return
	}
	want := path.Clean(s.BuildkitdConfig())
	const comes = "; a config that is missing is no error for buildkitd, which starts without TLS and without trust in any registry of yours"
	for _, m := range s.Mounts {
		is := path.Base(m.Target) == "buildkitd.toml" || path.Base(m.Source) == "buildkitd.toml" || m.Target == "/etc/buildkit" && !s.brings(want)
		if is && !inPath(m.Target, want) {
			c.found("compose.config-mount", subject, m.Line, s.Name, fmt.Sprintf("the config is mounted at %s, and buildkitd reads %s%s", m.Target, want, comes),
				fmt.Sprintf("mount it there, or add --config=%s to the command", configIn(m, "buildkitd.toml")))
			return
		}
	}
	if len(s.flag("config")) > 0 && !s.brings(want) && !s.Built {
		c.found("compose.config-mount", subject, c.lines(s).key("command", "entrypoint"), s.Name, fmt.Sprintf("the command names %s, and no mount brings it into the container%s", want, comes), "")
	}
}

// configIn returns the path of a config in a mount of the file, or of its
// directory.
func configIn(m Mount, name string) string {
	if path.Ext(m.Target) != "" {
		return m.Target
	}
	return path.Join(m.Target, name)
}

func checkBuilderPlain(c *Compose, s Service, subject Subject) {
	addresses, cert, _, _ := s.BuildkitdFlags()
	if subject != Builder || cert != "" || s.Built || s.brings(s.BuildkitdConfig()) {
		return
	}
	for _, a := range addresses {
		if strings.HasPrefix(a, "tcp://") && !loopbackAddress(strings.TrimPrefix(a, "tcp://")) {
			c.found("compose.builder-plain", subject, c.lines(s).key("command", "entrypoint"), s.Name,
				fmt.Sprintf("buildkitd listens on %s without TLS: whoever reaches it, build steps too, may use the builder", a), "")
			return
		}
	}
}

func checkRegistryConfig(c *Compose, s Service, subject Subject) {
	if subject != Registry || s.Built || len(s.words()) > 0 && s.scripted("registry", "serve") && !strings.Contains(strings.Join(s.words(), " "), ".y") {
		return
	}
	want := path.Clean(s.RegistryConfig())
	for _, m := range s.Mounts {
		named := slices.Contains([]string{"config.yml", "config.yaml"}, path.Base(m.Target)) ||
			slices.Contains([]string{path.Dir(registryConfig), path.Dir(registryConfigV2)}, m.Target) && !s.brings(want)
		if named && !inPath(m.Target, want) {
			c.found("compose.config-mount", subject, m.Line, s.Name, fmt.Sprintf("the config is mounted at %s, and %s reads %s: the registry runs with the image's own config, without TLS and without auth",
				m.Target, cmp.Or(s.Image, "the registry"), want), "mount it there, or set command: [serve, "+configIn(m, "config.yml")+"]")
			return
		}
	}
	if want != s.imageConfig() && !s.brings(want) {
		c.found("compose.config-mount", subject, c.lines(s).key("command", "entrypoint"), s.Name, fmt.Sprintf("the command names %s, and no mount brings it into the container: the registry does not start", want), "")
	}
}

func checkHostNetwork(c *Compose, s Service, subject Subject) {
	if s.NetworkMode == "host" {
		c.found("compose.host-network", subject, c.lines(s).key("network_mode"), s.Name,
			"the service is on the host's network: its listeners, debug servers too, are the host's, on every address that they do not leave out", "")
	}
}

// checkPrivileged leaves a privileged builder alone as long as it does not hand
// its privileges on: build steps have theirs taken away, and BuildKit's own
// documentation and buildx run it so.
func checkPrivileged(c *Compose, s Service, subject Subject) {
	line := c.lines(s).key("privileged")
	switch {
	case !s.Privileged:
	case subject == Registry:
		c.found("compose.privileged", subject, line, s.Name, "the registry is privileged, and needs no privilege at all: who breaks into it has the host", "take privileged out")
	case strings.Contains(strings.Join(s.flag("allow-insecure-entitlement"), ","), "security.insecure"):
		c.found("compose.privileged", subject, line, s.Name, "the builder is privileged and lets build steps ask for security.insecure: such a step has the host", "take --allow-insecure-entitlement security.insecure out")
	}
}

// fileKind says what a single file that is mounted is for, "" when that is
// nothing here or when it is a directory.
func fileKind(m Mount) string {
	if m.Type != "bind" && m.Type != "config" && m.Type != "secret" || m.Source == "" {
		return ""
	}
	for _, name := range []string{path.Base(m.Target), path.Base(m.Source)} {
		switch ext := path.Ext(name); {
		case name == "htpasswd" || name == ".htpasswd" || ext == ".htpasswd":
			return "htpasswd file"
		case slices.Contains([]string{".crt", ".cert", ".cer", ".pem", ".key"}, ext):
			return "certificate or key"
		case slices.Contains([]string{".toml", ".yml", ".yaml"}, ext):
			return "config"
		}
	}
	return ""
}

// checkFileMounts is P24: the mount is of the inode.
func checkFileMounts(c *Compose, s Service, subject Subject) {
	comes := map[string]string{
		"htpasswd file":      "passwords that are taken back go on, and new ones do not work, until the container is restarted",
		"certificate or key": "a renewed one does not reach the container until it is restarted",
		"config":             "the container keeps the old one until it is restarted, and where the file is missing Docker makes a directory of its name",
	}
	for _, m := range s.Mounts {
		if kind := fileKind(m); kind != "" {
			c.found("compose.file-mount", subject, m.Line, s.Name, fmt.Sprintf("the %s %s is mounted as a single file: when it is replaced on the host, %s", kind, m.Target, comes[kind]),
				"mount its directory, "+path.Dir(m.Source))
		}
	}
}

// protects says whether a mount holds what the container should not change.
func (s Service) protects(m Mount) bool {
	if m.Type != "bind" || m.ReadOnly {
		return false
	}
	sensitive := []string{"cert", "certs", "tls", "ssl", "pki", "auth", "secret", "secrets"}
	for _, name := range append(strings.Split(m.Target, "/"), path.Base(m.Source)) {
		if slices.Contains(sensitive, name) {
			return true
		}
	}
	if fileKind(m) != "" {
		return true
	}
	_, cert, key, ca := s.BuildkitdFlags()
	named := []string{cert, key, ca, s.Environment["REGISTRY_HTTP_TLS_CERTIFICATE"], s.Environment["REGISTRY_HTTP_TLS_KEY"], s.Environment["REGISTRY_AUTH_HTPASSWD_PATH"]}
	if s.builds() > 0 {
		named = append(named, s.BuildkitdConfig())
	} else {
		named = append(named, s.RegistryConfig())
	}
	return slices.ContainsFunc(named, func(p string) bool { return p != "" && m.Target != "/" && inPath(m.Target, path.Clean(p)) })
}

func checkWritable(c *Compose, s Service, subject Subject) {
	for _, m := range s.Mounts {
		if cache := s.Environment["REGISTRY_HTTP_TLS_LETSENCRYPT_CACHEFILE"]; cache != "" && inPath(m.Target, cache) {
			continue
		}
		if s.protects(m) {
			c.found("compose.writable-mount", subject, m.Line, s.Name, fmt.Sprintf("%s is mounted writable: who breaks into the container may put certificates, users or settings of his own there", m.Target), "",
				readOnlyEdit(c.data, m)...)
		}
	}
}

// readOnlyEdit adds ":ro" to a mount that is written short, on a line of its own.
func readOnlyEdit(data []byte, m Mount) []Edit {
	parts := regexp.MustCompile(`^(\s*- +["']?[^"'#\s]+:([^"'#\s:]+))(["']?\s*)$`).FindStringSubmatch(lineOf(data, m.Line))
	if !m.short || parts == nil || path.Clean(parts[2]) != m.Target {
		return nil
	}
	return []Edit{{From: m.Line, To: m.Line, New: []string{parts[1] + ":ro" + strings.TrimRight(parts[3], " \t")}}}
}

// checkFileOptions is P25.
func checkFileOptions(c *Compose, s Service, subject Subject) {
	for _, m := range s.Mounts {
		if m.ignore {
			c.found("compose.file-options", subject, m.Line, s.Name, fmt.Sprintf("uid, gid and mode of the %s at %s do nothing, because it is a file: the container sees the owner and mode that the file has on the host", m.Type, m.Target), "")
		}
	}
}

func checkSecrets(c *Compose, s Service, subject Subject) {
	secret := regexp.MustCompile(`(PASSWORD|PASSWD|SECRET|SECRETKEY|SECRET_ACCESS_KEY|ACCOUNTKEY)$`)
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		value := s.Environment[name]
		if secret.MatchString(name) && value != "" && !strings.HasPrefix(value, "/") {
			c.found("compose.secret-in-environment", subject, c.lines(s).variable(name), name, name+" is in the environment, where \"docker inspect\" shows it to everybody who may use Docker, and every process of the container has it", "")
		}
	}
}

func checkGrace(c *Compose, s Service, subject Subject) {
	if subject == Builder && s.StopGrace <= 10*time.Second {
		c.found("compose.stop-grace", subject, c.lines(s).key("stop_grace_period"), s.Name,
			fmt.Sprintf("a stop or restart kills the builder after %v, and the builds that run", s.StopGrace), "set stop_grace_period to what a build may take, as 10m")
	}
}

func checkOld(c *Compose, s Service, subject Subject) {
	if subject == Registry && s.old() && !s.Built {
		c.found("compose.old-registry", subject, c.lines(s).key("image"), s.Name, s.Image+" is version 2, which version 3 has replaced: it has no http.tls.clientauth, and reads "+registryConfigV2, "")
	}
}

// Open returns what is open because the builder does not know its clients.
// clientAuth says whether its config asks them for certificates; the flags of its
// command are looked at here.
func (c Compose) Open(clientAuth bool) []Finding {
	if c.Builder == nil {
		return nil
	}
	_, cert, key, ca := c.Builder.BuildkitdFlags()
	if clientAuth || cert != "" && key != "" && ca != "" {
		return nil
	}
	var out []Finding
	for _, p := range Published(*c.Builder) {
		out = append(out, c.finding("compose.published-open", Builder, p.Line, c.Builder.Name,
			fmt.Sprintf("port %s is published on %s, and the builder asks nobody for a certificate: whoever reaches the port runs what he likes on it", p.Target, p.where()), p.mend()))
	}
	return out
}

func (p Port) where() string {
	if p.HostIP == "" || p.HostIP == "0.0.0.0" || p.HostIP == "::" {
		return "every address of the host"
	}
	return p.HostIP
}

func (p Port) mend() string {
	return fmt.Sprintf("write \"127.0.0.1:%s:%s\", unless others are meant to reach it", p.Published, p.Target)
}

// WithRegistry returns what the compose file and the registry's config make
// together: what is open, lost, or cut off.
func (c Compose) WithRegistry(r RegistryConfig) []Finding {
	if c.Registry == nil || r.Config == nil {
		return nil
	}
	var out []Finding
	s := *c.Registry
	if !r.Authenticates() {
		for _, p := range Published(s) {
			out = append(out, c.finding("compose.registry-open", Registry, p.Line, s.Name,
				fmt.Sprintf("port %s is published on %s, and the registry has no auth: whoever reaches the port may pull and push", p.Target, p.where()), p.mend()))
		}
	}
	if root := r.Root(); root != "" && !s.brings(root) {
		out = append(out, c.finding("compose.registry-data", Registry, s.Line, s.Name,
			fmt.Sprintf("no volume of yours is at %s: what is pushed is gone with the container", root), "mount a named volume at "+root))
	}
	if drain := r.Config.HTTP.DrainTimeout; drain >= time.Second && s.StopGrace <= drain {
		out = append(out, c.finding("compose.stop-grace", Registry, c.lines(s).key("stop_grace_period"), s.Name,
			fmt.Sprintf("a stop kills the registry after %v, before its draintimeout of %v is over", s.StopGrace, drain), fmt.Sprintf("set stop_grace_period: %v", drain+5*time.Second)))
	}
	return out
}
