package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// interrupting is an engine that ends a context at one of its calls.
type interrupting struct {
	*runningEngine
	at     string
	cancel context.CancelFunc
	thawed []string
}

func (e *interrupting) Stop(ctx context.Context, project string, services []string) error {
	if e.at == "stop" {
		e.cancel()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.runningEngine.Stop(ctx, project, services)
}

func (e *interrupting) Freeze(ctx context.Context, project, service string) error {
	if e.at == "freeze" {
		e.cancel()
	}
	return ctx.Err()
}

func (e *interrupting) Thaw(ctx context.Context, _, service string) error {
	e.thawed = append(e.thawed, service)
	return ctx.Err()
}

func (e *interrupting) Up(ctx context.Context, p *types.Project, o compose.UpOptions) (compose.UpResult, error) {
	if e.at == "up" {
		e.cancel()
	}
	if err := ctx.Err(); err != nil {
		return compose.UpResult{}, err
	}
	return e.runningEngine.Up(ctx, p, o)
}

// TestRotateInterrupted: an interruption leaves no daemon stopped and none frozen,
// also where builds are not waited for.
func TestRotateInterrupted(t *testing.T) {
	for _, at := range []string{"freeze", "stop", "up"} {
		d := rotateDeps(t, claims(sound))
		mustUp(t, d, stack.Config{Name: "quiet"})
		ctx, cancel := context.WithCancel(t.Context())
		engine := &interrupting{runningEngine: d.Engine.(*runningEngine), at: at, cancel: cancel}
		d.Engine = engine
		_, err := lifecycle.Rotate(ctx, d, lifecycle.RotateOptions{Leaves: []string{"registry"}, Force: at == "up"})
		if at != "up" && !errors.Is(err, context.Canceled) {
			t.Errorf("at %s: %v", at, err)
		}
		if at == "freeze" && (!slices.Equal(engine.thawed, []string{"buildkit"}) || engine.killed != nil) {
			t.Errorf("at %s: thawed %v, killed %v", at, engine.thawed, engine.killed)
		}
		if at != "freeze" && !slices.Contains(engine.renewed, "registry") {
			t.Errorf("at %s: started again: %v", at, engine.renewed)
		}
	}
}

// TestReplaceCAInterrupted: so it is where CAs are replaced, and the replacement
// stays open there.
func TestReplaceCAInterrupted(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["daemon"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
	ctx, cancel := context.WithCancel(t.Context())
	engine := &interrupting{runningEngine: d.Engine.(*runningEngine), at: "up", cancel: cancel}
	d.Engine = engine
	out, err := lifecycle.Rotate(ctx, d, lifecycle.RotateOptions{AllCAs: true, Force: true})
	if !errors.Is(err, context.Canceled) || out.RolledBack || out.Open == nil || !slices.Contains(engine.renewed, "buildkit") {
		t.Errorf("%v, rolled back %v, open %v, started again: %v", err, out.RolledBack, out.Open, engine.renewed)
	}
}

// breaking is an engine that cannot stop anything but the frozen builder.
type breaking struct{ *runningEngine }

func (e *breaking) Stop(context.Context, string, []string) error { return errors.New("no answer") }

// TestRotateStopsHalf: where the engine fails between the two daemons that have to
// be stopped, what is stopped is started again.
func TestRotateStopsHalf(t *testing.T) {
	d, _, _ := caStack(t, caConfigs()["daemon"])
	engine := &breaking{d.Engine.(*runningEngine)}
	d.Engine = engine
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true})
	if err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v", err)
	}
	if len(engine.killed) != 1 || !slices.Contains(engine.renewed, stack.Builder) {
		t.Errorf("killed %v, started again: %v", engine.killed, engine.renewed)
	}
}
