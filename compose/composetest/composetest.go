// Package composetest connects tests to the Docker Engine of the machine.
package composetest

import (
	"os"
	"testing"

	"github.com/certyard/certyard/compose"
)

// Connect returns the machine's engine, which is closed with the test. Without one,
// or with -short, the test is skipped; with CERTYARD_REQUIRE_DOCKER=1, as in CI, it
// fails without one, and -short does not leave it out.
func Connect(t testing.TB) *compose.Engine {
	t.Helper()
	required := os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1"
	if testing.Short() && !required {
		t.Skip("needs a Docker Engine, left out by -short")
	}
	engine, err := compose.Connect(t.Context(), compose.Options{})
	if err != nil && required {
		t.Fatalf("Docker is required: %v", err)
	}
	if err != nil {
		t.Skipf("needs a Docker Engine: %v", err)
	}
	t.Cleanup(func() { _ = engine.Close() }) // nothing was sent that closing could lose
	return engine
}
