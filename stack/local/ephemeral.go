package local

import (
	"cmp"
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

// prefix begins the names of all ephemeral stacks. Nothing without it is ever taken
// for one: what belongs to a project of such a name goes with it.
const prefix = "eph-"

// NewName returns a name for an ephemeral stack: one that no other one has, or the
// one that is wanted, with the prefix of all.
func NewName(wanted string) string {
	if wanted == "" {
		wanted = strings.ToLower(rand.Text()[:12])
	}
	return prefix + strings.TrimPrefix(wanted, prefix)
}

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

// Engine is a Docker Engine, where it is, and what it has.
type Engine interface {
	lifecycle.Engine
	lifecycle.Lister
	Address() string
	Remains(ctx context.Context, project string) ([]string, error)
	SweepHelpers(ctx context.Context, before time.Time) error
}

// TakenError says that an engine has something of the name of an ephemeral stack.
type TakenError struct {
	Stack string
	Has   []string // as compose.Engine.Remains has it
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("the engine has something of the name %q already: %s", e.Stack, strings.Join(e.Has, ", "))
}

// Begin claims a name for an ephemeral stack on an engine. What the engine has of
// the name is somebody else's, and refused with a *[TakenError].
func (e Ephemeral) Begin(ctx context.Context, engine Engine, name string) (*state.Claim, error) {
	id, err := identify(ctx, engine)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(name, prefix) {
		return nil, fmt.Errorf("%q is no name of an ephemeral stack: it does not begin with %q", name, prefix)
	}
	claim, err := e.Claim(name, id+"\n"+engine.Address())
	if err != nil {
		return nil, err
	}
	has, err := engine.Remains(ctx, name)
	if err == nil && len(has) > 0 {
		err = &TakenError{Stack: name, Has: has}
	}
	if err != nil {
		return nil, errors.Join(err, claim.End())
	}
	return claim, nil
}

// identify returns what no other engine has: the same address leads to another
// engine on another machine, or in another container.
func identify(ctx context.Context, engine Engine) (string, error) {
	info, err := engine.Info(ctx)
	return cmp.Or(info.ID, engine.Address()), err
}

// atOnce bounds how many stacks are removed side by side.
const atOnce = 4

// helperLife is more than a process needs that makes an image.
const helperLife = 5 * time.Minute

// Prune removes every stack of this account on an engine whose process has ended:
// its containers, networks and volumes, and its state directory; and what killed
// processes have left of making images. What cannot be removed stays for the next
// time. With dry nothing is removed.
func (e Ephemeral) Prune(ctx context.Context, engine Engine, dry bool) ([]Pruned, error) {
	claims, err := e.Abandoned()
	if !dry {
		err = errors.Join(err, engine.SweepHelpers(ctx, time.Now().Add(-helperLife)))
	}
	if len(claims) == 0 {
		return []Pruned{}, err
	}
	out, errs := make([]Pruned, len(claims)), make([]error, len(claims))
	id, unknown := identify(ctx, engine)
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, claim := range claims {
		g.Go(func() error {
			out[i], errs[i] = prune(ctx, engine, id, claim, dry || unknown != nil)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	for i, err := range errs {
		if err != nil {
			out[i].Error = err.Error()
		}
	}
	return out, errors.Join(err, unknown, errors.Join(errs...))
}

func prune(ctx context.Context, engine Engine, id string, claim *state.Claim, dry bool) (Pruned, error) {
	p := Pruned{Stack: claim.Name(), Dir: claim.Root, Removed: []string{}}
	on, address, _ := strings.Cut(claim.Note, "\n")
	switch {
	case claim.Note == "" && !exists(claim.Root):
		// Its process was killed before it had made anything.
		return p, claim.End()
	case on != id || !strings.HasPrefix(p.Stack, prefix):
		p.Elsewhere = cmp.Or(address, "unknown")
		return p, claim.GiveUp()
	case dry:
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
// process still runs, and so it may. On an engine that several machines or containers
// use, theirs are among them.
func (e Ephemeral) PruneOlder(ctx context.Context, engine Engine, than time.Time, dry bool) ([]Pruned, error) {
	stacks, err := lifecycle.Stacks(ctx, engine, func(dir string) lifecycle.Store { return state.Open(dir, state.Options{}) })
	if err != nil {
		return nil, err
	}
	out := []Pruned{}
	var errs []error
	for _, s := range stacks {
		if !strings.HasPrefix(s.Owner, ownerUID()) || !s.Created.Before(than) || exists(s.Dir) || e.Held(s.Stack) {
			continue
		}
		p := Pruned{Stack: s.Stack, Dir: s.Dir, Removed: []string{}}
		if !dry {
			down, err := engine.Down(ctx, s.Stack, compose.DownOptions{Volumes: true})
			p.Removed = slices.Concat(p.Removed, down.Containers, down.Networks, down.Volumes)
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
