package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/explain"
	"github.com/certyard/certyard/stack/lint"
)

// maxSkew is by how much clocks may differ. Certificates are commonly dated back
// by five minutes (cfssl v1.6.5 signer/signer.go:331-345, and ours).
const maxSkew = 5 * time.Minute

// soon is how long ago a container was started that is about to end again: engines
// take longer for an honest run from ten seconds on (moby
// restartmanager/restartmanager.go:14-18).
const soon = 10 * time.Second

// front stands for both daemons: behind the edge nobody reaches them without it.
const front lint.Subject = ""

// askEngine asks for a sign of life, where a compose file says that there is
// something to ask about.
func (p *patient) askEngine(ctx context.Context) error {
	if p.target.FilesOnly || p.target.Compose == "" && p.Engine == nil {
		return nil
	}
	if p.Engine == nil {
		p.judge([]string{ruleEngine}, lint.Finding{Rule: ruleEngine, Problem: p.EngineErr.Error()})
		return nil
	}
	info, err := p.Engine.Info(ctx)
	if err != nil {
		p.judge([]string{ruleEngine}, lint.Finding{Rule: ruleEngine, Object: p.Engine.Address(), Problem: err.Error()})
		return ctx.Err()
	}
	p.info = &info
	p.saw(Docker, fmt.Sprintf("Engine %s at %s", info.Version, p.Engine.Address()))
	p.judge([]string{ruleEngine, ruleClock}, p.clock(info)...)
	return nil
}

func (p *patient) clock(info compose.Info) []lint.Finding {
	if info.Time.IsZero() || p.now.Sub(info.Time).Abs() <= maxSkew {
		return nil
	}
	return []lint.Finding{{
		Rule: ruleClock, Object: p.Engine.Address(),
		Problem: fmt.Sprintf("it is %s there and %s here: what is made on the one side is not valid yet, or has expired, on the other", info.Time.UTC().Format(time.DateTime), p.now.UTC().Format(time.DateTime)),
	}}
}

// lookAtContainers finds the containers of the two services, and holds them
// against the files.
func (p *patient) lookAtContainers(ctx context.Context) error {
	if p.project == nil || p.info == nil {
		return nil
	}
	list, err := p.Engine.Containers(ctx, p.project.Name)
	if err != nil {
		return err
	}
	p.containers = map[lint.Subject]compose.Container{}
	p.judge([]string{ruleState})
	for _, subject := range subjects() {
		if s := p.services()[subject]; s != nil {
			p.container(subject, s.Name, list)
		}
	}
	if o := p.target.Own; o != nil {
		if o.Takes {
			p.container(front, stack.Edge, list)
		}
		p.judge([]string{ruleOpen})
		if o.Open != "" {
			p.judge(nil, lint.Finding{Rule: ruleOpen, Object: o.Name, Problem: "a replacement of its CA is open, at " + o.Open + ": two CAs are trusted until it is finished", Mend: o.Mend})
		}
	}
	return nil
}

func (p *patient) container(subject lint.Subject, service string, list []compose.Container) {
	for _, c := range list {
		if c.Service != service {
			continue
		}
		p.saw(Running, "container "+c.Name)
		p.containers[subject] = c
		if c.State != "running" {
			p.judge(nil, p.stopped(subject, c))
			return
		}
		p.judge([]string{ruleState}, p.looping(subject, c)...)
		p.judge([]string{ruleFrozen}, p.frozen(subject, c)...)
		p.judge([]string{ruleStale}, p.stale(subject, c)...)
		return
	}
	p.judge(nil, lint.Finding{
		Rule: ruleState, Subject: subject, Object: service, Problem: "there is no container of this service in the project " + p.project.Name,
		Mend: p.start(service),
	})
}

// start says how a service is started.
func (p *patient) start(service string) string {
	if p.target.Own != nil {
		return fmt.Sprintf(`"certyard up" starts it, and "certyard logs %s" says why it ended`, service)
	}
	return fmt.Sprintf("docker compose -f %s up -d %s starts it, and logs in place of up -d says why it ended", p.target.Compose, service)
}

// looping finds a container that runs for the moment: it has ended before, and the
// engine has just started it again.
func (p *patient) looping(subject lint.Subject, c compose.Container) []lint.Finding {
	since := p.info.Time.Sub(c.Started)
	if c.Restarts == 0 || p.info.Time.IsZero() || since > soon {
		return nil
	}
	return []lint.Finding{{Rule: ruleState, Subject: subject, Object: c.Name,
		Problem: fmt.Sprintf("has ended and was started again by the engine, %d times so far, and the last time just now", c.Restarts)}}
}

func (p *patient) stopped(subject lint.Subject, c compose.Container) lint.Finding {
	problem := "is " + c.State
	if c.State == "exited" || c.State == "restarting" || c.State == "dead" {
		problem += fmt.Sprintf(", exit status %d", c.ExitCode)
	}
	if c.Error != "" {
		problem += ": " + c.Error
	}
	mend := p.start(c.Service)
	if c.State == "paused" {
		mend = "docker unpause " + c.Name
	}
	return lint.Finding{Rule: ruleState, Subject: subject, Object: c.Name, Problem: problem, Mend: mend}
}

// frozen finds mounts whose file in the container is another one than on the disk:
// a file that was mounted by itself keeps its inode, and what is renamed over it on
// the host never reaches the container (P24). It looks through the process, which
// only root on the engine's machine may.
func (p *patient) frozen(subject lint.Subject, c compose.Container) (out []lint.Finding) {
	if !p.local() || c.PID == 0 {
		return nil
	}
	for _, m := range c.Mounts {
		if m.Type != "bind" {
			continue
		}
		here, err := readFile(m.Source)
		if err != nil {
			continue // a directory, or not there any more, which is a finding of its own
		}
		there, err := readFile(filepath.Join("/proc", fmt.Sprint(c.PID), "root", m.Target))
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err == nil && bytes.Equal(here, there) {
			continue
		}
		out = append(out, lint.Finding{
			Rule: ruleFrozen, Subject: subject, File: m.Source, Object: c.Name + ": " + m.Target,
			Problem: "the container sees another file than this one: it was mounted by itself, and what replaced it on the disk never gets there",
		})
	}
	return out
}

// stale finds what the daemon read when it started, and that changed since.
func (p *patient) stale(subject lint.Subject, c compose.Container) (out []lint.Finding) {
	if p.target.Own != nil && p.target.Own.Takes {
		return nil
	}
	for _, file := range p.readOnce(subject) {
		info, err := os.Stat(file)
		if err != nil || !info.ModTime().After(c.Started) || c.Started.IsZero() {
			continue
		}
		out = append(out, lint.Finding{
			Rule: ruleStale, Subject: subject, File: file, Object: c.Name,
			Problem: fmt.Sprintf("it was written at %s, and the daemon has run since %s: it goes by what was there before",
				info.ModTime().Format(time.DateTime), c.Started.Local().Format(time.DateTime)),
		})
	}
	return out
}

// readOnce returns the files that a daemon reads when it starts, and not again. The
// certificates themselves are left out, since what is served tells more; so are the
// CAs that buildkitd trusts registries by, which it reads again for each push.
func (p *patient) readOnce(subject lint.Subject) []string {
	out := []string{p.yml}
	if subject == lint.Builder {
		out = []string{p.toml}
	}
	for _, u := range p.uses {
		if u.Subject == subject && u.Use == lint.ClientCA {
			out = append(out, u.Path)
		}
	}
	if out[0] == "" || out[0] == p.target.Compose {
		out = out[1:]
	}
	return out
}

// lookAtMade finds out whether the registry has made its htpasswd file itself, which
// it says in its log.
func (p *patient) lookAtMade(ctx context.Context) error {
	c, ok := p.containers[lint.Registry]
	if p.strange == "" || !ok {
		return nil
	}
	var log bytes.Buffer
	if err := p.Engine.Logs(ctx, p.project.Name, compose.LogOptions{Services: []string{c.Service}, Out: &log}); err != nil {
		return err
	}
	said, err := explain.Scan(ctx, &log)
	if err == nil && slices.ContainsFunc(said.Messages, func(m explain.Message) bool { return m.ID == "htpasswd-missing" }) {
		p.judge(nil, lint.Finding{
			Rule: ruleHtpasswd, Subject: lint.Registry, File: p.strange, Object: c.Name,
			Problem: "the registry found no such file and made this one, with one user \"docker\"; the password is in its log, for whoever reads that",
			Mend:    `write a file of your own ("htpasswd -nB USER" prints the line), mount its directory read-only, and make the container anew`,
		})
	}
	return err
}

// lookAtLogs explains what daemons say of which something is wrong. A sound one is
// not asked: that somebody was turned away, as a proof is, is in every log.
func (p *patient) lookAtLogs(ctx context.Context) error {
	for _, subject := range append(subjects(), front) {
		c, ok := p.containers[subject]
		since := c.Started // of its last run
		switch {
		case !ok, c.State == "running" && !p.unsound(subject), c.State != "running" && c.ExitCode == 0:
			continue // somebody stopped it
		case c.State == "running":
			since = p.info.Time // when it was asked
		}
		var log bytes.Buffer
		o := compose.LogOptions{Services: []string{c.Service}, Tail: "200", Since: since, Out: &log}
		if err := p.Engine.Logs(ctx, p.project.Name, o); err != nil {
			return err
		}
		p.judge([]string{ruleLog}, explained(ctx, subject, c, log.String())...)
	}
	return nil
}

// unsound reports whether connections have shown that something is wrong with a
// daemon.
func (p *patient) unsound(subject lint.Subject) bool {
	for _, r := range probeRules() {
		if r.ID != probePrefix+string(stack.ReasonDrift) && p.broken(r.ID, subject) { // of which it knows nothing
			return true
		}
	}
	return false
}
