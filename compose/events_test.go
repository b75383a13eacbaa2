package compose

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/docker/compose/v5/pkg/api"
)

func TestBusTranslatesEvents(t *testing.T) {
	var got []Event
	b := newBus(map[string]string{"yard-a-1": "a"}, func(e Event) { got = append(got, e) })
	b.On(
		api.Resource{ID: "Network yard_default", Text: "Creating"},
		api.Resource{ID: "Network yard_default", Text: "Creating"}, // the SDK says it twice
		api.Resource{ID: "Container yard-a-1", Text: "Started", Status: api.Done},
		api.Resource{ID: "0a1b", ParentID: "Image x", Text: "Downloading"}, // a layer
		api.Resource{ID: "Image x", Text: "Error", Details: "no such host", Status: api.Error},
		api.Resource{ID: "Container yard-b-1", Text: "cannot start", Status: api.Error},
	)
	want := []Event{
		{Resource: "network", Name: "yard_default", Status: "creating"},
		{Service: "a", Resource: "container", Name: "yard-a-1", Status: "started", Done: true},
		{Resource: "image", Name: "x", Status: "error", Err: "no such host"},
		{Resource: "container", Name: "yard-b-1", Status: "error", Err: "cannot start"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("events are\n%+v\nwant\n%+v", got, want)
	}
	if b.failedImage() != "x" {
		t.Errorf("failed image is %q, want x", b.failedImage())
	}
}

// An observer needs no lock of its own: the race detector fails this test when
// events arrive at the same time.
func TestBusObservesFromOneGoroutineAtATime(t *testing.T) {
	n := 0
	b := newBus(nil, func(Event) { n++ })
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { b.On(api.Resource{ID: fmt.Sprintf("Container %d", i), Text: "Started"}) })
	}
	wg.Wait()
	if n != 50 {
		t.Errorf("saw %d events, want 50", n)
	}
}
