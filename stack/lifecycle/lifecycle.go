// Package lifecycle orchestrates: it takes a spec through certificates, files,
// containers and proof, in that order. A rotation whose proof does not hold takes
// the files from before through the same steps, and so does the replacement of CAs
// that goes back to the old ones. It owns no disk, no Docker and no network of its
// own; what it needs of them it asks of the small interfaces below.
//
// A run that follows an interrupted one finds out where it stands from what there
// is: which sets of CAs exist and what the trust bundles in force hold, see
// observed; the label on each container with the digest of the files that it was
// made with, [render.MaterialLabel]; and then the proof of the running daemons.
// There is no journal besides: state.json is written in the same commit as the
// files that it tells of.
//
// The functions take a [Deps] and return what they did. One state directory is
// changed by one call at a time: Init, Up and Down hold its lock.
package lifecycle

import (
	"context"
	"crypto/x509"
	"io"
	"net/netip"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke"
	"github.com/certyard/certyard/stack/state"
)

// Store is the state directory.
type Store interface {
	Root() string
	Exists() bool
	Lock(ctx context.Context) (release func() error, err error)
	Read(path string) ([]byte, error)
	Write(files []stack.File) (state.Changes, error)
	Plan(files []stack.File) (state.Changes, error)
	ReadAll() (map[string][]byte, error)
	Purge() error
}

// Engine is the Docker Engine, with compose's semantics.
type Engine interface {
	Info(ctx context.Context) (compose.Info, error)
	Images(ctx context.Context, want []compose.Image, policy compose.Policy, bundle compose.Bundle, progress func(compose.Event)) ([]compose.Resolved, error)
	Look(ctx context.Context, service, ref string) (compose.Resolved, error)
	With(ctx context.Context, base string, p compose.Program, before []string) (string, error)
	Foreign(ctx context.Context, project, dir string) error
	Up(ctx context.Context, project *types.Project, opts compose.UpOptions) (compose.UpResult, error)
	Stop(ctx context.Context, project string, services []string) error
	Freeze(ctx context.Context, project, service string) error
	Thaw(ctx context.Context, project, service string) error
	KillFrozen(ctx context.Context, project, service string) error
	Down(ctx context.Context, project string, opts compose.DownOptions) (compose.DownResult, error)
	Containers(ctx context.Context, project string) ([]compose.Container, error)
	Logs(ctx context.Context, project string, opts compose.LogOptions) error
}

// Prover makes real connections and a real build.
type Prover interface {
	Ready(ctx context.Context, opts smoke.Options, alive func(context.Context) error) error
	Prove(ctx context.Context, opts smoke.Options) stack.Report
	WatchIdle(ctx context.Context, opts smoke.Options, say func([]smoke.Build)) (*smoke.Idle, error)
}

// RemoteAuthority signs somewhere else, and tells with what certificate.
type RemoteAuthority interface {
	pki.Authority
	CA(ctx context.Context) (*x509.Certificate, error)
}

// Account is who runs certyard.
type Account struct{ UID, GID int }

// Deps is everything outside that the functions of this package use.
type Deps struct {
	Store   Store
	Engine  Engine // nil for Init
	Prover  Prover // nil for Init and Down
	Account Account
	Now     func() time.Time
	Rand    io.Reader
	// Password returns a user's given password.
	Password func(stack.UserSpec) (string, error)
	// Passphrase returns the passphrase of the CAs' keys. It is asked when a
	// CA has to sign whose key is encrypted, and with twice for a new key:
	// a person types it twice then.
	Passphrase func(spec stack.PKISpec, twice bool) ([]byte, error)
	// CAKeysSet says that the config, and not a default, says how the keys of
	// CAs are kept: those that are here follow it then.
	CAKeysSet bool
	// Given reads a file of the user's, by its path in the config. One with
	// a secret must be readable by its owner alone.
	Given func(path string, secret bool) ([]byte, error)
	// Remote returns the authority that a cfssl server is.
	Remote func(stack.RemoteSpec) (RemoteAuthority, error)
	// Find reads the certificates of files and directories that somebody
	// named, and Fetch those that a live server shows for a name, its own
	// first.
	Find  func(paths ...string) []state.Found
	Fetch func(ctx context.Context, address, name string, trust pki.TrustBundle) ([]*x509.Certificate, error)
	// FreePort returns a port that is free on an address now.
	FreePort func(netip.Addr) (int, error)
	// Subnet returns an address range that hardly anybody uses, another one each
	// time.
	Subnet func() netip.Prefix
	// Bundle is where the daemons for bundled images are.
	Bundle compose.Bundle
	// Override is a compose file of the user's to merge, "" for none.
	Override string
	// ConfigDir is the directory of the config, absolute. A lock names files
	// relative to it.
	ConfigDir string
	// Observe is told what goes on; never nil, called from one goroutine at
	// a time.
	Observe func(Progress)

	// plans is that what is made is looked at and not written.
	plans bool
}

// StepState says how far a step is.
type StepState string

// The states of a step.
const (
	Running StepState = "running"
	Done    StepState = "done"
	Failed  StepState = "failed"
)

// Names of the steps, in their order.
const (
	StepAuthority    = "authority"
	StepCertificates = "certificates"
	StepPasswords    = "passwords"
	StepFiles        = "files"
	StepImages       = "images"
	StepContainers   = "containers"
	StepProof        = "proof"
	StepIdle         = "builds"
	StepRemove       = "removed"
	StepPurge        = "purged"
)

// Progress is what a person is shown while a command runs, and what JSON keeps
// of it when the step has ended.
type Progress struct {
	Step   string        `json:"step"`
	State  StepState     `json:"state"`
	Detail string        `json:"detail"`
	Note   string        `json:"note,omitempty"` // said once, in a line of its own
	Took   time.Duration `json:"took_ns"`
}

// run runs one step, tells the observer of its start and end, and returns how
// it ended for the record.
func (d Deps) run(step string, do func(say func(detail string)) (string, error)) (Progress, error) {
	start := d.Now()
	at := func(state StepState, detail string) Progress {
		p := Progress{Step: step, State: state, Detail: detail, Took: d.Now().Sub(start)}
		d.Observe(p)
		return p
	}
	at(Running, "")
	detail, err := do(func(detail string) { at(Running, detail) })
	if err != nil {
		return at(Failed, detail), err
	}
	return at(Done, detail), nil
}
