package doctor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/stacktest"
)

// ourFault is something that is done to a running stack of ours, and put back.
type ourFault struct {
	name string
	on   string // the stacks that it is done to, "" for all
	want string // the rule that is found first
	also []string
	do   func(*testing.T, *ownStack)
	look func(*doctor.Deps, *doctor.Target) // differently than usual
}

// suffer does a fault to the stack, sees what is found, and puts it back.
func (s *ownStack) suffer(t *testing.T, tab *table, name string, f ourFault) {
	t.Helper()
	s.undo = nil
	defer func() {
		for _, undo := range slices.Backward(s.undo) {
			undo()
		}
	}()
	if f.do != nil {
		f.do(t, s)
	}
	var look []func(*doctor.Deps, *doctor.Target)
	if f.look != nil {
		look = append(look, f.look)
	}
	begun := time.Now()
	result := s.examine(t, look...)
	if took := time.Since(begun); took > 6*time.Second {
		t.Logf("%s, %s: an examination takes %s", name, f.name, took.Round(time.Millisecond))
	}
	tab.judge(t, name, f.name, f.want, f.also, result)
	if f.name == "engine down" {
		restOfDown(t, result)
	}
}

// later puts something back after the examination.
func (s *ownStack) later(undo func()) { s.undo = append(s.undo, undo) }

func ourFaults() []ourFault {
	return slices.Concat(stateFaults(), ownFileFaults(), certFaults(), wayFaults())
}

// stateFaults are about the engine and the containers.
func stateFaults() []ourFault {
	const state = "running.container"
	down := func(d *doctor.Deps, _ *doctor.Target) {
		d.Engine, d.EngineErr = nil, errors.New("connecting to the Docker Engine: no such file or directory")
	}
	return []ourFault{
		{name: "registry stopped", want: state, do: stop(stack.Registry)},
		{name: "builder stopped", want: state, do: stop(stack.Builder)},
		{name: "edge stopped", on: "edge", want: state, do: stop(stack.Edge)},
		{name: "registry paused", on: "daemon-server", want: state, do: pause(stack.Registry)},
		{name: "builder paused", on: "daemon-mutual", want: state, do: pause(stack.Builder)},
		{name: "edge paused", on: "edge-server", want: state, do: pause(stack.Edge)},
		{name: "registry removed", on: "daemon-server", want: state, do: remove(stack.Registry)},
		{name: "builder removed", on: "edge-mutual", want: state, do: remove(stack.Builder)},
		{name: "port taken", on: "daemon-mutual", want: state, do: takePort},
		{name: "engine down", want: "docker.engine", look: down},
		{name: "an hour ahead", want: "running.clock", look: func(d *doctor.Deps, _ *doctor.Target) {
			d.Now = func() time.Time { return time.Now().Add(time.Hour) }
		}},
		{name: "an hour behind", on: "daemon-server", want: "running.clock", look: func(d *doctor.Deps, _ *doctor.Target) {
			d.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}},
	}
}

// somebody is a line of htpasswd, of a password that nobody knows.
const somebody = "testuser:$2y$05$lN8pWIdWO09lOWLVbCbKr.BTVhyVbmFeNIImtpSPCsXtUE/7CTMBC\n"

// ownFileFaults are about files that are not certificates.
func ownFileFaults() []ourFault {
	const changed, both = "own.changed", "mutual"
	other := func(*testing.T, *ownStack, []byte) []byte {
		return []byte(somebody)
	}
	md5 := func(*testing.T, *ownStack, []byte) []byte {
		return []byte("testuser:$apr1$dI0rsXRV$kVxG4lnqBd2cG9lyZHPVU.\n")
	}
	none := func(*testing.T, *ownStack, []byte) []byte { return nil }
	comment := func(_ *testing.T, _ *ownStack, data []byte) []byte { return append(data, "\n# a comment\n"...) }
	broken := func(_ *testing.T, _ *ownStack, data []byte) []byte { return append(data, "\n[registry.r:5000]\n"...) }
	return []ourFault{
		{name: "another password", on: both, want: "probe.unauthorized", also: []string{"running.log"}, do: rewrite(stack.FileHtpasswd, other, recorded)},
		{name: "another password, not ours", on: "daemon-mutual", want: changed, also: []string{"probe.unauthorized", "running.log"}, do: rewrite(stack.FileHtpasswd, other)},
		{name: "password as MD5", on: "daemon-mutual", want: "registry.htpasswd-bcrypt", do: rewrite(stack.FileHtpasswd, md5, recorded)},
		{name: "htpasswd emptied", on: "daemon-mutual", want: "registry.htpasswd-users", do: rewrite(stack.FileHtpasswd, none, recorded)},
		{name: "htpasswd emptied, not ours", on: "edge-server", want: changed, also: []string{"registry.htpasswd-users"}, do: rewrite(stack.FileHtpasswd, none)},
		{name: "htpasswd removed", on: "daemon-mutual", want: changed, also: []string{"registry.htpasswd-missing"}, do: unlink(stack.FileHtpasswd)},
		{name: "buildkitd.toml changed", on: "daemon", want: changed, do: rewrite(stack.FileBuilderConfig, comment)},
		{name: "buildkitd.toml written again", on: "daemon-mutual", want: "running.stale", do: rewrite(stack.FileBuilderConfig, comment, recorded)},
		{name: "config.yml written again", on: "daemon-server", want: "running.stale", do: rewrite(stack.FileRegistryConfig, comment, recorded)},
		{name: "buildkitd.toml broken, restarting", on: "daemon-mutual", want: "buildkitd.syntax", also: []string{"running.log"}, do: rewrite(stack.FileBuilderConfig, broken, recorded, restarting)},
		{name: "buildkitd.toml broken, restarting, not ours", on: "daemon-mutual", want: changed, also: []string{"buildkitd.syntax", "running.log"}, do: rewrite(stack.FileBuilderConfig, broken, restarting)},
	}
}

// certFaults are about certificates.
func certFaults() []ourFault {
	const changed = "own.changed"
	renewed := func(t *testing.T, s *ownStack, _ []byte) []byte { return s.reissue(t, stack.LeafBuilder) }
	renewedRegistry := func(t *testing.T, s *ownStack, _ []byte) []byte { return s.reissue(t, stack.LeafRegistry) }
	none := func(*testing.T, *ownStack, []byte) []byte { return nil }
	stranger := func(t *testing.T, _ *ownStack, _ []byte) []byte { return pkitest.New(t, time.Now()).Pair.CertPEM() }
	return []ourFault{
		{name: "expired", want: "certs.expired", do: show(stacktest.Expired, recorded)},
		{name: "expired, not ours", on: "daemon-mutual", want: changed, also: []string{"certs.expired"}, do: show(stacktest.Expired)},
		{name: "not yet valid", on: "daemon", want: "certs.not-yet-valid", do: show(stacktest.NotYetValid, recorded)},
		{name: "wrong name", on: "mutual", want: "certs.names", do: show(stacktest.WrongName, recorded)},
		{name: "another CA", on: "server", want: "certs.chain", do: show(stacktest.OtherCA, recorded)},
		{name: "builder's certificate replaced", on: "daemon-mutual", want: changed, also: []string{"running.served"}, do: rewrite(stack.FileBuilderCert, renewed)},
		{name: "builder's certificate renewed, no restart", on: "daemon-mutual", want: "running.served", do: rewrite(stack.FileBuilderCert, renewed, recorded)},
		{name: "registry's certificate renewed, no restart", on: "daemon-server", want: "running.served", do: rewrite(stack.FileRegistryCert, renewedRegistry, recorded)},
		{name: "builder's trust emptied", on: "daemon", want: "certs.not-pem", do: rewrite(stack.FileBuilderCA, none, recorded)},
		{name: "builder's trust emptied, not ours", on: "daemon-mutual", want: changed, also: []string{"certs.not-pem"}, do: rewrite(stack.FileBuilderCA, none)},
		{name: "builder trusts another CA", on: "daemon-mutual", want: "certs.chain", do: rewrite(stack.FileBuilderCA, stranger, recorded)},
		{name: "client CA replaced", on: "daemon-mutual", want: "certs.chain", also: []string{"running.stale"}, do: rewrite(stack.FileBuilderClientCA, stranger, recorded)},
		{name: "client CA replaced at the edge", on: "edge-mutual", want: "certs.chain", do: rewrite(stack.FileEdgeClients, stranger, recorded)},
		{name: "client CA replaced at the edge, not ours", on: "edge-mutual", want: changed, also: []string{"certs.chain"}, do: rewrite(stack.FileEdgeClients, stranger)},
	}
}

// wayFaults are about what is between the builder and what is pushed.
func wayFaults() []ourFault {
	return []ourFault{
		{name: "registry's name gone", on: "daemon", want: "probe.unreachable", also: []string{"running.log"}, do: disconnect},
		{name: "storage read-only", on: "daemon", want: "probe.unexpected", also: []string{"running.log"}, do: freezeStorage},
	}
}

// restOfDown: without an engine the files are judged all the same, and what needs
// one is skipped because of it.
func restOfDown(t *testing.T, r doctor.Result) {
	t.Helper()
	for _, c := range r.Checks {
		needs := c.Group == doctor.Running || c.Group == doctor.Probes
		if needs && (c.Outcome != doctor.Skipped || c.Because != "docker.engine") && !strings.HasPrefix(c.ID, "running.log") {
			t.Errorf("without an engine %s is %s because of %q", c.ID, c.Outcome, c.Because)
		}
	}
	for _, g := range []doctor.Group{doctor.Files, doctor.Certificates} {
		if held, judged := r.Count(g); judged == 0 || held != judged {
			t.Errorf("without an engine %d of %d rules of %s hold", held, judged, g)
		}
	}
}
