package lifecycle_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
)

// TestRotateLooksTwice: what does not hold before anything is replaced may have been
// the moment of another certyard: it is waited for, and the stack proven again.
func TestRotateLooksTwice(t *testing.T) {
	for name, opts := range map[string]lifecycle.RotateOptions{"leaves": {All: true}, "CA": {AllCAs: true, PauseAfter: stack.PhaseStage}} {
		s := &script{proofs: []claims{sound, broken, sound}}
		d := rotateDeps(t, s)
		mustUp(t, d, stack.Config{Name: "quiet"})
		store := &contended{Store: d.Store, failed: func() bool { return len(s.asked) == 2 }, tries: 2}
		d.Store = store
		out, err := lifecycle.Rotate(t.Context(), d, opts)
		if err != nil || !out.Report.OK() || store.tries != 0 {
			t.Errorf("%s: %v, tries left %d", name, err, store.tries)
		}
	}
}

// TestRotateWaitsInterrupted: whoever interrupts that wait is not told of a lock.
func TestRotateWaitsInterrupted(t *testing.T) {
	s := &script{proofs: []claims{sound, broken}}
	d := rotateDeps(t, s)
	mustUp(t, d, stack.Config{Name: "quiet"})
	d.Store = &contended{Store: d.Store, failed: func() bool { return len(s.asked) == 2 }, tries: 1000}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := lifecycle.Rotate(ctx, d, lifecycle.RotateOptions{All: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestRotateSeesOtherReplacement: leaves wait for a replacement of CAs that somebody
// has begun while the stack was proven for them.
func TestRotateSeesOtherReplacement(t *testing.T) {
	d := rotateDeps(t, claims(sound))
	mustUp(t, d, stack.Config{Name: "quiet"})
	other, begun := d, false
	d.Prover = claims(func(o smoke.Options) []stack.Check {
		if !begun {
			begun = true
			mustRotate(t, other, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseStage})
		}
		return sound(o)
	})
	before := leaves(readAll(t, d))
	_, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{All: true})
	if _, ok := errors.AsType[*lifecycle.OpenRotationError](err); !ok || !begun || leaves(readAll(t, d)) != before {
		t.Errorf("begun %v, the same leaves: %v, %v", begun, leaves(readAll(t, d)) == before, err)
	}
}

// TestReplaceCATakenDown: a stack that somebody takes down during the bake is not
// started again, and nothing of it is taken back.
func TestReplaceCATakenDown(t *testing.T) {
	d, v, _ := caStack(t, caConfigs()["edge"])
	mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
	v.asked, v.breakAt, v.breaks = nil, 3, 100 // after switch and verify, which are gone through again
	engine := d.Engine.(*runningEngine)
	d.Observe = func(p lifecycle.Progress) {
		if p.Step == string(stack.PhaseBake) {
			engine.containers = nil
		}
	}
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{AllCAs: true, Bake: time.Millisecond})
	if _, ok := errors.AsType[*lifecycle.NotRunningError](err); !ok || out.RolledBack || out.Open == nil || len(engine.containers) > 0 {
		t.Errorf("%v, rolled back %v, open %v, %d containers", err, out.RolledBack, out.Open, len(engine.containers))
	}
}

// startless is an engine that cannot start anything.
type startless struct{ *runningEngine }

func (e *startless) Up(context.Context, *types.Project, compose.UpOptions) (compose.UpResult, error) {
	return compose.UpResult{}, errors.New("no answer")
}

// TestReplaceCAAbortGoesOn: what was interrupted while it brought the old CA back is
// finished by the same command, also where the builder cannot be asked any more,
// since it serves what the old CA does not lead to; and by any other rotation.
func TestReplaceCAAbortGoesOn(t *testing.T) {
	for name, again := range map[string]lifecycle.RotateOptions{"the same": {Abort: true}, "another": {}} {
		d, v, _ := caStack(t, caConfigs()["daemon"])
		before := readAll(t, d)
		mustRotate(t, d, lifecycle.RotateOptions{AllCAs: true, PauseAfter: stack.PhaseVerify})
		broken := d
		broken.Engine = &startless{d.Engine.(*runningEngine)}
		if _, err := lifecycle.Rotate(t.Context(), broken, lifecycle.RotateOptions{Abort: true}); err == nil || !stateOf(t, readAll(t, d)).Unproven {
			t.Fatalf("%s: %v", name, err)
		}
		status, err := lifecycle.GetStatus(t.Context(), d, nil)
		if err != nil || status.OK() || !status.Unproven {
			t.Errorf("%s: the status is fine: %v", name, err)
		}
		plan, err := lifecycle.PlanRotate(t.Context(), d, again)
		if err != nil || !plan.Due || planText(plan.Plan) != "finish what an earlier run has left" || planText(plan.Restarts) != "recreate container registry, recreate container buildkit" {
			t.Errorf("%s: would do %+v, %v, %v", name, plan.Plan, plan.Restarts, err)
		}
		d.Engine.(*runningEngine).renewed, v.asked = nil, nil
		down := d
		down.Engine = &runningEngine{}
		if plan, err := lifecycle.PlanRotate(t.Context(), down, lifecycle.RotateOptions{}); err != nil || plan.Due || len(plan.Plan) > 0 {
			t.Errorf("%s: without containers it would do %+v, %v", name, plan.Plan, err)
		}
		d.Prover = &deaf{Prover: v}
		if _, err := lifecycle.Rotate(t.Context(), d, again); err == nil || !strings.Contains(err.Error(), "waiting until nobody builds") {
			t.Errorf("%s: of a builder that says nothing: %v", name, err)
		}
		d.Prover = &deaf{Prover: v, err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
		out, err := lifecycle.Rotate(t.Context(), d, again)
		if err != nil || out.Finished == nil || len(v.asked) != 1 || stateOf(t, readAll(t, d)).Unproven {
			t.Errorf("%s: finished %v, proven %d times, %v", name, out.Finished != nil, len(v.asked), err)
		}
		if got := fmt.Sprint(d.Engine.(*runningEngine).renewed); got != "[registry buildkit]" {
			t.Errorf("%s: started again: %s", name, got)
		}
		sameFiles(t, d, before)
		_, err = lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Abort: true})
		if _, ok := errors.AsType[*lifecycle.NoRotationError](err); !ok {
			t.Errorf("%s: once more: %v", name, err)
		}
	}
}

// TestRotatePlanSeesDefinitions: a dry run tells also which container is made anew
// because it is defined otherwise by now.
func TestRotatePlanSeesDefinitions(t *testing.T) {
	d := rotateDeps(t, claims(sound))
	mustUp(t, d, stack.Config{Name: "quiet"})
	engine := d.Engine.(*runningEngine)
	for i := range engine.containers {
		if engine.containers[i].Service == stack.Builder {
			engine.containers[i].Labels[api.ConfigHashLabel] = "old"
		}
	}
	plan, err := lifecycle.PlanRotate(t.Context(), d, lifecycle.RotateOptions{Clients: true})
	if err != nil || len(plan.Restarts) != 1 || plan.Restarts[0].Object != "container buildkit" {
		t.Errorf("would start again %+v, %v", plan.Restarts, err)
	}
}

// TestRotateKeepsChosen: a password that was chosen stays as it was read last, and
// where it is read from may be gone.
func TestRotateKeepsChosen(t *testing.T) {
	for name, opts := range map[string][]lifecycle.RotateOptions{
		"leaves": {{All: true}},
		"CA":     {{AllCAs: true, PauseAfter: stack.PhaseVerify}, {Abort: true}},
	} {
		d := rotateDeps(t, claims(sound))
		mustUp(t, d, stack.Config{Name: "quiet", Registry: stack.RegistryConfig{Users: []stack.UserConfig{{Name: "ci", PasswordFile: "ci.txt"}}}})
		before := string(readAt(t, d, stack.FileHtpasswd))
		for _, source := range []func(stack.UserSpec) (string, error){
			func(stack.UserSpec) (string, error) { return "another", nil },
			func(stack.UserSpec) (string, error) { return "", errors.New("gone") },
		} {
			d.Password = source
			for _, o := range opts {
				mustRotate(t, d, o)
			}
			if string(readAt(t, d, stack.FileHtpasswd)) != before {
				t.Errorf("%s: the password is another one", name)
			}
		}
		d.Password = func(stack.UserSpec) (string, error) { return "another", nil }
		spec := stateOf(t, readAll(t, d)).Spec
		if _, err := lifecycle.Up(t.Context(), d, spec, lifecycle.UpOptions{}); err != nil || string(readAt(t, d, stack.FileHtpasswd)) == before {
			t.Errorf("%s: the next up did not take it: %v", name, err)
		}
	}
}

// notary is a CA elsewhere that counts what it signs.
type notary struct {
	ca     *pkitest.CA
	signed int
}

func (n *notary) CA(context.Context) (*x509.Certificate, error) { return n.ca.Pair.Cert, nil }

func (n *notary) Sign(ctx context.Context, r pki.Request) ([]*x509.Certificate, error) {
	n.signed++
	return pki.Local(n.ca.Pair).Sign(ctx, r)
}

// TestPlansSignNothing: what would be done is found out without a CA elsewhere, and
// a rotation has it sign each certificate once.
func TestPlansSignNothing(t *testing.T) {
	n := &notary{ca: pkitest.New(t, time.Now())}
	d := rotateDeps(t, claims(sound))
	d.Remote = func(stack.RemoteSpec) (lifecycle.RemoteAuthority, error) { return n, nil }
	config := stack.Config{Name: "quiet", PKI: stack.PKIConfig{Authority: "remote", Remote: stack.RemoteConfig{URL: "https://ca.lan", CA: "ca.pem", AuthKeyFile: "key"}}}
	first, err := lifecycle.DryRun(t.Context(), d, newSpec(t, config), nil)
	if err != nil || n.signed != 0 || d.Store.Exists() || !strings.Contains(planText(first.Plan), "issue registry, issue buildkit, issue client, create ") {
		t.Errorf("would do %q, %d are signed, %v", planText(first.Plan), n.signed, err)
	}
	up := mustUp(t, d, config)
	n.signed = 0
	opts := lifecycle.RotateOptions{All: true}
	plan, err := lifecycle.PlanRotate(t.Context(), d, opts)
	if err != nil || n.signed != 0 || planText(plan.Plan) != "renew registry, renew buildkit, renew client" || len(plan.Restarts) != 2 {
		t.Errorf("would do %q, start again %v, %d are signed, %v", planText(plan.Plan), plan.Restarts, n.signed, err)
	}
	wanted := up.Spec
	wanted.Registry.Hosts = []string{"other.lan"}
	more, err := lifecycle.DryRun(t.Context(), d, wanted, nil)
	if text := planText(more.Plan); err != nil || n.signed != 0 || !strings.Contains(text, "reissue registry") || strings.Contains(text, ".key") {
		t.Errorf("with another host: %q, %d are signed, %v", text, n.signed, err)
	}
	mustRotate(t, d, opts)
	if n.signed != 2 { // clients are another CA's, which is here
		t.Errorf("%d are signed for two servers", n.signed)
	}
	again, err := lifecycle.DryRun(t.Context(), d, up.Spec, nil)
	if err != nil || strings.Contains(planText(again.Plan), "update") {
		t.Errorf("with nothing to do: %q, %v", planText(again.Plan), err)
	}
}
