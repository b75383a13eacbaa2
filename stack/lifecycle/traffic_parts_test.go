package lifecycle_test

import (
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
			out, ok := w.cut(since)
			if ok != test.want {
				t.Fatalf("cut: %v, want %v", ok, test.want)
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
