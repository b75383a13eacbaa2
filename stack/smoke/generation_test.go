package smoke

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
)

// The passwords of a second user, before and after. A report tells neither.
const (
	otherUser   = "second"
	oldPassword = "former-" + testPassword
	newPassword = "new-" + testPassword
)

// succeed has new CAs take the place of the yard's: the old and the new ones are
// trusted, what the new ones have signed is served and shown, with what leads to
// the old root, and another CA has gone for good. One user has a new password.
func (y *yard) succeed() {
	y.t.Helper()
	next := y.successor()
	root := next.CAs[pki.CAName].Cert
	both := pki.NewTrustBundle(y.ca.Pair.Cert, root)
	y.options.Trust, y.builder.trust = both, both.Pool()
	y.serveRegistry(next.Leaves[stack.LeafRegistry])
	y.serveBuilder(next.Leaves[stack.LeafBuilder])
	y.mutual()
	y.clients = pkitest.New(y.t, time.Now())
	y.options.Builder.Client = y.clients.Client(y.t, "client")
	y.builderConfig.ClientCAs.AddCert(y.clients.Pair.Cert)
	y.options.Builder.Named = []NamedClient{{"bob", y.clients.Client(y.t, "bob")}}
	y.options.Generations = []Generation{
		{ID: "old", Alone: y.ca.Trust(), Client: y.ca.Client(y.t, "client")},
		{ID: "new", Alone: pki.NewTrustBundle(root), Client: y.clients.Client(y.t, "client")},
		{ID: "gone", Server: y.other.Server(y.t, y.options.Registry.Names...)},
	}
	y.options.Registry.Changed = []ChangedPassword{{User: otherUser, Old: oldPassword, New: newPassword}}
	y.letIn(newPassword)
}

// successor returns a root that the yard's has signed, too, and servers of it.
func (y *yard) successor() pki.Material {
	y.t.Helper()
	ca := pki.CAPlan{
		Name: pki.CAName, Stack: "test", Key: pki.ECDSAP256, Validity: 24 * time.Hour,
		Replace: "asked for", Generation: 2, Cross: true,
	}
	server := func(name string, hosts []string) pki.LeafPlan {
		sans, err := pki.ParseSANs(hosts...)
		if err != nil {
			y.t.Fatal(err)
		}
		return pki.LeafPlan{Name: name, Role: pki.RoleServer, Issuer: ca.Name, SANs: sans, Key: ca.Key, Validity: time.Hour}
	}
	plan := pki.Plan{CAs: []pki.CAPlan{ca}, Leaves: []pki.LeafPlan{
		server(stack.LeafRegistry, y.options.Registry.Names), server(stack.LeafBuilder, y.options.Builder.Names),
	}}
	have := pki.Material{CAs: map[string]*pki.KeyPair{ca.Name: y.ca.Pair}}
	steps, err := pki.Diff(plan, have, time.Now())
	if err != nil {
		y.t.Fatal(err)
	}
	next, err := pki.Apply(y.t.Context(), plan, have, steps, nil, time.Now())
	if err != nil {
		y.t.Fatal(err)
	}
	return next
}

// letIn has the registry let the second user in with these passwords.
func (y *yard) letIn(passwords ...string) {
	y.registry.login = func(user, password string) bool {
		return user == testUser && password == testPassword || user == otherUser && slices.Contains(passwords, password)
	}
}

// generation returns one of the yard's generations.
func (y *yard) generation(id string) *Generation {
	i := slices.IndexFunc(y.options.Generations, func(g Generation) bool { return g.ID == id })
	return &y.options.Generations[i]
}

// alone has a server send nothing besides its leaf.
func alone(config *tls.Config) {
	shown := &config.Certificates[0]
	shown.Certificate = shown.Certificate[:1]
}

// successionBreakages are those of a yard whose CA and password are replaced.
var successionBreakages = []breakage{
	{"the registry sends nothing that leads to the old CA", func(y *yard) { alone(y.registryConfig) },
		[]string{"registry.alone:old untrusted"}},
	{"the builder sends nothing that leads to the old CA", func(y *yard) { alone(y.builderConfig) },
		[]string{"builder.alone:old untrusted"}},
	{"the registry serves as before", func(y *yard) { y.serveRegistry(y.ca.Server(y.t, y.options.Registry.Names...)) },
		[]string{"registry.alone:new untrusted"}},
	{"the builder serves as before", func(y *yard) {
		// Not with serveBuilder, which leaves nothing of who is let in.
		old := y.ca.Server(y.t, y.options.Builder.Names...)
		y.builderConfig.Certificates[0], y.options.Builder.Leaf = old.TLS(), old.Cert
	}, []string{"builder.alone:new untrusted"}},
	{"clients of the old CA are locked out", func(y *yard) { y.builderConfig.ClientCAs = y.clients.Trust().Pool() },
		[]string{"builder.accepts:old unauthorized"}},
	{"clients of the new CA are not let in yet", func(y *yard) {
		y.builderConfig.ClientCAs, y.options.Builder.Client = y.ca.Trust().Pool(), y.generation("old").Client
	}, []string{"builder.accepts:new unauthorized", "builder.client:bob unauthorized"}},
	{"a client of the old CA has expired", func(y *yard) { y.generation("old").Client = y.ca.ExpiredClient(y.t, "client") },
		[]string{"builder.accepts:old unauthorized"}},
	{"one client has a certificate of another CA", func(y *yard) { y.options.Builder.Named[0].Pair = y.other.Client(y.t, "bob") },
		[]string{"builder.client:bob unauthorized"}},
	{"the CA that has gone is trusted", func(y *yard) {
		y.options.Trust = pki.NewTrustBundle(append(y.options.Trust.Certs(), y.other.Pair.Cert)...)
	}, []string{"registry.impostor:gone accepted"}},
	{"a server of the CA that has gone is refused for its name", func(y *yard) { y.generation("gone").Server = y.ca.Server(y.t, "registry") },
		[]string{"registry.impostor:gone unexpected"}},
	{"a server of the CA that has gone is refused for its age", func(y *yard) {
		y.generation("gone").Server = y.ca.ExpiredServer(y.t, y.options.Registry.Names...)
	}, []string{"registry.impostor:gone unexpected"}},
	{"the password is the old one", func(y *yard) { y.letIn(oldPassword) },
		[]string{"registry.new-password:second unauthorized", "registry.old-password:second accepted"}},
	{"the old password is let in too", func(y *yard) { y.letIn(oldPassword, newPassword) },
		[]string{"registry.old-password:second accepted"}},
	{"neither password is let in", func(y *yard) { y.letIn() },
		[]string{"registry.new-password:second unauthorized"}},
	{"the old password gets 403", func(y *yard) {
		y.registry.wrap = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, password, _ := r.BasicAuth(); password == oldPassword {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}, []string{"registry.old-password:second unexpected"}},
}

// TestProveSuccession: what is probed of CAs and passwords that are replaced is in
// the report, by name, and tells how a server of the CA that has gone was refused.
func TestProveSuccession(t *testing.T) {
	y := newYard(t)
	y.succeed()
	y.start()
	report := Prove(t.Context(), y.options)
	checkReport(t, report, nil)
	got := ids(report.Checks)
	for _, id := range []string{
		"registry.alone:old", "registry.alone:new", "builder.alone:old", "builder.alone:new", "builder.accepts:old", "builder.accepts:new", "builder.client:bob",
		"registry.impostor:gone", "registry.new-password:second", "registry.old-password:second",
	} {
		i := slices.Index(got, id)
		if i < 0 {
			t.Errorf("no check %s in %q", id, got)
		} else if e := report.Checks[i].Evidence; strings.Contains(id, "impostor") && !strings.Contains(e.Answer, "unknown authority") {
			t.Errorf("%s has evidence %+v", id, e)
		}
	}
}
