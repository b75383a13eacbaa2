package pki_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
)

// TestEngines puts what is issued, in every mode and of every key type, to every
// engine, and what is wrong with it too. It happens today, not at the fixed time
// of the other tests: certtool and NSS take no other time in every version.
func TestEngines(t *testing.T) {
	needTools(t)
	x := &examination{known: knownExceptions(t), met: map[exception]bool{}}
	t.Run("types", func(t *testing.T) {
		for _, key := range pki.KeyTypes() {
			t.Run(string(key), func(t *testing.T) {
				t.Parallel()
				w := newWorkshop(t, key)
				for _, m := range modes() {
					t.Run(m.name, func(t *testing.T) {
						t.Parallel()
						x.ask(t, m.name, key, serverRows(t, w, m))
					})
				}
				t.Run("clients", func(t *testing.T) {
					t.Parallel()
					x.ask(t, "clients", key, clientRows(t, w))
				})
			})
		}
	})
	x.finish(t)
}

// row is a question and the right answer.
type row struct {
	name    string
	accepts bool
	question
}

// serverRows are the questions about the servers of a mode.
func serverRows(t *testing.T, w *workshop, m mode) []row {
	t.Helper()
	plan, out := w.issue(t, m, 0, time.Now())
	_, later := w.issue(t, m, 1, time.Now())
	_, past := w.issue(t, m, 0, time.Now().Add(-200*day))
	// NSS accepts what becomes valid within a day, so it has to be far.
	_, future := w.issue(t, m, 0, time.Now().Add(30*day))
	trust, next := out.Trust(plan, pki.RoleServer).Certs(), later.Trust(plan, pki.RoleServer).Certs()
	registry, issuer := out.Leaves["registry"], w.issuer(m, out)
	ask := func(kp *pki.KeyPair, host string) question { return question{kp, trust, host, pki.RoleServer} }
	forge := func(edit func(*x509.Certificate)) *pki.KeyPair { return w.forgedServer(t, issuer, edit) }

	rows := []row{
		{"by name", true, ask(registry, "registry")},
		{"by wildcard", true, ask(registry, "x.build.lan")},
		{"by address", true, ask(registry, "127.0.0.1")},
		{"second server", true, ask(out.Leaves["buildkit"], "buildkit")},
		{"client", true, question{out.Leaves["client"], out.Trust(plan, pki.RoleClient).Certs(), "", pki.RoleClient}},
		// What is wrong below is wrong with this one, which is not.
		{"forged without a fault", true, ask(forge(nil), "registry")},

		{"wrong name", false, ask(registry, "other.lan")},
		{"wrong address", false, ask(registry, "127.0.0.2")},
		{"wrong usage", false, ask(forge(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "registry")},
		{"server as client", false, question{registry, trust, "", pki.RoleClient}},
		{"server as client of the client CA", false, question{registry, out.Trust(plan, pki.RoleClient).Certs(), "", pki.RoleClient}},
		{"outside the constraints", false, ask(forge(func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }), "example.com")},
		{"address outside the constraints", false, ask(forge(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(8, 8, 8, 8).To4()} }), "8.8.8.8")},
		{"expired", false, question{past.Leaves["registry"], past.Trust(plan, pki.RoleServer).Certs(), "registry", pki.RoleServer}},
		{"not yet valid", false, question{future.Leaves["registry"], future.Trust(plan, pki.RoleServer).Certs(), "registry", pki.RoleServer}},
		{"unknown CA", false, question{registry, next, "registry", pki.RoleServer}},
		{"same subject, another key", false, question{registry, []*x509.Certificate{twin(t, w, trust[0])}, "registry", pki.RoleServer}},
		{"signed by a leaf", false, ask(underLeaf(t, w, forge(nil), w.asServer), "registry")},
	}
	if len(trust) > 1 {
		rows = append(rows, row{"other server first", true, question{registry, reversed(trust), "registry", pki.RoleServer}},
			row{"other server last", true, question{out.Leaves["buildkit"], reversed(trust), "buildkit", pki.RoleServer}})
	}
	for i, generation := range []pki.Material{out, later} {
		rows = append(rows, bundleRows(i, trust, next, question{generation.Leaves["registry"], nil, "registry", pki.RoleServer})...)
	}
	return rows
}

// clientRows are the questions about the clients, who have the same kind of CA
// in every mode.
func clientRows(t *testing.T, w *workshop) []row {
	t.Helper()
	m := modes()[0]
	plan, out := w.issue(t, m, 0, time.Now())
	_, later := w.issue(t, m, 1, time.Now())
	_, past := w.issue(t, m, 0, time.Now().Add(-200*day))
	_, future := w.issue(t, m, 0, time.Now().Add(30*day))
	trust, next := out.Trust(plan, pki.RoleClient).Certs(), later.Trust(plan, pki.RoleClient).Certs()
	client := out.Leaves["client"]
	ask := func(kp *pki.KeyPair) question { return question{kp, trust, "", pki.RoleClient} }
	asClient := func(c *x509.Certificate) {
		c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
	}
	forge := func(edit func(*x509.Certificate)) *pki.KeyPair {
		return forgedToday(t, w.other, out.CAs[pki.CAClient], func(c *x509.Certificate) { asClient(c); edit(c) })
	}
	sound := forge(func(*x509.Certificate) {})

	rows := []row{
		{"client", true, ask(client)},
		{"forged without a fault", true, ask(sound)},
		{"wrong usage", false, ask(forge(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))},
		{"client as server", false, question{client, trust, "", pki.RoleServer}},
		{"client of the servers' CA", false, question{client, out.Trust(plan, pki.RoleServer).Certs(), "", pki.RoleClient}},
		{"outside the constraints", false, ask(forge(func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }))},
		{"expired", false, ask(past.Leaves["client"])},
		{"not yet valid", false, ask(future.Leaves["client"])},
		{"unknown CA", false, question{client, next, "", pki.RoleClient}},
		{"same subject, another key", false, question{client, []*x509.Certificate{twin(t, w, trust[0])}, "", pki.RoleClient}},
		{"signed by a leaf", false, ask(underLeaf(t, w, sound, asClient))},
	}
	for i, generation := range []pki.Material{out, later} {
		rows = append(rows, bundleRows(i, trust, next, question{generation.Leaves["client"], nil, "", pki.RoleClient})...)
	}
	return rows
}

// bundleRows ask while two generations are trusted, in either order.
func bundleRows(generation int, trust, next []*x509.Certificate, q question) []row {
	of := []string{"old", "new"}[generation]
	old, current := q, q
	old.trust, current.trust = slices.Concat(trust, next), slices.Concat(next, trust)
	return []row{{of + ", old trusted first", true, old}, {of + ", new trusted first", true, current}}
}

func reversed(certs []*x509.Certificate) []*x509.Certificate {
	out := slices.Clone(certs)
	slices.Reverse(out)
	return out
}

// twin is a CA with the same subject and another key.
func twin(t *testing.T, w *workshop, ca *x509.Certificate) *x509.Certificate {
	t.Helper()
	return forgedToday(t, w.other, nil, func(c *x509.Certificate) {
		asCA(c)
		c.RawSubject = ca.RawSubject
	}).Cert
}

// underLeaf is a leaf that another leaf has signed.
func underLeaf(t *testing.T, w *workshop, leaf *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	kp := forgedToday(t, w.leaves[1]["buildkit"], leaf, edit)
	kp.Chain = leaf.Certs()
	return kp
}

// exception is a wrong answer that is known, with the reason. "" stands for all.
type exception struct {
	engine string
	mode   string
	key    pki.KeyType
	row    string
	why    string
}

// knownExceptions are all of them. One that is not needed fails the test.
func knownExceptions(t *testing.T) []exception {
	t.Helper()
	out := []exception{
		{"NSS certutil", "", "", "wrong name", "it has no way to ask for a name; tstclnt has"},
		{"NSS certutil", "", "", "wrong address", "it has no way to ask for a name; tstclnt has"},
		{"", "self-signed", "", "server as client", "a self-signed server has no extended key usage, since NSS takes none for a server that has; no builder trusts it for clients"},
	}
	// NSS 3.99 brought Ed25519 (its bug 1325335).
	if major, minor := nssVersion(t); major == 3 && minor < 99 {
		why := fmt.Sprintf("NSS %d.%d knows no Ed25519", major, minor)
		out = append([]exception{{"NSS certutil", "", pki.Ed25519, "", why}, {"NSS tstclnt", "", pki.Ed25519, "", why}}, out...)
	}
	return out
}

// examination puts questions to the engines, and knows the exceptions.
type examination struct {
	known []exception

	mu  sync.Mutex
	met map[exception]bool
	put int // how many lists of rows
}

// exception returns the first exception for a question.
func (x *examination) exception(engine, mode string, key pki.KeyType, row string) (exception, bool) {
	matches := func(pattern, have string) bool { return pattern == "" || pattern == have }
	i := slices.IndexFunc(x.known, func(e exception) bool {
		return matches(e.engine, engine) && matches(e.mode, mode) && matches(string(e.key), string(key)) && matches(e.row, row)
	})
	if i < 0 {
		return exception{}, false
	}
	return x.known[i], true
}

// ask puts the rows to every engine.
func (x *examination) ask(t *testing.T, mode string, key pki.KeyType, rows []row) {
	t.Helper()
	for _, r := range rows {
		for _, e := range engines() {
			if e.only != "" && (e.only != r.role || r.host == "") {
				continue
			}
			known, excused := x.exception(e.name, mode, key, r.name)
			if excused && known.row == "" && !r.accepts {
				continue // who can accept nothing proves nothing by a refusal
			}
			err := e.ask(t, r.question)
			switch right := r.accepts == (err == nil); {
			case excused && right:
				t.Errorf("%s: %s is right (%v), though %q: take the exception out", r.name, e.name, err, known.why)
			case excused:
				x.meet(known)
			case !right && err == nil:
				t.Errorf("%s: %s accepts", r.name, e.name)
			case !right:
				t.Errorf("%s: %s refuses: %v", r.name, e.name, err)
			}
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.put++
}

func (x *examination) meet(e exception) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.met[e] = true
}

// finish finds exceptions that no question met, if all were put.
func (x *examination) finish(t *testing.T) {
	t.Helper()
	if x.put < len(pki.KeyTypes())*(len(modes())+1) {
		return // of a run that was narrowed down
	}
	for _, e := range x.known {
		if !x.met[e] {
			t.Errorf("nothing met the exception %+v: take it out", e)
		}
	}
}
