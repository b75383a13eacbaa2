package render_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/render"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// aCase is a stack that the tests of this package render.
type aCase struct {
	name   string
	config string
	facts  func(*stack.Facts) // nil: what a usual engine is
}

func cases() []aCase {
	minimal := func(f *stack.Facts) { f.Privileges = stack.PrivilegesMinimal }
	edge := func(f *stack.Facts) {
		f.Images = map[string]string{stack.Edge: "certyard/bundled-edge:v1-0123456789ab", stack.Registry: "registry:3", stack.Builder: "certyard/bundled-buildkit-edge:0123456789ab"}
	}
	minimalEdge := func(f *stack.Facts) { edge(f); minimal(f) }
	return []aCase{
		{"default", "", nil},
		{"mutual", "name: yard\nbuilder: {tls: mutual, publish: '0.0.0.0:1234'}", nil},
		{"minimal", "builder: {privileges: minimal}", func(f *stack.Facts) {
			minimal(f)
			f.Images = map[string]string{stack.Registry: "certyard/registry:v3.1.2-0123456789ab", stack.Builder: "certyard/buildkit:v0.34.2-0123456789ab"}
		}},
		{"mutual-minimal", "builder: {tls: mutual}", minimal},
		{"unpublished", "registry: {publish: ''}\nbuilder: {publish: ''}", nil},
		{"userns", "", func(f *stack.Facts) { f.HostUserNS = true }},
		{"rootless", "", func(f *stack.Facts) { f.RegistryUID, f.RegistryGID = 0, 0 }},
		{"ipv6", "name: '6'\nregistry: {publish: '[::]:5005', hosts: ['fd00::5', r.build.lan, '*.build.lan', R.Example.com.]}\nbuilder: {publish: '[2001:db8::1]:1234', tls: mutual, hosts: ['fd00::6']}", nil},
		{"ephemeral", "name: eph", func(f *stack.Facts) { f.Owner, f.Subnets = "uid 7 on here, process 9", subnets(stack.NetworkDefault) }},
		{"ephemeral-edge", "name: eph\nserve: edge", func(f *stack.Facts) {
			edge(f)
			f.Owner, f.Subnets = "uid 7 on here, process 9", subnets(stack.NetworkDefault, stack.NetworkBuilder)
		}},
		{"edge", "serve: edge", minimalEdge},
		{"edge-mutual", "name: yard\nserve: edge\nregistry: {name: reg.build.lan}\nbuilder: {tls: mutual, clients: [ci]}", edge},
		{"remote", "registry: {publish: '0.0.0.0:443', users: [{name: first, password_env: P}, {name: second}]}", func(f *stack.Facts) { f.EngineHost = "engine.lan" }},
	}
}

// subnets gives each network an address range.
func subnets(networks ...string) map[string]netip.Prefix {
	out := map[string]netip.Prefix{}
	for i, name := range networks {
		out[name] = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), 16}), 28)
	}
	return out
}

// input is everything that a case is rendered from. Only the keys and
// certificates differ from run to run; they are made here and never stored.
func (c aCase) input(t testing.TB) render.Input {
	t.Helper()
	config, err := stack.ReadConfig(strings.NewReader(c.config), c.name)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := stack.NewSpec(config)
	if err != nil {
		t.Fatal(err)
	}
	facts := stack.Facts{
		Privileges: stack.PrivilegesFull, RegistryUID: 65532, RegistryGID: 65532,
		Images: map[string]string{stack.Registry: spec.Registry.Image, stack.Builder: spec.Builder.Image},
	}
	if c.facts != nil {
		c.facts(&facts)
	}
	passwords := map[string]string{}
	for _, u := range spec.Registry.Users {
		passwords[u.Name] = "password-of-" + u.Name
	}
	plan, material := materialOf(t, spec, facts)
	return render.Input{
		Spec: spec, Facts: facts, Root: "/home/me/.certyard/" + spec.Name,
		Plan: plan, Material: material,
		Secrets:  stack.Secrets{HTTPSecret: "http-secret", Passwords: passwords},
		Htpasswd: []byte("testuser:$2a$05$hash\n"),
	}
}

func materialOf(t testing.TB, spec stack.Spec, facts stack.Facts) (pki.Plan, pki.Material) {
	t.Helper()
	plan, err := spec.PKIPlan(facts, stack.Clients{})
	if err != nil {
		t.Fatal(err)
	}
	steps, err := pki.Diff(plan, pki.Material{}, now)
	if err != nil {
		t.Fatal(err)
	}
	m, err := pki.Apply(t.Context(), plan, pki.Material{}, steps, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return plan, m
}

// files renders and returns the files by path.
func files(t testing.TB, in render.Input) map[string]stack.File {
	t.Helper()
	list, err := render.Files(in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]stack.File{}
	for _, f := range list {
		if _, twice := out[f.Path]; twice {
			t.Errorf("%s is rendered twice", f.Path)
		}
		out[f.Path] = f
	}
	return out
}

// eachCase runs a test on the files of every case.
func eachCase(t *testing.T, test func(*testing.T, render.Input, map[string]stack.File)) {
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		eachServed(t, serve, test)
	}
}

// eachServed runs a test on the cases of one way to serve.
func eachServed(t *testing.T, serve stack.Serve, test func(*testing.T, render.Input, map[string]stack.File)) {
	for _, c := range cases() {
		in := c.input(t)
		if in.Spec.Serve == serve {
			t.Run(c.name, func(t *testing.T) { test(t, in, files(t, in)) })
		}
	}
}

// golden returns where the golden files of a case are, by the file's path: the
// files without keys, certificates and hashes. Some cases are about
// compose.yaml alone.
func (c aCase) golden() map[string]string {
	paths := []string{stack.FileBuilderConfig, stack.FileRegistryConfig, stack.FileCompose, stack.FileDockerConfig, stack.FileEnv}
	if slices.Contains([]string{"minimal", "mutual-minimal", "userns", "rootless"}, c.name) {
		paths = []string{stack.FileCompose}
	}
	if strings.HasPrefix(c.name, "edge") {
		paths = append(paths, stack.FileEdgeConfig)
	}
	if c.name == "edge" {
		paths = append(paths, stack.FileRelayConfig)
	}
	out := map[string]string{}
	for _, path := range paths {
		out[path] = filepath.Join("testdata", c.name, filepath.FromSlash(path)+".golden")
	}
	return out
}

// TestGolden shows every byte of what the templates make. Run it with -update
// to write testdata/CASE anew, and read the diff.
func TestGolden(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			in := c.input(t)
			have := files(t, in)
			for path, at := range c.golden() {
				got := keyless(in, have, have[path].Data)
				if *update {
					writeGolden(t, at, got)
				}
				want, err := os.ReadFile(at)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s is not as in %s:\n%s", path, at, firstDifference(got, want))
				}
			}
		})
	}
}

// keyless replaces the labels, which follow from certificates that are new in
// every run.
func keyless(in render.Input, have map[string]stack.File, data []byte) []byte {
	list := slices.Collect(maps.Values(have))
	for _, service := range []string{stack.Registry, stack.Builder} {
		data = bytes.ReplaceAll(data, []byte(render.MaterialOf(in.Spec, in.Facts, list, service)), []byte("MATERIAL-OF-"+service))
	}
	return data
}

func writeGolden(t *testing.T, at string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenFilesAreUsed finds golden files of cases that are gone, and keys
// that should not be there.
func TestGoldenFilesAreUsed(t *testing.T) {
	want := map[string]bool{}
	for _, c := range cases() {
		for _, at := range c.golden() {
			want[at] = true
		}
	}
	if *update {
		t.Skip("the files are being written")
	}
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if !want[path] || bytes.Contains(data, []byte("PRIVATE KEY")) {
			t.Errorf("%s does not belong here", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("line %d: got  %s\n        want %s", i+1, a, b)
		}
	}
	return ""
}

// TestEveryFile: all files of the layout but the two that lifecycle adds, each
// with the mode and the owner that its reader needs.
func TestEveryFile(t *testing.T) {
	type attributes struct {
		mode  fs.FileMode
		owner stack.Owner
		once  bool
	}
	const caller, registry = stack.OwnerCaller, stack.OwnerRegistry
	want := map[string]attributes{
		stack.FileCACert: {0o644, caller, false}, stack.FileCAKey: {0o600, caller, true},
		stack.FileClientCACert: {0o644, caller, false}, stack.FileClientCAKey: {0o600, caller, true},
		stack.FileRegistryConfig: {0o600, registry, false}, stack.FileHtpasswd: {0o600, registry, false},
		stack.FileRegistryCert: {0o644, registry, false}, stack.FileRegistryKey: {0o600, registry, true},
		stack.FileRegistryCert2: {0o644, registry, false}, stack.FileRegistryCA: {0o644, registry, false},
		stack.FileBuilderConfig: {0o644, caller, false},
		stack.FileBuilderCert:   {0o644, caller, false}, stack.FileBuilderKey: {0o600, caller, true}, stack.FileBuilderCA: {0o644, caller, false},
		stack.FileClientCA: {0o644, caller, false}, stack.FileClientCert: {0o644, caller, false}, stack.FileClientKey: {0o600, caller, true},
		stack.FileDockerConfig: {0o600, caller, false}, stack.FileEnv: {0o600, caller, false}, stack.FileCompose: {0o644, caller, false},
	}
	eachCase(t, func(t *testing.T, in render.Input, have map[string]stack.File) {
		want := maps.Clone(want)
		mutual := in.Spec.Builder.TLS == stack.TLSMutual
		if mutual {
			want[stack.FileBuilderClientCA] = attributes{0o644, caller, false}
		}
		if in.Spec.Serve == stack.ServeEdge {
			for _, path := range []string{stack.FileRegistryCert, stack.FileRegistryKey, stack.FileRegistryCert2, stack.FileBuilderCert, stack.FileBuilderKey, stack.FileBuilderClientCA} {
				delete(want, path)
			}
			for _, path := range []string{stack.FileEdgeConfig, stack.FileEdgeRegistryCert, stack.FileEdgeBuilderCert} {
				want[path] = attributes{0o644, registry, false}
			}
			for _, path := range []string{stack.FileEdgeRegistryKey, stack.FileEdgeBuilderKey} {
				want[path] = attributes{0o600, registry, true}
			}
			if _, ok := in.Spec.Relay(in.Facts); ok {
				want[stack.FileRelayConfig], want[stack.FileEdgeBridge] = attributes{0o644, caller, false}, attributes{0o644, registry, false}
			}
			if mutual {
				want[stack.FileEdgeClients], want[stack.FileEdgeAccess] = attributes{0o644, registry, false}, attributes{0o644, registry, false}
				removed := stack.ClientPair(stack.LeafRemoved)
				want[removed.Cert], want[removed.Key] = attributes{0o644, caller, false}, attributes{0o600, caller, true}
			}
		}
		for path, f := range have {
			w, ok := want[path]
			if !ok {
				t.Errorf("%s is rendered, and nobody expects it", path)
			}
			if got := (attributes{f.Mode, f.Owner, f.Once}); got != w {
				t.Errorf("%s: got %+v, want %+v", path, got, w)
			}
			if len(f.Data) == 0 {
				t.Errorf("%s is empty", path)
			}
		}
		for path := range want {
			if _, ok := have[path]; !ok {
				t.Errorf("%s is missing", path)
			}
		}
		checkSecrets(t, in, have)
	})
}

// checkSecrets: what only some may know is in no file that everybody may read.
func checkSecrets(t *testing.T, in render.Input, have map[string]stack.File) {
	t.Helper()
	secrets := []string{"PRIVATE KEY", in.Secrets.HTTPSecret, "$2a$"}
	for user, password := range in.Secrets.Passwords {
		secrets = append(secrets, password, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	for path, f := range have {
		for _, s := range secrets {
			if f.Mode != 0o600 && bytes.Contains(f.Data, []byte(s)) {
				t.Errorf("%s has the mode %v and holds a secret", path, f.Mode)
			}
		}
	}
}

// TestMaterial reads the key pairs back from where their readers find them.
func TestMaterial(t *testing.T) {
	in := cases()[0].input(t)
	have := files(t, in)
	pairs := maps.Clone(in.Material.CAs)
	maps.Copy(pairs, in.Material.Leaves)
	for name := range pairs {
		at := in.Spec.Serve.PairOf(name)
		// As every daemon does, which checks that both belong together.
		got, err := tls.X509KeyPair(have[at.Cert].Data, have[at.Key].Data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(got.Certificate[0], pairs[name].Cert.Raw) {
			t.Errorf("%s holds the certificate of another", at.Cert)
		}
	}
	for _, at := range []string{stack.FileRegistryCA, stack.FileBuilderCA, stack.FileClientCA} {
		if string(have[at].Data) != string(pki.NewTrustBundle(in.Material.CAs[pki.CAName].Cert).PEM()) {
			t.Errorf("%s is not the CA", at)
		}
	}
	if string(have[stack.FileRegistryCert2].Data) != string(have[stack.FileRegistryCert].Data) {
		t.Errorf("%s and %s differ", stack.FileRegistryCert2, stack.FileRegistryCert)
	}
	// An external CA: somebody else keeps its key, and so it is not written.
	in.Plan.CAs[0].Keyholder = pki.KeyExternal
	have = files(t, in)
	if _, ok := have[stack.FileCAKey]; ok || len(have[stack.FileCACert].Data) == 0 {
		t.Error("a CA without its key is not rendered as one")
	}
}

// TestSameBytes: two renders of the same are the same, in the same order, or
// every up would write and recreate.
func TestSameBytes(t *testing.T) {
	for _, c := range cases() {
		in := c.input(t)
		first, err := render.Files(in)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			again, err := render.Files(in)
			if err != nil {
				t.Fatal(err)
			}
			same := slices.EqualFunc(first, again, func(a, b stack.File) bool {
				return a.Path == b.Path && a.Mode == b.Mode && a.Owner == b.Owner && a.Once == b.Once && bytes.Equal(a.Data, b.Data)
			})
			if !same {
				t.Fatalf("%s: rendered again, the files differ", c.name)
			}
		}
	}
}

// TestChangesTouchOnlyWhatTheyMust: a change of the spec changes these files
// and no other, and with the labels, these services' containers.
func TestChangesTouchOnlyWhatTheyMust(t *testing.T) {
	const registry, builder = stack.Registry, stack.Builder
	for _, c := range []struct {
		name     string
		change   func(*render.Input)
		files    []string
		services []string // whose label changes
	}{
		{"nothing", func(*render.Input) {}, nil, nil},
		{"a registry host", func(in *render.Input) { in.Spec.Registry.Hosts = []string{"r.lan"} },
			[]string{stack.FileBuilderConfig, stack.FileDockerConfig, stack.FileCompose}, []string{builder}},
		{"a builder host", func(in *render.Input) { in.Spec.Builder.Hosts = []string{"b.lan"} }, nil, nil},
		{"the builder's port", func(in *render.Input) { in.Spec = in.Spec.WithPort(builder, 4321) },
			[]string{stack.FileCompose, stack.FileEnv}, nil},
		{"the registry's port", func(in *render.Input) { in.Spec = in.Spec.WithPort(registry, 4321) },
			[]string{stack.FileBuilderConfig, stack.FileDockerConfig, stack.FileCompose, stack.FileEnv}, []string{builder}},
		{"mutual", func(in *render.Input) { in.Spec.Builder.TLS = stack.TLSMutual },
			[]string{stack.FileBuilderConfig, stack.FileBuilderClientCA, stack.FileCompose, stack.FileEnv}, []string{builder}},
		{"privileges", func(in *render.Input) { in.Facts.Privileges = stack.PrivilegesMinimal }, []string{stack.FileCompose}, nil},
		{"a password", func(in *render.Input) { in.Secrets.Passwords["testuser"] = "other" },
			[]string{stack.FileDockerConfig, stack.FileEnv}, nil},
		{"htpasswd", func(in *render.Input) { in.Htpasswd = []byte("other:x\n") }, []string{stack.FileHtpasswd}, nil},
		{"the HTTP secret", func(in *render.Input) { in.Secrets.HTTPSecret = "other" },
			[]string{stack.FileRegistryConfig, stack.FileCompose}, []string{registry}},
		{"the registry's certificate", renewed(registry),
			[]string{stack.FileRegistryCert, stack.FileRegistryCert2, stack.FileRegistryKey, stack.FileCompose}, []string{registry}},
		{"the builder's certificate", renewed(builder),
			[]string{stack.FileBuilderCert, stack.FileBuilderKey, stack.FileCompose}, []string{builder}},
		{"the client's certificate", renewed(stack.LeafClient), []string{stack.FileClientCert, stack.FileClientKey}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := cases()[0].input(t)
			before := files(t, in)
			in.Secrets.Passwords = maps.Clone(in.Secrets.Passwords)
			in.Material.Leaves = maps.Clone(in.Material.Leaves)
			c.change(&in)
			after := files(t, in)
			var changed []string
			for path := range after {
				if !bytes.Equal(before[path].Data, after[path].Data) {
					changed = append(changed, path)
				}
			}
			slices.Sort(changed)
			if want := slices.Sorted(slices.Values(c.files)); !slices.Equal(changed, want) {
				t.Errorf("changed %v, want %v", changed, want)
			}
			var services []string
			a, b := loadCompose(t, before[stack.FileCompose].Data), loadCompose(t, after[stack.FileCompose].Data)
			for _, s := range []string{registry, builder} {
				if a.Services[s].Labels[render.MaterialLabel] != b.Services[s].Labels[render.MaterialLabel] {
					services = append(services, s)
				}
			}
			if !slices.Equal(services, c.services) {
				t.Errorf("the labels of %v change, want %v", services, c.services)
			}
		})
	}
}

// renewed returns a change that puts another stack's pair into one's place.
func renewed(leaf string) func(*render.Input) {
	return func(in *render.Input) {
		plan, err := in.Spec.PKIPlan(in.Facts, stack.Clients{})
		if err != nil {
			panic(err)
		}
		have := pki.Material{CAs: in.Material.CAs}
		steps, err := pki.Diff(plan, have, now)
		if err != nil {
			panic(err)
		}
		m, err := pki.Apply(context.Background(), plan, have, steps, nil, now)
		if err != nil {
			panic(err)
		}
		in.Material.Leaves[leaf] = m.Leaves[leaf]
	}
}

// TestMaterialOf: the label names content and place, so that two files cannot
// swap theirs unseen, and other files have no part in it.
func TestMaterialOf(t *testing.T) {
	file := func(path, data string) stack.File { return stack.File{Path: path, Data: []byte(data)} }
	a := []stack.File{file(stack.FileBuilderConfig, "1"), file(stack.FileBuilderCert, "2"), file(stack.FileBuilderCA, "3")}
	of := func(files []stack.File) string {
		return render.MaterialOf(stack.Spec{Serve: stack.ServeDaemon}, stack.Facts{}, files, stack.Builder)
	}
	base := of(a)
	swapped := []stack.File{file(stack.FileBuilderConfig, "2"), file(stack.FileBuilderCert, "1"), file(stack.FileBuilderCA, "3")}
	reversed := slices.Clone(a)
	slices.Reverse(reversed)
	for name, c := range map[string]struct {
		files []stack.File
		same  bool
	}{
		"again": {a, true}, "reversed": {reversed, true}, "others": {append(slices.Clone(a), file(stack.FileHtpasswd, "x"), file(stack.FileBuilderKey, "y")), true},
		"swapped": {swapped, false}, "one less": {a[:2], false}, "none": {nil, false},
	} {
		if got := of(c.files); (got == base) != c.same || len(got) != 16 {
			t.Errorf("%s: got %s, before %s", name, got, base)
		}
	}
}
