package smoke

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// history is the part of a builder that WatchIdle asks.
type history struct {
	controlapi.UnimplementedControlServer
	mu     sync.Mutex
	active map[string]*controlapi.BuildHistoryRecord
	events chan *controlapi.BuildHistoryEvent // nil: it never tells
	fails  chan error                         // what listening ends with
}

func (h *history) start(ref string) { h.put(ref, controlapi.BuildHistoryEventType_STARTED) }
func (h *history) end(ref string)   { h.put(ref, controlapi.BuildHistoryEventType_COMPLETE) }

// put does what the history's Update does: the change first, and then the event.
func (h *history) put(ref string, kind controlapi.BuildHistoryEventType) {
	h.mu.Lock()
	record := &controlapi.BuildHistoryRecord{Ref: ref, CreatedAt: timestamppb.Now()}
	if kind == controlapi.BuildHistoryEventType_STARTED {
		h.active[ref] = record
	} else {
		delete(h.active, ref)
	}
	h.mu.Unlock()
	if h.events != nil {
		h.events <- &controlapi.BuildHistoryEvent{Type: kind, Record: record}
	}
}

func (h *history) ListenBuildHistory(request *controlapi.BuildHistoryRequest, stream controlapi.Control_ListenBuildHistoryServer) error {
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	if request.EarlyExit {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, record := range h.active {
			if err := stream.Send(&controlapi.BuildHistoryEvent{Record: record}); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case err := <-h.fails:
			return err
		case event := <-h.events:
			if err := stream.Send(event); err != nil {
				return err
			}
		}
	}
}

// newHistory returns a builder with these builds, and how to ask it.
func newHistory(t *testing.T, refs ...string) (*history, Options) {
	t.Helper()
	h := &history{active: map[string]*controlapi.BuildHistoryRecord{}, fails: make(chan error)}
	for _, ref := range refs {
		h.start(ref)
	}
	h.events = make(chan *controlapi.BuildHistoryEvent, 10)
	y := newYard(t)
	y.builderFront.config = y.builderConfig
	serveBuilder(t, y.builderFront, h)
	return h, y.options
}

// watch is WatchIdle, whose watch ends at once.
func watch(ctx context.Context, o Options, say func([]Build)) error {
	idle, err := WatchIdle(ctx, o, say)
	if err == nil {
		idle.Close()
	}
	return err
}

// waiting calls WatchIdle, and returns what it said so far and how it ends.
func waiting(ctx context.Context, o Options) (said <-chan string, ended <-chan error) {
	words, end := make(chan string, 10), make(chan error, 1)
	go func() {
		end <- watch(ctx, o, func(builds []Build) {
			var refs []string
			for _, b := range builds {
				refs = append(refs, b.Ref)
			}
			words <- strings.Join(refs, " ")
		})
	}()
	return words, end
}

// TestWatchIdle: it says what goes on, once for each change, and returns when the
// last build has ended.
func TestWatchIdle(t *testing.T) {
	h, o := newHistory(t, "a")
	said, ended := waiting(t.Context(), o)
	if got := <-said; got != "a" {
		t.Errorf("waits for %q, want a", got)
	}
	h.start("b")
	if got := <-said; got != "a b" {
		t.Errorf("waits for %q, want a and b", got)
	}
	h.end("a")
	if got := <-said; got != "b" {
		t.Errorf("waits for %q, want b", got)
	}
	start := time.Now()
	h.end("b")
	if err := <-ended; err != nil || len(said) > 0 {
		t.Errorf("%v, and said %d things more", err, len(said))
	}
	t.Logf("returned %v after the end of the last build", time.Since(start))
}

// TestWatchIdleMissedEvent: a builder that tells nothing is asked again.
func TestWatchIdleMissedEvent(t *testing.T) {
	h, o := newHistory(t, "a")
	h.events = nil
	said, ended := waiting(t.Context(), o)
	<-said
	h.end("a")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWatchIdleEnds: with the context's error, or with why it cannot know.
func TestWatchIdleEnds(t *testing.T) {
	h, o := newHistory(t)
	if err := watch(t.Context(), o, nil); err != nil {
		t.Errorf("nobody builds: %v", err)
	}
	h.start("a")
	ctx, cancel := context.WithCancel(t.Context())
	said, ended := waiting(ctx, o)
	<-said
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	said, ended = waiting(t.Context(), o)
	<-said
	h.fails <- errors.New("going down")
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "going down") {
		t.Errorf("got %v, want what the builder said", err)
	}
	o.Builder.Endpoints = nil
	if err := watch(t.Context(), o, nil); err == nil {
		t.Error("a builder that is not published is idle")
	}
}

// TestIdleStill: who watches a builder at which nobody builds hears of a build
// that begins, also when the context has ended meanwhile, and takes a builder that
// is not heard any more for one at which somebody may.
func TestIdleStill(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*history)
		still   bool
	}{
		"nothing":             {func(*history) {}, true},
		"a build begins":      {func(h *history) { h.start("a") }, false},
		"it is heard no more": {func(h *history) { h.fails <- errors.New("gone") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, o := newHistory(t)
			ctx, cancel := context.WithCancel(t.Context())
			idle, err := WatchIdle(ctx, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer idle.Close()
			cancel()
			go c.happens(h)
			wait := 10 * time.Second
			if c.still {
				wait = 200 * time.Millisecond
			}
			if got := idle.Still(wait); got != c.still {
				t.Errorf("still idle: %v", got)
			}
		})
	}
}
