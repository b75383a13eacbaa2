package lifecycle

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

// draft is a stack on its way to the disk: everything is in memory, so that a
// problem found late has changed nothing.
type draft struct {
	prior    prior
	spec     stack.Spec // with every port chosen
	facts    stack.Facts
	plan     pki.Plan
	steps    []pki.Step
	material pki.Material
	secrets  stack.Secrets
	htpasswd []byte
	files    []stack.File
	record   stack.State

	clients stack.Clients
	// replaceClientCA is why the client CA is replaced, "" to keep it.
	replaceClientCA string
	retire          *pki.KeyPair // the one that is replaced
	retireClient    *pki.KeyPair // what the stack's own client had of it
	gone            []string     // files that are not to be there

	rewritten   map[string]rewrite // CA keys that are the same in another form
	retiredKeys []stack.File       // those of replaced client CAs
	// renew says why a leaf is renewed whatever its age; nil: none is. within
	// renews those that have no more than that left.
	renew  func(pki.LeafPlan) string
	within time.Duration
	// mayAge reports whether a leaf that is due is renewed; nil: every one is. What
	// is about something else leaves leaves alone, as long as they are valid.
	mayAge func(pki.LeafPlan) bool
	// rotation is the replacement of CAs that is open when this draft is on the
	// disk, nil for none; aside are the other CAs then, and phase is what this
	// draft does to it, "" for nothing.
	rotation  *stack.Rotation
	aside     aside
	phase     stack.Phase
	back      bool          // the CAs before are put in force again
	exchanged *pki.Material // what this draft takes out of force
	staged    []pki.Step    // what it makes for later
	wanted    *stack.Spec   // whose names that may sign; nil: spec
	// unproven marks what is written as not proven yet, where no open replacement
	// of CAs says so.
	unproven bool
	// keepsChosen has passwords that were chosen stay as they were read last.
	keepsChosen bool
	// newPasswords are the users whose generated password is replaced.
	newPasswords []string
	// barred are the clients that are removed without a new client CA, for
	// the proof.
	barred []*pki.KeyPair
}

// noLeaf has a draft renew no leaf for its age.
func noLeaf(pki.LeafPlan) bool { return false }

// newDraft continues what is on the disk.
func newDraft(before prior, spec stack.Spec, facts stack.Facts) *draft {
	dr := &draft{prior: before, clients: before.clients(), spec: spec, facts: facts, aside: before.aside}
	if open := before.rotation(); open != nil {
		copied := *open
		dr.rotation = &copied
	}
	return dr
}

// choosePorts gives a number to every port that the spec leaves open. A number
// chosen before is kept while the spec still leaves it open on that address.
func (d Deps) choosePorts(spec stack.Spec, before *stack.State) (stack.Spec, error) {
	for _, service := range []string{stack.Registry, stack.Builder} {
		p := spec.Published(service)
		if !p.On() || p.Port != 0 {
			continue
		}
		port := 0
		if before != nil && before.Spec.Published(service).IP == p.IP {
			port = before.Spec.Published(service).Port
		}
		if port == 0 {
			var err error
			if port, err = d.FreePort(p.IP); err != nil {
				return spec, fmt.Errorf("choosing a free port for %s on %s: %w", service, p.IP, err)
			}
		}
		spec = spec.WithPort(service, port)
	}
	return spec, nil
}

// render makes the files, and with them the record of what was made.
func (dr *draft) render(d Deps) error {
	dr.facts.BuilderTrust = dr.builderTrust()
	files, err := render.Files(render.Input{
		Spec: dr.spec, Facts: dr.facts, Root: d.Store.Root(),
		Plan: dr.plan, Material: dr.material, Accepted: dr.accepted(), Retire: dr.retire, RetireClient: dr.retireClient,
		Clients: dr.clients, Secrets: dr.secrets, Htpasswd: dr.htpasswd,
	})
	if err != nil {
		return err
	}
	for i := range files {
		for name := range dr.rewritten {
			if files[i].Path == dr.spec.Serve.PairOf(name).Key {
				files[i].Replaces = dr.prior.pairs[name].Key
			}
		}
	}
	files = slices.Concat(files, dr.retiredKeys, dr.retiringFiles())
	if files, err = dr.asideFiles(files); err != nil {
		return err
	}
	secrets, err := stack.JSONFile(stack.FileSecrets, dr.secrets)
	if err != nil {
		return err
	}
	dr.record = dr.state(d, files)
	record, err := dr.record.File()
	if err != nil {
		return err
	}
	dr.files = append(files, secrets, record)
	dr.files = append(dr.files, dr.leftovers()...)
	return nil
}

// leftovers names every file that this draft has no use for and that an earlier
// one may have written: of removed clients, of the other way to serve, and of
// options that were taken back.
func (dr *draft) leftovers() []stack.File {
	here := map[string]bool{}
	for _, f := range dr.files {
		here[f.Path] = true
	}
	var out []stack.File
	add := func(f stack.File) {
		if !here[f.Path] {
			here[f.Path] = true
			out = append(out, f)
		}
	}
	for _, path := range slices.Concat(dr.gone, stack.OptionalFiles()) {
		add(stack.File{Path: path, Gone: true})
	}
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		for _, leaf := range []string{stack.LeafRegistry, stack.LeafBuilder} {
			at := serve.PairOf(leaf)
			add(stack.File{Path: at.Cert, Gone: true})
			// Only the key that has moved: another one is somebody's.
			key, err := dr.material.Leaves[leaf].KeyPEM()
			if err == nil {
				add(stack.File{Path: at.Key, Once: true, Gone: true, Data: key})
			}
		}
	}
	return out
}

// state is the record of this draft. It holds nothing that differs between two
// runs on the same stack, so that the second one writes nothing.
func (dr *draft) state(d Deps, files []stack.File) stack.State {
	s := stack.State{Version: 1, Made: d.Now().UTC(), Spec: dr.spec, Facts: dr.facts, Files: map[string]string{}}
	if before := dr.prior.state; before != nil {
		s.Made, s.Issued, s.Retired = before.Made, slices.Clone(before.Issued), slices.Clone(before.Retired)
	}
	s.Clients, s.Rotation, s.CAGenerations = dr.clients, dr.rotation, dr.generations()
	s.Unproven = dr.unproven || dr.prior.state != nil && dr.prior.state.Unproven
	s.Retired = append(s.Retired, dr.retiring()...)
	if dr.retire != nil {
		s.Retired = append(s.Retired, pki.Generation(dr.retire.Cert))
	}
	for _, f := range files {
		if _, ok := stack.HopOf(f.Path); ok {
			s.Files[f.Path] = stack.Sum(f.Data)
		}
	}
	r := records{issued: s.Issued, material: dr.material, now: d.Now()}
	if dr.rotation != nil {
		r.others = dr.others()
	}
	for _, step := range dr.steps {
		r.add(step)
	}
	r.issued = dr.recordStaged(r)
	s.Issued = r.closed()
	return s
}

// settleFacts decides what does not depend on the engine.
func (d Deps) settleFacts(spec stack.Spec, before *stack.State) stack.Facts {
	f := stack.Facts{
		Privileges:  stack.PrivilegesFull,
		RegistryUID: d.Account.UID, RegistryGID: d.Account.GID,
		Images: map[string]string{stack.Registry: spec.Registry.Image, stack.Builder: spec.Builder.Image},
	}
	if spec.Serve == stack.ServeEdge {
		// Until up has made it.
		f.Images[stack.Edge] = "certyard/bundled-edge:none"
	}
	if d.Account.UID == 0 {
		f.RegistryUID, f.RegistryGID = nonroot, nonroot
	}
	if spec.Builder.Privileges == stack.PrivilegesMinimal {
		f.Privileges = stack.PrivilegesMinimal
	}
	if before == nil {
		return f
	}
	// What an earlier run found out about the engine still holds.
	f.EngineHost, f.HostUserNS = before.Facts.EngineHost, before.Facts.HostUserNS
	f.Owner = before.Facts.Owner
	if spec.Serve == before.Spec.Serve {
		f.Subnets = before.Facts.Subnets
	}
	f.RegistryUID, f.RegistryGID = before.Facts.RegistryUID, before.Facts.RegistryGID
	if spec.Builder.Privileges == stack.PrivilegesAuto {
		f.Privileges = before.Facts.Privileges
	}
	if spec.Serve == before.Spec.Serve && spec.Images == before.Spec.Images && spec.Registry.Image == before.Spec.Registry.Image && spec.Builder.Image == before.Spec.Builder.Image {
		f.Images, f.BuilderBase = maps.Clone(before.Facts.Images), before.Facts.BuilderBase
		if _, relayed := spec.Relay(f); !relayed && f.BuilderBase != "" {
			f.Images[stack.Builder], f.BuilderBase = f.BuilderBase, "" // it needs no certyard in it any more
		}
	}
	return f
}

func (dr *draft) describePasswords() string {
	var parts []string
	for _, u := range dr.spec.Registry.Users {
		how := "generated"
		if !u.Generated() {
			how = "from " + cmp.Or(u.PasswordFile, "$"+u.PasswordEnv)
		}
		if bytes.Equal(dr.htpasswd, dr.prior.htpasswd) {
			how = "kept"
		}
		parts = append(parts, u.Name+", "+how)
	}
	return strings.Join(parts, "; ")
}

// abbreviate names a few of many names.
func abbreviate(names []string) string {
	const few = 4
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more names", strings.Join(names[:few], ", "), len(names)-few)
}

// nonroot is the uid and gid of the registry when certyard runs as root: the
// ones that distroless images use, outside every distribution's range for
// people and system accounts.
const nonroot = 65532

// RegistryUID returns who owns the registry's files on the disk.
func RegistryUID(account Account) int {
	if account.UID == 0 {
		return nonroot
	}
	return account.UID
}
