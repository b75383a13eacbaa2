package lifecycle_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

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

// TestRotationExcuse: the builder is away from 2 to 4, the registry from 12 to 14,
// and the password is another one from 16.9 on.
func TestRotationExcuse(t *testing.T) {
	b := tally{taken: second(20), polls: map[string][]answer{
		stack.Builder:  asked(1, 2, -3, 4, 5, 19),
		stack.Registry: asked(1, 12, -13, 14, 15, 17, 19),
	}}
	for i := range b.polls[stack.Registry] {
		b.polls[stack.Registry][i].password = "old"
		if i >= 5 {
			b.polls[stack.Registry][i].password = "new"
		}
	}
	var never time.Time
	at := func(begun bool, asked, at time.Time) attempt {
		return attempt{begun: begun, from: second(0), asked: asked, at: at, err: errors.New("connection refused")}
	}
	refused := attempt{begun: true, from: second(16.5), asked: second(17.1), at: second(17.2), err: errors.New("pushing: 401 Unauthorized")}
	later := refused
	later.from = second(18.2)
	const none, late, registry, password = "", "could not begin while the builder was away", "begun while the registry was away", "refused with the old password"
	tests := map[string]struct {
		a    attempt
		want [3]string // in the order of the kinds below
	}{
		"late, in the builder's gap":           {at(false, never, second(3)), [3]string{late, none, late}},
		"late, seen just after it":             {at(false, never, second(4.4)), [3]string{late, none, late}},
		"late, seen too long after it":         {at(false, never, second(4.6)), [3]string{}},
		"late, before it":                      {at(false, never, second(1.9)), [3]string{}},
		"late, in the registry's gap":          {at(false, second(12.5), second(13)), [3]string{}},
		"begun, in the registry's gap":         {at(true, second(12.1), second(13)), [3]string{registry, none, registry}},
		"begun, ends just after it":            {at(true, second(13.9), second(14.4)), [3]string{registry, none, registry}},
		"begun, ends too long after it":        {at(true, second(13), second(14.6)), [3]string{}},
		"begun, asked for before it":           {at(true, second(11.9), second(13)), [3]string{}},
		"begun, asked for just after it":       {at(true, second(14.1), second(14.3)), [3]string{}},
		"begun, in the builder's gap":          {at(true, second(2.1), second(3)), [3]string{none, none, none}},
		"begun, before the builder's gap":      {at(true, second(1.9), second(3)), [3]string{}},
		"begun, in no gap":                     {at(true, second(8), second(9)), [3]string{}},
		"begun, refused, and came later":       {later, [3]string{}},
		"begun, refused with the old password": {refused, [3]string{none, none, password}},
	}
	kinds := [3]rotationKind{{}, {}, {mayRefuse: true}}
	serves := [3]stack.Serve{stack.ServeDaemon, stack.ServeEdge, stack.ServeDaemon}
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

// TestTallyRefused: the password is replaced when the first question comes with
// another one.
func TestTallyRefused(t *testing.T) {
	question := func(at float64, password string, err error) answer {
		return answer{from: second(at), at: second(at + 0.1), password: password, err: err}
	}
	away := errors.New("connection refused")
	tests := map[string]struct {
		polls           []answer
		then, otherwise int
	}{
		"nobody":                   {[]answer{question(1, "a", nil), question(2, "b", nil)}, 0, 0},
		"with the old one":         {[]answer{question(1, "a", nil), question(2, "a", errRefused), question(2.5, "b", nil)}, 1, 0},
		"with the new one":         {[]answer{question(1, "a", nil), question(2, "b", errRefused), question(2.5, "b", errRefused), question(3.1, "b", nil)}, 2, 0},
		"long before":              {[]answer{question(1, "a", errRefused), question(2.5, "b", nil)}, 0, 1},
		"long after":               {[]answer{question(1, "a", nil), question(2, "b", nil), question(3.5, "b", errRefused)}, 0, 1},
		"never replaced":           {[]answer{question(1, "a", nil), question(2, "a", errRefused)}, 0, 1},
		"none could be read":       {[]answer{question(1, "a", nil), question(2, "", away), question(3, "a", errRefused)}, 0, 1},
		"away while it is":         {[]answer{question(1, "a", nil), question(2, "b", away), question(3, "b", nil)}, 0, 0},
		"the first with it":        {[]answer{question(1, "a", errRefused)}, 0, 1},
		"of the first and another": {[]answer{question(1, "a", errRefused), question(1.5, "b", errRefused), question(9, "b", errRefused)}, 2, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := tally{taken: second(10), polls: map[string][]answer{stack.Registry: test.polls}}
			then, otherwise := b.refused()
			if len(then) != test.then || len(otherwise) != test.otherwise {
				t.Errorf("%d refused then, %d otherwise, want %d and %d", len(then), len(otherwise), test.then, test.otherwise)
			}
		})
	}
	refused := tally{taken: second(9), polls: map[string][]answer{stack.Registry: {question(1, "a", nil), question(2, "a", errRefused), question(3, "a", nil)}}}
	if away := refused.gaps(stack.Registry); len(away) > 0 || refused.unanswered(stack.Registry) > 0 {
		t.Errorf("to be refused is an answer, and not %v", away)
	}
}

func TestSoaks(t *testing.T) {
	text := func(full bool) (out []string) {
		for _, s := range soaks(full) {
			line := s.name() + ":"
			for _, k := range s.kinds {
				line += " " + k.name + ","
			}
			out = append(out, fmt.Sprintf("%s %d workers, full %v", line, len(s.workers), s.full))
		}
		return out
	}
	const all = " leaves, clients, CA, CA, taken back, clients' CA, CA in a row, passwords, 3 workers, full true"
	want := []string{"edge:" + all, "daemon:" + all, "edge, tls server: leaves, CA, 3 workers, full true", "daemon, tls server: leaves, CA, 3 workers, full true"}
	if got := text(true); !slices.Equal(got, want) {
		t.Errorf("in full %q, want %q", got, want)
	}
	want = []string{"edge: leaves, CA, 2 workers, full false", "daemon: leaves, CA, 2 workers, full false"}
	if got := text(false); !slices.Equal(got, want) {
		t.Errorf("else %q, want %q", got, want)
	}
}

// TestSoakFaults: what else must not be than a failed build.
func TestSoakFaults(t *testing.T) {
	edge, daemon := soak{serve: stack.ServeEdge}, soak{serve: stack.ServeDaemon}
	full := soak{serve: stack.ServeDaemon, full: true}
	refuse := rotationKind{mayRefuse: true}
	polls := func(registry, builder []answer) tally {
		return tally{taken: second(20), polls: map[string][]answer{stack.Registry: registry, stack.Builder: builder}}
	}
	fine, away, long := asked(1, 2, 3), asked(1, -2, 2.5), asked(1, -2, 3.5)
	refused, replaced := asked(1, 2, 3), asked(1, 2, 3)
	for i := range refused {
		refused[i].password, replaced[i].password = "old", "old"
	}
	refused[1].err, replaced[1].err, replaced[2].password = errRefused, errRefused, "new"
	failed := polls(fine, fine)
	failed.failed = []attempt{{begun: true, asked: second(2), at: second(3), err: errors.New("broken off")}}
	tests := map[string]struct {
		s        soak
		k        rotationKind
		b        tally
		restarts int
		want     string
	}{
		"nothing":                          {edge, rotationKind{}, polls(fine, fine), 0, ""},
		"a build":                          {daemon, rotationKind{}, failed, 0, "nothing excuses (begun: true)"},
		"restarts":                         {edge, rotationKind{}, polls(fine, fine), 1, "1 restarts, the builder was away 0 times"},
		"restarts of daemons":              {daemon, rotationKind{}, polls(fine, fine), 2, ""},
		"the builder is away":              {edge, rotationKind{}, polls(fine, away), 0, "0 restarts, the builder was away 1 times"},
		"the registry is away":             {edge, rotationKind{}, polls(away, fine), 0, "the registry was away 1 times"},
		"daemons are away":                 {full, rotationKind{}, polls(away, away), 2, ""},
		"the registry is away for long":    {full, rotationKind{}, polls(long, fine), 2, "2.5s without service"},
		"the builder is away for long":     {full, rotationKind{}, polls(fine, long), 2, "2.5s without service"},
		"for long, where nobody counts":    {daemon, rotationKind{}, polls(long, long), 2, ""},
		"refused":                          {daemon, rotationKind{}, polls(refused, fine), 0, "the registry refused who asked at 12:00:01.900"},
		"refused, never replaced":          {daemon, refuse, polls(refused, fine), 0, "the registry refused who asked at 12:00:01.900"},
		"refused while it was replaced":    {daemon, refuse, polls(replaced, fine), 0, ""},
		"replaced where it should not be":  {daemon, rotationKind{}, polls(replaced, fine), 0, "the registry refused who asked at 12:00:01.900"},
		"refused, and that is no gap here": {edge, refuse, polls(replaced, fine), 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(test.s.faults(test.k, test.b, test.restarts), "; ")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) || strings.Contains(got, "; ") {
				t.Errorf("faults %q, want %q", got, test.want)
			}
		})
	}
}
