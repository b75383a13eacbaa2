package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/certyard/certyard/"

// ours says which of our packages each directory may import.
var ours = map[string][]string{
	"pki":                   {},
	"pki/remote":            {"pki"},
	"pki/remote/remotetest": {"pki", "pki/pkitest"}, // for tests
	"pki/pkitest":           {"pki"},                // for tests; nothing but tests may import it
	"stack":                 {"pki", "stack/strict"},
	"stack/edge":            {"pki", "stack/strict"},
	"stack/strict":          {},
	"stack/lint":            {"pki", "stack/strict"},
	"stack/doctor":          {"compose", "pki", "stack", "stack/explain", "stack/lint", "stack/smoke"},
	"stack/explain":         {},
	"stack/htpasswd":        {"pki", "stack"},
	"stack/render":          {"pki", "stack"},
	"stack/state":           {"pki", "stack"},
	"stack/smoke":           {"pki", "stack", "stack/smoke/runstep"},
	"stack/smoke/runstep":   {},
	"stack/local":           {"compose", "pki", "stack", "stack/lifecycle", "stack/smoke", "stack/state"},
	"stack/stacktest":       {"pki", "pki/pkitest", "stack", "stack/htpasswd", "stack/lifecycle", "stack/local", "stack/smoke", "stack/state", "compose"}, // for tests
	"stack/lifecycle":       {"pki", "stack", "stack/htpasswd", "stack/render", "stack/state", "stack/smoke", "compose"},
	"compose":               {},
	"compose/composetest":   {"compose"}, // for tests
	"cmd/certyard":          {"pki", "pki/remote", "stack", "stack/doctor", "stack/edge", "stack/explain", "stack/htpasswd", "stack/lint", "stack/render", "stack/state", "stack/smoke", "stack/lifecycle", "stack/local", "compose"},
}

// owners says which directories, or single files, may import what others have
// written, by the longest prefix. What is not here has no owner yet.
var owners = map[string][]string{
	"github.com/cloudflare/cfssl":        {"pki/authority.go", "pki/remote"},
	"github.com/youmark/pkcs8":           {"pki/encrypt.go"},
	"software.sslmate.com/src/go-pkcs12": {"pki/export.go"},
	"github.com/zmap":                    {"pki/lint.go"},

	"github.com/prometheus/client_golang": {"stack/edge"},
	"go.yaml.in/yaml":                     {"stack/strict"},
	"go.yaml.in/yaml/v2":                  {"stack/lint"}, // what distribution decodes its config with
	"golang.org/x/crypto":                 {"stack/htpasswd"},
	"golang.org/x/sys":                    {"stack/state", "cmd/certyard/reaper_linux.go"},

	"github.com/moby/buildkit":                      {"stack/smoke", "stack/stacktest/builder.go"},
	"github.com/moby/buildkit/cmd/buildkitd/config": {"stack/lint"},
	"github.com/moby/buildkit/util/resolver/config": {"stack/lint"},
	"github.com/pelletier/go-toml":                  {"stack/lint"},
	"github.com/containerd/containerd":              {"stack/lint/buildkitd_registry.go"},
	"google.golang.org/grpc":                        {"stack/smoke"},
	"github.com/opencontainers/go-digest":           {"stack/smoke"},
	"github.com/opencontainers/image-spec":          {"stack/smoke"},
	"golang.org/x/sync":                             {"stack/smoke", "stack/lifecycle", "stack/local", "compose", "pki"},
	"github.com/compose-spec/compose-go":            {"compose"},
	"github.com/compose-spec/compose-go/v2/types":   {"cmd/certyard/doctor.go", "compose", "stack/doctor", "stack/lifecycle", "stack/lint"},
	"github.com/docker":                             {"compose"},
	"github.com/moby/moby":                          {"compose"},
	"github.com/containerd/errdefs":                 {"compose"},
	"github.com/distribution/reference":             {"compose", "stack/lint"},
	"github.com/google/go-containerregistry":        {"compose", "stack/stacktest"},
	"github.com/distribution/distribution":          {"stack/stacktest"},
	"github.com/sirupsen/logrus":                    {"stack/stacktest"}, // what distribution logs with
	"github.com/spf13/pflag":                        {"compose"},         // in the signature of docker/cli's flags

	"github.com/distribution/distribution/v3/configuration": {"stack/lint", "stack/stacktest"},

	"github.com/rogpeppe/go-internal": {"stack/doctor/fix.go"},

	"github.com/urfave/cli": {"cmd/certyard"},
	"golang.org/x/term":     {"cmd/certyard"},
}

// pure are the directories of packages without any contact to the world.
var pure = []string{"pki", "stack", "stack/strict", "stack/explain", "stack/lint", "stack/render", "stack/htpasswd"}

// source is one Go file of the module that is no test.
type source struct {
	path string // from the module's root, with slashes
	dir  string
	file *ast.File
	fset *token.FileSet
}

func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imports returns the imported paths.
func (s source) imports() []string {
	var out []string
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
		out = append(out, p)
	}
	return out
}

// calls returns the name of each "package.Name" that the file uses, with the
// package's import path. Renamed imports are followed.
func (s source) uses() map[string][]ast.Node {
	names := map[string]string{}
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	out := map[string][]ast.Node{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && names[id.Name] != "" {
				use := names[id.Name] + "." + sel.Sel.Name
				out[use] = append(out[use], n)
			}
		}
		return true
	})
	return out
}

// sources parses every file of the module that ends up in the binary or in
// another program of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, file, d)
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, source{path: rel, dir: path.Dir(rel), file: parsed, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("found only %d files; the walk is wrong", len(out))
	}
	return out
}

func skipDir(root, dir string, d fs.DirEntry) error {
	if dir == root {
		return nil
	}
	if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return filepath.SkipDir // another module
	}
	return nil
}

// TestImports: who may import whom. The table in the house style has the
// reasons; a package that is not in ours has to be added with a decision.
func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		if s.file.Name.Name == "main" && s.dir != "cmd/certyard" {
			continue // a tool of the repository: nothing imports it, nobody ships it
		}
		allowed, ok := ours[s.dir]
		if !ok {
			t.Errorf("%s: directory %s is not in the table of who may import whom", s.path, s.dir)
			continue
		}
		for _, imported := range s.imports() {
			if why := forbidden(s, imported, allowed); why != "" {
				t.Errorf("%s imports %s: %s", s.path, imported, why)
			}
		}
	}
}

// forbidden says why a file may not import a package, "" when it may.
func forbidden(s source, imported string, allowed []string) string {
	if own, ok := strings.CutPrefix(imported, module); ok {
		if slices.Contains(allowed, own) {
			return ""
		}
		return "of ours, " + s.dir + " may import " + strings.Join(allowed, ", ")
	}
	if !strings.Contains(strings.Split(imported, "/")[0], ".") {
		return forbiddenStandard(s.dir, imported)
	}
	best := ""
	for prefix := range owners {
		if (imported == prefix || strings.HasPrefix(imported, prefix+"/")) && len(prefix) > len(best) {
			best = prefix
		}
	}
	switch {
	case best == "":
		return "nobody owns it; decide who does"
	case slices.Contains(owners[best], s.dir), slices.Contains(owners[best], s.path):
		return ""
	default:
		return "it belongs to " + strings.Join(owners[best], ", ")
	}
}

// forbiddenStandard keeps the pure packages pure. Package net is allowed for
// net.JoinHostPort and net.IP; what dials in it is not, see TestUses.
func forbiddenStandard(dir, imported string) string {
	effects := []string{"os", "os/exec", "os/signal", "os/user", "io/ioutil", "net/http", "net/rpc", "net/smtp", "net/textproto", "syscall", "log", "log/slog", "log/syslog", "unsafe", "plugin"}
	if slices.Contains(pure, dir) && slices.Contains(effects, imported) {
		return dir + " is pure: bytes in, bytes out"
	}
	if dir == "stack/lifecycle" && slices.Contains(effects, imported) {
		return dir + " asks its dependencies for what it needs of the world"
	}
	if strings.HasPrefix(imported, "unsafe") || imported == "log" && dir != "cmd/certyard" {
		return "no package of ours needs it"
	}
	return ""
}

// uses are the identifiers that only some may use.
var uses = []struct {
	what []string
	only func(source) bool
	why  string
}{
	{
		[]string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.Tick"},
		func(s source) bool { return !slices.Contains(pure, s.dir) && s.dir != "stack/state" },
		"now comes in as an argument",
	},
	{
		[]string{"net.Dial", "net.DialTimeout", "net.Dialer", "net.Listen", "net.ListenPacket", "net.ListenConfig", "net.LookupHost", "net.LookupIP", "net.DefaultResolver", "net.Interfaces", "net.InterfaceAddrs", "crypto/tls.Dial", "crypto/tls.Dialer"},
		func(s source) bool {
			return !slices.Contains(pure, s.dir) && s.dir != "stack/lifecycle" && s.dir != "stack/state"
		},
		"a pure package dials nobody",
	},
	{
		[]string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Panic"},
		func(s source) bool { return s.path == "cmd/certyard/main.go" },
		"only main ends the process",
	},
	{
		[]string{"fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr", "os.Stdin"},
		func(s source) bool { return s.path == "cmd/certyard/main.go" || s.path == "stack/stacktest/shared.go" },
		"main says where run reads and writes",
	},
	{
		[]string{"os.Getenv", "os.LookupEnv", "os.Environ"},
		func(s source) bool {
			return s.dir == "cmd/certyard" || s.dir == "compose" || s.dir == "compose/composetest" || s.dir == "pki/pkitest" || s.dir == "pki/remote/remotetest" || s.path == "stack/stacktest/program.go"
		},
		"the environment is read in cmd",
	},
	{
		[]string{"os.WriteFile", "os.Create", "os.CreateTemp", "os.OpenFile", "os.Mkdir", "os.MkdirAll", "os.MkdirTemp", "os.Remove", "os.RemoveAll", "os.Rename", "os.Link", "os.Symlink", "os.Truncate", "os.Chmod", "os.Chown", "os.Chtimes"},
		func(s source) bool { return s.dir != "stack/doctor" },
		"who looks changes nothing",
	},
	{
		[]string{"context.TODO"},
		func(source) bool { return false },
		"a context is passed in",
	},
	{
		[]string{"context.Background"},
		func(s source) bool { return s.path == "cmd/certyard/main.go" },
		"a context is passed in",
	},
}

// TestUses: what may be imported, and still not be used by everybody.
func TestUses(t *testing.T) {
	for _, s := range sources(t) {
		if s.file.Name.Name == "main" && s.dir != "cmd/certyard" {
			continue
		}
		found := s.uses()
		for _, rule := range uses {
			if rule.only(s) {
				continue
			}
			for _, what := range rule.what {
				for _, n := range found[what] {
					t.Errorf("%s: %s: %s", s.at(n), what, rule.why)
				}
			}
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: no package has state of its own", s.at(f))
			}
		}
	}
}

// TestOwnersAreUsed: a rule that nobody falls under any more is taken out.
func TestOwnersAreUsed(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			for prefix := range owners {
				if imported == prefix || strings.HasPrefix(imported, prefix+"/") {
					used[prefix] = true
				}
			}
		}
	}
	for _, prefix := range slices.Sorted(maps.Keys(owners)) {
		if !used[prefix] {
			t.Errorf("nothing imports %s any more", prefix)
		}
	}
}

// TestRulesBite: each rule finds what it is there to find.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct{ file, imported string }{
		{"pki/plan.go", "os"},
		{"pki/plan.go", "os/exec"},
		{"pki/plan.go", "github.com/cloudflare/cfssl/csr"},
		{"pki/authority.go", module + "stack"},
		{"stack/spec.go", "github.com/moby/buildkit/client"},
		{"stack/render/render.go", "os"},
		{"stack/lint/certs.go", "os"},
		{"stack/state/load.go", module + "compose"},
		{"stack/smoke/tls.go", "github.com/moby/moby/client"},
		{"stack/explain/scan.go", "os"},
		{"stack/edge/conn.go", module + "stack"},
		{"stack/edge/conn.go", "github.com/cloudflare/cfssl/csr"},
		{"stack/lifecycle/up.go", "github.com/prometheus/client_golang/prometheus"},
		{"stack/lifecycle/up.go", "github.com/moby/moby/client"},
		{"stack/lifecycle/up.go", "github.com/compose-spec/compose-go/v2/cli"},
		{"stack/lifecycle/up.go", "os"},
		{"compose/engine.go", module + "pki"},
		{"compose/engine.go", "github.com/moby/buildkit/client"},
		{"cmd/certyard/wire.go", "github.com/docker/compose/v5/pkg/api"},
		{"cmd/certyard/wire.go", module + "pki/pkitest"},
		{"cmd/certyard/wire.go", "example.com/new"},
	} {
		s := source{path: c.file, dir: path.Dir(c.file)}
		if forbidden(s, c.imported, ours[s.dir]) == "" {
			t.Errorf("%s may import %s", c.file, c.imported)
		}
	}
	for _, c := range []struct{ file, imported string }{
		{"pki/authority.go", "github.com/cloudflare/cfssl/csr"},
		{"stack/lifecycle/up.go", "github.com/compose-spec/compose-go/v2/types"},
		{"stack/smoke/solve.go", "github.com/moby/buildkit/client"},
		{"stack/state/load.go", "os"},
	} {
		s := source{path: c.file, dir: path.Dir(c.file)}
		if why := forbidden(s, c.imported, ours[s.dir]); why != "" {
			t.Errorf("%s may not import %s: %s", c.file, c.imported, why)
		}
	}
}
