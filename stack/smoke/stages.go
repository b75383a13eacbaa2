package smoke

import (
	"time"
)

type stage int

const (
	stagePull stage = iota
	stagePullAgain
	stageRun
	stagePush
	stageCount
)

type stages [stageCount]struct {
	took time.Duration
	err  error
}

func stagesOf(result solved, repository string) stages {
	var s stages
	for _, v := range result.vertices {
		println(v.Name, "|", v.Error, "|", v.Started != nil, v.Completed != nil, v.Cached)
		if v.Started != nil && v.Completed != nil {
			println("   ", v.Completed.Sub(*v.Started).String())
		}
	}
	for i := range s {
		s[i].err = result.err
	}
	return s
}
