package smoke

import (
	"errors"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
)

// stage is a part of the smoke build that a check reports on.
type stage int

const (
	stagePull stage = iota
	stagePullAgain
	stageRun
	stagePush
	stageCount
)

// String is the end of the check's ID.
func (s stage) String() string {
	return [stageCount]string{"pull", "pull-again", "run", "push"}[s]
}

// stages says how each stage ended.
type stages [stageCount]struct {
	took time.Duration
	err  error
}

// stagesOf sorts the vertices of a build by stage, so that what fails is named.
// The other stages hold if they were finished by then, and are skipped if not.
func stagesOf(result solved, base, old string) stages {
	var parts [stageCount][]*client.Vertex
	for _, v := range result.vertices {
		if s, ok := stageOf(v.Name, base, old); ok {
			parts[s] = append(parts[s], v)
		}
	}
	var all stages
	failed, open := stageCount, stageCount
	for s := stagePush; s >= 0; s-- {
		all[s].took = duration(parts[s])
		if all[s].err = failure(parts[s]); all[s].err != nil {
			failed = s
		} else if !finished(parts[s]) {
			open = s
		}
	}
	if result.err == nil {
		return all
	}
	if failed == stageCount { // nothing that is known by name
		failed = min(open, stagePush)
		all[failed].err = result.err
	}
	for s := range all {
		if all[s].err == nil && !finished(parts[s]) {
			all[s].err = &skipped{"build." + failed.String()}
		}
	}
	return all
}

// stageOf knows a vertex by what the Dockerfile frontend calls it.
func stageOf(name, base, old string) (stage, bool) {
	switch {
	case strings.Contains(name, "RUN "):
		return stageRun, true
	case strings.HasPrefix(name, "exporting"):
		return stagePush, true
	case strings.Contains(name, base):
		return stagePull, true
	case strings.Contains(name, old):
		return stagePullAgain, true
	}
	return 0, false
}

// failure returns the error of the vertices, unless they only stopped because
// another one failed.
func failure(vertices []*client.Vertex) error {
	for _, v := range vertices {
		if v.Error != "" && !strings.Contains(v.Error, "context canceled") {
			err := errors.New(v.Error)
			return &fault{reasonOfSolve(err), err}
		}
	}
	return nil
}

func finished(vertices []*client.Vertex) bool {
	for _, v := range vertices {
		if v.Completed == nil || v.Error != "" {
			return false
		}
	}
	return len(vertices) > 0
}

// duration is the time from the start of the first vertex to the end of the
// last one.
func duration(vertices []*client.Vertex) time.Duration {
	var start, end time.Time
	for _, v := range vertices {
		if v.Started != nil && (start.IsZero() || v.Started.Before(start)) {
			start = *v.Started
		}
		if v.Completed != nil && v.Completed.After(end) {
			end = *v.Completed
		}
	}
	return max(0, end.Sub(start))
}
