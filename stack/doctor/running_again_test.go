package doctor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/doctor"
)

// fakeEngine has the containers that a test says.
type fakeEngine struct {
	now        time.Time
	containers []compose.Container
	log        string
	asked      []compose.LogOptions
}

func (e *fakeEngine) Address() string { return "unix:///fake" }

func (e *fakeEngine) Info(context.Context) (compose.Info, error) {
	return compose.Info{Version: "fake", Time: e.now}, nil
}

func (e *fakeEngine) Containers(context.Context, string) ([]compose.Container, error) {
	return e.containers, nil
}

func (e *fakeEngine) Logs(_ context.Context, _ string, o compose.LogOptions) error {
	e.asked = append(e.asked, o)
	_, err := fmt.Fprintln(o.Out, e.log)
	return err
}

// TestRestarting: a container that runs for the moment and is about to end again
// counts as one that does not run, one that ended long ago does not, and only what
// its last run said is explained.
func TestRestarting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte("name: a\nservices:\n  buildkit:\n    image: moby/buildkit:v0.34.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, c := range []struct {
		name     string
		state    string
		restarts int
		since    time.Duration
		want     []string
	}{
		{"started again just now", "running", 3, time.Second, []string{"running.container"}},
		{"started again long ago", "running", 3, time.Hour, nil},
		{"started by somebody just now", "running", 0, time.Second, nil},
		{"waits to be started again", "restarting", 3, time.Second, []string{"running.container", "running.log"}},
	} {
		e := &fakeEngine{now: now, log: "buildkit-1 | buildkitd: failed to append ca cert", containers: []compose.Container{
			{ID: "1", Name: "a-buildkit-1", Service: "buildkit", State: c.state, ExitCode: 1, Restarts: c.restarts, Started: now.Add(-c.since)}}}
		result, err := doctor.Examine(t.Context(), doctor.Deps{Now: time.Now, Load: compose.LoadFile, Engine: e}, doctor.Target{Compose: file})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range result.Findings {
			if strings.HasPrefix(f.Rule, "running.") {
				got = append(got, f.Rule)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v%s", c.name, got, c.want, toldOf(result))
		}
		for _, o := range e.asked {
			if !o.Since.Equal(now.Add(-c.since)) {
				t.Errorf("%s: asked for the log since %s, want that of the last run", c.name, o.Since)
			}
		}
	}
}
