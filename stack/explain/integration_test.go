package explain

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certyard/certyard/compose/composetest"
	"github.com/certyard/certyard/pki/pkitest"
)

// atOnce is how many tests run at once: what waits is an engine or a builder that
// tries again, not a processor.
const atOnce = 8

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestIntegrationRealTexts: what the daemons and their clients print, each made
// to say it here, is explained as what was done to them.
func TestIntegrationRealTexts(t *testing.T) {
	composetest.Connect(t)
	r := newReal(t)
	t.Setenv("CERTYARD_DAEMONS", filepath.Dir(r.programs)) // what stacks load, where nothing can be pulled
	tests := map[string]func(*testing.T, *real){
		"buildkitd starts": testBuilderStarts, "registry starts": testRegistryStarts, "push": testPush, "client": testClient,
		"logs": testLogs, "passwords": testPasswords, "uploads": testUploads, "engine": testEngine, "stacks": testStacks, "rows": testRows,
	}
	var ran atomic.Int32
	t.Run("all", func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ran.Add(1)
				test(t, r)
			})
		}
	})
	if int(ran.Load()) == len(tests) {
		r.saidAll(t)
	}
}

// saidAll: what the table has from daemons alone, they have said, and what they have
// said is not typed in.
func (r *real) saidAll(t *testing.T) {
	t.Helper()
	for _, i := range daemonsSay(t) {
		if !r.said.seen[i] {
			t.Errorf("%s: no daemon has said %q", known().entries[known().patterns[i].entry].ID, patternText(i))
		}
	}
	for _, row := range typed() {
		y := &texts{seen: map[int]bool{}}
		y.see(row.text)
		needed := row.why == race
		for i := range y.seen {
			needed = needed || !r.said.seen[i]
		}
		if !needed {
			t.Errorf("%q: daemons have said all of it, take it out (%s)", row.text, row.why)
		}
	}
}

// real is what the tests of real texts share.
type real struct {
	programs string // the directory with buildkitd, buildctl and registry
	ca       *pkitest.CA

	mu   sync.Mutex // guards said
	said texts
}

// newReal finds the daemons, which "make daemons" builds. A builder on this machine
// needs root, to mount what it builds.
func newReal(t *testing.T) *real {
	t.Helper()
	programs, err := filepath.Abs(filepath.Join("../../bin/daemons", runtime.GOOS+"-"+runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	missing := ""
	if _, err := os.Stat(filepath.Join(programs, "buildkitd")); err != nil {
		missing = fmt.Sprintf("needs the daemons, which \"make daemons\" builds: %v", err)
	}
	if os.Geteuid() != 0 {
		missing = "needs root, for a builder on this machine"
	}
	switch {
	case missing != "" && os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1":
		t.Fatal(missing)
	case missing != "":
		t.Skip(missing)
	}
	return &real{programs: programs, ca: pkitest.New(t, time.Now()), said: texts{seen: map[int]bool{}}}
}

// want is what a text has to be explained as: "entry", or "entry: hop", and "|"
// between two of them when it is not certain which text comes.
func want(ids string, hop Hop) string {
	if hop == "" {
		return ids
	}
	return strings.ReplaceAll(ids, "|", ": "+string(hop)+"|") + ": " + string(hop)
}

// explains looks at a whole text. It has to have these messages, in this order, and
// no other one.
func (r *real) explains(t *testing.T, text string, wanted ...string) Result {
	t.Helper()
	result, err := Scan(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range result.Messages {
		if w := want(m.ID, m.Hop); !slices.Contains(got, w) {
			got = append(got, w)
		}
	}
	if !slices.EqualFunc(got, wanted, func(got, wanted string) bool { return slices.Contains(strings.Split(wanted, "|"), got) }) {
		t.Errorf("explained as %q, want %q:\n%s", got, wanted, text)
	}
	if testing.Verbose() {
		t.Logf("%q\n%s", got, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said.see(text)
	return result
}

// write writes a file, and returns its path.
func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
