package stack_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/certyard/certyard/stack"
)

// read does what every command does with a config file.
func read(text string) (stack.Spec, error) {
	c, err := stack.ReadConfig(strings.NewReader(text), "certyard.yaml")
	if err != nil {
		return stack.Spec{}, err
	}
	return stack.NewSpec(c)
}

func mustRead(t testing.TB, text string) stack.Spec {
	t.Helper()
	s, err := read(text)
	if err != nil {
		t.Fatalf("reading\n%s\n%v", text, err)
	}
	return s
}

// problems returns each problem of a *stack.ConfigError as a line, and fails
// the test for any other error.
func problems(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var bad *stack.ConfigError
	if !errors.As(err, &bad) {
		t.Fatalf("got %v (%T), want a *stack.ConfigError", err, err)
	}
	if len(bad.Problems) == 0 {
		t.Fatal("an error without a problem")
	}
	var out []string
	for _, p := range bad.Problems {
		out = append(out, p.String())
	}
	return out
}

const (
	knownTop      = "unknown key; known here: builder, images, name, pki, registry, serve, version"
	knownRegistry = "unknown key; known here: hosts, image, name, publish, users"
	knownUser     = "unknown key; known here: name, password_env, password_file"
	knownBuilder  = "unknown key; known here: clients, hosts, image, privileges, publish, tls"
	knownPKI      = "unknown key; known here: authority, ca_cert, ca_key, ca_keys, ca_validity, hierarchy, key, leaf_validity, passphrase_file, remote"
)

// TestReadConfigProblems has documents that are refused before any value is
// looked at.
func TestReadConfigProblems(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown key":             {"version: 1\nregistri: {}\n", []string{"line 2: registri: " + knownTop}},
		"unknown in registry":     {"registry:\n  image: r\n  port: 5000\n", []string{"line 3: registry.port: " + knownRegistry}},
		"unknown in a user":       {"registry:\n  users:\n    - name: a\n    - name: b\n      password: s3cret\n", []string{"line 5: registry.users[1].password: " + knownUser}},
		"unknown in builder":      {"builder:\n\n  mtls: true\n", []string{"line 3: builder.mtls: " + knownBuilder}},
		"unknown in pki":          {"pki: {days: 90}\n", []string{"line 1: pki.days: " + knownPKI}},
		"key of another level":    {"registry: {tls: mutual}\n", []string{"line 1: registry.tls: " + knownRegistry}},
		"case matters":            {"Registry: {}\n", []string{"line 1: Registry: " + knownTop}},
		"Go's name of the field":  {"pki: {CAValidity: 1d}\n", []string{"line 1: pki.CAValidity: " + knownPKI}},
		"dotted key":              {"registry.publish: x\n", []string{"line 1: registry.publish: " + knownTop}},
		"internal field":          {"file: x\nlines: {}\n", []string{"line 1: file: " + knownTop, "line 2: lines: " + knownTop}},
		"merge key":               {"builder:\n  <<: {tls: mutual}\n", []string{"line 2: builder.<<: " + knownBuilder}},
		"through an alias":        {"registry: &r\n  users: []\nbuilder: *r\n", []string{"line 2: builder.users: " + knownBuilder}},
		"key twice":               {"name: a\nimages: pull\nname: b\n", []string{"line 3: name: stands on line 1 already"}},
		"version as text":         {"version: one\n", []string{`line 1: version: want a number, have "one"`}},
		"version quoted":          {"version: '1'\n", []string{`line 1: version: want a number, have "1"`}},
		"version with a fraction": {"version: 1.0\n", []string{`line 1: version: want a number, have "1.0"`}},
		"text for a section":      {"registry: on\n", []string{`line 1: registry: want keys and values, have "on"`}},
		"list for a section":      {"builder:\n  - a\n", []string{"line 2: builder: want keys and values, have a list"}},
		"section for text":        {"name: {a: b}\n", []string{"line 1: name: want text, have keys and values"}},
		"list for text":           {"registry:\n  publish: [a]\n", []string{"line 2: registry.publish: want text, have a list"}},
		"text for a list":         {"builder: {hosts: build.lan}\n", []string{`line 1: builder.hosts: want a list, have "build.lan"`}},
		"list in a list":          {"builder:\n  hosts:\n    - a\n    - [b]\n", []string{"line 4: builder.hosts[1]: want text, have a list"}},
		"user as text":            {"registry: {users: [bob]}\n", []string{`line 1: registry.users[0]: want keys and values, have "bob"`}},
		"users as section":        {"registry: {users: {name: bob}}\n", []string{"line 1: registry.users: want a list, have keys and values"}},
		"date for text":           {"images: 2026-01-01\n", []string{`line 1: images: want text, have "2026-01-01"`}},
		"nothing in lists":        {"registry:\n  users: [~]\n  hosts:\n    - a\n    -\n", []string{"line 2: registry.users[0]: is empty", "line 5: registry.hosts[1]: is empty"}},
		"alias of nothing":        {"name: &n ~\nregistry: {hosts: [*n]}\n", []string{"line 2: registry.hosts[0]: is empty"}},
		"binary for text":         {"name: !!binary aGk=\n", []string{`line 1: name: want text, have "aGk="`}},
		"document is text":        {"certyard\n", []string{`line 1: want keys and values, have "certyard"`}},
		"document is a list":      {"\n- name: a\n", []string{"line 2: want keys and values, have a list"}},
		"document in itself":      {"&a [*a]\n", []string{"line 1: want keys and values, have a list"}},
		"list in itself":          {"registry:\n  users: &a [*a]\n", []string{"line 2: registry.users[0]: want keys and values, have a list"}},
		"list as a key":           {"? [a]\n: b\n", []string{"line 1: " + knownTop}},
		"two documents":           {"version: 1\n---\nversion: 2\nbogus: 3\n", []string{"line 2: a second document begins here; want one"}},
		"second after dots":       {"name: a\n...\n---\nname: b\n", []string{"line 3: a second document begins here; want one"}},
		"second after an empty":   {"---\n---\nname: b\n", []string{"line 2: a second document begins here; want one"}},
		"syntax in the second":    {"name: a\n---\nb: [\n", []string{"line 4: did not find expected node content"}},
		"unclosed":                {"registry: [\n", []string{"line 2: did not find expected node content"}},
		"value in a value":        {"version: 1\nname: a: b\n", []string{"line 2: mapping values are not allowed in this context"}},
		"tab":                     {"registry:\n\timage: x\n", []string{"line 2: found character that cannot start any token"}},
		"unknown anchor":          {"name: *x\n", []string{"line 1: unknown anchor 'x' referenced"}},
		"several at once, sorted": {"name: [x]\nregistry:\n  users:\n    - name: a\n      pass: b\n  hosts: c\npki:\n  bits: 2048\nextra: 1\n", []string{
			"line 1: name: want text, have a list",
			"line 5: registry.users[0].pass: " + knownUser,
			`line 6: registry.hosts: want a list, have "c"`,
			"line 8: pki.bits: " + knownPKI,
			"line 9: extra: " + knownTop,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stack.ReadConfig(strings.NewReader(c.text), "certyard.yaml")
			if got := problems(t, err); !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

// TestHugeConfig: a file that is no config is not read to its end.
func TestHugeConfig(t *testing.T) {
	_, err := stack.ReadConfig(io.MultiReader(strings.NewReader("#"), &zeros{}), "x")
	if got := problems(t, err); !slices.Equal(got, []string{"it is larger than 1 MiB, so it is no config"}) {
		t.Errorf("got %v", got)
	}
}

// zeros never ends.
type zeros struct{}

func (*zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestEmptyConfigIsTheDefault(t *testing.T) {
	want, err := stack.NewSpec(stack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "\n", "# nothing\n", "---\n", "~\n", "null", "{}", "\ufeff", "version: 1\n",
		"registry:\nbuilder:\npki:\n", "registry: {hosts: , users: ~, publish: null, image: ''}\n",
	} {
		if got := mustRead(t, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q became %+v", text, got)
		}
	}
}

// TestExampleConfig loads the file that init writes and the README shows: it
// lists every default, so it has to be the default.
func TestExampleConfig(t *testing.T) {
	text, err := os.ReadFile("../cmd/certyard/testdata/certyard.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := mustRead(t, string(text)), mustRead(t, ""); !reflect.DeepEqual(normal(got), normal(want)) {
		t.Errorf("the example is %+v\nthe default   %+v", got, want)
	}
	// Every key is shown, except the two that would contradict the default.
	for _, key := range configKeys(reflect.TypeFor[stack.Config]()) {
		if key != "password_file" && key != "password_env" && !bytes.Contains(text, []byte(key+":")) {
			t.Errorf("the example does not show the key %q", key)
		}
	}
}

// normal forgets the difference between no list and an empty one.
func normal(s stack.Spec) stack.Spec {
	s.Registry.Hosts = append([]string{}, s.Registry.Hosts...)
	s.Builder.Hosts = append([]string{}, s.Builder.Hosts...)
	return s
}

func configKeys(t reflect.Type) []string {
	var out []string
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return configKeys(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if tag := f.Tag.Get("yaml"); tag != "" && tag != "-" {
				out = append(append(out, tag), configKeys(f.Type)...)
			}
		}
	}
	return out
}

func TestReadConfigCannotRead(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := stack.ReadConfig(iotest.ErrReader(broken), "certyard.yaml")
	if !errors.Is(err, broken) || errors.As(err, new(*stack.ConfigError)) {
		t.Errorf("got %v, want the reader's error and no *ConfigError", err)
	}
}

// TestReadConfigGarbage has input that nobody meant as a config: it is refused
// with a message of bearable length, quickly.
func TestReadConfigGarbage(t *testing.T) {
	random := make([]byte, 1<<16)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]\n"
	}
	for name, text := range map[string]string{
		"random":      string(random),
		"not UTF-8":   "name: \xff\xfe\n",
		"NUL":         "name: a\x00b\n",
		"ELF":         "\x7fELF\x02\x01\x01\x00",
		"long line":   strings.Repeat("x", 1<<18),
		"deep":        strings.Repeat("[", 100_000),
		"deep maps":   strings.Repeat("{a: ", 20_000),
		"bomb":        bomb,
		"bomb inside": bomb + "registry: {users: *i}\n",
		"TOML":        "[registry]\nport = 5000\n",
		"a key":       "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(text)
			if problems(t, err) == nil {
				t.Fatal("accepted")
			}
			if n := len(err.Error()); n > 2000 {
				t.Errorf("the message has %d bytes", n)
			}
		})
	}
	// Long, but right.
	var long strings.Builder
	long.WriteString("registry:\n  hosts:\n")
	for range 5_000 {
		long.WriteString("    - build.lan # " + strings.Repeat("x", 50) + "\n")
	}
	if s := mustRead(t, long.String()); len(s.Registry.Hosts) != 5_000 {
		t.Errorf("%d hosts are left of 5000", len(s.Registry.Hosts))
	}
}

func TestConfigErrorText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"version: 2\n", "certyard.yaml: line 1: version: 2 is not known; this certyard reads version 1"},
		{"images: none\nname: A\n", "certyard.yaml: 2 problems\n" +
			"    line 1: images: \"none\" is not known; want auto, pull, bundled\n" +
			"    line 2: name: \"A\" is not a compose project name: want lower-case letters, digits, - and _, a letter or digit first, at most 52 characters"},
	} {
		if _, err := read(c.text); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	// Values that come from flags have neither file nor line.
	_, err := stack.NewSpec(stack.Config{Images: "none"})
	if want := `configuration: images: "none" is not known; want auto, pull, bundled`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// FuzzConfig looks for a text that makes the reader panic, and holds every spec
// that it accepts to what the rest of the program relies on.
func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../cmd/certyard/testdata/certyard.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	for _, seed := range []string{
		"", "---\n---\n", "&a [*a]", "registry: &r {hosts: [a]}\nbuilder: *r\n", "registry: {users: &a [*a]}",
		"builder: {publish: '0.0.0.0:0', tls: mutual, hosts: ['*.build.lan', '::ffff:1.2.3.4', 'X.']}",
		"registry: {publish: ''}\nbuilder: {publish: '[::]:1'}\n", "pki: {key: ed25519, ca_validity: 1h, leaf_validity: 60m}",
		"? {a: b}\n: c\n", "name: !!binary aGk=", "version: 0x1", "<<: {name: a}", "name: !x y", "registry: {<<: *x}", "a: b: c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 16<<10 {
			return // longer ones only take longer
		}
		s, err := read(text)
		if err != nil {
			problems(t, err)
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		facts := stack.Facts{}
		checkCovered(t, s, facts)
		if !roundTrips(t, stack.State{Version: 1, Spec: s, Facts: facts}) {
			t.Errorf("%+v does not survive state.json", s)
		}
	})
}
