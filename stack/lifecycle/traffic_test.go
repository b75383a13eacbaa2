package lifecycle_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/smoke/runstep"
)

// traffic is what people do to a stack while something is rotated: builds one
// after the other, as buildctl makes them, and a question to each daemon every 20
// ms. Everything is done with the files of the client directory, read anew each
// time.
type traffic struct {
	d         lifecycle.Deps
	registry  stack.Endpoint // as builds name it
	endpoints map[string]stack.Endpoint

	stop context.CancelFunc
	all  sync.WaitGroup
	mu   sync.Mutex
	tally
	last string // the repository that was pushed last: new to the builder's pulls
}

// tally is what came of it since it was last looked at.
type tally struct {
	builds int
	broken []failure           // builds that failed after the builder had begun them
	late   []failure           // builds that could not begin
	polls  map[string][]answer // by service
}

type failure struct {
	from, at time.Time
	text     string
}

type answer struct {
	from, at time.Time
	err      error
}

// begin starts the traffic on a running stack, with so many builders, after one
// build that pushes the old repository.
func begin(t *testing.T, d lifecycle.Deps, r lifecycle.Result, builders int) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &traffic{d: d, stop: cancel, registry: r.Spec.RegistryEndpoint(r.Facts), endpoints: map[string]stack.Endpoint{}}
	w.polls = map[string][]answer{}
	for _, service := range []string{stack.Registry, stack.Builder} {
		w.endpoints[service] = r.Spec.HostEndpoints(service, r.Facts)[0]
	}
	if _, err := w.solve(ctx, w.base(t), "traffic/old:1"); err != nil {
		t.Fatal(err)
	}
	w.last = "traffic/old"
	for range builders {
		w.all.Go(func() {
			for ctx.Err() == nil {
				w.build()
			}
		})
	}
	for service, ask := range map[string]func() error{stack.Registry: w.askRegistry, stack.Builder: w.askBuilder} {
		w.all.Go(func() { w.poll(ctx, service, ask) })
	}
	t.Cleanup(w.end)
	return w
}

func (w *traffic) end() {
	w.stop()
	w.all.Wait()
}

// base is an image with what a RUN step needs.
func (w *traffic) base(t *testing.T) llb.State {
	t.Helper()
	executable, err := runstep.For("linux", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	random := []byte(rand.Text() + rand.Text())[:runstep.Size]
	return llb.Scratch().File(llb.Mkfile("/step", 0o755, executable).
		Mkfile("/"+runstep.Nonce, 0o644, random).Mkfile("/"+runstep.Seen, 0o644, random).Mkfile("/"+rand.Text(), 0o644, random))
}

// build pulls from the old repository and from the one that was pushed last, runs
// a step, and pushes to a new one.
func (w *traffic) build() {
	w.mu.Lock()
	fresh := w.last
	w.mu.Unlock()
	name := "traffic/" + strings.ToLower(rand.Text())
	host := w.registry.Address()
	dockerfile := fmt.Sprintf("FROM %s/traffic/old:1\nCOPY --from=%s/%s:1 /%s /%s\nRUN [\"/step\"]\n", host, host, fresh, runstep.Seen, runstep.Seen)
	source := llb.Scratch().File(llb.Mkfile("/Dockerfile", 0o444, []byte(dockerfile)))
	start := time.Now()
	begun, err := w.solve(context.Background(), source, name+":1", "dockerfile.v0")
	w.mu.Lock()
	w.builds++
	switch {
	case err == nil:
		w.last = name
	case begun:
		w.broken = append(w.broken, failure{start, time.Now(), err.Error()})
	default:
		w.late = append(w.late, failure{start, time.Now(), err.Error()})
	}
	w.mu.Unlock()
	if err != nil {
		time.Sleep(20 * time.Millisecond)
	}
	// The moment that a script needs for the next one: buildctl takes as long
	// to start.
	time.Sleep(100 * time.Millisecond)
}

// solve builds what a state is, or with a frontend what the Dockerfile in it
// says, and pushes it. It reports whether the builder had begun it.
func (w *traffic) solve(ctx context.Context, state llb.State, name string, frontend ...string) (begun bool, err error) {
	start, first := time.Now(), time.Time{}
	defer func() {
		if err != nil {
			err = fmt.Errorf("from %s, heard of at %s, until %s: %w", clock(start), clock(first), clock(time.Now()), err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	e := w.endpoints[stack.Builder]
	password, err := w.password()
	if err != nil {
		return false, err
	}
	c, err := client.New(ctx, e.String(), client.WithServerConfig(e.Host, at(w.d, stack.FileClientCA)),
		client.WithCredentials(at(w.d, stack.FileClientCert), at(w.d, stack.FileClientKey)))
	if err != nil {
		return false, err
	}
	defer c.Close()
	opt := client.SolveOpt{
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": w.registry.Address() + "/" + name, "push": "true"}}},
		Session: []session.Attachable{&credentials{user: stack.DefaultUser, password: password}},
	}
	status, drained := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(drained)
		for range status {
			if !begun {
				begun, first = true, time.Now()
			}
		}
	}()
	_, err = c.Build(ctx, opt, "certyard-test", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		definition, err := state.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		if len(frontend) == 0 {
			return g.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB()})
		}
		inputs := map[string]*pb.Definition{"context": definition.ToPB(), "dockerfile": definition.ToPB()}
		return g.Solve(ctx, gateway.SolveRequest{Frontend: frontend[0], FrontendInputs: inputs})
	}, status)
	<-drained
	return begun, err
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// password reads what docker's tools would send.
func (w *traffic) password() (string, error) {
	data, err := os.ReadFile(at(w.d, stack.FileDockerConfig))
	if err != nil {
		return "", err
	}
	var config struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", err
	}
	both, err := base64.StdEncoding.DecodeString(config.Auths[w.registry.Address()].Auth)
	_, password, _ := strings.Cut(string(both), ":")
	return password, err
}

// credentials answers the builder with one password.
type credentials struct {
	auth.UnimplementedAuthServer
	user, password string
}

func (c *credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

func (c *credentials) Credentials(context.Context, *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	return &auth.CredentialsResponse{Username: c.user, Secret: c.password}, nil
}

func (w *traffic) poll(ctx context.Context, service string, ask func() error) {
	for ctx.Err() == nil {
		a := answer{from: time.Now()}
		a.err = ask()
		a.at = time.Now()
		w.mu.Lock()
		w.polls[service] = append(w.polls[service], a)
		w.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *traffic) trust() (pki.TrustBundle, error) {
	data, err := os.ReadFile(at(w.d, stack.FileClientCA))
	if err != nil {
		return pki.TrustBundle{}, err
	}
	return pki.ParseTrustBundle(data)
}

// askRegistry asks without a password: with one it would be refused in the moment
// when that changes, which is not what is measured.
func (w *traffic) askRegistry() error {
	trust, err := w.trust()
	if err != nil {
		return err
	}
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trust.Pool()}}}
	response, err := c.Get("https://" + w.endpoints[stack.Registry].Address() + "/v2/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		return errors.New(response.Status)
	}
	return nil
}

func (w *traffic) askBuilder() error {
	trust, err := w.trust()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(at(w.d, stack.FileClientCert), at(w.d, stack.FileClientKey))
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: trust.Pool(), NextProtos: []string{"h2"}, Certificates: []tls.Certificate{pair}}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", w.endpoints[stack.Builder].Address(), config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 9))
	return err
}

// take returns what came of the traffic since the last time, once the builds that
// go on have ended.
func (w *traffic) take(t *testing.T) tally {
	t.Helper()
	w.mu.Lock()
	want := w.builds + 3
	w.mu.Unlock()
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		w.mu.Lock()
		if w.builds >= want {
			break
		}
		w.mu.Unlock()
		if time.Now().After(limit) {
			t.Fatal("the builds do not go on")
		}
	}
	defer w.mu.Unlock()
	out := w.tally
	w.tally = tally{polls: map[string][]answer{}}
	return out
}

// gap is a time without service: from the last answer to the next one.
type gap struct{ from, to time.Time }

func (g gap) length() time.Duration { return g.to.Sub(g.from) }

// gaps returns the times in which a service did not answer, and how many
// questions failed.
func (b tally) gaps(service string) (out []gap, failed int) {
	var last time.Time
	down := false
	for _, a := range b.polls[service] {
		if a.err != nil {
			failed++
			down = true
			continue
		}
		if down {
			from := last
			if from.IsZero() {
				from = b.polls[service][0].from
			}
			out = append(out, gap{from, a.at})
		}
		last, down = a.at, false
	}
	return out, failed
}
