package lifecycle_test

import (
	"fmt"
	"time"
)

// tally is what came of the traffic since it was last looked at.
type tally struct {
	builds []time.Time         // when the clients of those that have ended came
	failed []attempt           // those of them that failed
	polls  map[string][]answer // by service
}

// attempt is one try to build something.
type attempt struct {
	ref   string    // under which the builder's history has it
	from  time.Time // its client came,
	asked time.Time // asked for the build,
	heard time.Time // first heard of it,
	at    time.Time // and had its end
	begun bool      // the builder has a record of it, or has told of it
	err   error
}

func (a attempt) String() string {
	return fmt.Sprintf("from %s, asked at %s, heard of at %s, until %s: %v", clock(a.from), clock(a.asked), clock(a.heard), clock(a.at), a.err)
}

// clock is a time of the day, "never" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("15:04:05.000")
}

// count returns how many builds failed that the builder had begun, or had not.
func (b tally) count(begun bool) int {
	n := 0
	for _, a := range b.failed {
		if a.begun == begun {
			n++
		}
	}
	return n
}

// answer is what became of a question to a daemon.
type answer struct {
	from, at time.Time
	err      error
}

// gap is a time without service: from the last answer to the next one.
type gap struct{ from, to time.Time }

func (g gap) length() time.Duration { return g.to.Sub(g.from) }

// gaps returns the times in which a service did not answer, and how many
// questions failed.
func (b tally) gaps(service string) (out []gap, failed int) {
	var last time.Time
	down := false
	for _, a := range b.polls[service] {
		if a.err != nil {
			failed++
			down = true
			continue
		}
		if down {
			from := last
			if from.IsZero() {
				from = b.polls[service][0].from
			}
			out = append(out, gap{from, a.at})
		}
		last, down = a.at, false
	}
	return out, failed
}
