package smoke

import (
	"errors"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/certyard/certyard/stack"
)

// Vertices as buildkitd v0.34.2 names them.
const (
	testBase  = "r:5000/certyard-proof/x@sha256:01"
	testOld   = "r:5000/certyard-proof/seen@sha256:02"
	loadBase  = "[internal] load metadata for " + testBase
	loadOld   = "[internal] load metadata for " + testOld
	fromBase  = "[stage-0 1/3] FROM " + testBase
	fromOld   = "FROM " + testOld
	copyOld   = "[stage-0 2/3] COPY --from=" + testOld + " /seen /seen"
	runStep   = `[stage-0 3/3] RUN ["/step"]`
	exporting = "exporting to image"
)

func TestStagesOf(t *testing.T) {
	const canceled = "context canceled"
	tests := []struct {
		name     string
		finished []string
		failed   map[string]string
		err      string
		want     [stageCount]stack.Reason // empty: holds
	}{
		{
			name:     "all is well",
			finished: []string{"mkfile /Dockerfile", loadBase, loadOld, fromBase, fromOld, copyOld, runStep, exporting},
		},
		{
			name:   "neither can be pulled, and one was quicker to say so",
			failed: map[string]string{loadBase: "x509: certificate signed by unknown authority", loadOld: canceled}, err: "x",
			want: [...]stack.Reason{"untrusted", "not-applicable", "not-applicable", "not-applicable"},
		},
		{
			name:   "stale trust for the old repository",
			failed: map[string]string{loadBase: canceled, loadOld: "x509: certificate signed by unknown authority"}, err: "x",
			want: [...]stack.Reason{"not-applicable", "untrusted", "not-applicable", "not-applicable"},
		},
		{
			name:     "stale trust, after the base image was pulled",
			finished: []string{loadBase, fromBase},
			failed:   map[string]string{copyOld: "401 Unauthorized"}, err: "x",
			want: [...]stack.Reason{"", "unauthorized", "not-applicable", "not-applicable"},
		},
		{
			name:     "the step fails",
			finished: []string{loadBase, loadOld, fromBase, copyOld},
			failed:   map[string]string{runStep: "exit code: 1"}, err: "x",
			want: [...]stack.Reason{"", "", "build", "not-applicable"},
		},
		{
			name:     "the push fails",
			finished: []string{loadBase, loadOld, fromBase, copyOld, runStep},
			failed:   map[string]string{exporting: "connection refused"}, err: "x",
			want: [...]stack.Reason{"", "", "", "unreachable"},
		},
		{
			name: "nothing is known but that it failed",
			err:  "rpc error: connection refused",
			want: [...]stack.Reason{"unreachable", "not-applicable", "not-applicable", "not-applicable"},
		},
		{
			name:     "the connection breaks in the step",
			finished: []string{loadBase, loadOld, fromBase, copyOld},
			failed:   map[string]string{runStep: canceled}, err: "unexpected end",
			want: [...]stack.Reason{"", "", "build", "not-applicable"},
		},
		{
			name:     "all is done, and then it fails",
			finished: []string{loadBase, fromBase, copyOld, runStep, exporting}, err: "unexpected end",
			want: [...]stack.Reason{"", "", "", "build"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := solved{vertices: map[digest.Digest]*client.Vertex{}}
			if test.err != "" {
				cause := errors.New(test.err)
				result.err = &fault{reasonOfSolve(cause), cause}
			}
			add := func(name, failure string) {
				start := time.Unix(100, 0)
				end := start.Add(time.Second)
				d := digest.FromString(name)
				result.vertices[d] = &client.Vertex{Digest: d, Name: name, Started: &start, Completed: &end, Error: failure}
			}
			for _, name := range test.finished {
				add(name, "")
			}
			for name, failure := range test.failed {
				add(name, failure)
			}
			for s, got := range stagesOf(result, testBase, testOld) {
				reason := stack.Reason("")
				if got.err != nil {
					reason = reasonOf(got.err)
				}
				if reason != test.want[s] {
					t.Errorf("%v: %q (%v), want %q", stage(s), reason, got.err, test.want[s])
				}
			}
		})
	}
}

func TestDuration(t *testing.T) {
	at := func(seconds int64) *time.Time { when := time.Unix(seconds, 0); return &when }
	got := duration([]*client.Vertex{
		{Started: at(10), Completed: at(12)}, {Started: at(8), Completed: at(11)}, {Started: at(9)}, {},
	})
	if want := 4 * time.Second; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := duration(nil); got != 0 {
		t.Errorf("got %v for nothing", got)
	}
}
