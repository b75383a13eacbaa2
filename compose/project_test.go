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
