package lint_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"

	"github.com/certyard/certyard/stack/lint"
)

// TestBuildkitdEdits: the corrected lines mend what they are offered for, and
// buildkitd takes the file with them.
func TestBuildkitdEdits(t *testing.T) {
	edited := map[string]bool{}
	for text := range buildkitdFiles() {
		b := lint.ParseBuildkitd("x", []byte(text), lint.BuildkitdFlags{})
		var unreadable []lint.Edit // all that keeps the file from being read, as far as it has edits
		for _, f := range b.Findings {
			if !b.Decoded && slices.Contains([]string{"buildkitd.syntax", "buildkitd.type"}, f.Rule) {
				unreadable = append(unreadable, f.Edits...)
			}
		}
		for _, f := range b.Findings {
			if len(f.Edits) == 0 {
				continue
			}
			edited[f.Rule] = true
			checkEdited(t, text, b, f, f.Edits)
			if len(unreadable) > 0 && !strings.Contains(list(b.Findings)+",", "type,") {
				fixed, err := lint.Apply([]byte(text), unreadable)
				if _, loadErr := config.Load(bytes.NewReader(fixed)); err != nil || loadErr != nil {
					t.Errorf("%s\nwith all edits: %v, %v\n%s", text, err, loadErr, fixed)
				}
			}
		}
	}
	want := "address default-socket host-scheme insecure loopback-http misplaced syntax type unknown-key unquoted-host"
	if got := strings.ReplaceAll(strings.Join(slices.Sorted(maps.Keys(edited)), " "), "buildkitd.", ""); got != want {
		t.Errorf("rules with edits: %s, want %s", got, want)
	}
}

func checkEdited(t *testing.T, text string, before lint.Buildkitd, f lint.Finding, edits []lint.Edit) {
	t.Helper()
	fixed, err := lint.Apply([]byte(text), edits)
	if err != nil {
		t.Errorf("%s\n%+v: %v", text, f, err)
		return
	}
	after := lint.ParseBuildkitd("x", fixed, lint.BuildkitdFlags{})
	if before.Decoded && !after.Decoded {
		t.Errorf("%s\nbecomes\n%s\nwhich buildkitd does not read: %+v", text, fixed, after.Findings)
	}
	same := func(o lint.Finding) bool {
		return o.Rule == f.Rule && o.Line == f.Line && o.Object == f.Object && o.Problem == f.Problem
	}
	if slices.ContainsFunc(after.Findings, same) {
		t.Errorf("%s\nbecomes\n%s\nwhere %s is as before", text, fixed, f.Rule)
	}
	if before.Decoded && errorsIn(after.Findings) > errorsIn(before.Findings) {
		t.Errorf("%s\nbecomes\n%s\nwhich is worse: %s", text, fixed, list(after.Findings))
	}
}

func errorsIn(findings []lint.Finding) int {
	n := 0
	for _, r := range lint.BuildkitdRules() {
		for _, f := range findings {
			if f.Rule == r.ID && r.Severity == lint.Error {
				n++
			}
		}
	}
	return n
}

func TestBuildkitdCorrectedLines(t *testing.T) {
	for text, want := range map[string]string{
		"[registry.registry:5000] # c\n":                                                        "[registry.\"registry:5000\"] # c\n",
		"[[ registry.h:1 . keypair ]]\r\n":                                                      "[[ registry.\"h:1\" . keypair ]]\r\n",
		"[registry.example.com]":                                                                "[registry.\"example.com\"]",
		"[grpc]\naddress = \"tcp://x:1\" # c\n":                                                 "[grpc]\naddress = [\"tcp://x:1\"] # c\n",
		"[registry.'h:1']\nhttp=false\n\tcacert = '/x' # c\n":                                   "[registry.'h:1']\nhttp=false\n\tca = ['/x'] # c\n",
		"[grpc]\n  ca = \"/x\" # c\n[grpc.tls]\n  cert=\"/c\"\n":                                "[grpc]\n# c\n[grpc.tls]\n  ca = \"/x\"\n  cert=\"/c\"\n",
		"[grpc]\n  ca = \"/x\"\n":                                                               "[grpc]\n  tls.ca = \"/x\"\n",
		"[registry.\"localhost:1\"]\n\n    ca = ['/x']\n":                                       "[registry.\"localhost:1\"]\n    http = false\n\n    ca = ['/x']\n",
		"[registry.\"localhost:1\"]\nca = ['/x']\ninsecure=true\n":                              "[registry.\"localhost:1\"]\nhttp = false\nca = ['/x']\ninsecure=false\n",
		"[grpc]\naddress = [\n  'tcp://:1', # c\n]":                                             "[grpc]\naddress = [\n  'tcp://:1', \"unix:///run/buildkit/buildkitd.sock\", # c\n]",
		"[registry.\"https://h:1\"]\n[[registry.\"https://h:1\".keypair]]\nkey='/k'\ncert='/c'": "[registry.\"h:1\"]\n[[registry.\"h:1\".keypair]]\nkey='/k'\ncert='/c'",
	} {
		b := lint.ParseBuildkitd("x", []byte(text), lint.BuildkitdFlags{})
		i := slices.IndexFunc(b.Findings, func(f lint.Finding) bool { return len(f.Edits) > 0 })
		if i < 0 {
			t.Errorf("%s\nhas no corrected lines: %+v", text, b.Findings)
			continue
		}
		got, err := lint.Apply([]byte(text), b.Findings[i].Edits)
		if err != nil || string(got) != want {
			t.Errorf("%q\n got %q (%v)\nwant %q", text, got, err, want)
		}
	}
}
