package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

// Ephemeral are the stacks of this account that end with the process that started
// them. Each has a name that nobody else has, and a state directory in one place.
type Ephemeral struct{ *state.Claims }

// EphemeralStacks returns the ephemeral stacks of a directory; "" stands for the one
// below the account's directory for caches, where an engine in a virtual machine
// finds it too.
func EphemeralStacks(dir string) (Ephemeral, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Ephemeral{}, fmt.Errorf("finding a place for ephemeral stacks: %w", err)
		}
		dir = filepath.Join(cache, "certyard", "ephemeral")
	}
	abs, err := filepath.Abs(dir)
	return Ephemeral{state.OpenClaims(abs)}, err
}

// NewName returns a name for an ephemeral stack that no other one has.
func NewName() string { return "eph-" + strings.ToLower(rand.Text()[:12]) }

// Owner describes this process, for whoever finds a stack of it.
func Owner() string {
	host, _ := os.Hostname() // "" says as much as the error
	return fmt.Sprintf("%son %s, process %d", ownerUID(), host, os.Getpid())
}

// ownerUID begins every Owner of this account.
func ownerUID() string { return fmt.Sprintf("uid %d ", os.Geteuid()) }

// Pruned is an ephemeral stack whose process has ended, and what became of it.
type Pruned struct {
	Stack   string   `json:"stack"`
	Dir     string   `json:"dir"`
	Removed []string `json:"removed"`
	// Elsewhere is the engine that the stack is on, when it is another one, and
	// the stack was left alone; "" otherwise.
	Elsewhere string `json:"elsewhere,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Engine is a Docker Engine and where it is.
type Engine interface {
	lifecycle.Engine
	lifecycle.Lister
	Address() string
}

// atOnce bounds how many stacks are removed side by side.
const atOnce = 4

// Prune removes every stack of this account on an engine whose process has ended:
// its containers, networks and volumes, and its state directory. What cannot be
// removed stays for the next time. With dry nothing is removed.
func (e Ephemeral) Prune(ctx context.Context, engine Engine, dry bool) ([]Pruned, error) {
	claims, err := e.Abandoned()
	out := make([]Pruned, len(claims))
	errs := make([]error, len(claims))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, claim := range claims {
		g.Go(func() error {
			out[i], errs[i] = prune(ctx, engine, claim, dry)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	for i, err := range errs {
		if err != nil {
			out[i].Error = err.Error()
		}
	}
	return out, errors.Join(err, errors.Join(errs...))
}

func prune(ctx context.Context, engine Engine, claim *state.Claim, dry bool) (Pruned, error) {
	p := Pruned{Stack: claim.Name(), Dir: claim.Root, Removed: []string{}}
	if claim.Note != engine.Address() {
		p.Elsewhere = claim.Note
	}
	if p.Elsewhere != "" || dry {
		return p, claim.GiveUp()
	}
	d := Deps(claim.Root)
	d.Engine = engine
	down, err := Remove(ctx, d, claim)
	p.Removed = append(p.Removed, down.Removed...)
	return p, err
}

// Abandons reports whether a stack with this name and state directory is one of this
// account's whose process has ended.
func (e Ephemeral) Abandons(name, dir string) bool {
	if filepath.Join(e.Dir(), name) != filepath.Clean(dir) {
		return false
	}
	names, err := e.Names()
	return err == nil && slices.Contains(names, name) && !e.Held(name)
}

// PruneOlder removes ephemeral stacks of this account's number that are older than a
// time, and whose state directory is not here: nobody can be asked whether their
// process still runs.
func (e Ephemeral) PruneOlder(ctx context.Context, engine Engine, than time.Time, dry bool) ([]Pruned, error) {
	stacks, err := lifecycle.Stacks(ctx, engine, func(dir string) lifecycle.Store { return state.Open(dir, state.Options{}) })
	if err != nil {
		return nil, err
	}
	var out []Pruned
	var errs []error
	for _, s := range stacks {
		if !strings.HasPrefix(s.Owner, ownerUID()) || !s.Created.Before(than) || exists(s.Dir) {
			continue
		}
		p := Pruned{Stack: s.Stack, Dir: s.Dir, Removed: []string{}}
		if !dry {
			down, err := engine.Down(ctx, s.Stack, compose.DownOptions{Volumes: true})
			p.Removed = slices.Concat(down.Containers, down.Networks, down.Volumes)
			if err != nil {
				p.Error = err.Error()
				errs = append(errs, err)
			}
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

func exists(dir string) bool {
	_, err := os.Lstat(dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// Remove takes a claimed stack down, with all that belongs to it, and ends the
// claim. After an error the stack is left to the next Prune.
func Remove(ctx context.Context, d lifecycle.Deps, claim *state.Claim) (lifecycle.DownResult, error) {
	down, err := lifecycle.Down(ctx, d, claim.Name(), lifecycle.DownOptions{Volumes: true, Purge: true})
	if err != nil {
		return down, errors.Join(fmt.Errorf("removing ephemeral stack %q: %w", claim.Name(), err), claim.GiveUp())
	}
	return down, claim.End()
}
