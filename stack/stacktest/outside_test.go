package stacktest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certyard/certyard/compose/composetest"
)

// TestReadme: the test that the README shows is the one that is run.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	outside, err := os.ReadFile("testdata/outside/client_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, test, _ := strings.Cut(string(outside), "func TestClient(")
	test, _, _ = strings.Cut(test, "\n}\n")
	if test == "" || !strings.Contains(string(readme), "```go\nfunc TestClient("+test+"\n}\n```\n") {
		t.Error("the README shows another test than testdata/outside has")
	}
}

// TestIntegrationOutside runs a test of another module, as its authors do. It prints
// nothing but that it passed; what it leaves, TestMain sees.
func TestIntegrationOutside(t *testing.T) {
	composetest.Connect(t)
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// The versions of everything below are ours: a module of one's own would
	// have them from "go get".
	for from, to := range map[string]string{
		filepath.Join(root, "go.mod"): "go.mod", filepath.Join(root, "go.sum"): "go.sum",
		"testdata/outside/client_test.go": "client_test.go",
	} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	goCommand(t, dir, "mod", "edit", "-module=example.com/client", "-require=github.com/certyard/certyard@v0.0.0", "-replace=github.com/certyard/certyard="+root)
	out := goCommand(t, dir, "test", "-mod=mod", "-count=1", "./...")
	if !regexp.MustCompile(`^ok\s+example.com/client\s+[0-9.]+s\n$`).MatchString(out) {
		t.Errorf("it prints %q", out)
	}
}

func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var complaint strings.Builder
	cmd.Stderr = &complaint // also what it downloads
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s%s", args, err, out, complaint.String())
	}
	return string(out)
}
