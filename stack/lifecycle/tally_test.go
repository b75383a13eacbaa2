package lifecycle_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/stack"
)

// tally is what came of the traffic since it was last looked at.
type tally struct {
	builds []time.Time         // when the clients of those that have ended came
	failed []attempt           // those of them that failed
	polls  map[string][]answer // by service
	taken  time.Time
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
	password string // with which it was put, if it needs one
	err      error
}

// errRefused is what the registry says to who asks with a wrong password.
var errRefused = errors.New("401 Unauthorized")

// away reports whether a question got no answer. To be refused is one.
func (a answer) away() bool { return a.err != nil && !errors.Is(a.err, errRefused) }

// moment is how long before and after a password was replaced somebody may still
// have asked with the old one, or already have asked with the new one.
const moment = time.Second

// replaced returns when the registry was first asked with another password.
func (b tally) replaced() (out []time.Time) {
	last := ""
	for _, a := range b.polls[stack.Registry] {
		if a.password == "" {
			continue
		}
		if last != "" && a.password != last {
			out = append(out, a.from)
		}
		last = a.password
	}
	return out
}

// replacing reports whether a password was replaced at about a time.
func (b tally) replacing(at time.Time) bool {
	return slices.ContainsFunc(b.replaced(), func(t time.Time) bool { return t.Sub(at).Abs() <= moment })
}

// refused returns the questions that the registry refused: those that were put at
// about the time when the password was replaced, and the others.
func (b tally) refused() (then, otherwise []answer) {
	for _, a := range b.polls[stack.Registry] {
		switch {
		case !errors.Is(a.err, errRefused):
		case b.replacing(a.from):
			then = append(then, a)
		default:
			otherwise = append(otherwise, a)
		}
	}
	return then, otherwise
}

// gap is a time without service: from the last answer to the next one.
type gap struct{ from, to time.Time }

func (g gap) length() time.Duration { return g.to.Sub(g.from) }

// saw reports whether a failure that was seen at a time belongs to the gap. What
// is refused just before its end is seen just after it.
func (g gap) saw(at time.Time) bool {
	return !at.Before(g.from) && !at.After(g.to.Add(500*time.Millisecond))
}

// held reports whether a build was asked for and failed in the gap.
func (g gap) held(a attempt) bool {
	return !a.asked.Before(g.from) && !a.asked.After(g.to) && g.saw(a.at)
}

// gaps returns the times in which a service did not answer. One that has not ended
// is counted up to the time when the tally was taken.
func (b tally) gaps(service string) (out []gap) {
	var last time.Time
	down := false
	for i, a := range b.polls[service] {
		if i == 0 {
			last = a.from
		}
		if a.away() {
			down = true
			continue
		}
		if down {
			out = append(out, gap{last, a.at})
		}
		last, down = a.at, false
	}
	if down {
		out = append(out, gap{last, b.taken})
	}
	return out
}

// unanswered returns how many questions to a service got no answer.
func (b tally) unanswered(service string) int {
	n := 0
	for _, a := range b.polls[service] {
		if a.away() {
			n++
		}
	}
	return n
}

func longest(gaps []gap) time.Duration {
	var out time.Duration
	for _, g := range gaps {
		out = max(out, g.length())
	}
	return out.Round(time.Millisecond)
}

// excuse says why a build may have failed, "" when it must not have.
func (k rotationKind) excuse(serve stack.Serve, b tally, a attempt) string {
	during := func(service string, is func(gap) bool) bool { return slices.ContainsFunc(b.gaps(service), is) }
	seen := func(g gap) bool { return g.saw(a.at) }
	held := func(g gap) bool { return g.held(a) }
	switch {
	case k.mayRefuse && a.begun && strings.Contains(a.err.Error(), errRefused.Error()) && b.replacing(a.from):
		return "refused with the old password"
	case !a.begun && serve == stack.ServeDaemon && during(stack.Builder, seen):
		return "could not begin while the builder was away"
	case a.begun && serve == stack.ServeDaemon && during(stack.Registry, held):
		// The builder may be back before the registry is.
		return "begun while the registry was away"
	default:
		return ""
	}
}

// faults returns what must not have come of the traffic.
func (s soak) faults(k rotationKind, b tally, restarts int) (out []string) {
	fault := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, a := range b.failed {
		if k.excuse(s.serve, b, a) == "" {
			fault("a build failed that nothing excuses (begun: %v): %s", a.begun, a)
		}
	}
	refused, otherwise := b.refused()
	if !k.mayRefuse {
		otherwise = append(otherwise, refused...)
	}
	for _, a := range otherwise {
		fault("the registry refused who asked at %s", clock(a.from))
	}
	registry, builder := b.gaps(stack.Registry), b.gaps(stack.Builder)
	if s.serve == stack.ServeEdge && len(registry) > 0 {
		fault("the registry was away %d times", len(registry))
	}
	if s.serve == stack.ServeEdge && (restarts > 0 || len(builder) > 0) {
		fault("%d restarts, the builder was away %d times", restarts, len(builder))
	}
	if away := max(longest(registry), longest(builder)); s.full && away > longestGap {
		fault("%v without service", away)
	}
	return out
}
