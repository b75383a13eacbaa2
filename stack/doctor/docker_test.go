package doctor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lint"
)

// put writes a file and the directories above it.
func put(t *testing.T, file, data string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// foundBy returns the findings of one rule.
func foundBy(t *testing.T, d doctor.Deps, target doctor.Target, rule string) []lint.Finding {
	t.Helper()
	d.Now, d.Load = time.Now, compose.LoadFile
	result, err := doctor.Examine(t.Context(), d, target)
	if err != nil {
		t.Fatal(err)
	}
	var out []lint.Finding
	for _, f := range result.Findings {
		if f.Rule == rule {
			out = append(out, f)
		}
	}
	return out
}

// TestContext: a context that was chosen and that DOCKER_HOST takes out of force is
// told of, and no other.
func TestContext(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		config, host string
		want         int
	}{
		{`{"currentContext": "build"}`, "unix:///run/docker.sock", 1},
		{`{"currentContext": "build"}`, "", 0},
		{`{"currentContext": "default"}`, "unix:///run/docker.sock", 0},
		{`{}`, "unix:///run/docker.sock", 0},
		{`{"currentContext": `, "unix:///run/docker.sock", 0},
	} {
		put(t, filepath.Join(dir, "config.json"), c.config)
		d := doctor.Deps{DockerConfig: dir, DockerHost: c.host, EngineErr: context.DeadlineExceeded}
		got := foundBy(t, d, doctor.Target{}, "docker.context")
		if len(got) != c.want || c.want == 1 && !strings.Contains(got[0].Problem, `"build"`) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestLoopback: a published registry that asks docker for a client certificate.
func TestLoopback(t *testing.T) {
	for _, c := range []struct {
		cas, ports string
		want       int
	}{
		{"    clientcas: [/certs/ca.crt]\n", `    ports: ["127.0.0.1:5005:5000"]` + "\n", 1},
		{"    clientcas: [/certs/ca.crt]\n", "", 0},
		{"", `    ports: ["127.0.0.1:5005:5000"]` + "\n", 0},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "config.yml"), "version: 0.1\nstorage: {inmemory: {}}\nhttp:\n  addr: :5000\n  tls:\n    certificate: /certs/a.crt\n    key: /certs/a.key\n"+c.cas)
		put(t, filepath.Join(dir, "compose.yaml"), "services:\n  registry:\n    image: registry:3\n    volumes: [\"./:/etc/distribution:ro\"]\n"+c.ports)
		got := foundBy(t, doctor.Deps{EngineErr: context.DeadlineExceeded}, doctor.Target{Compose: filepath.Join(dir, "compose.yaml")}, "docker.loopback")
		if len(got) != c.want || c.want == 1 && got[0].Line != 8 {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
