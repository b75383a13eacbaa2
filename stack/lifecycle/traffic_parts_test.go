package lifecycle_test

import (
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
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"

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

// keeper is the part of a builder that is asked for its history.
type keeper struct {
	controlapi.UnimplementedControlServer
	ref string // of the one build that it knows
}

func (k keeper) ListenBuildHistory(request *controlapi.BuildHistoryRequest, stream controlapi.Control_ListenBuildHistoryServer) error {
	if request.Ref == k.ref {
		if err := stream.Send(&controlapi.BuildHistoryEvent{Record: &controlapi.BuildHistoryRecord{Ref: k.ref}}); err != nil {
			return err
		}
	}
	if request.EarlyExit {
		return nil
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// newKeeper returns the address of a builder, and what ends it.
func newKeeper(t *testing.T, k keeper) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, k)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return "tcp://" + l.Addr().String(), server.Stop
}

func TestTrafficInHistory(t *testing.T) {
	address, stop := newKeeper(t, keeper{ref: "known"})
	c, err := client.New(t.Context(), address)
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
// others. The builder need not know how to answer.
func TestTrafficNoting(t *testing.T) {
	address, _ := newKeeper(t, keeper{})
	var asked time.Time
	c, err := client.New(t.Context(), address, noting(&asked))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ListWorkers(t.Context()); err == nil || !asked.IsZero() {
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
	e := stack.Endpoint{Host: address.IP.String(), Port: address.Port}
	w := &traffic{
		d:        lifecycle.Deps{Store: state.Open(t.TempDir(), state.Options{})},
		registry: e, endpoints: map[string]stack.Endpoint{stack.Registry: e},
	}
	write := func(path string, data []byte) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at(w.d, path)), 0o700), os.WriteFile(at(w.d, path), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(stack.FileClientCA, pki.NewTrustBundle(server.Certificate()).PEM())
	for password, want := range map[string]error{"right": nil, "wrong": errRefused} {
		auth := base64.StdEncoding.EncodeToString([]byte(stack.DefaultUser + ":" + password))
		write(stack.FileDockerConfig, fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, e.Address(), auth))
		if got, err := w.askRegistry(); got != password || err != want {
			t.Errorf("asked with %q: %v, want %q: %v", got, err, password, want)
		}
	}
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
