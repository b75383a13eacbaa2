package doctor_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
	"github.com/certyard/certyard/stack/stacktest"
)

// TestMain gives the stacks of these tests a place of their own, and says where the
// daemons are.
func TestMain(m *testing.M) {
	status, err := runApart(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func runApart(m *testing.M) (int, error) {
	cache, err := os.MkdirTemp("", "certyard-doctor-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(cache)
	built, err := exec.Command("go", "env", "GOCACHE").Output() // not to be built anew
	if err != nil {
		return 1, err
	}
	daemons, err := filepath.Abs("../../bin/daemons")
	if err != nil {
		return 1, err
	}
	for name, value := range map[string]string{"XDG_CACHE_HOME": cache, "GOCACHE": strings.TrimSpace(string(built)), "CERTYARD_DAEMONS": daemons} {
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// ownStack is a stack that certyard made, and that runs.
type ownStack struct {
	*stacktest.Stack
	engine *compose.Engine
	deps   lifecycle.Deps
	undo   []func()
}

func newOurs(t *testing.T, engine *compose.Engine, o stacktest.Options) *ownStack {
	t.Helper()
	o.Proof, o.Images = stacktest.Quick, stack.ImagesBundled
	s := &ownStack{Stack: stacktest.Start(t, o), engine: engine}
	s.deps = local.Deps(s.Dir())
	s.deps.Engine = engine
	return s
}

// recorded returns the record of the stack.
func (s *ownStack) recorded(t *testing.T) stack.State {
	t.Helper()
	data, err := s.deps.Store.Read(stack.FileState)
	if err != nil {
		t.Fatal(err)
	}
	state, err := stack.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// target is what "certyard doctor" looks at in the directory of the stack.
func (s *ownStack) target(t *testing.T) (doctor.Deps, doctor.Target) {
	t.Helper()
	record, err := lifecycle.GetRecord(s.deps.Store)
	if err != nil {
		t.Fatal(err)
	}
	own := doctor.NewOwn(record.Spec, record.Facts, s.Dir())
	own.Changed = record.Changed
	own.Prove = func(ctx context.Context) (stack.Report, error) {
		report, _, err := lifecycle.Smoke(ctx, s.deps)
		return report, err
	}
	load := func(ctx context.Context, file string) (*types.Project, error) {
		return compose.Load(ctx, compose.Source{Name: record.Spec.Name, Dir: s.Dir(), Files: []string{file}})
	}
	deps := doctor.Deps{Now: time.Now, Load: load, Engine: s.engine, DockerConfig: t.TempDir(), CertsD: []string{t.TempDir()}}
	return deps, doctor.Target{Own: own, Compose: filepath.Join(s.Dir(), stack.FileCompose)}
}

// examine examines the stack, and sees that this changes nothing.
func (s *ownStack) examine(t *testing.T, change ...func(*doctor.Deps, *doctor.Target)) doctor.Result {
	t.Helper()
	deps, target := s.target(t)
	for _, c := range change {
		c(&deps, &target)
	}
	return examine(t, s.engine, s.Name(), s.Dir(), deps, target)
}

// examine examines a target whose files are in a directory and whose containers are
// of a project, and fails the test when one of these is not as before.
func examine(t *testing.T, engine *compose.Engine, project, dir string, deps doctor.Deps, target doctor.Target) doctor.Result {
	t.Helper()
	before := append(tree(t, dir), containers(t, engine, project)...)
	result, err := doctor.Examine(t.Context(), deps, target)
	if err != nil {
		t.Fatal(err)
	}
	after := append(tree(t, dir), containers(t, engine, project)...)
	if !slices.Equal(before, after) {
		t.Errorf("an examination has changed something: before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	return result
}

// tree describes every file of a directory, with what is in it.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(data)
		}
		out = append(out, fmt.Sprintf("%s %s %s %x", path, info.Mode(), info.ModTime(), sum[:6]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 5 {
		t.Fatalf("there are only %d files in %s", len(out), dir)
	}
	return out
}

// containers describes the containers of a project. One that is restarted again and
// again is not told when.
func containers(t *testing.T, engine *compose.Engine, project string) (out []string) {
	t.Helper()
	list, err := engine.Containers(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.State == "restarting" || c.Restarts > 0 {
			out = append(out, c.ID)
			continue
		}
		out = append(out, fmt.Sprint(c.ID, " ", c.State, " ", c.Started))
	}
	return out
}

// table collects what was found of each fault.
type table struct {
	mu   sync.Mutex
	rows []row
}

type row struct{ stack, fault, want, verdict, found string }

// judge adds a row: the wanted rule has to be the first that was found, and what is
// found besides has to be among also.
func (tab *table) judge(t *testing.T, on, fault, want string, also []string, r doctor.Result) {
	t.Helper()
	var found, others []string
	for _, f := range r.Findings {
		if !slices.Contains(found, f.Rule) {
			found = append(found, f.Rule)
		}
		if f.Rule != want && !slices.Contains(also, f.Rule) {
			others = append(others, f.Rule)
		}
	}
	verdict := "first"
	switch i := slices.Index(found, want); {
	case want != "" && i < 0:
		verdict = "missed"
	case want != "" && i > 0:
		verdict = "not first"
	case len(others) > 0:
		verdict = "false alarm"
	case want == "":
		verdict = "sound"
	}
	tab.mu.Lock()
	tab.rows = append(tab.rows, row{on, fault, want, verdict, strings.Join(found, " ")})
	tab.mu.Unlock()
	if verdict != "first" && verdict != "sound" {
		t.Errorf("%s, %s: %s: want %s%s", on, fault, verdict, want, toldOf(r))
	}
}

// toldOf writes out what was found.
func toldOf(r doctor.Result) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n\t%s: %s [%s %s] %s:%d %s: %s", r.Severity(f), f.Rule, f.Subject, f.Object, f.File, f.Line, f.Problem, r.Mend(f))
	}
	return b.String()
}

// print shows the table and its sums.
func (tab *table) print(t *testing.T) {
	t.Helper()
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	count := map[string]int{}
	for _, r := range tab.rows {
		count[r.verdict]++
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.stack, r.fault, r.verdict, r.found)
	}
	w.Flush()
	t.Logf("%d examinations: %d faults found first, %d not first, %d missed, %d false alarms, %d sound\n%s", len(tab.rows),
		count["first"], count["not first"], count["missed"], count["false alarm"], count["sound"], &b)
}

// TestIntegrationOurs: a stack as certyard makes it has nothing that is found, in
// every form, and every group of rules is judged. What is done to it is named first.
func TestIntegrationOurs(t *testing.T) {
	t.Parallel()
	engine := composetest.Connect(t)
	tab := &table{}
	t.Cleanup(func() { tab.print(t) })
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		for _, tls := range []stack.BuilderTLS{stack.TLSServer, stack.TLSMutual} {
			name := string(serve) + "-" + string(tls)
			t.Run(name, func(t *testing.T) {
				s := newOurs(t, engine, stacktest.Options{Serve: serve, TLS: tls})
				result := s.examine(t)
				tab.judge(t, name, "none", "", nil, result)
				judgedAll(t, name, result)
				for _, f := range ourFaults() {
					if f.on == "" || strings.Contains(name, f.on) {
						s.suffer(t, tab, name, f)
					}
				}
				begun := time.Now()
				result = s.examine(t)
				t.Logf("%s: an examination takes %s", name, time.Since(begun).Round(time.Millisecond))
				tab.judge(t, name, "none, after all", "", nil, result)
			})
		}
	}
}

// judgedAll: no group of rules goes without anything that was judged.
func judgedAll(t *testing.T, name string, r doctor.Result) {
	t.Helper()
	for _, g := range doctor.Groups() {
		if held, judged := r.Count(g); judged == 0 || held != judged {
			t.Errorf("%s: of group %s %d of %d rules hold", name, g, held, judged)
		}
		if !slices.ContainsFunc(r.Looked, func(l doctor.Looked) bool { return l.Group == g }) {
			t.Errorf("%s: nothing of group %s was looked at", name, g)
		}
	}
}
