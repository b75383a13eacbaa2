package pkitest

import (
	"os"
	"os/exec"
	"testing"
)

// NeedProgram skips a test where a program is not installed, and fails it where
// nothing may be skipped, as in CI.
func NeedProgram(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CERTYARD_REQUIRE_DOCKER") == "1" {
			t.Fatalf("%s is required (scripts/setup test installs it): %v", program, err)
		}
		t.Skipf("needs %s: %v", program, err)
	}
}
