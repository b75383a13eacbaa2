package main

import (
	"bytes"
	"fmt"
	"path"
	"reflect"
	"slices"
	"sync"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/state"
)

// trusting are the files that a CA is in while it is trusted, by the file that it
// has itself. Of the last two each way to serve has one.
var trusting = map[string][]string{
	stack.FileCACert:       {stack.FileClientCA, stack.FileRegistryCA, stack.FileBuilderCA},
	stack.FileClientCACert: {stack.FileEdgeClients, stack.FileBuilderClientCA},
}

// moment is what a command has left of a stack.
type moment struct {
	before  map[string][]byte // the files before the command
	read    map[string][]byte // and now, as certyard reads them
	placed  map[string][]byte // and as the daemons do
	writing bool              // so that the two are not the same
	phase   stack.Phase       // of the replacement that is open, "" for none
}

func (s *sweep) moment() (moment, error) {
	m := moment{before: s.before, placed: map[string][]byte{}}
	var err error
	if m.read, err = s.files(); err != nil {
		return m, err
	}
	tree, err := s.tree()
	if err != nil {
		return m, err
	}
	for name, e := range tree {
		m.placed[name] = e.data
	}
	_, m.writing = tree[commitPath]
	recorded, err := stack.ParseState(m.read[stack.FileState])
	if err == nil && recorded.Rotation != nil {
		m.phase = recorded.Rotation.Phase
	}
	return m, err
}

// files returns all files of the stack, as certyard reads them.
func (y *yard) files() (map[string][]byte, error) {
	return state.Open(y.state(""), state.Options{RegistryUID: -1}).ReadAll()
}

// copyFiles keeps the files that there are before a command.
func (s *sweep) copyFiles() {
	s.t.Helper()
	if s.fresh {
		return
	}
	var err error
	if s.before, err = s.files(); err != nil {
		s.t.Fatal(err)
	}
}

// wrong lists everything that may not be at any moment of the command.
func (s *sweep) wrong() []string { return append(s.broken(s.tmp, s.want), s.trustBroken()...) }

// trustBroken lists where CAs are not trusted that must be, or are that must not.
//
// A CA is trusted while it is in force. The one that is replaced stays so until
// the phase contract, and the one to come is from expand on. So until contract the
// client directory of before the command does for both servers: up to expand they
// serve what they served, and from switch on what leads to the old root, too.
func (s *sweep) trustBroken() []string {
	if s.before == nil {
		return nil // there was no stack
	}
	m, err := s.moment()
	if err != nil {
		return []string{"looking at who is trusted: " + err.Error()}
	}
	return append(m.misplaced(), s.lockedOut(m)...)
}

// keeps reports whether a CA of before has to be trusted still.
func (m moment) keeps(ca string) bool {
	inForce := bytes.Equal(m.read[ca], m.before[ca])
	return inForce || m.phase != "" && m.phase.Before(stack.PhaseContract)
}

// misplaced lists the files that trust a CA and must not, or the other way round.
func (m moment) misplaced() []string {
	var out []string
	for ca := range trusting {
		next := m.read[path.Join(stack.SetNext, path.Base(ca))]
		out = append(out, m.trusts("the old "+ca, ca, m.before[ca], m.keeps(ca))...)
		out = append(out, m.trusts("the next "+ca, ca, next, m.phase == stack.PhaseExpand)...)
	}
	return out
}

// trusts lists the files in which a certificate is, or is not, against what is
// wanted. While a write goes on, that is known of what was trusted before it and
// will be after it.
func (m moment) trusts(what, ca string, cert []byte, want bool) []string {
	old := bytes.Equal(cert, m.before[ca])
	if cert = bytes.TrimSpace(cert); len(cert) == 0 {
		return nil
	}
	var out []string
	look := func(whose string, files map[string][]byte) {
		for _, name := range trusting[ca] {
			if data := files[name]; data != nil && bytes.Contains(data, cert) != want {
				out = append(out, fmt.Sprintf("%s, at phase %q: %s is trusted in %s: %v, want %v", whose, m.phase, what, name, !want, want))
			}
		}
	}
	look("for readers of certyard", m.read)
	if !m.writing || old && want {
		look("on the disk", m.placed)
	}
	return out
}

// lockedOut lists what keeps who has the client directory of before from a
// service, while it has to do.
func (s *sweep) lockedOut(m moment) []string {
	if !m.keeps(stack.FileCACert) || !m.keeps(stack.FileClientCACert) {
		return nil
	}
	var out []string
	for _, service := range []string{stack.Registry, stack.Builder} {
		for _, wrong := range s.dial(service, m.before) {
			out = append(out, fmt.Sprintf("at phase %q, with the client directory of before: %s", m.phase, wrong))
		}
	}
	return out
}

// undisturbed runs the command. If that changes who is trusted, it looks at that
// whenever a name on the disk is about to change, or the engine about to be asked.
// It returns what was wrong.
func (s *sweep) undisturbed() (disturbed, []string) {
	s.t.Helper()
	s.copyFiles()
	var mu sync.Mutex
	var wrong []string
	s.phases = map[string][]stack.Phase{}
	out := s.observe(func(kind string) {
		mu.Lock()
		defer mu.Unlock()
		if !s.open || kind != kindPlace && kind != kindRequest {
			return
		}
		m, err := s.moment()
		if err != nil {
			wrong = append(wrong, err.Error())
			return
		}
		s.phases[kind] = append(s.phases[kind], m.phase)
		if wrong = append(wrong, m.misplaced()...); kind == kindRequest {
			wrong = append(wrong, s.lockedOut(m)...)
		}
	}, s.words(s.args)...)
	for _, phase := range []stack.Phase{stack.PhaseStage, stack.PhaseExpand, stack.PhaseSwitch, stack.PhaseContract} {
		if s.open && s.first == nil && !slices.Contains(s.phases[kindPlace], phase) {
			wrong = append(wrong, fmt.Sprintf("it was never seen at phase %s", phase))
		}
	}
	slices.Sort(wrong)
	return out, slices.Compact(wrong)
}

// takenBack takes back what the command has begun, and lists how the stack is not
// as it was before: every file is, but that there is a record of what was made.
func (s *sweep) takenBack() []string {
	if undone := s.run(s.words(s.undo)...); undone.status != exitOK {
		return []string{fmt.Sprintf("%v: %v", s.undo, undone)}
	}
	now, err := s.files()
	if err != nil {
		return []string{err.Error()}
	}
	out := recordedMore(s.before[stack.FileState], now[stack.FileState])
	for name, data := range s.before {
		if name != stack.FileState && !bytes.Equal(data, now[name]) {
			out = append(out, name+" is not as it was before")
		}
	}
	for name := range now {
		if s.before[name] == nil {
			out = append(out, name+" is left")
		}
	}
	if smoke := s.run("smoke"); smoke.status != exitOK {
		out = append(out, "the proof does not hold: "+smoke.String())
	}
	return slices.Concat(out, s.wrong(), s.settled())
}

// recordedMore lists how a record is not the one before with certificates besides
// that are in force no more, and how many CAs there were.
func recordedMore(before, now []byte) []string {
	old, err := stack.ParseState(before)
	if err != nil {
		return []string{err.Error()}
	}
	s, err := stack.ParseState(now)
	if err != nil {
		return []string{err.Error()}
	}
	if len(s.Issued) <= len(old.Issued) {
		return []string{fmt.Sprintf("%d certificates are recorded, before it were %d", len(s.Issued), len(old.Issued))}
	}
	var out []string
	for n, i := range s.Issued {
		if made := n >= len(old.Issued); made && i.Removed.IsZero() || !made && i != old.Issued[n] {
			out = append(out, fmt.Sprintf("the record %d is %+v", n, i))
		}
	}
	// A CA that was in force is counted, so that no other one gets its number.
	s.Issued, s.CAGenerations, s.Clients.Generation = old.Issued, old.CAGenerations, old.Clients.Generation
	if !reflect.DeepEqual(s, old) {
		out = append(out, fmt.Sprintf("recorded is %+v, before it was %+v", s, old))
	}
	return out
}
