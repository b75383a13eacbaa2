package doctor

import (
	"context"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lint"
)

// Target is what to look at. What is empty is not looked at, or found through
// the rest: a compose file leads to the configs, and these to the certificates.
type Target struct {
	Compose         string   // a compose file
	BuildkitdConfig string   // a buildkitd.toml
	RegistryConfig  string   // a registry's config.yml
	Certs           string   // a directory of certificates and keys
	Builder         string   // a live builder, as host:port
	Registry        string   // a live registry, as host:port
	FilesOnly       bool     // ask no engine, and connect to nothing
	Own             *Own     // more is known of a stack that certyard made
	Names           []string // further names that clients dial the registry by
}

// Own is what is known of a stack that certyard made.
type Own struct {
	Name, Dir string
	Uses      []lint.Used // who uses which certificate file, and by which names
	// Takes says whether its daemons take changed certificates while they run.
	Takes   bool
	Changed []string // files that are not as certyard wrote them, from Dir
	Open    string   // the phase of a replacement of CAs that is open, "" for none
	Mend    string   // how that goes on and back, where it is not as the rule's hint says
	// Prove is the proof of the running stack.
	Prove func(context.Context) (stack.Report, error)
}

// Engine is what is asked of a Docker Engine.
type Engine interface {
	Address() string
	Info(context.Context) (compose.Info, error)
	Containers(ctx context.Context, project string) ([]compose.Container, error)
	Logs(ctx context.Context, project string, o compose.LogOptions) error
}

// Deps is what an examination needs of the world.
type Deps struct {
	Now func() time.Time
	// Load loads a compose file as the docker compose command does.
	Load func(ctx context.Context, file string) (*types.Project, error)
	// Engine may be nil, and EngineErr then says why.
	Engine    Engine
	EngineErr error
	// DockerConfig is the directory of the docker command's config.json, where
	// buildx keeps its builders too.
	DockerConfig string
	// DockerHost is what DOCKER_HOST says, "" for nothing.
	DockerHost string
	// CertsD are the directories in which the engine looks for a registry's CA.
	CertsD []string
}

// Examine looks at the target and returns what it found. The error is for a
// target that names what is not there, and for an end of ctx: what is wrong with
// the target is in the result. It is safe for parallel use.
func Examine(ctx context.Context, d Deps, t Target) (Result, error) {
	p := &patient{Deps: d, target: t, now: d.Now(), judged: map[string]bool{}}
	for _, step := range []func(context.Context) error{
		p.askEngine, p.lookAtCompose, p.lookAtBuildkitd, p.lookAtRegistry, p.lookAtCertificates,
		p.lookAtContainers, p.lookAtMade, p.probe, p.lookAtDocker, p.lookAtLogs,
	} {
		if err := step(ctx); err != nil {
			return Result{}, err
		}
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
	}
	return p.result(), nil
}

// patient is what is known so far.
type patient struct {
	Deps
	target Target
	now    time.Time

	looked   []Looked
	judged   map[string]bool // IDs of rules
	findings []lint.Finding

	project    *types.Project
	compose    lint.Compose
	buildkitd  *lint.Buildkitd
	registry   *lint.RegistryConfig
	toml, yml  string // their files on this machine
	strange    string // an htpasswd file that the registry may have made itself
	uses       []lint.Used
	certs      []lint.CertFile
	info       *compose.Info
	containers map[lint.Subject]compose.Container
}

// saw notes that something was looked at.
func (p *patient) saw(g Group, what string) { p.looked = append(p.looked, Looked{g, what}) }

// judge notes that rules were judged, and what they found.
func (p *patient) judge(rules []string, findings ...lint.Finding) {
	for _, id := range rules {
		p.judged[id] = true
	}
	p.findings = append(p.findings, findings...)
}

// broken reports whether a rule was found broken for a subject so far.
func (p *patient) broken(id string, subject lint.Subject) bool {
	for _, f := range p.findings {
		if f.Rule == id && (f.Subject == subject || f.Subject == "" || subject == "") {
			return true
		}
	}
	return false
}

func ids(rules []lint.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.ID)
	}
	return out
}
