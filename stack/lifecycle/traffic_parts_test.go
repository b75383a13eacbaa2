package lifecycle_test

import (
	"context"
	"crypto/x509"
	"debug/elf"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	transport "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/state"
)

// The parts of the traffic and of its judging that need no Docker.

// second returns the time so many seconds after the tests' clock began.
func second(s float64) time.Time {
	return time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(s * float64(time.Second)))
}

// keeper is the part of a builder that these tests ask. It begins what it is asked
// for, has a record of it, and fails.
type keeper struct {
	controlapi.UnimplementedControlServer
	mu    sync.Mutex
	tells bool            // how a build stands
	refs  map[string]bool // of the builds that it knows
}

func (k *keeper) Session(stream controlapi.Control_SessionServer) error {
	manager, err := session.NewManager()
	if err != nil {
		return err
	}
	conn, closed, meta := grpchijack.Hijack(stream)
	defer conn.Close()
	ctx, cancel := context.WithCancel(stream.Context())
	go func() { <-closed; cancel() }()
	return manager.HandleConn(ctx, conn, meta)
}

func (k *keeper) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	return &controlapi.ListWorkersResponse{}, nil
}

func (k *keeper) Solve(_ context.Context, request *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refs[request.Ref] = true
	return nil, status.Error(codes.Unavailable, "the builder ends")
}

// Status waits until the build is asked for, as a real builder does: the client
// asks for both at once, and would break off the one when the other fails.
func (k *keeper) Status(request *controlapi.StatusRequest, stream controlapi.Control_StatusServer) error {
	for !k.has(request.Ref) {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-time.After(time.Millisecond):
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.tells {
		return stream.Send(&controlapi.StatusResponse{})
	}
	return status.Error(codes.Unavailable, "the builder ends")
}

func (k *keeper) has(ref string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refs[ref]
}

func (k *keeper) ListenBuildHistory(request *controlapi.BuildHistoryRequest, stream controlapi.Control_ListenBuildHistoryServer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ref := range k.refs {
		if request.Ref != "" && request.Ref != ref {
			continue
		}
		if err := stream.Send(&controlapi.BuildHistoryEvent{Record: &controlapi.BuildHistoryRecord{Ref: ref}}); err != nil {
			return err
		}
	}
	if request.EarlyExit {
		return nil
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// serveKeeper returns where a builder is reached, and what ends it.
func serveKeeper(t *testing.T, k *keeper, opts ...grpc.ServerOption) (stack.Endpoint, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(opts...)
	controlapi.RegisterControlServer(server, k)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	address := l.Addr().(*net.TCPAddr)
	return stack.Endpoint{Service: stack.Builder, Host: address.IP.String(), Port: address.Port}, server.Stop
}

// newTraffic returns traffic whose client directory has this trust and password.
func newTraffic(t *testing.T, ca *x509.Certificate, e stack.Endpoint, password string) *traffic {
	t.Helper()
	w := &traffic{
		d:        lifecycle.Deps{Store: state.Open(t.TempDir(), state.Options{})},
		registry: e, endpoints: map[string]stack.Endpoint{stack.Registry: e, stack.Builder: e},
	}
	auth := base64.StdEncoding.EncodeToString([]byte(stack.DefaultUser + ":" + password))
	for path, data := range map[string][]byte{
		stack.FileClientCA:     pki.NewTrustBundle(ca).PEM(),
		stack.FileDockerConfig: fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, e.Address(), auth),
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at(w.d, path)), 0o700), os.WriteFile(at(w.d, path), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// TestTrafficSettle: a build that fails has begun if the builder told of it, or has
// a record of it.
func TestTrafficSettle(t *testing.T) {
	front := httptest.NewTLSServer(nil) // for its certificate
	defer front.Close()
	k := &keeper{refs: map[string]bool{}}
	e, _ := serveKeeper(t, k, grpc.Creds(transport.NewServerTLSFromCert(&front.TLS.Certificates[0])))
	w := newTraffic(t, front.Certificate(), e, "any")
	silent := w.solve(t.Context(), llb.Scratch(), "traffic/any:1")
	k.mu.Lock()
	k.tells = true
	k.mu.Unlock()
	told := w.solve(t.Context(), llb.Scratch(), "traffic/any:1")
	never := attempt{ref: "never", err: errors.New("connection refused")}
	lost := attempt{ref: "lost", begun: true, err: errors.New("broken off")}
	for _, a := range []attempt{silent, told} {
		if a.err == nil || a.asked.Before(a.from) || a.at.Before(a.asked) {
			t.Errorf("the attempt is %s", a)
		}
	}
	if silent.begun || !told.begun || told.heard.Before(told.asked) {
		t.Errorf("by what was told, %v and %v", silent.begun, told.begun)
	}
	failed := []attempt{silent, told, never, lost}
	if err := w.settle(t.Context(), failed); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false, true} {
		if failed[i].begun != want {
			t.Errorf("%s: begun %v, want %v", failed[i].ref, failed[i].begun, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.settle(ended, []attempt{never}); err == nil {
		t.Error("a builder that cannot be asked knows")
	}
}

func TestTrafficInHistory(t *testing.T) {
	e, stop := serveKeeper(t, &keeper{refs: map[string]bool{"known": true}})
	c, err := client.New(t.Context(), e.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for ref, want := range map[string]bool{"known": true, "unknown": false} {
		if got, err := inHistory(t.Context(), c, ref); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", ref, got, err, want)
		}
	}
	stop()
	if got, err := inHistory(t.Context(), c, "known"); got || err == nil {
		t.Errorf("of a builder that is away: %v, %v, want an error", got, err)
	}
}

// TestTrafficNoting: the time is that of the question for a build, not that of
// others.
func TestTrafficNoting(t *testing.T) {
	e, _ := serveKeeper(t, &keeper{refs: map[string]bool{}})
	var asked time.Time
	c, err := client.New(t.Context(), e.String(), noting(&asked))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ListWorkers(t.Context()); err != nil || !asked.IsZero() {
		t.Errorf("asked for workers: %v, noted %v", err, asked)
	}
	start := time.Now()
	if _, err := c.ControlClient().Solve(t.Context(), &controlapi.SolveRequest{}); err == nil || asked.Before(start) {
		t.Errorf("asked for a build: %v, noted %v", err, asked)
	}
}

func TestTrafficCut(t *testing.T) {
	since := second(10)
	tests := map[string]struct {
		running map[int]time.Time
		builds  []time.Time
		want    bool
	}{
		"three since":              {nil, []time.Time{second(9), second(11), second(12), second(13)}, true},
		"others go on":             {map[int]time.Time{1: second(14)}, []time.Time{second(11), second(12), second(13)}, true},
		"one goes on from before":  {map[int]time.Time{0: second(11), 1: second(9)}, []time.Time{second(11), second(12), second(13)}, false},
		"two since":                {nil, []time.Time{second(8), second(9), second(11), second(12)}, false},
		"nobody has built so far":  {nil, nil, false},
		"all have come before":     {nil, []time.Time{second(7), second(8), second(9)}, false},
		"the first is still going": {map[int]time.Time{0: second(1)}, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &traffic{running: test.running, tally: tally{builds: test.builds, polls: map[string][]answer{stack.Builder: {{}}}}}
			start := time.Now()
			out, ok := w.cut(since)
			if ok != test.want {
				t.Fatalf("cut: %v, want %v", ok, test.want)
			}
			if ok && out.taken.Before(start) {
				t.Errorf("taken at %v", out.taken)
			}
			if left := len(w.builds); ok && (left > 0 || len(w.polls) > 0 || len(out.builds) != len(test.builds)) {
				t.Errorf("%d builds are left, %d were taken", left, len(out.builds))
			} else if !ok && left != len(test.builds) {
				t.Errorf("%d builds are left", left)
			}
		})
	}
}

func TestTrafficLetIn(t *testing.T) {
	for status, want := range map[int]error{http.StatusOK: nil, http.StatusUnauthorized: errRefused} {
		if got := letIn(&http.Response{StatusCode: status}); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
	if err := letIn(&http.Response{StatusCode: http.StatusBadGateway, Status: "502 Bad Gateway"}); err == nil || errors.Is(err, errRefused) {
		t.Errorf("502: %v", err)
	}
}

// TestTrafficAskRegistry asks a registry with what is in the client directory.
func TestTrafficAskRegistry(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if user, password, _ := request.BasicAuth(); request.URL.Path != "/v2/" || user != stack.DefaultUser || password != "right" {
			answer.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	address := server.Listener.Addr().(*net.TCPAddr)
	e := stack.Endpoint{Service: stack.Registry, Host: address.IP.String(), Port: address.Port}
	for password, want := range map[string]error{"right": nil, "wrong": errRefused} {
		w := newTraffic(t, server.Certificate(), e, password)
		if got, err := w.askRegistry(); got != password || err != want {
			t.Errorf("asked with %q: %v, want %q: %v", got, err, password, want)
		}
	}
	w := newTraffic(t, server.Certificate(), e, "right")
	server.Close()
	if _, err := w.askRegistry(); err == nil || errors.Is(err, errRefused) {
		t.Errorf("of a registry that is away: %v", err)
	}
}

func TestWorkerDockerfile(t *testing.T) {
	const want = `FROM localhost:5000/traffic/slow:1
COPY --from=localhost:5000/traffic/last:1 /seen /seen
ENV TRAFFIC=*
RUN ["/sleep", "3s"]
`
	mark := regexp.MustCompile("TRAFFIC=([A-Z0-9]+)\n")
	marks := map[string]bool{}
	for range 2 {
		text := slow().dockerfile("localhost:5000", "traffic/last")
		for _, found := range mark.FindAllStringSubmatch(text, -1) {
			marks[found[1]] = true
		}
		if got := mark.ReplaceAllString(text, "TRAFFIC=*\n"); got != want {
			t.Errorf("have\n%swant\n%s", got, want)
		}
	}
	if len(marks) != 2 {
		t.Errorf("the builder would know the second step: %v", marks)
	}
}

func TestWorkerSleeper(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // it cannot run here
	}
	program := sleeper(t)
	start := time.Now()
	if out, err := exec.CommandContext(t.Context(), program, "20ms").CombinedOutput(); err != nil || time.Since(start) < 20*time.Millisecond {
		t.Errorf("after %v: %v\n%s", time.Since(start), err, out)
	}
	if file, err := elf.Open(program); err != nil {
		t.Error(err)
	} else if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("needs %v, %v, which an image from scratch has not", libraries, err)
	}
}
