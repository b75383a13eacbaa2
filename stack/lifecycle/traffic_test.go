package lifecycle_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// traffic is what people do to a stack while something is rotated: builds one
// after the other, as buildctl makes them, and a question to each daemon every 20
// ms. Everything is done with the files of the client directory, read anew each
// time.
type traffic struct {
	d         lifecycle.Deps
	mutual    bool           // the builder's clients have a certificate
	registry  stack.Endpoint // as builds name it
	endpoints map[string]stack.Endpoint

	// rests has everybody rest between two builds. While something waits for a
	// moment in which nobody builds, there has to be one.
	rests atomic.Bool

	stop context.CancelFunc
	all  sync.WaitGroup
	mu   sync.Mutex
	tally
	running map[int]time.Time // since when each worker is at its build
	last    string            // the repository that was pushed last: new to the builder's pulls
}

// begin starts the traffic on a running stack, after builds that push what the
// workers begin from.
func begin(t *testing.T, d lifecycle.Deps, r lifecycle.Result, workers ...worker) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &traffic{d: d, stop: cancel, registry: r.Spec.RegistryEndpoint(r.Facts), endpoints: map[string]stack.Endpoint{}}
	w.mutual = r.Spec.Builder.TLS == stack.TLSMutual
	w.polls, w.running = map[string][]answer{}, map[int]time.Time{}
	for _, service := range []string{stack.Registry, stack.Builder} {
		w.endpoints[service] = r.Spec.HostEndpoints(service, r.Facts)[0]
	}
	w.push(t, quick().base, stepping(t))
	if slices.Contains(workers, slow()) {
		w.push(t, slow().base, sleeping(t))
	}
	w.last = quick().base
	for number, who := range workers {
		w.all.Go(func() {
			for ctx.Err() == nil {
				w.build(number, who)
			}
		})
	}
	for service, ask := range map[string]func() (string, error){stack.Registry: w.askRegistry, stack.Builder: w.askBuilder} {
		w.all.Go(func() { w.poll(ctx, service, ask) })
	}
	t.Cleanup(w.end)
	return w
}

func (w *traffic) end() {
	w.stop()
	w.all.Wait()
}

func (w *traffic) push(t *testing.T, repository string, state llb.State) {
	t.Helper()
	if a := w.solve(t.Context(), state, repository+":1"); a.err != nil {
		t.Fatal(a)
	}
}

// build pulls from the worker's base and from the repository that was pushed last,
// runs a step, and pushes to a new one.
func (w *traffic) build(number int, who worker) {
	w.mu.Lock()
	fresh := w.last
	w.running[number] = time.Now()
	w.mu.Unlock()
	name := "traffic/" + strings.ToLower(rand.Text())
	source := llb.Scratch().File(llb.Mkfile("/Dockerfile", 0o444, []byte(who.dockerfile(w.registry.Address(), fresh))))
	a := w.solve(context.Background(), source, name+":1", "dockerfile.v0")
	w.mu.Lock()
	delete(w.running, number)
	w.builds = append(w.builds, a.from)
	if a.err == nil {
		w.last = name
	} else {
		w.failed = append(w.failed, a)
	}
	w.mu.Unlock()
	if a.err != nil {
		time.Sleep(20 * time.Millisecond)
	}
	if w.rests.Load() {
		time.Sleep(who.rest)
	}
}

// solve builds what a state is, or with a frontend what the Dockerfile in it
// says, and pushes it.
func (w *traffic) solve(ctx context.Context, state llb.State, name string, frontend ...string) attempt {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a := attempt{ref: strings.ToLower(rand.Text()), from: time.Now()}
	a.err = w.try(ctx, &a, name, func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		definition, err := state.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		if len(frontend) == 0 {
			return g.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB()})
		}
		inputs := map[string]*pb.Definition{"context": definition.ToPB(), "dockerfile": definition.ToPB()}
		return g.Solve(ctx, gateway.SolveRequest{Frontend: frontend[0], FrontendInputs: inputs})
	})
	a.at = time.Now()
	return a
}

// try makes an attempt, and keeps in it what is seen of the build.
func (w *traffic) try(ctx context.Context, a *attempt, name string, build gateway.BuildFunc) error {
	password, err := w.password()
	if err != nil {
		return err
	}
	c, err := w.connect(ctx, noting(&a.asked))
	if err != nil {
		return err
	}
	defer c.Close()
	opt := client.SolveOpt{
		Ref:     a.ref,
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": w.registry.Address() + "/" + name, "push": "true"}}},
		Session: []session.Attachable{&credentials{user: stack.DefaultUser, password: password}},
	}
	status, drained := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(drained)
		for range status {
			if !a.begun {
				a.begun, a.heard = true, time.Now()
			}
		}
	}()
	_, err = c.Build(ctx, opt, "certyard-test", build, status)
	<-drained
	return err
}

// connect returns a client of the builder. The caller closes it.
func (w *traffic) connect(ctx context.Context, more ...client.ClientOpt) (*client.Client, error) {
	e := w.endpoints[stack.Builder]
	opts := append(more, client.WithServerConfig(e.Host, at(w.d, stack.FileClientCA)))
	if w.mutual {
		opts = append(opts, client.WithCredentials(at(w.d, stack.FileClientCert), at(w.d, stack.FileClientKey)))
	}
	return client.New(ctx, e.String(), opts...)
}

// noting keeps when the builder is asked for a build. That is some time after its
// client came, which connects and asks for the workers first.
func noting(asked *time.Time) client.ClientOpt {
	return client.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if method == controlapi.Control_Solve_FullMethodName {
			*asked = time.Now()
		}
		return invoke(ctx, method, request, reply, conn, opts...)
	}))
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

// take returns what came of the traffic since the last time, once the builds that
// go on have ended.
func (w *traffic) take(t *testing.T) tally {
	t.Helper()
	out := w.collect(t)
	if err := w.settle(t.Context(), out.failed); err != nil {
		t.Fatal(err)
	}
	return out
}

// settle finds out which builds the builder had begun without telling of them.
func (w *traffic) settle(ctx context.Context, failed []attempt) error {
	for i := range failed {
		a := &failed[i]
		if a.begun {
			continue
		}
		known, err := w.knows(ctx, a.ref)
		if err != nil {
			return fmt.Errorf("asking the builder whether it had begun %s: %w", a.ref, err)
		}
		a.begun = known
	}
	return nil
}

func (w *traffic) collect(t *testing.T) tally {
	t.Helper()
	since := time.Now()
	for limit := since.Add(2 * time.Minute); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		if out, ok := w.cut(since); ok {
			return out
		}
	}
	t.Fatal("the builds do not go on")
	return tally{}
}

// cut ends a tally, if the builds that went on at a time have ended, and some that
// came after it.
func (w *traffic) cut(since time.Time) (tally, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, from := range w.running {
		if from.Before(since) {
			return tally{}, false
		}
	}
	after := 0
	for _, from := range w.builds {
		if from.After(since) {
			after++
		}
	}
	if after < 3 {
		return tally{}, false
	}
	out := w.tally
	out.taken = time.Now()
	w.tally = tally{polls: map[string][]answer{}}
	return out, true
}

// knows asks the builder for a build. A builder that was just started again may
// take some seconds to answer.
func (w *traffic) knows(ctx context.Context, ref string) (known bool, err error) {
	for limit := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		known, err = w.lookUp(ctx, ref)
		if err == nil || ctx.Err() != nil || time.Now().After(limit) {
			return known, err
		}
	}
}

func (w *traffic) lookUp(ctx context.Context, ref string) (bool, error) {
	c, err := w.connect(ctx)
	if err != nil {
		return false, err
	}
	defer c.Close()
	return inHistory(ctx, c, ref)
}

// inHistory reports whether a builder has a record of a build, which it makes when
// it begins one. It loses those of the builds that it was killed in.
func inHistory(ctx context.Context, c *client.Client, ref string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	events, err := c.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	if err != nil {
		return false, err
	}
	_, err = events.Recv()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}
