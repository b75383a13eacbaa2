package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/lint"
)

// TestNoSecretIsTold: whatever is wrong with a config, no finding repeats what is
// secret in it.
func TestNoSecretIsTold(t *testing.T) {
	const head = "version: 0.1\nstorage: {filesystem: {rootdirectory: /x}}\n"
	type patient struct {
		text string
		env  map[string]string
	}
	for name, p := range map[string]patient{
		"misspelt secret":     {head + "http:\n  Secret: hunter2\n", nil},
		"misspelt password":   {head + "redis:\n  Password: hunter2\n", nil},
		"a text for a list":   {head + "notifications:\n  endpoints:\n  - headers:\n      Authorization: hunter2\n", nil},
		"a text for a table":  {head + "http: hunter2\n", nil},
		"an anchor":           {head + "http: {secret: *hunter2}\n", nil},
		"a URL":               {head + "http: {host: 'http://u:hunter2@h', tls: {certificate: /c, key: /k}}\n", nil},
		"a URL on a line":     {head + "http:\n  host: http://u:hunter2@h\n  tls: {certificate: /c, key: /k}\n", nil},
		"a list":              {head, map[string]string{"REGISTRY_HTTP_SECRET": "[hunter2"}},
		"a reserved sign":     {head, map[string]string{"REGISTRY_REDIS_PASSWORD": "@hunter2"}},
		"a variable's anchor": {head, map[string]string{"REGISTRY_HTTP_SECRET": "*hunter2"}},
		"headers":             {head, map[string]string{"REGISTRY_HTTP_HEADERS": "hunter2"}},
	} {
		findings := lint.ParseRegistry("config.yml", []byte(p.text), p.env).Findings
		if len(findings) == 0 {
			t.Errorf("%s: nothing is found", name)
		}
		quiet(t, name, findings)
	}
	quiet(t, "user and hash exchanged", lint.Htpasswd("htpasswd", []byte("$2y$05$hunter2:user\n")))
	quiet(t, "a builder's registry", lint.ParseBuildkitd("buildkitd.toml", []byte("[registry.\"https://u:hunter2@h\"]\nhttp = false\n"), lint.BuildkitdFlags{}).Findings)
	quiet(t, "an env file", []lint.Finding{{Problem: "failed to read .env: line 3: unterminated quoted value \"hunter2\nX=1"}})
	quiet(t, "an interpolation", []lint.Finding{{Problem: "invalid interpolation format for x.PW.\nYou may need to escape any $ with another $.\npa${hunter2-"}})
}

func quiet(t *testing.T, name string, findings []lint.Finding) {
	t.Helper()
	for _, f := range findings {
		if got := fmt.Sprintf("%+v", lint.Discreet(f)); strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestDiscreetKeepsTheRest: what is no secret stays as it is.
func TestDiscreetKeepsTheRest(t *testing.T) {
	for _, line := range []string{
		"    - ./secrets:/run/secrets:ro", "  minimumtls: tls1.2", `key = "/certs/server.key"`, `address = ["tcp://0.0.0.0:1234"]`,
		"  host: https://registry:5000/a@b", "      - /etc/passwd:/etc/passwd:ro", "  draintimeout: 60s",
	} {
		f := lint.Finding{Object: line, Problem: line, Mend: line, Edits: []lint.Edit{{From: 1, To: 1, New: []string{line}}}}
		if got := lint.Discreet(f); fmt.Sprint(got) != fmt.Sprint(f) {
			t.Errorf("%q becomes %+v", line, got)
		}
	}
}

// TestMisspeltBesideTheRightKey: a key that has its right name beside it is not
// corrected to a second one, which would count in place of the first.
func TestMisspeltBesideTheRightKey(t *testing.T) {
	r := lint.ParseRegistry("config.yml", []byte("version: 0.1\nstorage: {inmemory: {}}\nhttp:\n  addr: :5000\n  Addr: :6000\n"), nil)
	for _, f := range r.Findings {
		if f.Rule == "registry.unknown-key" {
			if f.Edits != nil || !strings.Contains(f.Mend, "line 4") {
				t.Errorf("got %+v, want no edits and the line of the right key", f)
			}
			return
		}
	}
	t.Errorf("the key is not found: %+v", r.Findings)
}

// TestDiscreetTexts: what a finding quotes of somebody's files is told without the
// passwords in it, and a corrected line with one is not offered.
func TestDiscreetTexts(t *testing.T) {
	for have, want := range map[string]string{
		"http.host is http://bob:hunter2@registry:5000/, and TLS is on":                              "http.host is http://bob:...@registry:5000/, and TLS is on",
		"reading .env: unterminated quoted value \"hunter2\nA=b":                                     "reading .env: a value has no closing quote",
		"invalid interpolation format for x.\nYou may need to escape any $ with another $.\nhunter2": "invalid interpolation format for x: write $$ for a $ that is meant as such",
		"registry:5000 has no section":                                                               "registry:5000 has no section",
	} {
		got := lint.Discreet(lint.Finding{Object: have, Problem: have, Mend: have})
		if got.Object != want || got.Problem != want || got.Mend != want {
			t.Errorf("%q: got %q, want %q", have, got.Problem, want)
		}
	}
	for line, offered := range map[string]bool{
		`  secret: hunter2`:                        false,
		`password = "hunter2"`:                     false,
		`mirrors = ["https://bob:hunter2@mirror"]`: false,
		`      - ./secrets:/run/secrets:ro`:        true,
		`http = false`:                             true,
	} {
		got := lint.Discreet(lint.Finding{Edits: []lint.Edit{{From: 1, To: 1, New: []string{line}}}})
		if (len(got.Edits) > 0) != offered {
			t.Errorf("%s: offered %v, want %v", line, got.Edits, offered)
		}
	}
}
