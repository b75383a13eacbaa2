package lint

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/stack/strict"
)

// Compose is a compose file, with the services that matter found in it.
type Compose struct {
	File     string
	Registry *Service  // nil when there is none; the most likely one when there are several
	Builder  *Service  // likewise
	Services []Service // by their lines, and then by name
	Findings []Finding // by line; what depends on other files too is told by Open and WithRegistry

	data []byte
	tree *strict.Node
}

// Service is a service of a compose file, as far as rules look at it.
type Service struct {
	Name        string
	Image       string // "" when it is only built
	Built       bool   // from a Dockerfile, so that its image may hold anything
	User        string
	Command     []string          // entrypoint and command as they will run; what the image brings is not in it
	Environment map[string]string // without those that have no value
	Mounts      []Mount           // volumes, tmpfs, configs and secrets
	Ports       []Port            // published ones, TCP
	NetworkMode string
	Line        int // where it begins; 0 when that is in another file
	Privileged  bool
	StopGrace   time.Duration // how long a stop waits before it kills
}

// Mount is something of the host, or of Docker, that a service sees at Target.
type Mount struct {
	Type     string // bind, volume, tmpfs, config or secret, and what else Compose has
	Source   string // on the host, absolute; a volume's name; "" when there is none
	Target   string // in the container
	ReadOnly bool
	Line     int

	short  bool // written as "source:target"
	ignore bool // a config or secret with uid, gid or mode, from a file
}

// Port is a port of a service that the host publishes.
type Port struct {
	HostIP    string // "" is every address
	Published string // on the host; "" is any free one
	Target    string // in the container
	Line      int
}

// JudgeCompose judges a compose file. The project is the file as Compose loads
// it, with its overrides; data is the file's text, which only the lines are taken
// from. Without a project it finds nothing.
func JudgeCompose(file string, data []byte, project *types.Project) Compose {
	c := Compose{File: file, data: data}
	if project == nil {
		return c
	}
	c.tree, _ = strict.Parse(data) // Compose has taken the file; what is not in it has no lines
	for _, name := range project.ServiceNames() {
		c.Services = append(c.Services, service(project, name, composeLines{c.tree, name}))
	}
	slices.SortStableFunc(c.Services, func(a, b Service) int { return a.Line - b.Line })
	c.Builder = likeliest(c.Services, Service.builds)
	c.Registry = likeliest(c.Services, Service.stores)
	for _, check := range composeChecks() {
		if c.Builder != nil {
			check(&c, *c.Builder, Builder)
		}
		if c.Registry != nil {
			check(&c, *c.Registry, Registry)
		}
	}
	sortFindings(c.Findings)
	return c
}

// service takes a service out of a project.
func service(p *types.Project, name string, lines composeLines) Service {
	s := p.Services[name]
	out := Service{Name: name, Image: s.Image, Built: s.Build != nil, User: s.User, Line: lines.service(),
		Command: append(slices.Clone(s.Entrypoint), s.Command...), Environment: map[string]string{},
		NetworkMode: s.NetworkMode, Privileged: s.Privileged, StopGrace: 10 * time.Second} // Docker's own
	if s.StopGracePeriod != nil {
		out.StopGrace = time.Duration(*s.StopGracePeriod)
	}
	for k, v := range s.Environment {
		if v != nil {
			out.Environment[k] = *v
		}
	}
	for _, p := range s.Ports {
		if target := portText(p.Target); p.Protocol != "udp" {
			out.Ports = append(out.Ports, Port{p.HostIP, p.Published, target, lines.port(target)})
		}
	}
	out.Mounts = mounts(p, s, lines)
	return out
}

func mounts(p *types.Project, s types.ServiceConfig, lines composeLines) []Mount {
	var out []Mount
	for _, v := range s.Volumes {
		line, short := lines.mount(v.Target)
		out = append(out, Mount{Type: v.Type, Source: v.Source, Target: path.Clean(v.Target), ReadOnly: v.ReadOnly, Line: line, short: short})
	}
	for _, t := range s.Tmpfs {
		target, _, _ := strings.Cut(t, ":")
		out = append(out, Mount{Type: "tmpfs", Target: path.Clean(target)})
	}
	for _, ref := range s.Configs {
		out = append(out, fileMount("config", types.FileReferenceConfig(ref), types.FileObjectConfig(p.Configs[ref.Source]), "/", lines))
	}
	for _, ref := range s.Secrets {
		out = append(out, fileMount("secret", types.FileReferenceConfig(ref), types.FileObjectConfig(p.Secrets[ref.Source]), "/run/secrets/", lines))
	}
	return out
}

// fileMount is where Compose puts a config or secret, a relative target of a
// secret below /run/secrets: docker/compose v5.6.0 pkg/compose/secrets.go:72-83.
func fileMount(kind string, ref types.FileReferenceConfig, object types.FileObjectConfig, dir string, lines composeLines) Mount {
	target := ref.Target
	if target == "" {
		target = ref.Source
	}
	if !path.IsAbs(target) {
		target = dir + target
	}
	return Mount{Type: kind, Source: object.File, Target: path.Clean(target), ReadOnly: true, Line: lines.file(kind+"s", ref.Source),
		ignore: object.File != "" && (ref.UID != "" || ref.GID != "" || ref.Mode != nil)}
}

// covering returns the mount that a path of the container is on, the innermost
// one; nil when it is of the image.
func (s Service) covering(inContainer string) *Mount {
	inContainer = path.Clean(inContainer)
	var best *Mount
	for i, m := range s.Mounts {
		if inPath(m.Target, inContainer) && (best == nil || len(m.Target) > len(best.Target)) {
			best = &s.Mounts[i]
		}
	}
	return best
}

// inPath says whether a path is a directory or something in it.
func inPath(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// HostPath returns where a path of the container is on the host; false when no
// bind mount, and no config or secret that is a file, has it.
func (s Service) HostPath(inContainer string) (string, bool) {
	m := s.covering(inContainer)
	if m == nil || m.Source == "" || m.Type == "volume" || m.Type == "image" || m.Type == "cluster" {
		return "", false
	}
	rest := strings.TrimPrefix(path.Clean(inContainer), m.Target)
	return strings.TrimSuffix(m.Source, "/") + withSlash(rest), true
}

func withSlash(rest string) string {
	if rest == "" || strings.HasPrefix(rest, "/") {
		return rest
	}
	return "/" + rest
}

// Published returns the ports of a service that are published beyond loopback.
func Published(s Service) []Port {
	var out []Port
	for _, p := range s.Ports {
		if p.HostIP == "" || !loopbackAddress(p.HostIP) {
			out = append(out, p)
		}
	}
	return out
}
