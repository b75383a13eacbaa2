package stack_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
)

// layout returns the constants File... of layout.go by name: reading the source
// finds the one that somebody adds and forgets everywhere else.
func layout(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "layout.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "File") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out[spec.Names[0].Name] = value
		return true
	})
	if len(out) < 15 {
		t.Fatalf("only %d files in layout.go: %v", len(out), out)
	}
	return out
}

// TestHopOf: what a daemon or a client reads belongs to a hop, what only
// certyard and compose read does not.
func TestHopOf(t *testing.T) {
	want := map[string]stack.Hop{
		stack.FileRegistryConfig: stack.HopHostRegistry, stack.FileHtpasswd: stack.HopHostRegistry,
		stack.FileRegistryCert: stack.HopHostRegistry, stack.FileRegistryKey: stack.HopHostRegistry,
		stack.FileRegistryCert2: stack.HopHostRegistry, stack.FileRegistryCA: stack.HopHostRegistry,
		stack.FileBuilderConfig: stack.HopBuilderRegistry, stack.FileBuilderCA: stack.HopBuilderRegistry,
		stack.FileBuilderCert: stack.HopHostBuilder, stack.FileBuilderKey: stack.HopHostBuilder, stack.FileBuilderClientCA: stack.HopHostBuilder,
		stack.FileClientCA: stack.HopHostBuilder, stack.FileClientCert: stack.HopHostBuilder,
		stack.FileClientKey: stack.HopHostBuilder, stack.FileDockerConfig: stack.HopHostBuilder,
		stack.FileEdgeConfig: stack.HopHostRegistry, stack.FileEdgeRegistryCert: stack.HopHostRegistry, stack.FileEdgeRegistryKey: stack.HopHostRegistry,
		stack.FileEdgeBuilderCert: stack.HopHostBuilder, stack.FileEdgeBuilderKey: stack.HopHostBuilder,
		stack.FileEdgeClients: stack.HopHostBuilder, stack.FileEdgeAccess: stack.HopHostBuilder,
		stack.FileRelayConfig: stack.HopBuilderRegistry, stack.FileEdgeBridge: stack.HopBuilderRegistry,
	}
	for name, file := range layout(t) {
		read := strings.HasPrefix(file, stack.DirRegistry+"/") || strings.HasPrefix(file, stack.DirBuilder+"/") ||
			strings.HasPrefix(file, stack.DirClient+"/") || strings.HasPrefix(file, stack.DirEdge+"/")
		hop, ok := stack.HopOf(file)
		if ok != read {
			t.Errorf("%s (%s): a daemon or a client reads it: %v; it has a hop: %v (%q)", name, file, read, ok, hop)
		}
		if hop != want[file] {
			t.Errorf("%s (%s): got hop %q, want %q", name, file, hop, want[file])
		}
	}
	for _, other := range []string{"", "registry", "client/", "client/../client/ca.pem", "nothing"} {
		if hop, ok := stack.HopOf(other); ok || hop != "" {
			t.Errorf("%q has the hop %q", other, hop)
		}
	}
}

func TestLayout(t *testing.T) {
	seen := map[string]string{}
	for name, file := range layout(t) {
		if file != path.Clean(file) || path.IsAbs(file) || strings.HasPrefix(file, "..") {
			t.Errorf("%s is %q, which is not a clean relative path", name, file)
		}
		if seen[file] != "" {
			t.Errorf("%s and %s are both %s", name, seen[file], file)
		}
		seen[file] = name
	}
	// The keys of the CA and the clients are in no directory that a container sees.
	for _, file := range []string{stack.FileCAKey, stack.FileIssuingKey, stack.FileClientCAKey, stack.FileClientKey, stack.FileSecrets, stack.ClientPair(stack.LeafRemoved).Key} {
		if strings.HasPrefix(file, stack.DirRegistry+"/") || strings.HasPrefix(file, stack.DirBuilder+"/") || strings.HasPrefix(file, stack.DirEdge+"/") {
			t.Errorf("%s is in a mounted directory", file)
		}
	}
	// buildctl --tlsdir takes these names only (P20).
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if seen[stack.DirClient+"/"+name] == "" {
			t.Errorf("%s/%s is missing", stack.DirClient, name)
		}
	}
}

// TestRoleOf: a pair of which one half alone would be wrong is in one role; what
// is not read with others, or lies deeper, is in none.
func TestRoleOf(t *testing.T) {
	for file, want := range map[string]string{
		stack.FileRegistryCert: "registry/certs", stack.FileRegistryKey: "registry/certs", stack.FileRegistryCert2: "registry/certs",
		stack.FileRegistryCA: "registry/certs", stack.FileHtpasswd: "registry/auth",
		stack.FileBuilderCert: "buildkit/certs", stack.FileBuilderKey: "buildkit/certs", stack.FileBuilderCA: "buildkit/certs",
		stack.FileBuilderClientCA:  "buildkit/certs",
		stack.FileEdgeRegistryCert: "edge/registry", stack.FileEdgeRegistryKey: "edge/registry",
		stack.FileEdgeBuilderCert: "edge/builder", stack.FileEdgeBuilderKey: "edge/builder",
		stack.FileEdgeClients: "edge/builder", stack.FileEdgeAccess: "edge/builder",
		stack.FileClientCA: "client", stack.FileClientCert: "client", stack.FileClientKey: "client",
		"clients/bob/key.pem":    "clients/bob",
		stack.FileRegistryConfig: "", stack.FileBuilderConfig: "", stack.FileEdgeConfig: "", stack.FileRelayConfig: "",
		stack.FileDockerConfig: "", stack.FileCAKey: "", stack.FileState: "", "ca/removed/key.pem": "", "clients/bob": "",
		"clients/bob/deep/key.pem": "", "clients": "", "": "",
	} {
		dir, ok := stack.RoleOf(file)
		if ok != (want != "") || ok && dir != want {
			t.Errorf("%s: got %q, %v, want %q", file, dir, ok, want)
		}
	}
	for _, leaf := range append(stack.Leaves(stack.Clients{}), stack.ClientLeaf("bob")) {
		for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
			pair := serve.PairOf(leaf)
			if _, ok := stack.RoleOf(pair.Cert); !ok && leaf != stack.LeafRemoved {
				t.Errorf("%s with serve %v: %s is in no role", leaf, serve, pair.Cert)
			}
		}
	}
}

// TestPairs: the plan's leaves and the CA each have a pair of files.
func TestPairs(t *testing.T) {
	spec := mustRead(t, "serve: edge\nbuilder: {tls: mutual}")
	plan := checkCovered(t, spec, stack.Facts{})
	names := stack.CAs()
	for _, leaf := range plan.Leaves {
		names = append(names, leaf.Name)
	}
	if leaves := stack.Leaves(stack.Clients{}); !slices.Equal(names[3:], leaves) {
		t.Errorf("the leaves are %v, planned are %v", leaves, names[3:])
	}
	known, seen := map[string]bool{}, map[string]bool{}
	for _, file := range layout(t) {
		known[file] = true
	}
	removed := stack.ClientPair(stack.LeafRemoved)
	known[removed.Cert], known[removed.Key] = true, true
	for _, name := range names {
		p := spec.Serve.PairOf(name)
		if !known[p.Cert] || !known[p.Key] || seen[p.Cert] || seen[p.Key] || path.Dir(p.Cert) != path.Dir(p.Key) {
			t.Errorf("%s: %+v", name, p)
		}
		seen[p.Cert], seen[p.Key] = true, true
	}
}
