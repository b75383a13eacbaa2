package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke"
)

// Smoke proves the running stack as it was recorded, and changes nothing. A
// stack that does not hold is in the report; an error means that it could not
// be checked.
func Smoke(ctx context.Context, d Deps) (stack.Report, stack.State, error) {
	return d.smoke(ctx, false)
}

// smoke is Smoke, where short with a pull in place of the smoke build.
func (d Deps) smoke(ctx context.Context, short bool) (stack.Report, stack.State, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return stack.Report{}, stack.State{}, err
	}
	options, err := proofOptions(d.Store, *p.state, p.secrets, d.Now())
	if err != nil {
		return stack.Report{}, *p.state, err
	}
	var report stack.Report
	_, err = d.run(StepProof, func(say func(string)) (string, error) {
		drift, err := driftChecks(d.Store, *p.state, d.Now)
		if err != nil {
			return "", err
		}
		options.Short = short
		report = d.Prover.Prove(ctx, counting(options, say))
		report.Checks = append(drift, report.Checks...)
		held, total := report.Held()
		return fmt.Sprintf("%d of %d hold", held, total) + unproven(options), ctx.Err()
	})
	return report, *p.state, err
}

// proveAlone proves once more what did not hold, while no other certyard changes
// anything: it may have been the moment of one. What somebody has taken down does
// not count as broken.
func (d Deps) proveAlone(ctx context.Context, short bool) (stack.Report, error) {
	release, err := patient{d.Store}.Lock(ctx)
	if err != nil {
		return stack.Report{}, err
	}
	defer release()
	p, err := recorded(d.Store)
	if err != nil {
		return stack.Report{}, err
	}
	containers, err := d.Engine.Containers(ctx, p.state.Spec.Name)
	if err != nil {
		return stack.Report{}, err
	}
	if len(containers) == 0 {
		return stack.Report{}, &NotRunningError{Why: "somebody has taken the stack down"}
	}
	report, _, err := d.smoke(ctx, short)
	return report, err
}

// proofOptions says what to prove and with what: the trust, the password and
// the client certificate that the stack's own clients use, read from the files
// that they use. A pair that does not parse is left out; that its files changed
// is a check of its own.
func proofOptions(store Store, s stack.State, secrets stack.Secrets, now time.Time) (smoke.Options, error) {
	spec, user := s.Spec, s.Spec.Registry.Users[0].Name
	pairs, err := readPairs(store, s.Spec.Serve, []string{stack.LeafRegistry, stack.LeafBuilder, stack.LeafClient, stack.LeafRemoved})
	if err != nil {
		return smoke.Options{}, err
	}
	bundle, err := store.Read(stack.FileClientCA)
	if err != nil {
		return smoke.Options{}, err
	}
	trust, err := pki.ParseTrustBundle(bundle)
	if err != nil {
		// Nothing is trusted then, and every check that needs trust fails
		// and says so.
		trust = pki.NewTrustBundle()
	}
	removed, err := removedClients(store, s, pairs[stack.LeafClient])
	if err != nil {
		return smoke.Options{}, err
	}
	registry, builder := parsed(pairs[stack.LeafRegistry]), parsed(pairs[stack.LeafBuilder])
	o := smoke.Options{
		Trust: trust,
		Registry: smoke.Registry{
			Endpoints: spec.HostEndpoints(stack.Registry, s.Facts), Names: spec.Names(stack.Registry, s.Facts),
			Network: spec.RegistryEndpoint(s.Facts).Address(), Inside: stack.NetworkEndpoint(stack.Registry).Address(),
			User: user, Password: secrets.Passwords[user],
		},
		Builder: smoke.Builder{
			Endpoints: spec.HostEndpoints(stack.Builder, s.Facts), Names: spec.Names(stack.Builder, s.Facts),
			Mutual: spec.Builder.TLS == stack.TLSMutual, Server: builder, Client: parsed(pairs[stack.LeafClient]), Removed: removed,
		},
	}
	if kp := parsed(pairs[stack.LeafRemoved]); kp != nil {
		o.Builder.Barred = append(o.Builder.Barred, kp)
	}
	if registry != nil {
		o.Registry.Leaf = registry.Cert
	}
	if builder != nil {
		o.Builder.Leaf = builder.Cert
	}
	if o.Builder.Named, err = exchangedClients(store, s, now); err != nil {
		return o, err
	}
	o.Generations, err = generations(store, s, now)
	return o, err
}

// exchangedClients returns the clients that were added, while the old CA of clients
// is still trusted and they have certificates of the new one: it may go once every
// one of them is let in.
func exchangedClients(store Store, s stack.State, now time.Time) ([]smoke.NamedClient, error) {
	if s.Rotation == nil || s.Rotation.Phase != stack.PhaseSwitch || !s.Rotation.Clients() {
		return nil, nil
	}
	var names []string
	for _, c := range s.Clients.Named {
		if s.Spec.Builder.Allows(c.Name) {
			names = append(names, stack.ClientLeaf(c.Name))
		}
	}
	pairs, err := readPairs(store, s.Spec.Serve, names)
	if err != nil {
		return nil, err
	}
	var out []smoke.NamedClient
	for _, leaf := range names {
		if kp := unexpired(parsed(pairs[leaf]), now); kp != nil {
			out = append(out, smoke.NamedClient{Name: strings.TrimPrefix(leaf, stack.DirClients+"/"), Pair: kp})
		}
	}
	return out, nil
}

// generations says what is to be seen of the CAs while they take each other's
// place: whose clients are let in, and for whom alone the servers verify. Once
// the old one is trusted no more, a server of it is refused. What has expired by
// now proves nothing: it is refused for that.
func generations(store Store, s stack.State, now time.Time) ([]smoke.Generation, error) {
	if s.Rotation == nil || s.Rotation.Phase == stack.PhaseStage {
		return nil, nil
	}
	p := prior{state: &s, serve: s.Spec.Serve}
	var err error
	if p.pairs, err = readPairs(store, p.serve, append(stack.CAs(), stack.Leaves(s.Clients)...)); err != nil {
		return nil, err
	}
	others, err := p.loadAside(store)
	if err != nil {
		return nil, err
	}
	root, other, clients := parsedCA(p, pki.CAName), others.CAs[pki.CAName], others.CAs[pki.CAClient]
	client, server := unexpired(others.Leaves[stack.LeafClient], now), unexpired(others.Leaves[stack.LeafRegistry], now)
	var out []smoke.Generation
	if !s.Rotation.TrustsBoth() {
		if other != nil {
			out = append(out, smoke.Generation{ID: pki.Generation(other.Anchor()), Server: server})
		}
		return out, nil
	}
	if clients != nil {
		out = append(out, smoke.Generation{ID: pki.Generation(clients.Cert), Client: client})
	}
	if other != nil && root != nil {
		out = append(out, aloneWith(root))
	}
	cross, err := store.Read(stack.FileCross)
	if err != nil {
		return nil, err
	}
	crossed, err := parseCross(stack.FileCross, cross)
	if err != nil {
		return nil, err
	}
	if other != nil && len(crossed) > 0 && now.Before(crossed[0].NotAfter) && s.Rotation.Phase == stack.PhaseSwitch {
		out = append(out, aloneWith(other))
	}
	return out, nil
}

// unexpired returns a pair that can still be shown, or nil.
func unexpired(kp *pki.KeyPair, now time.Time) *pki.KeyPair {
	if kp == nil || now.After(kp.Cert.NotAfter) {
		return nil
	}
	return kp
}

func aloneWith(ca *pki.KeyPair) smoke.Generation {
	return smoke.Generation{ID: pki.Generation(ca.Anchor()), Alone: pki.NewTrustBundle(ca.Anchor())}
}

// removedClients returns what a client of each replaced client CA has: the
// certificate that the stack's own client had of it, and the key of that one,
// which stays. Where one of the two is not what it was, there is nothing to try
// the builder with, and that CA is not proven to be gone.
func removedClients(store Store, s stack.State, client pki.PEMPair) ([]smoke.Removed, error) {
	var out []smoke.Removed
	for _, generation := range s.Retired {
		cert, err := store.Read(stack.RetiredClient(generation))
		if err != nil {
			return nil, err
		}
		if kp := parsed(pki.PEMPair{Cert: cert, Key: client.Key}); kp != nil {
			out = append(out, smoke.Removed{Generation: generation, Client: kp})
		}
	}
	return out, nil
}

// unproven says what a proof left out, because nothing can be dialled from here.
func unproven(o smoke.Options) string {
	switch {
	case len(o.Registry.Endpoints) == 0:
		return "; the registry is not published, so nothing was proven of it"
	case len(o.Builder.Endpoints) == 0:
		return "; the builder is not published, so nothing was proven of it"
	case o.Short:
		return ", with a pull in place of a build"
	default:
		return ""
	}
}

func parsed(pair pki.PEMPair) *pki.KeyPair {
	kp, err := pair.Parse()
	if err != nil {
		return nil
	}
	return kp
}

// counting shows each check as it ends.
func counting(o smoke.Options, say func(string)) smoke.Options {
	n := 0
	o.Observe = func(c stack.Check) {
		n++
		say(fmt.Sprintf("%d checks, last: %s: %s", n, c.Hop, c.Title))
	}
	return o
}

// driftChecks compares the files with the record of what was written, one check
// for each hop. The daemons may still serve what they read before, so only this
// sees a file that will break them at their next start.
func driftChecks(store Store, s stack.State, now func() time.Time) ([]stack.Check, error) {
	var out []stack.Check
	for _, hop := range []stack.Hop{stack.HopHostRegistry, stack.HopHostBuilder, stack.HopBuilderRegistry} {
		start := now()
		changed, count, err := drifted(store, s, hop)
		if err != nil {
			return nil, err
		}
		c := stack.Check{
			ID: "files:" + strings.ReplaceAll(string(hop), " -> ", "-"), Hop: hop, Target: store.Root(),
			Title: fmt.Sprintf("%d files are as written", count), Outcome: stack.Holds, Took: now().Sub(start),
		}
		if len(changed) > 0 {
			c.Outcome, c.Reason = stack.Fails, stack.ReasonDrift
			c.Title = "files are as written"
			c.Error = "changed since certyard wrote them: " + strings.Join(changed, ", ")
		}
		out = append(out, c)
	}
	return out, nil
}

func drifted(store Store, s stack.State, hop stack.Hop) (changed []string, count int, err error) {
	for _, path := range sortedKeys(s.Files) {
		if at, _ := stack.HopOf(path); at != hop {
			continue
		}
		count++
		data, err := store.Read(path)
		if err != nil {
			return nil, 0, err
		}
		if data == nil {
			changed = append(changed, path+" (missing)")
		} else if stack.Sum(data) != s.Files[path] {
			changed = append(changed, path)
		}
	}
	return changed, count, nil
}
