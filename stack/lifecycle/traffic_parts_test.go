package lifecycle_test

import (
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"

	"github.com/certyard/certyard/stack"
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

// TestRotationExcuse: the builder is away from 2 to 4, the registry from 12 to 14.
func TestRotationExcuse(t *testing.T) {
	b := tally{taken: second(20), polls: map[string][]answer{
		stack.Builder:  asked(1, 2, -3, 4, 5, 19),
		stack.Registry: asked(1, 12, -13, 14, 15, 19),
	}}
	var never time.Time
	at := func(begun bool, asked, at time.Time) attempt {
		return attempt{begun: begun, from: second(0), asked: asked, at: at, err: errors.New("connection refused")}
	}
	refused := attempt{begun: true, asked: second(8), at: second(9), err: errors.New("pushing: 401 Unauthorized")}
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
