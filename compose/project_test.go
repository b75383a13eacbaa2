package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoadLabelsAsTheComposeCLIDoes(t *testing.T) {
	dir := t.TempDir()
	base := writeFile(t, filepath.Join(dir, "compose.yaml"), "services:\n  a:\n    image: x\n    volumes: ['./data:/data']\n")
	over := writeFile(t, filepath.Join(dir, "compose.override.yaml"), "services:\n  b:\n    image: y\n")
	p, err := Load(t.Context(), Source{Name: "yard", Dir: dir, Files: []string{base, over}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.ServiceNames(), " "); got != "a b" {
		t.Errorf("services are %q, want a and the override's b", got)
	}
	a := p.Services["a"]
	want := map[string]string{
		"com.docker.compose.project":              "yard",
		"com.docker.compose.service":              "a",
		"com.docker.compose.project.working_dir":  dir,
		"com.docker.compose.project.config_files": base + "," + over,
		"com.docker.compose.oneoff":               "False",
	}
	for k, v := range want {
		if a.CustomLabels[k] != v {
			t.Errorf("label %s is %q, want %q", k, a.CustomLabels[k], v)
		}
	}
	if got := a.Volumes[0].Source; got != filepath.Join(dir, "data") {
		t.Errorf("relative path became %s, want it in %s", got, dir)
	}
}

func TestLoadIsNotMovedByTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "compose.yaml"), `services:
  a:
    image: x
    command: ["$$HOME", "${CERTYARD_TEST_VALUE}", "${CERTYARD_TEST_DOTENV:-unset}"]
  b:
    image: x
    profiles: [extra]
`)
	writeFile(t, filepath.Join(dir, ".env"), "CERTYARD_TEST_DOTENV=from-dotenv\n")
	t.Setenv("CERTYARD_TEST_VALUE", "from-environment")
	t.Setenv("COMPOSE_PROJECT_NAME", "another")
	t.Setenv("COMPOSE_FILE", filepath.Join(dir, "none.yaml"))
	t.Setenv("COMPOSE_PROFILES", "extra")
	p, err := Load(t.Context(), Source{Name: "yard", Dir: dir, Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "yard" || strings.Join(p.ServiceNames(), " ") != "a" {
		t.Errorf("loaded project %s with services %v, want yard with a", p.Name, p.ServiceNames())
	}
	if got := strings.Join(p.Services["a"].Command, " "); got != "$HOME from-environment unset" {
		t.Errorf("command is %q", got)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	for name, s := range map[string]Source{
		"no files":   {Name: "yard", Dir: dir},
		"no file":    {Name: "yard", Dir: dir, Files: []string{filepath.Join(dir, "none.yaml")}},
		"wrong name": {Name: "Yard!", Dir: dir, Files: []string{writeFile(t, filepath.Join(dir, "a.yaml"), "services: {a: {image: x}}\n")}},
		"wrong key":  {Name: "yard", Dir: dir, Files: []string{writeFile(t, filepath.Join(dir, "b.yaml"), "services: {a: {imagee: x}}\n")}},
	} {
		if p, err := Load(t.Context(), s); err == nil {
			t.Errorf("%s: loaded %v", name, p.ServiceNames())
		}
	}
}

func TestLoadFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "yard")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "services:\n  a:\n    image: x:${CERTYARD_TEST_DOTENV}\n    env_file: [vars]\n    volumes: ['./data:/data']\n    environment: ['FROM=${CERTYARD_TEST_BOTH}']\n"
	file := writeFile(t, filepath.Join(dir, "docker-compose.yml"), text)
	named := writeFile(t, filepath.Join(dir, "stack.yml"), text)
	writeFile(t, filepath.Join(dir, "compose.override.yaml"), "services: {b: {image: y}}\n")
	writeFile(t, filepath.Join(dir, ".env"), "CERTYARD_TEST_DOTENV=1\nCERTYARD_TEST_BOTH=dotenv\n")
	writeFile(t, filepath.Join(dir, "vars"), "V=w\n")
	t.Setenv("CERTYARD_TEST_BOTH", "environment")
	t.Setenv("COMPOSE_FILE", "none.yaml")
	for f, services := range map[string]string{file: "a b", named: "a"} {
		p, err := LoadFile(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		a := p.Services["a"]
		if got := strings.Join(p.ServiceNames(), " "); got != services || p.Name != "yard" {
			t.Errorf("%s: project %s with %s, want yard with %s", f, p.Name, got, services)
		}
		if a.Image != "x:1" || *a.Environment["FROM"] != "environment" || *a.Environment["V"] != "w" || a.Volumes[0].Source != filepath.Join(dir, "data") || len(a.CustomLabels) > 0 {
			t.Errorf("%s: %+v", f, a)
		}
	}
	for what, text := range map[string]string{"wrong key": "services: {a: {imagee: x}}\n", "no YAML": "a: ["} {
		if _, err := LoadFile(t.Context(), writeFile(t, filepath.Join(dir, "bad.yaml"), text)); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := LoadFile(t.Context(), filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there: no error")
	}
}
