package pkitest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// outside is a test in somebody else's module.
const outside = `package client

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
)

func TestClient(t *testing.T) {
	faults := pkitest.Faults(t, "registry.test", time.Now())
	if len(faults) < 10 {
		t.Fatal(len(faults))
	}
	for _, fault := range faults {
		_, err := fault.Pair.Cert.Verify(x509.VerifyOptions{Roots: fault.Trust.Pool(), DNSName: fault.Host})
		if err == nil && fault.Name != "mismatched-key" {
			t.Errorf("%s: accepted", fault.Name)
		}
	}
}
`

// TestOutside uses the package from another module, as its readers do.
func TestOutside(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"client_test.go": outside, "go.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, example := range []string{"example_ca_test.go", "example_faults_test.go"} {
		copyAlone(t, example, filepath.Join(dir, example))
	}
	// The versions of everything below are ours: a module of one's own would
	// have them from "go get".
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mod", "edit", "-module=example.com/client", "-require=github.com/certyard/certyard@v0.0.0", "-replace=github.com/certyard/certyard=" + root},
		{"test", "-mod=mod", "./..."},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
}

// copyAlone copies an example into a directory of its own, as a reader does who
// takes just that one.
func copyAlone(t *testing.T, example, dir string) {
	t.Helper()
	data, err := os.ReadFile(example)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, example), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
