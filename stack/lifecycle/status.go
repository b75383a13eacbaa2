package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// Status is what a stack is like now, without touching or dialling it.
type Status struct {
	Stack        string              `json:"stack"`
	Dir          string              `json:"dir"`
	Made         time.Time           `json:"made"`
	Spec         stack.Spec          `json:"spec"`
	Facts        stack.Facts         `json:"facts"`
	Certificates []CertificateStatus `json:"certificates"`
	Due          []PlannedStep       `json:"due"`     // what the next up would do to certificates
	Changed      []string            `json:"changed"` // files that are not as written
	Containers   []ContainerStatus   `json:"containers"`
	// Rotation is the open replacement of CAs, nil for none.
	Rotation *stack.Rotation `json:"rotation,omitempty"`
	// Unproven is set while a rotation proves what it has written, and after one
	// that was interrupted before that.
	Unproven bool `json:"unproven,omitempty"`
	// Ending are the CAs that should be replaced, before all ends with them.
	Ending []EndingCA `json:"ending"`
	// Engine is why the containers could not be looked at, "" when they were.
	Engine string `json:"engine_error,omitempty"`
}

// CertificateStatus is one certificate of the stack.
type CertificateStatus struct {
	Name     string    `json:"name"`
	Key      string    `json:"key"` // where the key is: see KeyState
	Serial   string    `json:"serial"`
	SANs     []string  `json:"sans"`
	NotAfter time.Time `json:"not_after"`
	DaysLeft int       `json:"days_left"` // whole days, negative once expired
	File     string    `json:"file"`
}

// ContainerStatus is one container of the stack.
type ContainerStatus struct {
	Service  string    `json:"service"`
	Name     string    `json:"name"`
	Image    string    `json:"image"`
	State    string    `json:"state"` // the engine's word, "missing" when there is none
	Health   string    `json:"health,omitempty"`
	ExitCode int       `json:"exit_code"`
	Started  time.Time `json:"started,omitzero"`
}

// OK reports whether nothing is due or open, changed, missing or stopped, as far as
// could be seen.
func (s Status) OK() bool {
	return s.Well() && s.Rotation == nil && !s.Unproven && len(s.Ending) == 0
}

// Well is OK for a stack that is being rotated, or whose CA should be replaced.
func (s Status) Well() bool {
	for _, c := range s.Containers {
		if c.State != "running" || c.Health == "unhealthy" {
			return false
		}
	}
	return len(s.Due) == 0 && len(s.Changed) == 0
}

// Renews reports whether certificates that are due are all that keeps a running
// stack from being Well, and Rotate renews them: it wants a stack that holds, so
// not one with what has expired, and none whose CA is being replaced.
func (s Status) Renews() bool {
	if s.Rotation != nil || slices.ContainsFunc(s.Certificates, func(c CertificateStatus) bool { return c.DaysLeft < 0 }) {
		return false
	}
	rest := s
	rest.Due = slices.DeleteFunc(slices.Clone(s.Due), func(p PlannedStep) bool {
		return p.Action == string(pki.Renew) || p.Action == string(pki.Reissue)
	})
	return s.Engine == "" && len(s.Due) > 0 && rest.Well()
}

// GetStatus looks at the files and the containers of a recorded stack. An
// engine that cannot be reached is part of the status; the error is for a state
// directory that cannot be read. d.Engine may be nil, with engineErr saying why.
func GetStatus(ctx context.Context, d Deps, engineErr error) (Status, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return Status{}, err
	}
	s := Status{Stack: p.state.Spec.Name, Dir: d.Store.Root(), Made: p.state.Made, Spec: p.state.Spec, Facts: p.state.Facts, Rotation: p.state.Rotation, Unproven: p.state.Unproven,
		// In JSON an empty list is [], not null.
		Due: []PlannedStep{}, Changed: []string{}, Containers: []ContainerStatus{}}
	if s.Changed, err = allDrifted(d.Store, *p.state); err != nil {
		return s, err
	}
	if s.Due, err = due(p, d.Now()); err != nil {
		return s, err
	}
	if p.aside.lost != nil {
		s.Due = append(s.Due, PlannedStep{Action: "abort", Object: titlesOf(p.rotation().CAs), Cause: p.aside.lost.Error()})
	}
	for _, generation := range p.state.Retired {
		s.Due = append(s.Due, PlannedStep{Action: "prove", Object: pki.CAClient, Cause: "the builder was not yet seen to refuse clients of the replaced CA " + generation})
	}
	if s.Ending, err = ending(p, d.Now()); err != nil {
		return s, err
	}
	m, err := p.material(p.state.Spec.PKI)
	if err != nil {
		return s, err
	}
	s.Certificates = certificates(p, m, d.Now())
	if d.Engine == nil {
		s.Engine = engineErr.Error()
		return s, nil
	}
	containers, err := d.Engine.Containers(ctx, s.Stack)
	if err != nil {
		s.Engine = err.Error()
	} else {
		s.Containers = containerStatus(s.Spec.Serve.Services(), containers)
	}
	return s, nil
}

// Recorded is what the record of a stack says, and which files are not as it says.
type Recorded struct {
	Spec     stack.Spec
	Facts    stack.Facts
	Rotation *stack.Rotation // nil for none
	Changed  []string
}

// GetRecord reads the record of a stack. Of the files themselves it judges nothing,
// so that it can be had of a stack whose certificates are damaged.
func GetRecord(store Store) (Recorded, error) {
	data, err := store.Read(stack.FileState)
	switch {
	case err != nil:
		return Recorded{}, err
	case data == nil:
		return Recorded{}, &NoStackError{Dir: store.Root()}
	}
	s, err := stack.ParseState(data)
	if err != nil {
		return Recorded{}, fmt.Errorf("reading %s: %w", store.Root(), err)
	}
	changed, err := allDrifted(store, s)
	return Recorded{Spec: s.Spec, Facts: s.Facts, Rotation: s.Rotation, Changed: changed}, err
}

// allDrifted returns the files that are not as they were written.
func allDrifted(store Store, s stack.State) ([]string, error) {
	out := []string{}
	for _, hop := range []stack.Hop{stack.HopHostRegistry, stack.HopHostBuilder, stack.HopBuilderRegistry} {
		changed, _, err := drifted(store, s, hop)
		if err != nil {
			return out, err
		}
		out = append(out, changed...)
	}
	return out, nil
}

// due lists the certificates that the recorded spec wants issued, renewed or
// reissued.
func due(p prior, now time.Time) ([]PlannedStep, error) {
	m, err := p.material(p.state.Spec.PKI)
	if err != nil {
		return nil, err
	}
	plan, err := p.state.Spec.PKIPlan(p.state.Facts, p.state.Clients)
	if err != nil {
		return nil, err
	}
	steps, err := pki.Diff(plan, m, now)
	if err != nil {
		return nil, err
	}
	out := []PlannedStep{}
	for _, s := range planned(steps) {
		if s.Action != string(pki.Keep) {
			out = append(out, s)
		}
	}
	return out, nil
}

// Where the key of a certificate is.
const (
	KeyHere      = "here"
	KeyEncrypted = "encrypted"
	KeyOffline   = "offline" // a root's, moved away
	KeyYours     = "yours"   // pki.ca_key
	KeyExternal  = "external"
	KeyRemote    = "remote"
)

// keyState says where the key of a CA or a leaf is.
func keyState(spec stack.PKISpec, kp *pki.KeyPair) string {
	switch {
	case kp.Locked():
		return KeyEncrypted
	case kp.Key != nil:
		return KeyHere
	case spec.Authority == stack.AuthorityFiles:
		return KeyYours
	case spec.Authority == stack.AuthorityExternal:
		return KeyExternal
	case spec.Authority == stack.AuthorityRemote:
		return KeyRemote
	default:
		return KeyOffline
	}
}

func certificates(p prior, m pki.Material, now time.Time) []CertificateStatus {
	var out []CertificateStatus
	for _, name := range append(stack.CAs(), stack.Leaves(p.clients())...) {
		kp := m.Leaves[name]
		if ca := m.CAs[name]; ca != nil {
			kp = ca
		}
		if kp == nil || kp.Cert == nil {
			continue
		}
		c := kp.Cert
		sans := append([]string{}, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			sans = append(sans, ip.String())
		}
		out = append(out, CertificateStatus{
			Name: name, Key: keyState(p.state.Spec.PKI, kp), Serial: kp.Serial(), SANs: sans, NotAfter: c.NotAfter.UTC(),
			DaysLeft: pki.DaysLeft(c, now), File: p.serve.PairOf(name).Cert,
		})
	}
	return out
}

// containerStatus lists our services, also those that have no container, and
// then what the user's override adds.
func containerStatus(services []string, containers []compose.Container) []ContainerStatus {
	var out, others []ContainerStatus
	found := map[string]bool{}
	for _, c := range containers {
		s := ContainerStatus{Service: c.Service, Name: c.Name, Image: c.Image, State: c.State, Health: c.Health, ExitCode: c.ExitCode, Started: c.Started}
		if slices.Contains(services, c.Service) {
			found[c.Service] = true
			out = append(out, s)
		} else {
			others = append(others, s)
		}
	}
	for _, service := range services {
		if !found[service] {
			out = append(out, ContainerStatus{Service: service, State: "missing"})
		}
	}
	return append(out, others...)
}

// Environment returns the variables for clients of a recorded stack, with the
// first user's password.
func Environment(d Deps) ([]stack.Variable, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return nil, err
	}
	user := p.state.Spec.Registry.Users[0].Name
	return p.state.Spec.Environment(p.state.Facts, d.Store.Root(), p.secrets.Passwords[user]), nil
}
