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

// yard is a stack in this process that a test can break before it starts.
type yard struct {
	t              *testing.T
	ca, other      *pkitest.CA
	clients        *pkitest.CA // the new one of clients, once there is one: see succeed
	registry       *fakeRegistry
	builder        *fakeBuilder
	builderFront   *front
	noRegistry     bool // nobody listens
	noBuilder      bool
	options        Options
	registryConfig *tls.Config
	builderConfig  *tls.Config
}

const (
	testUser     = "testuser"
	testPassword = "correct-horse"
)

func newYard(t *testing.T) *yard {
	t.Helper()
	now := time.Now()
	y := &yard{t: t, ca: pkitest.New(t, now), other: pkitest.New(t, now)}
	y.registry = newFakeRegistry(t, testUser, testPassword)
	y.builderFront = newFront(t)
	at := endpoint(y.registry.front, stack.Registry)
	y.builder = newFakeBuilder(t, at, y.ca.Trust().Pool())
	y.options = Options{
		Trust: y.ca.Trust(),
		Registry: Registry{
			Endpoints: []stack.Endpoint{at}, Names: []string{"127.0.0.1", "localhost", "::1", "registry"},
			Network: at.Address(), User: testUser, Password: testPassword,
		},
		Builder: Builder{
			Endpoints: []stack.Endpoint{endpoint(y.builderFront, stack.Builder)},
			Names:     []string{"buildkit", "127.0.0.1"},
		},
	}
	y.serveRegistry(y.ca.Server(t, y.options.Registry.Names...))
	y.serveBuilder(y.ca.Server(t, y.options.Builder.Names...))
	return y
}

func (y *yard) serveRegistry(pair *pki.KeyPair) {
	y.registryConfig = serverConfig(pair)
	y.options.Registry.Leaf = pair.Cert
}

func (y *yard) serveBuilder(pair *pki.KeyPair) {
	y.builderConfig = serverConfig(pair, h2)
	y.options.Builder.Leaf, y.options.Builder.Server = pair.Cert, pair
}

// mutual makes the builder demand certificates of the CA.
func (y *yard) mutual() {
	y.options.Builder.Mutual = true
	y.options.Builder.Client = y.ca.Client(y.t, "client")
	y.builderConfig.ClientAuth = tls.RequireAndVerifyClientCert
	y.builderConfig.ClientCAs = y.ca.Trust().Pool()
}

func (y *yard) start() {
	y.t.Helper()
	y.registry.front.config, y.builderFront.config = y.registryConfig, y.builderConfig
	if y.noRegistry {
		y.registry.front.Close()
	} else {
		y.registry.start(y.t)
	}
	if y.noBuilder {
		y.builderFront.Close()
	} else {
		serveBuilder(y.t, y.builderFront, y.builder)
	}
}

// handle makes the registry answer some requests in another way.
func (y *yard) handle(method, pathPart string, answer http.HandlerFunc) {
	y.registry.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method && strings.Contains(r.URL.Path, pathPart) {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func says(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// TestProve breaks one thing at a time. Exactly the checks that are about it
// must fail, each for the right reason.
func TestProve(t *testing.T) {
	nothing := func(*yard) {}
	groups := []struct {
		name   string
		first  func(*yard)
		broken []breakage
	}{
		{"nothing", nothing, []breakage{{"server TLS", nothing, nil}, {"mutual TLS", (*yard).mutual, nil}}},
		{"registry", nothing, registryBreakages},
		{"builder", nothing, builderBreakages},
		{"mutual", (*yard).mutual, mutualBreakages},
		{"build", nothing, buildBreakages},
		{"succession", (*yard).succeed, successionBreakages},
	}
	for _, group := range groups {
		for _, b := range group.broken {
			t.Run(group.name+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				y := newYard(t)
				group.first(y)
				b.wreck(y)
				y.start()
				report := Prove(t.Context(), y.options)
				checkReport(t, report, b.fails)
				if put, left := y.registry.left(); b.fails == nil && (put != 3 || len(left) > 0) {
					t.Errorf("%d manifests were put, want 3, and these are left: %v", put, left)
				}
			})
		}
	}
}

// checkReport compares the failing checks, and makes sure of the rest: a check
// that holds has no error, and one that is skipped names one that does not hold.
func checkReport(t *testing.T, report stack.Report, want []string) {
	t.Helper()
	outcomes := map[string]stack.Outcome{}
	for _, c := range report.Checks {
		if _, twice := outcomes[c.ID]; twice {
			t.Errorf("%s is there twice", c.ID)
		}
		outcomes[c.ID] = c.Outcome
	}
	var fails []string
	for _, c := range report.Checks {
		if strings.Contains(c.Error+c.Evidence.Answer, testPassword) {
			t.Errorf("%s tells the password", c.ID)
		}
		switch c.Outcome {
		case stack.Holds:
			if c.Reason != "" || c.Error != "" || c.Took == 0 {
				t.Errorf("%s holds with reason %q, error %q, took %v", c.ID, c.Reason, c.Error, c.Took)
			}
		case stack.Fails:
			fails = append(fails, c.ID+" "+string(c.Reason))
			if c.Error == "" || strings.Contains(c.Error, "\n") {
				t.Errorf("%s fails with error %q, want one line", c.ID, c.Error)
			}
		case stack.Skipped:
			needs := outcomes[strings.TrimPrefix(c.Error, "needs ")]
			if c.Reason != stack.ReasonNotApplicable || needs != stack.Fails && needs != stack.Skipped {
				t.Errorf("%s is skipped: %q, which is %q", c.ID, c.Error, needs)
			}
		default:
			t.Errorf("%s has outcome %q", c.ID, c.Outcome)
		}
	}
	if !slices.Equal(fails, want) {
		t.Errorf("fails: %q, want %q", fails, want)
	}
	if report.OK() != (want == nil) {
		t.Errorf("OK() = %v", report.OK())
	}
	if t.Failed() {
		for _, c := range report.Checks {
			t.Logf("%-8s %s: %s %s", c.Outcome, c.ID, c.Reason, c.Error)
		}
	}
}
