package lifecycle_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke"
)

// load is traffic that goes on while certificates change: builds with all checks
// of the proof, and polls of the registry on new connections.
type load struct {
	options atomic.Pointer[smoke.Options]
	stop    context.CancelFunc
	all     sync.WaitGroup

	builds, polls atomic.Int64
	mu            sync.Mutex
	failed        []string
}

// start begins the load on a running stack: two builders without a pause, and a
// poll every 20 ms.
func start(t *testing.T, o smoke.Options, old pki.TrustBundle) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel}
	// Whatever is served has to verify; which one it is changes all the time.
	o.Registry.Leaf, o.Builder.Leaf = nil, nil
	l.options.Store(&o)
	for range 2 {
		l.all.Go(func() {
			for ctx.Err() == nil {
				l.build(ctx)
			}
		})
	}
	l.all.Go(func() { l.poll(ctx, o.Registry, old) })
	t.Cleanup(func() { l.end() })
	return l
}

func (l *load) end() {
	l.stop()
	l.all.Wait()
}

func (l *load) build(ctx context.Context) {
	report := smoke.Prove(context.WithoutCancel(ctx), *l.options.Load())
	l.builds.Add(1)
	for _, c := range report.Failed() {
		l.fail("%s: %s: %s %s", c.Hop, c.Title, c.Reason, c.Error)
	}
}

// poll asks as a client that knows the old CA alone.
func (l *load) poll(ctx context.Context, r smoke.Registry, trust pki.TrustBundle) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trust.Pool()},
	}}
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "https://"+r.Endpoints[0].Address()+"/v2/", nil)
		if err != nil {
			l.fail("%v", err)
			return
		}
		request.SetBasicAuth(r.User, r.Password)
		response, err := client.Do(request)
		switch {
		case err != nil:
			l.fail("polling: %v", err)
		case response.StatusCode != http.StatusOK:
			l.fail("polling: %s", response.Status)
		}
		if err == nil {
			response.Body.Close()
		}
		l.polls.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, fmt.Sprintf(format, args...))
}

// settle waits until builds that began with the options of before have ended.
func (l *load) settle(t *testing.T) {
	t.Helper()
	for want := l.builds.Load() + 4; l.builds.Load() < want; {
		if t.Context().Err() != nil {
			t.Fatal("the builds do not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// report prints what went on during a phase, and fails the test for what failed.
func (l *load) report(t *testing.T, phase string, since [2]int64, changes int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%s: %d changes, %d builds, %d polls, %d failed", phase, changes, l.builds.Load()-since[0], l.polls.Load()-since[1], len(l.failed))
	for _, f := range l.failed {
		t.Errorf("%s: %s", phase, f)
	}
	l.failed = nil
}

func (l *load) counts() [2]int64 { return [2]int64{l.builds.Load(), l.polls.Load()} }

// put replaces a file as writers do who know how: a whole new one is renamed to
// its name, with the owner and the mode of the old one.
func put(t *testing.T, file string, data []byte) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	temp := file + ".new"
	if err := errors.Join(os.WriteFile(temp, data, info.Mode()), os.Chmod(temp, info.Mode()), chownLike(temp, info), os.Rename(temp, file)); err != nil {
		t.Fatal(err)
	}
}

func chownLike(file string, info fs.FileInfo) error {
	s := info.Sys().(*syscall.Stat_t)
	return os.Chown(file, int(s.Uid), int(s.Gid))
}

// issue makes all leaves of the stack's plan anew, with new keys.
func (y *yard) issue(t *testing.T) pki.Material {
	t.Helper()
	steps, err := pki.Diff(y.plan, pki.Material{CAs: y.cas}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.Apply(t.Context(), y.plan, pki.Material{CAs: y.cas}, steps, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// yard is a running stack whose certificates a test changes by hand.
type yard struct {
	d    lifecycle.Deps
	plan pki.Plan
	cas  map[string]*pki.KeyPair
}

func newYard(t *testing.T, d lifecycle.Deps, r lifecycle.Result) *yard {
	t.Helper()
	plan, err := r.Spec.PKIPlan(r.Facts, stack.Clients{})
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{d: d, plan: plan, cas: map[string]*pki.KeyPair{}}
	for _, ca := range plan.CAs {
		y.cas[ca.Name] = readPair(t, d, stack.ServeEdge.PairOf(ca.Name))
	}
	return y
}

func readPair(t *testing.T, d lifecycle.Deps, files stack.PairFiles) *pki.KeyPair {
	t.Helper()
	cert, err := os.ReadFile(at(d, files.Cert))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(at(d, files.Key))
	if err != nil {
		t.Fatal(err)
	}
	kp, err := pki.PEMPair{Cert: cert, Key: key}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

// serve puts both servers' new pairs into the edge's directories. Between the
// files of a pair they do not belong together.
func (y *yard) serve(t *testing.T, m pki.Material, chain ...*x509.Certificate) {
	t.Helper()
	for _, leaf := range []string{stack.LeafRegistry, stack.LeafBuilder} {
		kp := *m.Leaves[leaf]
		kp.Chain = append(kp.Chain, chain...)
		key, err := kp.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		files := stack.ServeEdge.PairOf(leaf)
		put(t, at(y.d, files.Key), key)
		put(t, at(y.d, files.Cert), kp.CertPEM())
		if leaf == stack.LeafRegistry {
			put(t, at(y.d, stack.FileEdgeBridge), kp.CertPEM())
		}
	}
}

// crossSign signs a CA with the key of another, so that who knows the other one
// accepts what it has signed.
func crossSign(t *testing.T, ca, by *pki.KeyPair) *x509.Certificate {
	t.Helper()
	template := *ca.Cert
	template.SerialNumber, template.AuthorityKeyId = big.NewInt(time.Now().UnixNano()), by.Cert.SubjectKeyId
	template.NotAfter = by.Cert.NotAfter
	template.SignatureAlgorithm = 0
	der, err := x509.CreateCertificate(rand.Reader, &template, by.Cert, ca.Cert.PublicKey, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestIntegrationEdgeUnderLoad changes every kind of certificate while builds
// and polls go on: none of them fails, none is refused, nothing is restarted.
func TestIntegrationEdgeUnderLoad(t *testing.T) {
	d, config := edgeDeps(t)
	config.Builder.TLS = "mutual"
	r := upEdge(t, d, newSpec(t, config))
	before := ids(t, d, stack.ServeEdge.Services()...)
	started := startTimes(t, d)
	y := newYard(t, d, r)
	old := pki.NewTrustBundle(y.cas[pki.CAName].Cert)
	options := yardOptions(t, d, r, old)
	l := start(t, options, old)

	t.Run("leaves", func(t *testing.T) { y.rotateLeaves(t, l, time.Minute) })
	t.Run("client CA", func(t *testing.T) { y.rotateClientCA(t, l) })
	t.Run("bad files", func(t *testing.T) { y.swapInRubbish(t, l) })
	t.Run("CA", func(t *testing.T) { y.rotateCA(t, l) })
	l.end()
	if after := ids(t, d, stack.ServeEdge.Services()...); strings.Join(after, " ") != strings.Join(before, " ") || startTimes(t, d) != started {
		t.Error("something was restarted")
	}
}

func startTimes(t *testing.T, d lifecycle.Deps) string {
	t.Helper()
	var out []string
	for _, s := range stack.ServeEdge.Services() {
		out = append(out, container(t, d, s).Started.String())
	}
	return strings.Join(out, " ")
}

// yardOptions is what the proof of a stack uses, written out for a test that
// changes it.
func yardOptions(t *testing.T, d lifecycle.Deps, r lifecycle.Result, trust pki.TrustBundle) smoke.Options {
	t.Helper()
	user := r.Spec.Registry.Users[0].Name
	vars, err := lifecycle.Environment(d)
	if err != nil {
		t.Fatal(err)
	}
	var password string
	for _, v := range vars {
		if v.Name == "REGISTRY_AUTH_PASSWORD" {
			password = v.Value
		}
	}
	return smoke.Options{
		Trust: trust,
		Registry: smoke.Registry{
			Endpoints: r.Spec.HostEndpoints(stack.Registry, r.Facts), Names: r.Spec.Names(stack.Registry, r.Facts),
			Network: r.Spec.RegistryEndpoint(r.Facts).Address(), User: user, Password: password,
		},
		Builder: smoke.Builder{
			Endpoints: r.Spec.HostEndpoints(stack.Builder, r.Facts), Names: r.Spec.Names(stack.Builder, r.Facts),
			Mutual: true, Client: readPair(t, d, stack.ServeEdge.PairOf(stack.LeafClient)),
		},
	}
}

// wantServed tells when the registry's next client is shown another certificate.
func (l *load) wantServed(t *testing.T, serial string) {
	t.Helper()
	o := l.options.Load()
	conn, err := tls.Dial("tcp", o.Registry.Endpoints[0].Address(), &tls.Config{RootCAs: o.Trust.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := (&pki.KeyPair{Cert: conn.ConnectionState().PeerCertificates[0]}).Serial(); got != serial {
		t.Errorf("serves %s, want %s", got, serial)
	}
}

func (y *yard) rotateLeaves(t *testing.T, l *load, length time.Duration) {
	t.Helper()
	since, changes := l.counts(), 0
	for end := time.Now().Add(length); time.Now().Before(end); changes++ {
		m := y.issue(t)
		y.serve(t, m)
		l.wantServed(t, m.Leaves[stack.LeafRegistry].Serial())
		time.Sleep(500 * time.Millisecond)
	}
	l.settle(t)
	l.report(t, "leaves", since, changes)
}

func (y *yard) rotateClientCA(t *testing.T, l *load) {
	t.Helper()
	since := l.counts()
	oldCA := y.cas[pki.CAClient]
	oldClient := l.options.Load().Builder.Client
	delete(y.cas, pki.CAClient)
	m := y.issue(t)
	y.cas[pki.CAClient] = m.CAs[pki.CAClient]
	bundle := at(y.d, stack.FileEdgeClients)
	put(t, bundle, pki.NewTrustBundle(oldCA.Cert, y.cas[pki.CAClient].Cert).PEM())
	changed := *l.options.Load()
	changed.Builder.Client = m.Leaves[stack.LeafClient]
	l.options.Store(&changed)
	l.settle(t)
	put(t, bundle, pki.NewTrustBundle(y.cas[pki.CAClient].Cert).PEM())
	l.settle(t)
	l.report(t, "client CA", since, 2)
	if err := visit(t, y.d, changed.Builder.Endpoints[0].Address(), oldClient).err(); err == nil {
		t.Error("a client of the old CA is let in")
	}
}

// swapInRubbish puts what no server can serve into the place of the files: the
// old pair stays served.
func (y *yard) swapInRubbish(t *testing.T, l *load) {
	t.Helper()
	since, changes := l.counts(), 0
	files := stack.ServeEdge.PairOf(stack.LeafRegistry)
	sound, err := os.ReadFile(at(y.d, files.Cert))
	if err != nil {
		t.Fatal(err)
	}
	served := readPair(t, y.d, files).Serial()
	other := y.issue(t).Leaves[stack.LeafRegistry].CertPEM()
	huge := make([]byte, 64<<20)
	for _, bad := range [][]byte{nil, sound[:len(sound)/2], other, huge, []byte("no PEM"), expired(t, y)} {
		put(t, at(y.d, files.Cert), bad)
		changes++
		l.wantServed(t, served)
		l.settle(t)
		l.wantServed(t, served)
	}
	put(t, at(y.d, files.Cert), sound)
	l.settle(t)
	l.report(t, "bad files", since, changes)
}

// expired is a certificate for the registry's key that has ended.
func expired(t *testing.T, y *yard) []byte {
	t.Helper()
	key, err := os.ReadFile(at(y.d, stack.FileEdgeRegistryKey))
	if err != nil {
		t.Fatal(err)
	}
	kp, err := pki.PEMPair{Key: key, KeyOnly: true}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	ca := y.cas[pki.CAName]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(-time.Minute), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, kp.Key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return (&pki.KeyPair{Cert: cert}).CertPEM()
}

// rotateCA replaces the CA: the builder is told of the new one, both servers
// take leaves of it with a chain that leads to the old one too, and the builder
// forgets the old one. Polls know the old one alone, all the time.
func (y *yard) rotateCA(t *testing.T, l *load) {
	t.Helper()
	since := l.counts()
	oldCA := y.cas[pki.CAName]
	fresh := *y
	fresh.cas = map[string]*pki.KeyPair{pki.CAClient: y.cas[pki.CAClient]}
	fresh.plan.CAs = append([]pki.CAPlan(nil), y.plan.CAs...)
	fresh.plan.CAs[0].Generation = 2
	m := fresh.issue(t)
	newCA := m.CAs[pki.CAName]
	both := pki.NewTrustBundle(oldCA.Cert, newCA.Cert)
	put(t, at(y.d, stack.FileBuilderCA), both.PEM())
	changed := *l.options.Load()
	changed.Trust = both
	l.options.Store(&changed)
	l.settle(t)
	y.serve(t, m, crossSign(t, newCA, oldCA))
	l.settle(t)
	last := changed // the builds still read the other
	last.Trust = pki.NewTrustBundle(newCA.Cert)
	l.options.Store(&last)
	put(t, at(y.d, stack.FileBuilderCA), last.Trust.PEM())
	l.settle(t)
	l.report(t, "CA", since, 3)
}
