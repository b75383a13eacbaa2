package stacktest_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/local"
)

// TestMain gives the tests a directory for caches of their own, and looks at its end
// whether a stack was left there.
func TestMain(m *testing.M) {
	if os.Getenv(toBeKilled) != "" {
		os.Exit(m.Run())
	}
	status, err := runApart(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// atOnce is how many stacks the tests start at once.
const atOnce = 8

func runApart(m *testing.M) (int, error) {
	cache, err := os.MkdirTemp("", "certyard-stacktest-")
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
	// What waits is the engine, not a processor.
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil {
		return 1, err
	}
	status := m.Run()
	ephemeral, err := local.EphemeralStacks("")
	if err != nil {
		return status, err
	}
	left, err := os.ReadDir(ephemeral.Dir())
	if len(left) > 0 {
		return status, fmt.Errorf("the tests have left %v", left)
	}
	if os.IsNotExist(err) {
		err = nil // no test has started a stack
	}
	return status, err
}
