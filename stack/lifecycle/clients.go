package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// ClientStatus is one client certificate of a stack.
type ClientStatus struct {
	Name        string    `json:"name"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"` // SHA-256
	Added       time.Time `json:"added"`
	NotAfter    time.Time `json:"not_after"`
	DaysLeft    int       `json:"days_left"` // whole days, negative once expired
	Dir         string    `json:"dir"`       // works as buildctl --tlsdir
	// Allowed is false when builder.clients leaves the client out.
	Allowed bool `json:"allowed"`
	// Replaces is how many certificates the client had before this one.
	Replaces int `json:"replaces"`
}

// UnknownClientError says that no client of a stack has a name.
type UnknownClientError struct{ Name, Stack string }

func (e *UnknownClientError) Error() string {
	return fmt.Sprintf("stack %q has no client %q", e.Stack, e.Name)
}

// ValidityError says that a client's certificate cannot last as long as wanted.
type ValidityError struct {
	Want time.Duration
	End  time.Time // of the client CA
}

func (e *ValidityError) Error() string {
	return fmt.Sprintf("%d days are longer than the client CA lasts, until %s", int(e.Want.Hours()/24), e.End.UTC().Format(time.DateOnly))
}

// AddClient makes a client certificate for a person or a job, or renews it when
// that is due. The builder accepts it at once: it trusts the client CA already.
// Validity 0 is that of the spec, or the one that the client was added with.
func AddClient(ctx context.Context, d Deps, name string, validity time.Duration) (ClientStatus, Result, error) {
	if err := stack.CheckClientName(name); err != nil {
		return ClientStatus{}, Result{}, err
	}
	res, err := d.changeFiles(ctx, func(dr *draft) error { return dr.addClient(d, name, validity) })
	if err != nil {
		return ClientStatus{}, res, err
	}
	p, err := recorded(d.Store)
	if err != nil {
		return ClientStatus{}, res, err
	}
	if _, ok := p.state.Clients.Find(name); !ok { // of a store that writes nothing
		return ClientStatus{Name: name}, res, nil
	}
	status, err := clientStatus(d, p, name)
	return status, res, err
}

// addClient plans a client. One that is there gets another validity only.
func (dr *draft) addClient(d Deps, name string, validity time.Duration) error {
	if kp := parsedCA(dr.prior, pki.CAClient); kp != nil && validity > 0 && d.Now().Add(validity).After(kp.Cert.NotAfter) {
		return &ValidityError{Want: validity, End: kp.Cert.NotAfter}
	}
	client := stack.Client{Name: name, Added: d.Now().UTC().Truncate(time.Second), Validity: validity}
	if have, ok := dr.clients.Find(name); ok {
		client.Added = have.Added
		if validity == 0 {
			client.Validity = have.Validity
		}
	}
	dr.clients = dr.clients.With(client)
	dr.mayAge = func(leaf pki.LeafPlan) bool { return leaf.Name == stack.ClientLeaf(name) }
	// A key of that name may be there without a record, of a run that was
	// interrupted by hand; then it is used.
	var err error
	dr.prior.pairs, err = readPairs(d.Store, dr.prior.serve, append(stack.CAs(), stack.Leaves(dr.clients)...))
	return err
}

// parsedCA returns a CA whose key may be encrypted, or elsewhere: its certificate
// is read.
func parsedCA(p prior, name string) *pki.KeyPair {
	pair := p.pairs[name]
	pair.MayLock, pair.CertOnly = true, true
	return parsed(pair)
}

// changeFiles makes a draft of the recorded stack, with the passwords that it has,
// lets change change it, and writes its files. No container is touched.
func (d Deps) changeFiles(ctx context.Context, change func(*draft) error) (Result, error) {
	// Locking would make the directory of a stack that there is not.
	if !d.Store.Exists() {
		return Result{}, &NoStackError{Dir: d.Store.Root()}
	}
	release, err := d.Store.Lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer release()
	p, err := recorded(d.Store)
	if err != nil {
		return Result{}, err
	}
	return d.initLocked(ctx, p.state.Spec, newResult(d, p.state.Spec), func(dr *draft) error {
		dr.keepsChosen = true
		return change(dr)
	})
}

// ListClients returns the clients that were added, by name.
func ListClients(d Deps) ([]ClientStatus, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return nil, err
	}
	out := []ClientStatus{}
	for _, c := range p.state.Clients.Named {
		status, err := clientStatus(d, p, c.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, status)
	}
	return out, nil
}

func clientStatus(d Deps, p prior, name string) (ClientStatus, error) {
	client, _ := p.state.Clients.Find(name)
	kp, err := p.pairs[stack.ClientLeaf(name)].Parse()
	if err != nil || kp == nil {
		return ClientStatus{}, fmt.Errorf("reading the certificate of client %q: %w", name, orMissing(err))
	}
	out := ClientStatus{
		Name: name, Serial: kp.Serial(), Fingerprint: pki.Fingerprint(kp.Cert), Added: client.Added,
		NotAfter: kp.Cert.NotAfter.UTC(), DaysLeft: pki.DaysLeft(kp.Cert, d.Now()),
		Dir: strings.TrimSuffix(p.pairs[stack.ClientLeaf(name)].CertFile, "/cert.pem"), Replaces: -1,
		Allowed: p.state.Spec.Builder.Allows(name),
	}
	for _, issued := range p.state.Issued {
		if issued.Name == stack.ClientLeaf(name) {
			out.Replaces++
		}
	}
	return out, nil
}

func orMissing(err error) error {
	if err == nil {
		return &pki.MissingError{Name: "client"}
	}
	return err
}

// RemoveClients takes client certificates back. The edge refuses them one by one,
// within a second. buildkitd knows no revocation, so where it asks for the
// certificates itself the client CA is replaced: the other clients get new certificates for the
// keys that they have, the builder is started again with the new CA, and the
// proof shows that it refuses clients of the old one. Trust in the servers does
// not change. With restart false only files are written, and the builder goes on
// accepting the old clients until the next Up.
func RemoveClients(ctx context.Context, d Deps, names []string, restart bool) (Result, error) {
	p, err := recorded(d.Store)
	if err != nil {
		return Result{}, err
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		if _, ok := p.state.Clients.Find(name); !ok {
			return Result{}, &UnknownClientError{Name: name, Stack: p.state.Spec.Name}
		}
	}
	remove := func(dr *draft) error { return dr.removeClients(d.Now(), names) }
	if !restart {
		return d.changeFiles(ctx, remove)
	}
	containers, err := d.Engine.Containers(ctx, p.state.Spec.Name)
	if err != nil {
		return Result{}, err
	}
	if len(containers) == 0 {
		return d.changeFiles(ctx, remove)
	}
	return Up(ctx, d, p.state.Spec, UpOptions{asRecorded: true, change: func(dr *draft) error {
		if err := unchanged(dr, p.state.Spec); err != nil {
			return err
		}
		return remove(dr)
	}})
}

// removeClients plans the clients that are left: without the edge, under a new
// client CA.
func (dr *draft) removeClients(now time.Time, names []string) error {
	dr.mayAge = noLeaf
	for _, name := range names {
		if _, ok := dr.clients.Find(name); !ok {
			return &UnknownClientError{Name: name, Stack: dr.spec.Name}
		}
		leaf := stack.ClientLeaf(name)
		at := stack.ClientPair(leaf)
		dr.gone = append(dr.gone, at.Cert, at.Key, leaf+"/ca.pem")
		if kp := parsed(dr.prior.pairs[leaf]); kp != nil {
			dr.barred = append(dr.barred, kp)
		}
		delete(dr.prior.pairs, leaf)
	}
	if dr.prior.state.Spec.Serve == stack.ServeEdge {
		return dr.barClients(now, names)
	}
	dr.clients = dr.clients.Without(names...)
	dr.replaceClientCA = "removed: " + strings.Join(names, ", ")
	return nil
}

// barClients has the edge refuse every certificate that the clients were given.
// Their CA stays, so nobody else is touched.
func (dr *draft) barClients(now time.Time, names []string) error {
	var removed []stack.RemovedClient
	for _, issued := range dr.prior.state.Issued {
		name, ok := strings.CutPrefix(issued.Name, stack.DirClients+"/")
		if ok && slices.Contains(names, name) {
			removed = append(removed, stack.RemovedClient{Name: name, Serial: issued.Serial, Issuer: issued.IssuerKey, NotAfter: issued.NotAfter})
		}
	}
	dr.clients = dr.clients.Barring(removed, now, names...)
	return nil
}
