package lifecycle

import (
	"fmt"
	"slices"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// planCAs returns what a replacement of CAs would do from where it stands, with
// the services that each phase starts again.
func planCAs(d Deps, opts RotateOptions, p prior) (Rotated, error) {
	opts = opts.named(p.state.Spec)
	r := &caRotation{Deps: d, opts: opts, prior: p}
	spec, open := p.state.Spec, p.rotation()
	out := Rotated{Result: newResult(d, spec), Restarts: []PlannedStep{}, Due: true, Open: open}
	planned := stack.Rotation{CAs: opts.CAs, Compromised: opts.Compromised}
	if err := r.possible(); err != nil {
		return out, err
	}
	switch {
	case opts.Abort && p.aside.lostKey != nil:
		return out, p.aside.lostKey
	case opts.Abort:
		out.Plan = []PlannedStep{{Action: "abort", Object: titlesOf(open.CAs), Cause: "the old CA comes into force again"}}
		if open.Phase != stack.PhaseStage {
			out.Restarts = restartsOf("abort", services(spec, abortFiles(spec, *open)))
		}
		return out, nil
	case open != nil:
		planned = *open
		planned.Compromised = planned.Compromised || opts.Compromised
	}
	for _, phase := range stack.Phases() {
		if open != nil && phase.Before(open.Phase) {
			continue
		}
		out.Plan = append(out.Plan, PlannedStep{Action: string(phase), Object: titlesOf(planned.CAs), Cause: r.does(phase)})
		out.Restarts = append(out.Restarts, restartsOf(string(phase), r.restarted(planned, phase))...)
	}
	return out, nil
}

// does says what a phase does.
func (r *caRotation) does(phase stack.Phase) string {
	switch phase {
	case stack.PhasePreflight:
		return "proves the stack as it is"
	case stack.PhaseStage:
		return "makes the new CA and every leaf below it; nothing in force changes"
	case stack.PhaseExpand:
		return "has everybody trust both, and proves that both are let in"
	case stack.PhaseSwitch:
		return "has the new leaves served and shown, and proves it"
	case stack.PhaseVerify:
		return "proves that nothing depends on the old CA"
	case stack.PhaseBake:
		return fmt.Sprintf("waits %s for clients that know the old CA alone", r.bakeTime())
	case stack.PhaseContract:
		if r.opts.Force {
			return "has everybody trust the new one alone, and proves that the old one is refused"
		}
		return "has everybody trust the new one alone, once nobody builds, and proves that the old one is refused"
	default:
		return "deletes the old keys"
	}
}

// restarted returns the services that a phase starts again.
func (r *caRotation) restarted(planned stack.Rotation, phase stack.Phase) []string {
	spec := r.prior.state.Spec
	switch phase {
	case stack.PhaseExpand:
		out := services(spec, trustFiles(spec, planned))
		if planned.Roots() && r.unbridged() && !slices.Contains(out, stack.Builder) {
			out = append(out, stack.Builder)
		}
		return out
	case stack.PhaseSwitch:
		return services(spec, switchFiles(spec, planned))
	case stack.PhaseContract:
		out := services(spec, trustFiles(spec, planned))
		if planned.Compromised && spec.Serve == stack.ServeEdge && planned.Roots() {
			out = append(out, stack.Builder)
		}
		return out
	default:
		return nil
	}
}

// unbridged reports whether the builder may trust no CA from which a chain is
// going to lead to the next, so that it would refuse that.
func (r *caRotation) unbridged() bool {
	state := r.prior.state
	trusted, m, err := state.Facts.BuilderTrust, pki.Material{}, error(nil)
	if state.Spec.Serve != stack.ServeEdge || len(trusted) == 0 {
		return false
	}
	if m, err = r.prior.material(state.Spec.PKI); err != nil {
		return false // said where the replacement begins
	}
	reach := m.Reach(stack.LeafRegistry)
	if _, relayed := state.Spec.Relay(state.Facts); !relayed {
		reach = reach[:min(1, len(reach))]
	}
	return !overlap(trusted, reach)
}

// trustFiles are what changes when trust does.
func trustFiles(spec stack.Spec, r stack.Rotation) []string {
	var out []string
	if r.Roots() {
		out = append(out, stack.FileRegistryCA, stack.FileBuilderCA, stack.FileClientCA)
	}
	if r.Clients() && spec.Builder.TLS == stack.TLSMutual {
		out = append(out, stack.FileBuilderClientCA, stack.FileEdgeClients)
	}
	return out
}

// switchFiles are the certificates that the new CAs have signed.
func switchFiles(spec stack.Spec, r stack.Rotation) []string {
	var out []string
	if r.Roots() || slices.Contains(r.CAs, pki.CAIssuing) {
		out = append(out, spec.Serve.PairOf(stack.LeafRegistry).Cert, spec.Serve.PairOf(stack.LeafBuilder).Cert)
	}
	if r.Clients() {
		out = append(out, stack.FileClientCert)
	}
	return out
}

// abortFiles are what changes when the old CAs come into force again.
func abortFiles(spec stack.Spec, r stack.Rotation) []string {
	if r.Phase == stack.PhaseSwitch {
		return append(trustFiles(spec, r), switchFiles(spec, r)...)
	}
	return trustFiles(spec, r)
}

// services returns which ones have to be started again for files, by the table.
func services(spec stack.Spec, files []string) []string {
	var out []string
	for _, c := range spec.Serve.Consumers() {
		uses := slices.ContainsFunc(c.Files, func(f string) bool { return slices.Contains(files, f) })
		if uses && c.Need == stack.NeedRestart && !slices.Contains(out, c.Service) {
			out = append(out, c.Service)
		}
	}
	return out
}

func restartsOf(phase string, services []string) []PlannedStep {
	var out []PlannedStep
	for _, s := range services {
		out = append(out, PlannedStep{Action: "recreate", Object: "container " + s, Cause: phase + ": it reads at its start what changes"})
	}
	return out
}
