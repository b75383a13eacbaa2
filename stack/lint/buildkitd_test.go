package lint_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"

	"github.com/certyard/certyard/stack/lint"
)

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
