package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// CertificateRequest is a request that an external CA has to sign.
type CertificateRequest struct {
	Leaf  string   `json:"leaf"`
	Names []string `json:"names"`
	Role  string   `json:"role"`
	Cause string   `json:"cause"`
	File  string   `json:"file"`
	PEM   []byte   `json:"-"`
}

// WrongAuthorityError says that a command means nothing for a stack's authority.
type WrongAuthorityError struct {
	What       string // as "requests are written"
	Have, Want stack.Authority
}

func (e *WrongAuthorityError) Error() string {
	return fmt.Sprintf("%s for pki.authority %q alone; here it is %q", e.What, e.Want, e.Have)
}

// Requests writes a request for every server certificate that the external CA
// has to sign: those that are missing, old, or without a name that they need;
// with all, for each. Keys are made where there are none.
func Requests(ctx context.Context, d Deps, spec stack.Spec, all bool) ([]CertificateRequest, error) {
	dr, have, release, err := d.external(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer release()
	serve := dr.prior.serve
	out := []CertificateRequest{}
	var files []stack.File
	for _, leaf := range dr.plan.Leaves {
		i := slices.IndexFunc(dr.steps, func(s pki.Step) bool { return s.Name == leaf.Name })
		step := dr.steps[i]
		if serve.ReaderOf(leaf.Name) == "" || !all && step.Action != pki.Await {
			continue
		}
		kp, request, err := pki.Prepare(leaf, have.Leaves[leaf.Name], d.Now())
		if err != nil {
			return nil, fmt.Errorf("requesting the %s: %w", leaf.Title(), err)
		}
		key, err := kp.KeyPEM()
		if err != nil {
			return nil, fmt.Errorf("requesting the %s: %w", leaf.Title(), err)
		}
		file := stack.RequestOf(leaf.Name)
		files = append(files,
			stack.File{Path: serve.PairOf(leaf.Name).Key, Mode: 0o600, Owner: serve.OwnerOf(leaf.Name), Once: true, Data: key},
			stack.File{Path: file, Mode: 0o644, Data: request.CSR})
		out = append(out, CertificateRequest{Leaf: leaf.Name, Names: leaf.SANs.Strings(), Role: string(leaf.Role), Cause: step.Cause, File: file, PEM: request.CSR})
	}
	if len(files) == 0 {
		return out, nil
	}
	_, err = d.Store.Write(files)
	return out, err
}

// external locks the store and finds out what an external CA has to sign.
func (d Deps) external(ctx context.Context, spec stack.Spec) (*draft, pki.Material, func() error, error) {
	if spec.PKI.Authority != stack.AuthorityExternal {
		return nil, pki.Material{}, nil, &WrongAuthorityError{What: "requests are written and certificates imported", Have: spec.PKI.Authority, Want: stack.AuthorityExternal}
	}
	release, err := d.Store.Lock(ctx)
	if err != nil {
		return nil, pki.Material{}, nil, err
	}
	dr, have, err := d.awaited(ctx, spec)
	if err != nil {
		return nil, have, nil, errors.Join(err, release())
	}
	return dr, have, release, nil
}

// awaited is external with the lock held.
func (d Deps) awaited(ctx context.Context, spec stack.Spec) (*draft, pki.Material, error) {
	before, err := load(d.Store, spec.Serve)
	if err != nil {
		return nil, pki.Material{}, err
	}
	dr := &draft{prior: before, clients: before.clients(), spec: spec, facts: d.settleFacts(spec, before.state)}
	have, _, err := dr.sources(ctx, d)
	if err != nil {
		return nil, have, err
	}
	if dr.plan, err = spec.PKIPlan(dr.facts, dr.clients); err != nil {
		return nil, have, err
	}
	dr.steps, err = pki.Diff(dr.plan, have, d.Now())
	return dr, have, ofGiven(spec.PKI, dr.explained(err, have))
}

// Signed is a file that comes back from an external CA.
type Signed struct {
	File string // for messages
	Data []byte
}

// Imported is a certificate that was taken over.
type Imported struct {
	Leaf   string `json:"leaf"`
	File   string `json:"file"`
	Serial string `json:"serial"`
	Chain  int    `json:"chain"` // how many certificates above it it sends along
}

// ImportError says why a certificate is not taken over.
type ImportError struct {
	File, Leaf string
	Findings   []pki.Finding
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("%s cannot be the %s: %v", e.File, e.Leaf, &pki.FindingsError{Findings: e.Findings})
}

// SignedFileError says that a file is not what a CA sends back.
type SignedFileError struct {
	File string
	Err  error
}

func (e *SignedFileError) Error() string { return "reading " + e.File + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SignedFileError) Unwrap() error { return e.Err }

// Import takes certificates that the external CA has signed. Every one is
// checked for everything that the stack needs of it; unless all of them hold,
// none is written. Containers are not touched: the next Up starts them with the
// new certificates.
func Import(ctx context.Context, d Deps, spec stack.Spec, signed []Signed) ([]Imported, error) {
	dr, have, release, err := d.external(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer release()
	taken, err := d.accept(dr.plan, have, signed)
	if err != nil {
		return nil, err
	}
	out, serve := []Imported{}, dr.prior.serve
	var files []stack.File
	for _, t := range taken {
		leaf, kp := t.Leaf.Name, t.Pair
		files = append(files, stack.File{Path: serve.PairOf(leaf).Cert, Mode: 0o644, Owner: serve.OwnerOf(leaf), Data: kp.CertPEM()})
		if leaf == stack.LeafRegistry && serve == stack.ServeDaemon {
			files = append(files, stack.File{Path: stack.FileRegistryCert2, Mode: 0o644, Owner: stack.OwnerRegistry, Data: kp.CertPEM()})
		}
		out = append(out, Imported{Leaf: leaf, File: t.file, Serial: kp.Serial(), Chain: len(kp.Chain)})
	}
	record, err := dr.imported(have, out, d.Now())
	if err != nil {
		return nil, err
	}
	_, err = d.Store.Write(append(files, record...))
	return out, err
}

// imported is the record with what was imported. Before the first up there is
// none, and that one makes it.
func (dr *draft) imported(have pki.Material, imported []Imported, now time.Time) ([]stack.File, error) {
	if dr.prior.state == nil {
		return nil, nil
	}
	s, r := *dr.prior.state, records{issued: dr.prior.state.Issued, material: have, now: now}
	for _, i := range imported {
		r.add(pki.Step{Action: pki.Keep, Name: i.Leaf})
	}
	s.Issued = r.closed()
	file, err := s.File()
	return []stack.File{file}, err
}

// taken is a certificate that is taken over, and the file that it came in.
type taken struct {
	pki.Accepted
	file string
}

// accept returns what the files hold for the keys that are here, each once, or
// everything that is wrong with them.
func (d Deps) accept(plan pki.Plan, have pki.Material, signed []Signed) ([]taken, error) {
	var out []taken
	var errs []error
	for _, s := range signed {
		certs, err := pki.ParseSigned(s.Data)
		if err != nil {
			errs = append(errs, &SignedFileError{File: s.File, Err: err})
			continue
		}
		accepted, err := pki.Accept(plan, have, s.File, certs, d.Now())
		if err != nil {
			errs = append(errs, err)
		}
		for _, a := range accepted {
			i := slices.IndexFunc(out, func(t taken) bool { return t.Leaf.Name == a.Leaf.Name })
			switch {
			case i >= 0 && !out[i].Pair.Cert.Equal(a.Pair.Cert):
				errs = append(errs, &pki.TwiceError{Leaf: a.Leaf.Title(), File: s.File, Other: out[i].file})
			case i >= 0:
			case len(a.Findings) > 0:
				errs = append(errs, &ImportError{File: s.File, Leaf: a.Leaf.Title(), Findings: a.Findings})
			default:
				have.Leaves[a.Leaf.Name] = a.Pair
				out = append(out, taken{a, s.File})
			}
		}
	}
	return out, errors.Join(errs...)
}

// ExportRoot moves the key of a two-tier root out of the state directory: export
// is given the root's files and has to keep them before the key is removed
// here. From then on only the issuing CA can sign. While CAs are replaced the root
// stays, since either one may have to sign: then it is an [*OpenRotationError].
func ExportRoot(ctx context.Context, d Deps, export func(files []stack.File) error) error {
	if !d.Store.Exists() {
		return &NoStackError{Dir: d.Store.Root()}
	}
	release, err := d.Store.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	p, err := recorded(d.Store)
	if err != nil {
		return err
	}
	if spec := p.state.Spec.PKI; spec.Authority != stack.AuthorityLocal || spec.Hierarchy != stack.HierarchyTwoTier {
		return &NoOfflineRootError{}
	}
	if open := p.rotation(); open != nil {
		return &OpenRotationError{Rotation: *open}
	}
	m, err := p.material(p.state.Spec.PKI)
	if err != nil {
		return err
	}
	root, pair := m.CAs[pki.CAName], p.pairs[pki.CAName]
	if root == nil || pair.Key == nil {
		return &pki.OfflineError{CA: "CA", Generation: generationOf(root), For: "export"}
	}
	if err := export([]stack.File{
		{Path: "ca.crt", Mode: 0o644, Data: pair.Cert}, {Path: "ca.key", Mode: 0o600, Once: true, Data: pair.Key},
	}); err != nil {
		return fmt.Errorf("exporting the root: %w", err)
	}
	_, err = d.Store.Write([]stack.File{{Path: stack.FileCAKey, Once: true, Gone: true, Data: pair.Key}})
	return err
}

func generationOf(ca *pki.KeyPair) string {
	if ca == nil {
		return ""
	}
	return pki.Generation(ca.Cert)
}

// NoOfflineRootError says that a stack's root cannot be moved away.
type NoOfflineRootError struct{}

func (e *NoOfflineRootError) Error() string {
	return "the root signs the servers' certificates itself (pki.hierarchy: single), so its key is needed here"
}
