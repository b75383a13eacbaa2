package lint_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/sirupsen/logrus"

	"github.com/certyard/certyard/stack/lint"
)

// served is the head of a file in which nothing is wrong with [grpc].
const served = `[grpc]
address = ["tcp://0.0.0.0:1234", "unix:///run/buildkit/buildkitd.sock"]
[grpc.tls]
cert = "/certs/server.crt"
key = "/certs/server.key"
ca = "/certs/ca.crt"
`

// buildkitdFiles are files with what is wrong with them, as "line: rule", and a
// "+" where the corrected lines are certain.
func buildkitdFiles() map[string]string {
	return map[string]string{
		"":     "",
		served: "",

		// syntax
		"[registry.registry:5000]\nhttp = false\n":                                                      "1: syntax +",
		"[registry.registry:5000]\n[[registry.registry:5000.keypair]] # c\n[ registry . [::1]:5005 ]\n": "1: syntax +, 2: syntax +, 3: syntax +",
		"[registry.https://registry:5000]\n":                                                            "1: syntax +",
		"debug = false\ndebug = false\n":                                                                "2: syntax",
		"[grpc]\n[grpc]\n":                                                                              "2: syntax",
		"root = \n":                                                                                     "1: syntax",
		"[registry.\"h:1\"]\nca = [\"/x\"\nhttp = false\n":                                              "3: syntax",
		"\ufeffroot = \"/x\"\n":                                                                         "1: syntax +",
		"[history]\nmaxEntries = 9999999999999999999999\n":                                              "2: syntax",
		"root = \"\xff\"\n":                                                                             "1: syntax",
		"log.level = \"info\"\n[log]\nformat = \"text\"\n":                                              "2: syntax",
		"[registry.\"https://h:1\"]\nhttp = false\nca = [\"/x\"]\n[registry.\"h:1\"]\nhttp=false\nca=['x']": "1: host-scheme, 6: relative-path",

		// type
		"[grpc]\naddress = \"tcp://0.0.0.0:1234\" # c\n":                    "2: type +",
		"[grpc.tls]\nca = [\"/x\"]\n":                                       "2: type +",
		"[grpc.tls]\nca = [\"/x\", \"/y\"]\n":                               "2: type",
		"grpc.tls.ca = ['/x']\n":                                            "1: type +",
		"[registry.\"h:1\"]\nmirrors = \"m:1\"\nca = \"/x\"\n":              "2: type +, 3: type +",
		"[registry.\"h:1\"]\nca = [1]\n":                                    "2: type",
		"[registry.\"h:1\"]\nhttp = \"false\"\nca = ['/x']\n":               "2: type +",
		"[registry.\"h:1\"]\nhttp = \"no\"\n":                               "2: type",
		"[registry]\nca = [\"/x\"]\n":                                       "2: type",
		"[registry]\ninsecure = true\n":                                     "2: type",
		"[registry.\"h:1\"]\nkeypair = {key = \"/k\", cert = \"/c\"}\n":     "2: type +",
		"[registry]\n\"h:1\" = {ca = \"/x\", http = false}\n":               "2: type +",
		"[debug]\nlevel = \"info\"\n[history]\nmaxEntries = \"5\"\n":        "1: type, 4: type +",
		"[grpc]\nuid = \"0x\"\n":                                            "2: type",
		"[history]\nmaxAge = true\n":                                        "2: type",
		"[worker.oci]\nreservedSpace = \"much\"\n[history]\nmaxAge=[1]":     "2: type, 4: type",
		"[grpc]\naddress = \"tcp://x:1\"\nadress = []\n":                    "2: type +, 3: unknown-key",
		"[[grpc]]\naddress = [\"tcp://x:1\"]\n":                             "1: type",
		"[grpc.address]\nx = 1\n":                                           "1: type",
		"[grpc]\naddress = '''\ntcp://x:1'''\n":                             "2: type",
		strings.Repeat("[[worker.oci.gcpolicy]]\nkeepDuration=\"x\"\n", 25): strings.TrimSuffix(numbered(20, "%d: type, "), ", "),

		// unquoted-host
		"[registry.example.com]\nhttp = false\n":                                                 "1: unquoted-host +",
		"[registry.example.com]\n[[registry.example.com.keypair]]\nkey = \"/k\"\n":               "1: unquoted-host +, 2: unquoted-host +",
		"[registry.127.0.0.1]\nca = [\"/x\"]\n":                                                  "1: unquoted-host +",
		"[registry.example.ca]\nca = [\"/x\"]\n":                                                 "1: unquoted-host +",
		"registry.example.com.ca = [\"/x\"]\n":                                                   "1: unquoted-host +",
		"registry.example.com.keypair.cert = \"/x\"\n":                                           "1: unquoted-host +",
		"[registry.docker.io]\nmirrors = [\"m:1\"]\nca = ['/x']\n":                               "1: unquoted-host +",
		"[registry.'docker.io']\nmirrors = ['example.com']\nca = ['/x']\n[registry.example.com]": "4: unquoted-host +",

		// misplaced
		"[worker.oci.registry.\"h:1\"]\nca = [\"/x\"]\n":                                       "1: misplaced +",
		"[[worker.oci.registry.\"h:1\".keypair]]\nkey = \"/x\"\n":                              "1: misplaced +",
		"[tls]\ncert = \"/c\"\nkey = \"/k\"\n[grpc]\naddress = [\"tcp://:1\",\"unix:///x\"]\n": "1: misplaced +",
		"[grpc]\naddress = [\"tcp://:1\",\"unix:///x\"]\ncert = \"/c\"\nkey = \"/k\" # c\n":    "3: misplaced +, 4: misplaced +",
		"[grpc]\nca = \"/x\" # c\n[grpc.tls]\n  cert = \"/c\"\n  key = \"/k\"\n":               "2: misplaced +, 4: tls-unused",
		"[grpc]\naddress = ['tcp://:1','unix:///x']\ntls.cert='/c'\ntls.key='/k'\nca = '/x'":   "5: misplaced +",
		"[grpc]\nca = [\"/x\"]\n":                         "2: misplaced",
		"[grpc]\ncacert = \"/x\"\n":                       "2: misplaced +",
		"[grpc.tls]\naddress = [\"tcp://:1\"]\n":          "2: misplaced",
		"insecure = true\n":                               "1: misplaced",
		"ca = \"/x\"\n":                                   "1: misplaced",
		"debugAddress = \"unix:///x\"\n":                  "1: misplaced +",
		"debugAddress = \"unix:///x\"\n[grpc]\nuid = 1\n": "1: misplaced +",
		"[registry.\"h:1\"]\ncert = \"/c\"\n":             "2: misplaced +",
		"grpc = {ca = \"/x\"}\n":                          "1: misplaced",

		// unknown-key
		"[registry.\"h:1\"]\nhttp = false\ncacert = \"/x\"\n":                               "3: unknown-key +",
		"[registry.\"h:1\"]\nhttp = false\nca_cert = [\"/x\"]\n":                            "3: unknown-key +",
		"[registry.\"h:1\"]\nca = [\"/x\"]\ncacert = [\"/y\"]\n":                            "3: unknown-key",
		"[registries.\"h:1\"]\nca = [\"/x\"]\n":                                             "1: unknown-key +",
		"[registry.\"h:1\"]\nCA = [\"/x\"]\nHTTP = false\n":                                 "",
		"[registry.\"h:1\".tls]\nca = \"/x\"\n":                                             "1: unknown-key",
		"[gprc]\naddress = [\"tcp://0.0.0.0:1\"]\n":                                         "1: unknown-key +",
		"[worker.oci]\nmax_parallelism = 4\nplatfroms = [\"linux/amd64\"]\nfoo = {a = 1}\n": "2: unknown-key +, 3: unknown-key +, 4: unknown-key",
		"[worker.oci.labels]\nanything = \"x\"\n":                                           "",
		"version = 2\n": "1: unknown-key",
		"foo.bar = 1\n": "1: unknown-key",

		// value, address
		"[log]\nformat = \"xml\"\nlevel = \"loud\"\n":                                                    "2: value, 3: value",
		"[log]\nformat = \"json\"\nlevel = \"Debug\"\n":                                                  "",
		"[system]\nmaxRegistryConcurrency = 0\n":                                                         "2: value",
		"[compaction]\nminReclaimPercent = 1000\n":                                                       "1: value",
		"[grpc]\naddress = [\n  \"unix:///x\",\n  \"0.0.0.0:1234\", # c\n]\n":                            "4: address +",
		"[grpc]\naddress = ['/run/x.sock', 'https://0.0.0.0:1', 'TCP://x:1', 'buildkit', 'unix:///x']\n": "2: address +, 2: address +, 2: address +, 2: address",
		"[grpc]\naddress = ['tcp://0.0.0.0', 'tcp://x:99999', 'tcp://a/b:1', 'vsock://1:2']\n":           "2: address, 2: address, 2: address, 2: address, 2: grpc-plain",
		"[grpc]\naddress = ['fd://', 'npipe:////./pipe/x', 'unix:///x']\n":                               "",

		// grpc
		"[grpc.tls]\ncert = \"/c\"\n":                                                             "2: grpc-keypair",
		"[grpc.tls]\nkey = \"/k\"\nca = \"/x\"\n":                                                 "2: grpc-keypair",
		"[grpc]\naddress = [\"tcp://0.0.0.0:1234\"]\n":                                            "2: grpc-plain, 2: default-socket +",
		"[grpc]\naddress = ['tcp://[::]:1', 'unix:///x']\ntls.ca = \"/x\"\n":                      "3: grpc-plain",
		"[grpc.tls]\nca = \"/x\"\n":                                                               "",
		strings.Replace(served, "ca =", "#", 1):                                                   "3: no-client-auth",
		strings.NewReplacer("ca =", "#", "0.0.0.0", "127.0.0.1").Replace(served):                  "",
		strings.NewReplacer("ca =", "#", "0.0.0.0", "[::1]").Replace(served):                      "",
		strings.NewReplacer("ca =", "#", "0.0.0.0", "build.lan").Replace(served):                  "3: no-client-auth",
		strings.Replace(served, "address", "#", 1):                                                "4: tls-unused",
		strings.Replace(served, ", \"unix:///run/buildkit/buildkitd.sock\"]", ",\n]", 1):          "2: default-socket +",
		strings.Replace(served, "[grpc]\n", "[grpc]\ndebugAddress = \"0.0.0.0:6060\"\n", 1):       "2: debug-open",
		strings.Replace(served, "[grpc]\n", "[grpc]\ndebugAddress = \"tcp://:6060\"\n", 1):        "2: debug-open",
		strings.Replace(served, "[grpc]\n", "[grpc]\ndebugAddress = \"127.0.0.1:6060\"\n", 1):     "2: debug-address",
		strings.Replace(served, "[grpc]\n", "[grpc]\ndebugAddress = \"unix:///run/d.sock\"\n", 1): "",

		// registries
		"[registry.\"https://h:1\"]\nca = [\"/x\"]\n[[registry.\"https://h:1\".keypair]]\nkey='/k'\ncert='/c'\n": "1: host-scheme +",
		"[registry.\"http://h:1\"]\n":                                                      "1: host-scheme",
		"[registry.\"http://h:1\"]\nhttp = true\n":                                         "1: host-scheme +",
		"[registry.\"h:1/v2/\"]\n":                                                         "1: host-scheme +",
		"[registry.\"h:1/\"]\n":                                                            "1: host-scheme +",
		"[registry.\"https://index.docker.io/v1/\"]\n":                                     "1: host-scheme +",
		"[registry.\"index.docker.io\"]\n":                                                 "1: host-scheme +",
		"[registry.registry]\nca = ['/x']\n":                                               "1: host-scheme",
		"[registry.\"*.example.com\"]\n":                                                   "1: host-scheme",
		"[registry.\"::1\"]\nhttp = false\nca = ['/x']":                                    "1: host-scheme",
		"[registry.\"docker.io\"]\nmirrors = ['mirror']\nca = ['/x']\n[registry.mirror]\n": "",
		"[registry.\"R.Example.com:5005\"]\nhttp = false\nca = ['/x']\n":                   "",
		"registry.\"https://h:1\".ca = ['/x']\nregistry.\"https://h:1\".http = false\n":    "1: host-scheme +",
		"[registry]\n\"https://h:1\" = {ca = ['/x']}\n":                                    "2: host-scheme +",

		"[registry.\"localhost:5005\"]\n\n  # c\n  ca = [\"/x\"]\n": "1: loopback-http +",
		"[registry.\"127.1.2.3:5005\"]\ninsecure = false\n":         "1: loopback-http +",
		"[registry.\"[::1]:5005\"]\n":                               "1: loopback-http",
		"[registry.localhost]\nmirrors = []\n":                      "1: loopback-http",
		"[registry.\"registry.localhost:5000\"]\nca = ['/x']\n":     "",
		"[registry.\"localhost:5005\"]\nhttp = true\n":              "",
		"registry.\"localhost:5005\".ca = [\"/x\"]\n":               "1: loopback-http",
		"[registry.\"localhost:5005\"]\r\nca = [\"/x\"]":            "1: loopback-http +",

		"[registry.\"h:1\"]\nca = ['/x']\ninsecure = true # c\n":          "3: insecure +",
		"[registry.\"h:1\"]\ninsecure = true\n":                           "2: insecure",
		"[registry.\"h:1\"]\nhttp = false\ninsecure = true\n":             "3: insecure",
		"[registry.\"h:1\"]\nhttp = true\ninsecure = true\nca = ['/x']\n": "3: insecure",
		"[registry.\"localhost:1\"]\ninsecure = true\nca = ['/x']\n":      "2: insecure +",
		"registry.\"localhost:1\" = {insecure = true, ca = ['/x']}\n":     "1: insecure",
		"[registry.\"h:1\"]\nhttp = true\nca = ['/x']\n":                  "2: http-with-ca",
		"[registry.\"h:1\"]\nhttp = true\ntlsconfigdir = ['/x']\n":        "2: http-with-ca",
		"[registry.\"h:1\"]\nhttp = false\n":                              "1: no-ca",
		"[registry.\"h:1\"]\nhttp = false\ntlsconfigdir = ['/x']\n":       "",
		"[registry.\"docker.io\"]\nhttp = false\n":                        "",
		"[registry.\"h:1\"]\nca=['/x']\n[[registry.\"h:1\".keypair]]\nkey='/k'\n[[registry.\"h:1\".keypair]]\nkey='/k'\ncert='/c'\n[[registry.\"h:1\".keypair]]\ncert='/c'\n[[registry.\"h:1\".keypair]]\n": "4: keypair, 9: keypair, 10: keypair",
		"[registry.\"h:1\"]\nca=['/x']\nkeypair = [{key='/k', cert='/c'}, {key='/k'}]\n":                                                                                                                    "3: keypair",
		"[registry.\"h:1\".keypair]\nkey = '/k'\n":                                                      "2: keypair",
		"[registry.\"docker.io\"]\nmirrors = ['m:1/x',\n  'localhost:2']\nca = ['/x']\n":                "2: mirror-section, 3: mirror-section",
		"[registry.\"docker.io\"]\nmirrors = ['m:1/x']\nca = ['/x']\n[registry.\"m:1\"]\nhttp = true\n": "",
		"[registry.\"docker.io\"]\nmirrors = ['m:1/x']\n":                                               "",
		"[registry.\"docker.io\"]\nmirrors = ['http://m:1/x', 'https://n:1', 'https://localhost:1']\n":  "2: mirror-scheme, 2: mirror-scheme",
		"[registry.\"docker.io\"]\nmirrors = ['http://m:1/x']\n[registry.\"m:1\"]\nhttp = true\n":       "",

		// the rest
		"[grpc.tls]\ncert = \"c\"\nkey = \"./k\"\nca = \"~/ca\"\n[grpc]\naddress=['tcp://:1','unix:///x']\n":                      "2: relative-path, 3: relative-path, 4: relative-path",
		"[registry.\"h:1\"]\nca = ['/x',\n 'y']\ntlsconfigdir = ['z']\n[[registry.\"h:1\".keypair]]\nkey = 'k'\ncert = 'C:\\c'\n": "3: relative-path, 4: relative-path, 6: relative-path",
		"[history]\nmaxEntries = 0\n":                                               "2: history",
		"[history]\nmaxAge = 10\nmaxEntries = 1\n":                                  "",
		"insecure-entitlements = [\n \"network.host\",\n \"security.insecure\" ]\n": "3: entitlement",
		"insecure-entitlements = [\"network.host\"]\n":                              "",
		"debug = true\ntrace = true\n":                                              "1: deprecated, 2: deprecated",
		"debug = false\n":                                                           "",
	}
}

// numbered formats the even lines up to 2n.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, format, 2*i)
	}
	return b.String()
}

// list writes findings as the tables have them.
func list(findings []lint.Finding) string {
	var out []string
	for _, f := range findings {
		s := fmt.Sprintf("%d: %s", f.Line, strings.TrimPrefix(f.Rule, "buildkitd."))
		if len(f.Edits) > 0 {
			s += " +"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestBuildkitd(t *testing.T) {
	known := map[string]bool{}
	for _, r := range lint.BuildkitdRules() {
		known[r.ID] = true
	}
	files := buildkitdFiles()
	for _, text := range slices.Sorted(maps.Keys(files)) {
		b := lint.ParseBuildkitd("buildkitd.toml", []byte(text), lint.BuildkitdFlags{})
		if got := list(b.Findings); got != files[text] {
			t.Errorf("%s\n got %s\nwant %s", text, got, files[text])
		}
		_, err := config.Load(strings.NewReader(text))
		if b.Decoded != (err == nil) {
			t.Errorf("%s\ndecoded is %v, and buildkitd says %v", text, b.Decoded, err)
		}
		for _, f := range b.Findings {
			if !known[f.Rule] || f.Subject != lint.Builder || f.File != "buildkitd.toml" || f.Problem == "" || f.Line > 0 && f.Object == "" && f.Rule != "buildkitd.syntax" {
				t.Errorf("%s\n%+v", text, f)
			}
			checkText(t, f.Problem)
			checkText(t, f.Mend)
		}
	}
}

// checkText: what a person reads has the form of the others.
func checkText(t *testing.T, text string) {
	t.Helper()
	if strings.HasSuffix(text, ".") || strings.Contains(text, "\n") || strings.Contains(text, "  ") || strings.Contains(text, "%!") || strings.Contains(text, "*") && !strings.Contains(text, "*.example.com") {
		t.Errorf("text %q", text)
	}
}

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

// TestBuildkitdMany: a file with more mistakes than anybody makes is judged all
// the same, in bounded time.
func TestBuildkitdMany(t *testing.T) {
	var text strings.Builder
	const sections = 200
	for i := range sections {
		fmt.Fprintf(&text, "[registry.\"h%d:1\"]\ncacert = [\"/x\"]\n", i)
	}
	b := lint.ParseBuildkitd("x", []byte(text.String()), lint.BuildkitdFlags{})
	edits := 0
	for _, f := range b.Findings {
		edits += len(f.Edits)
	}
	if len(b.Findings) != sections || edits != 50 {
		t.Errorf("%d findings and %d edits for %d sections", len(b.Findings), edits, sections)
	}
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

// TestBuildkitdFlags: the command line wins over the file.
func TestBuildkitdFlags(t *testing.T) {
	plain := "[grpc]\naddress = [\"tcp://0.0.0.0:1\"]\n"
	for name, c := range map[string]struct {
		toml  string
		flags lint.BuildkitdFlags
		want  string
	}{
		"addresses":            {plain, lint.BuildkitdFlags{Addresses: []string{"unix:///x"}}, ""},
		"addresses, worse":     {served, lint.BuildkitdFlags{Addresses: []string{"tcp://:1"}}, "0: default-socket"},
		"addresses, wrong":     {served, lint.BuildkitdFlags{Addresses: []string{":1", "tcp://:1"}}, "0: address"},
		"certificates":         {plain, lint.BuildkitdFlags{TLSCert: "/c", TLSKey: "/k", TLSCA: "/ca"}, "2: default-socket +"},
		"half by flag":         {"[grpc.tls]\ncert = \"c\"\n", lint.BuildkitdFlags{TLSKey: "/k", TLSCert: "/c"}, "2: tls-unused"},
		"half":                 {"", lint.BuildkitdFlags{TLSKey: "/k"}, "0: grpc-keypair"},
		"plain by flag":        {"", lint.BuildkitdFlags{Addresses: []string{"tcp://:1", "unix:///x"}}, "0: grpc-plain"},
		"no ca":                {"", lint.BuildkitdFlags{Addresses: []string{"tcp://:1", "unix:///x"}, TLSCert: "/c", TLSKey: "/k"}, "0: no-client-auth"},
		"no ca, on loopback":   {strings.Replace(served, "ca =", "#", 1), lint.BuildkitdFlags{Loopback: true}, ""},
		"debug, on loopback":   {"[grpc]\ndebugAddress = \":1\"\n", lint.BuildkitdFlags{Loopback: true}, "2: debug-address"},
		"plain is plain there": {plain, lint.BuildkitdFlags{Loopback: true}, "2: grpc-plain, 2: default-socket +"},
	} {
		b := lint.ParseBuildkitd("x", []byte(c.toml), c.flags)
		if got := list(b.Findings); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	b := lint.ParseBuildkitd("x", []byte(served), lint.BuildkitdFlags{TLSKey: "/other"})
	if cert, key, ca := b.TLS(); cert != "/certs/server.crt" || key != "/other" || ca != "/certs/ca.crt" {
		t.Errorf("TLS is %s, %s, %s", cert, key, ca)
	}
	if got := b.Listens(); !slices.Equal(got, []string{"tcp://0.0.0.0:1234", lint.DefaultSocket}) {
		t.Errorf("it listens on %v", got)
	}
	if got := lint.ParseBuildkitd("x", nil, lint.BuildkitdFlags{}).Listens(); !slices.Equal(got, []string{lint.DefaultSocket}) {
		t.Errorf("without an address it listens on %v", got)
	}
}

func TestBuildkitdLine(t *testing.T) {
	b := lint.ParseBuildkitd("x", []byte("root = \"/x\"\n[grpc]\ntls.cert = \"/c\"\n[registry.\"localhost:5005\"]\nCA = [\"/x\"]\n[registry.other]\nhttp = true\n[worker.oci.labels]\n[log]\n"), lint.BuildkitdFlags{})
	for path, want := range map[string]int{
		"root": 1, "grpc": 2, "grpc tls": 3, "grpc tls cert": 3, "grpc tls key": 3, "grpc address": 2, "GRPC Address": 2,
		"registry": 4, "registry localhost:5005": 4, "registry localhost:5005 ca": 5, "registry localhost:5005 http": 4,
		"registry LOCALHOST:5005": 4, "registry other http": 7, "registry OTHER http": 4,
		"worker": 8, "worker containerd": 8, "dns": 0, "dns nameservers": 0, "": 0,
	} {
		if got := b.Line(strings.Fields(path)...); got != want {
			t.Errorf("%q is on line %d, want %d", path, got, want)
		}
	}
}

// TestBuildkitdOwn: nothing is wrong with the files that we write ourselves.
func TestBuildkitdOwn(t *testing.T) {
	files, err := filepath.Glob("../render/testdata/*/buildkit/buildkitd.toml.golden")
	if err != nil || len(files) < 5 {
		t.Fatalf("files %v, %v", files, err)
	}
	mutual := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b := lint.ParseBuildkitd(file, data, lint.BuildkitdFlags{Loopback: true})
		if len(b.Findings) > 0 || len(b.Config.Registries) < 2 {
			t.Errorf("%s: %d registries, %+v", file, len(b.Config.Registries), b.Findings)
		}
		// Whoever does not know where the port is published is told what it hangs on.
		alone := lint.ParseBuildkitd(file, data, lint.BuildkitdFlags{})
		_, key, ca := alone.TLS()
		switch {
		case key != "" && ca == "":
			if len(alone.Findings) != 1 || alone.Findings[0].Rule != "buildkitd.no-client-auth" {
				t.Errorf("%s: %+v", file, alone.Findings)
			}
		case len(alone.Findings) > 0:
			t.Errorf("%s: %+v", file, alone.Findings)
		default:
			mutual++
		}
	}
	if mutual == 0 || mutual == len(files) {
		t.Errorf("%d of %d files let in nobody without a certificate: one mode is missing", mutual, len(files))
	}
}

// cheatSheet is the file of the note that certyard grew from.
const cheatSheet = `debug = true

[grpc]
address = ["tcp://0.0.0.0:1234"]

# TLS configuration for BuildKit daemon (server-only TLS)
[grpc.tls]
cert = "/buildkit/server.crt"
key = "/buildkit/server.key"
# Note: No 'ca' field = server-only TLS (client verifies server)
# To enable mutual TLS, add: ca = "/buildkit/ca.crt"

# Secure config for proper hostname
[registry."registry:5000"]
http = false
insecure = false
ca = ["/certs/registry.crt"]

# Relaxed config for localhost access
[registry."localhost:5005"]
http = false
insecure = true
ca = ["/certs/registry.crt"]
`

func TestBuildkitdCheatSheet(t *testing.T) {
	b := lint.ParseBuildkitd("buildkit/buildkitd.toml", []byte(cheatSheet), lint.BuildkitdFlags{})
	if got, want := list(b.Findings), "7: no-client-auth, 4: default-socket +, 22: insecure +, 1: deprecated"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if errorsIn(b.Findings) > 0 {
		t.Errorf("it works today: %+v", b.Findings)
	}
}

// moduleDir returns where the source of buildkit is, and its version.
func moduleDir(t *testing.T) (dir, version string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "github.com/moby/buildkit").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, version, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return dir, version
}

// TestBuildkitdDocumented: of BuildKit's own example, the rules say what its
// comments say, and that its debug address is open.
func TestBuildkitdDocumented(t *testing.T) {
	dir, _ := moduleDir(t)
	doc, err := os.ReadFile(filepath.Join(dir, "docs", "buildkitd.toml.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```toml\n(.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("it has no example any more")
	}
	b := lint.ParseBuildkitd("x", m[1], lint.BuildkitdFlags{})
	var got []string
	for _, f := range b.Findings {
		got = append(got, strings.TrimPrefix(f.Rule, "buildkitd."))
	}
	want := "debug-open default-socket insecure mirror-section entitlement"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s\n%+v", got, want, b.Findings)
	}
	if errorsIn(lint.ParseBuildkitd("x", m[1], lint.BuildkitdFlags{Loopback: true}).Findings) > 0 {
		t.Error("it has errors even when its ports are reached by nobody else")
	}
}

var sourceLine = regexp.MustCompile(`([\w/.]+\.(?:go|md))(?::([0-9, -]+))?`)

// TestBuildkitdRules: the table can be shown and judged by, and its sources are
// those of the version that is built with.
func TestBuildkitdRules(t *testing.T) {
	dir, built := moduleDir(t)
	seen := map[string]bool{}
	for _, r := range lint.BuildkitdRules() {
		if !strings.HasPrefix(r.ID, "buildkitd.") || seen[r.ID] || r.Title == "" || r.Proves == "" || r.Hint == "" || r.Source == "" {
			t.Errorf("%+v", r)
		}
		for _, need := range r.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which does not come before it", r.ID, need)
			}
		}
		seen[r.ID] = true
		for _, text := range []string{r.Title, r.Proves, r.Hint} {
			checkText(t, text)
		}
		for part := range strings.SplitSeq(r.Source, ";") {
			checkSource(t, r.ID, dir, built, strings.TrimSpace(part))
		}
	}
	lint.BuildkitdRules()[1].Needs[0] = "changed"
	if lint.BuildkitdRules()[1].Needs[0] == "changed" {
		t.Error("the table is shared")
	}
}

// checkSource asks that the files of buildkit that are cited exist, and have the
// lines.
func checkSource(t *testing.T, id, dir, built, part string) {
	t.Helper()
	v, ok := strings.CutPrefix(part, "buildkit ")
	if !ok {
		return
	}
	if !strings.HasPrefix(v, built+" ") {
		t.Errorf("%s: it is about another buildkit than %s: %s; read it again", id, built, part)
	}
	cited := sourceLine.FindAllStringSubmatch(v, -1)
	if cited == nil {
		t.Errorf("%s: no file in %q", id, part)
	}
	for _, m := range cited {
		data, err := os.ReadFile(filepath.Join(dir, m[1]))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		for number := range strings.FieldsFuncSeq(m[2], func(r rune) bool { return !unicode.IsDigit(r) }) {
			if line, err := strconv.Atoi(number); err != nil || line < 1 || line > bytes.Count(data, []byte("\n")) {
				t.Errorf("%s: %s has no line %s", id, m[1], number)
			}
		}
	}
}

// TestLogLevels: they are the ones that the daemon's logger takes.
func TestLogLevels(t *testing.T) {
	for _, level := range []string{"panic", "fatal", "error", "warn", "warning", "info", "debug", "trace", "WARN", "loud", "notice", "off", "0"} {
		_, err := logrus.ParseLevel(level)
		b := lint.ParseBuildkitd("x", fmt.Appendf(nil, "[log]\nlevel = %q\n", level), lint.BuildkitdFlags{})
		if (len(b.Findings) > 0) != (err != nil) {
			t.Errorf("%s: %v, and we say %+v", level, err, b.Findings)
		}
	}
}

// FuzzParseBuildkitd: whatever the file is, what we say about it is what its own
// decoder says, and no edit makes it unreadable.
func FuzzParseBuildkitd(f *testing.F) {
	for text := range buildkitdFiles() {
		f.Add([]byte(text))
	}
	f.Add([]byte(cheatSheet))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := lint.ParseBuildkitd("x", data, lint.BuildkitdFlags{})
		_, err := config.Load(bytes.NewReader(data))
		if b.Decoded != (err == nil) {
			t.Fatalf("decoded is %v: %v", b.Decoded, err)
		}
		if !b.Decoded && len(b.Findings) == 0 {
			t.Fatalf("nothing is said about %v", err)
		}
		lines := bytes.Count(data, []byte("\n")) + 1
		for _, found := range b.Findings {
			if found.Line < 0 || found.Line > lines {
				t.Fatalf("line %d of %d: %+v", found.Line, lines, found)
			}
			if len(found.Edits) == 0 {
				continue
			}
			fixed, err := lint.Apply(data, found.Edits)
			if err != nil {
				t.Fatalf("%+v: %v", found, err)
			}
			if _, err := config.Load(bytes.NewReader(fixed)); b.Decoded && err != nil {
				t.Fatalf("%+v makes it unreadable: %v", found, err)
			}
		}
		b.Line("registry", "localhost:5005", "ca")
	})
}
