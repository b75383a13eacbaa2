package lifecycle_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// second is a time in the middle of nowhere.
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

func TestTallyCount(t *testing.T) {
	b := tally{failed: []attempt{{begun: true}, {}, {}}}
	if begun, late := b.count(true), b.count(false); begun != 1 || late != 2 {
		t.Errorf("%d begun, %d not, want 1 and 2", begun, late)
	}
}

// TestRotationKindsIdle holds the soak's table to the one of what needs what: where
// nothing waits for a moment in which nobody builds, nobody may give it one.
func TestRotationKindsIdle(t *testing.T) {
	files := func(serve stack.Serve) map[string]string {
		return map[string]string{"leaves": serve.PairOf(stack.LeafRegistry).Cert, "clients": stack.FileClientCert, "passwords": stack.FileHtpasswd}
	}
	for _, serve := range []stack.Serve{stack.ServeEdge, stack.ServeDaemon} {
		for _, k := range rotationKinds() {
			file, ok := files(serve)[k.name]
			if !ok {
				continue
			}
			want := slices.ContainsFunc(serve.Consumers(), func(c stack.Consumer) bool {
				return slices.Contains(c.Files, file) && (c.Need == stack.NeedIdle || c.Need == stack.NeedRestart)
			})
			if got := slices.Contains(k.idle, serve); got != want {
				t.Errorf("%s, %s: waits %v, want %v", serve, k.name, got, want)
			}
		}
	}
}

// asked lists answers: each one's end, with a minus where it failed. Each question
// was put a tenth of a second before.
func asked(ends ...float64) (out []answer) {
	for _, end := range ends {
		a := answer{from: second(max(end, -end) - 0.1), at: second(max(end, -end))}
		if end < 0 {
			a.err = errors.New("away")
		}
		out = append(out, a)
	}
	return out
}

func TestTallyGaps(t *testing.T) {
	tests := map[string]struct {
		ends []float64
		want []gap
	}{
		"none asked":            {nil, nil},
		"all answered":          {[]float64{1, 2, 3}, nil},
		"from answer to answer": {[]float64{1, 2, -3, -4, 5, 6}, []gap{{second(2), second(5)}}},
		"two":                   {[]float64{1, -2, 3, -4, 5}, []gap{{second(1), second(3)}, {second(3), second(5)}}},
		"from the first on":     {[]float64{-1, -2, 3}, []gap{{second(0.9), second(3)}}},
		"still open":            {[]float64{1, 2, -3, -4}, []gap{{second(2), second(9)}}},
		"never answered":        {[]float64{-1}, []gap{{second(0.9), second(9)}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := tally{taken: second(9), polls: map[string][]answer{stack.Builder: asked(test.ends...), stack.Registry: asked(-8)}}
			if got := b.gaps(stack.Builder); !slices.Equal(got, test.want) {
				t.Errorf("gaps %v, want %v", got, test.want)
			}
		})
	}
	b := tally{taken: second(9), polls: map[string][]answer{stack.Builder: asked(1, -2, -3, 5, -6)}}
	if n, away := b.unanswered(stack.Builder), longest(b.gaps(stack.Builder)); n != 3 || away != 4*time.Second {
		t.Errorf("%d unanswered, %v away, want 3 and 4s", n, away)
	}
}

// TestRotationExcuse: the builder is away from 2 to 4, the registry from 12 to 14,
// and the password is another one from 16.9 on.
func TestRotationExcuse(t *testing.T) {
	b := tally{taken: second(20), polls: map[string][]answer{
		stack.Builder:  asked(1, 2, -3, 4, 5, 19),
		stack.Registry: asked(1, 12, -13, 14, 15, 17, 19),
	}}
	for i := range b.polls[stack.Registry] {
		b.polls[stack.Registry][i].password = "old"
		if i >= 5 {
			b.polls[stack.Registry][i].password = "new"
		}
	}
	var never time.Time
	at := func(begun bool, asked, at time.Time) attempt {
		return attempt{begun: begun, from: second(0), asked: asked, at: at, err: errors.New("connection refused")}
	}
	refused := attempt{begun: true, from: second(16.5), asked: second(17.1), at: second(17.2), err: errors.New("pushing: 401 Unauthorized")}
	later := refused
	later.from = second(18.2)
	const none, late, registry, builder, password = "", "could not begin while the builder was away", "begun while the registry was away", "begun while the builder ended", "refused with the old password"
	tests := map[string]struct {
		a    attempt
		want [5]string // in the order of the kinds below
	}{
		"late, in the builder's gap":           {at(false, never, second(3)), [5]string{late, none, late, late, late}},
		"late, seen just after it":             {at(false, never, second(4.4)), [5]string{late, none, late, late, late}},
		"late, seen too long after it":         {at(false, never, second(4.6)), [5]string{}},
		"late, before it":                      {at(false, never, second(1.9)), [5]string{}},
		"late, in the registry's gap":          {at(false, second(12.5), second(13)), [5]string{}},
		"begun, in the registry's gap":         {at(true, second(12.1), second(13)), [5]string{registry, none, none, registry, registry}},
		"begun, ends just after it":            {at(true, second(13.9), second(14.4)), [5]string{registry, none, none, registry, registry}},
		"begun, ends too long after it":        {at(true, second(13), second(14.6)), [5]string{}},
		"begun, asked for before it":           {at(true, second(11.9), second(13)), [5]string{}},
		"begun, asked for just after it":       {at(true, second(14.1), second(14.3)), [5]string{}},
		"begun, in the builder's gap":          {at(true, second(2.1), second(3)), [5]string{none, none, builder, none, none}},
		"begun, before the builder's gap":      {at(true, second(1.9), second(3)), [5]string{}},
		"begun, in no gap":                     {at(true, second(8), second(9)), [5]string{}},
		"begun, refused, and came later":       {later, [5]string{}},
		"begun, refused with the old password": {refused, [5]string{none, none, none, password, none}},
	}
	kinds := [5]rotationKind{{}, {}, {mayRestart: true}, {mayRefuse: true}, {mayRestart: true}}
	serves := [5]stack.Serve{stack.ServeDaemon, stack.ServeEdge, stack.ServeEdge, stack.ServeDaemon, stack.ServeDaemon}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for i, k := range kinds {
				if got := k.excuse(serves[i], b, test.a); got != test.want[i] {
					t.Errorf("%s, %+v: %q, want %q", serves[i], k, got, test.want[i])
				}
			}
		})
	}
}

// TestTallyRefused: the password is replaced between the second question and the
// third one, of which the former comes with the old one.
func TestTallyRefused(t *testing.T) {
	question := func(at float64, password string, err error) answer {
		return answer{from: second(at), at: second(at + 0.1), password: password, err: err}
	}
	away := errors.New("connection refused")
	tests := map[string]struct {
		polls           []answer
		then, otherwise int
	}{
		"nobody":                   {[]answer{question(1, "a", nil), question(2, "b", nil)}, 0, 0},
		"with the old one":         {[]answer{question(1, "a", nil), question(2, "a", errRefused), question(2.5, "b", nil)}, 1, 0},
		"with the new one":         {[]answer{question(1, "a", nil), question(2, "b", errRefused), question(2.5, "b", errRefused), question(3.1, "b", nil)}, 2, 0},
		"long before":              {[]answer{question(1, "a", errRefused), question(2.5, "b", nil)}, 0, 1},
		"long after":               {[]answer{question(1, "a", nil), question(2, "b", nil), question(3.5, "b", errRefused)}, 0, 1},
		"never replaced":           {[]answer{question(1, "a", nil), question(2, "a", errRefused)}, 0, 1},
		"none could be read":       {[]answer{question(1, "a", nil), question(2, "", away), question(3, "a", errRefused)}, 0, 1},
		"away while it is":         {[]answer{question(1, "a", nil), question(2, "b", away), question(3, "b", nil)}, 0, 0},
		"the first with it":        {[]answer{question(1, "a", errRefused)}, 0, 1},
		"of the first and another": {[]answer{question(1, "a", errRefused), question(1.5, "b", errRefused), question(9, "b", errRefused)}, 2, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := tally{taken: second(10), polls: map[string][]answer{stack.Registry: test.polls}}
			then, otherwise := b.refused()
			if len(then) != test.then || len(otherwise) != test.otherwise {
				t.Errorf("%d refused then, %d otherwise, want %d and %d", len(then), len(otherwise), test.then, test.otherwise)
			}
		})
	}
	refused := tally{taken: second(9), polls: map[string][]answer{stack.Registry: {question(1, "a", nil), question(2, "a", errRefused), question(3, "a", nil)}}}
	if away := refused.gaps(stack.Registry); len(away) > 0 || refused.unanswered(stack.Registry) > 0 {
		t.Errorf("to be refused is an answer, and not %v", away)
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
