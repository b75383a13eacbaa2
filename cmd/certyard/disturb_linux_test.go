package main

import (
	"bytes"
	"slices"
	"sync"
	"syscall"

	"github.com/certyard/certyard/stack"
)

// fate is what becomes of a call or request; the zero fate is that it goes on.
type fate struct {
	killed bool          // the process was killed
	errno  syscall.Errno // it fails with this
	cut    bool          // the connection ends
}

// disturbance is what happens to a process at its n-th point of a kind.
type disturbance struct {
	name    string
	kind    string
	errno   syscall.Errno // the call fails with it; without, and without cut, the process is killed
	onwards bool          // and so does every later one
	cut     bool          // the connection to the engine ends
	undo    bool          // and then what the command has begun is taken back
	few     int           // so many points are in the sample
}

func (d disturbance) kills() bool { return d.errno == 0 && !d.cut }

// disturbances are the columns of the sweep.
var disturbances = []disturbance{
	{name: "killed at sync", kind: kindSync, few: 1},
	{name: "killed at place", kind: kindPlace, few: 2},
	{name: "killed at make", kind: kindMake},
	{name: "killed at write", kind: kindWrite},
	{name: "killed at mode", kind: kindMode},
	{name: "killed before request", kind: kindRequest},
	{name: "killed before answer", kind: kindAnswer, few: 1},
	{name: "ENOSPC from sync on", kind: kindSync, errno: syscall.ENOSPC, onwards: true},
	{name: "ENOSPC from write on", kind: kindWrite, errno: syscall.ENOSPC, onwards: true, few: 1},
	{name: "ENOSPC from make on", kind: kindMake, errno: syscall.ENOSPC, onwards: true},
	{name: "ENOSPC at place", kind: kindPlace, errno: syscall.ENOSPC},
	{name: "EIO at sync", kind: kindSync, errno: syscall.EIO},
	{name: "EIO at write", kind: kindWrite, errno: syscall.EIO},
	{name: "EIO at make", kind: kindMake, errno: syscall.EIO},
	{name: "EIO at place", kind: kindPlace, errno: syscall.EIO, few: 1},
	{name: "EIO from place on", kind: kindPlace, errno: syscall.EIO, onwards: true},
	{name: "cut before request", kind: kindRequest, cut: true},
	{name: "cut before answer", kind: kindAnswer, cut: true, few: 1},
	{name: "killed at place, back", kind: kindPlace, undo: true},
	{name: "killed at request, back", kind: kindRequest, undo: true, few: 2},
}

// points returns where the command is disturbed: everywhere, until it ends before
// a point, or at a few that are spread evenly, or where something can be taken
// back. What starts nothing is fast, what starts and removes a whole stack each
// time is slow.
func (s *sweep) points(d disturbance, full bool) []int {
	var out []int
	count, few := s.counts[d.kind], d.few
	switch {
	case d.undo && len(s.undo) == 0, !full && len(s.only) > 0 && !slices.Contains(s.only, d.name):
		return nil
	case d.undo && !full && few > 0:
		return []int{s.within(d.kind, stack.PhaseExpand), s.within(d.kind, stack.PhaseSwitch)}
	case s.stops:
		few = 2
	case s.fresh && d.kills():
		few = min(few, 1)
	case s.fresh:
		few = 0
	}
	switch few = min(few, count); {
	case full:
		for n := range 2 * count { // it may come to more points than it did undisturbed
			out = append(out, n+1)
		}
	case few == 1:
		out = append(out, (count+1)/2)
	default:
		for i := range few {
			out = append(out, 1+i*(count-1)/(few-1))
		}
	}
	return out
}

// within returns the point of a kind in the middle of a phase.
func (s *sweep) within(kind string, phase stack.Phase) int {
	first, count := slices.Index(s.phases[kind], phase), 0
	for _, p := range s.phases[kind] {
		if p == phase {
			count++
		}
	}
	return first + 1 + count/2
}

// disturbed is how a disturbed process fared.
type disturbed struct {
	result
	counts map[string]int // points that it came to, by kind
	hit    string         // what the n-th was; "" when there were fewer
}

// observe runs a command, and calls look at each of its points. The process waits
// for that, at least with what it is doing there.
func (y *yard) observe(look func(kind string), args ...string) disturbed {
	y.t.Helper()
	return y.interfere(disturbance{}, 0, look, args)
}

// disturb runs a command, and disturbs it at its n-th point.
func (y *yard) disturb(d disturbance, n int, args ...string) disturbed {
	y.t.Helper()
	return y.interfere(d, n, func(string) {}, args)
}

func (y *yard) interfere(d disturbance, n int, look func(kind string), args []string) disturbed {
	y.t.Helper()
	out := disturbed{counts: map[string]int{}}
	var mu sync.Mutex
	dead := make(chan struct{})
	cmd := y.command(args...)
	decide := func(kind, what string) fate {
		look(kind)
		mu.Lock()
		out.counts[kind]++
		count := out.counts[kind]
		mu.Unlock()
		if n == 0 || kind != d.kind || count < n || count > n && !d.onwards {
			return fate{}
		}
		if count == n {
			mu.Lock()
			out.hit = what
			mu.Unlock()
		}
		if !d.kills() {
			return fate{errno: d.errno, cut: d.cut}
		}
		_ = cmd.Process.Kill()
		if kind == kindRequest || kind == kindAnswer {
			<-dead // it must not see the connection end
		}
		return fate{killed: true}
	}
	proxy := newEngineProxy(y.t, decide)
	defer proxy.close()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(cmd.Env, "DOCKER_HOST="+proxy.host)
	listener := startWatched(y.t, cmd)
	answered := make(chan error, 1)
	go func() { answered <- answerAll(listener, y.dir, decide) }()
	_ = cmd.Wait() // how it ended is looked at below
	close(dead)
	if err := <-answered; err != nil {
		y.t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	out.result = result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	return out
}
