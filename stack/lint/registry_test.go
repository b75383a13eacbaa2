package lint_test

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/sirupsen/logrus"

	"github.com/certyard/certyard/stack/lint"
)

// deployList writes findings as "line: rule", one a line.
func deployList(findings []lint.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%d: %s", f.Line, f.Rule))
	}
	return strings.Join(out, "\n")
}

// deployEdit carries out edits, which do not overlap, from the end.
func deployEdit(text string, edits []lint.Edit) string {
	lines := strings.Split(text, "\n")
	for _, e := range slices.Backward(edits) {
		lines = slices.Replace(lines, e.From-1, e.To, e.New...)
	}
	return strings.Join(lines, "\n")
}

// healthy is a config without findings; its http section begins on line 6.
const healthy = `version: 0.1
storage:
  filesystem: {rootdirectory: /data}
auth:
  htpasswd: {realm: yard, path: /auth/htpasswd}
http:
  addr: :5000
  secret: s3cret
  draintimeout: 60s
  tls:
    certificate: /certs/registry.crt
    key: /certs/registry.key
`

func TestParseRegistry(t *testing.T) {
	without := func(lines ...string) string {
		out := healthy
		for _, l := range lines {
			if !strings.Contains(out, l+"\n") {
				t.Fatalf("healthy has no line %q", l)
			}
			out = strings.Replace(out, l+"\n", "", 1)
		}
		return out
	}
	const cert, key = "    certificate: /certs/registry.crt", "    key: /certs/registry.key"
	bare := without(cert, key, "  tls:")
	for name, c := range map[string]struct{ file, want string }{
		"healthy":         {healthy, ""},
		"empty":           {"", "0: registry.syntax"},
		"no YAML":         {"version: 0.1\nstorage: [\n", "3: registry.syntax"},
		"version":         {strings.Replace(healthy, "0.1", "0.2", 1), "0: registry.syntax"},
		"level":           {healthy + "log:\n  level: trace\n", "14: registry.syntax"},
		"mode":            {healthy + "    clientauth: require\n", "13: registry.syntax"},
		"type":            {healthy + "    ciphersuites: A\n", "13: registry.syntax"},
		"two drivers":     {strings.Replace(healthy, "storage:\n", "storage:\n  inmemory: {}\n", 1), "0: registry.syntax"},
		"no driver":       {without("  filesystem: {rootdirectory: /data}"), "2: registry.storage-driver"},
		"unknown driver":  {strings.Replace(healthy, "filesystem", "file-system", 1), "3: registry.storage-driver"},
		"unknown auth":    {strings.Replace(healthy, "htpasswd:", "htpaswd:", 1), "5: registry.auth-kind"},
		"silly":           {strings.Replace(healthy, "htpasswd: {realm: yard, path: /auth/htpasswd}", "silly: {realm: a, service: b}", 1), "5: registry.auth-kind"},
		"no realm":        {strings.Replace(healthy, "realm: yard, ", "", 1), "5: registry.htpasswd-options"},
		"realm 1":         {strings.Replace(healthy, "realm: yard", "realm: 1", 1), "5: registry.htpasswd-options"},
		"no path":         {strings.Replace(healthy, ", path: /auth/htpasswd", "", 1), "5: registry.htpasswd-options"},
		"unknown key":     {healthy + "    minimumTLS: tls1.3\n", "13: registry.unknown-key"},
		"key of v2":       {healthy + "compatibility:\n  schema1: {enabled: true}\n", "13: registry.unknown-key"},
		"inline keys":     {healthy + "redis:\n  addrs: [a]\n  addr: b\n", "15: registry.unknown-key"},
		"free keys":       {healthy + "middleware:\n  storage:\n  - name: redirect\n    options: {baseurl: https://a}\n", ""},
		"twice":           {healthy + "http:\n  addr: :5000\n  secret: s\n  draintimeout: 1s\n", "13: registry.duplicate-key"},
		"no key":          {without(key), "11: registry.tls-pair"},
		"no certificate":  {without(cert), "6: registry.plain-http\n11: registry.tls-pair"},
		"settings only":   {without(cert, key) + "    minimumtls: tls1.3\n", "6: registry.plain-http\n10: registry.tls-pair"},
		"both":            {healthy + "    letsencrypt: {cachefile: /c, hosts: [a]}\n", "13: registry.letsencrypt"},
		"no cachefile":    {healthy + "    letsencrypt: {email: a}\n", "13: registry.letsencrypt"},
		"no hosts":        {without(cert, key) + "    letsencrypt: {cachefile: /c}\n", "11: registry.letsencrypt"},
		"plain":           {bare, "6: registry.plain-http"},
		"plain, loopback": {strings.Replace(bare, ":5000", "127.0.0.1:5000", 1), ""},
		"plain, socket":   {strings.Replace(bare, "addr: :5000", "addr: /run/r.sock\n  net: unix\n  relativeurls: true", 1), ""},
		"socket alone":    {strings.Replace(bare, "addr: :5000", "addr: /run/r.sock\n  net: unix", 1), "6: registry.relative-urls"},
		"plain, proxy":    {bare + "  host: https://reg.example.com\n", "10: registry.plain-behind-proxy"},
		"tls1.0":          {healthy + "    minimumtls: tls1.0\n", "13: registry.minimum-tls"},
		"tls1.3":          {healthy + "    minimumtls: tls1.3\n    ciphersuites: [A]\n", ""},
		"cipher":          {healthy + "    ciphersuites:\n    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n    - AES128\n", "15: registry.cipher-suite"},
		"clientauth":      {healthy + "    clientauth: require-and-verify-client-cert\n", "13: registry.clientauth-ignored"},
		"clientauth, lax": {healthy + "    clientauth: request-client-cert\n", "13: registry.clientauth-ignored"},
		"clientcas":       {healthy + "    clientcas: [/ca]\n", "13: registry.clients-need-certificates"},
		"clientcas, lax":  {healthy + "    clientcas: [/ca]\n    clientauth: request-client-cert\n", "14: registry.clientauth-lax"},
		"clientcas, some": {healthy + "    clientcas: [/ca]\n    clientauth: verify-client-cert-if-given\n", "14: registry.clientauth-lax"},
		"no auth":         {without("auth:", "  htpasswd: {realm: yard, path: /auth/htpasswd}"), "0: registry.no-auth"},
		"auth none":       {strings.Replace(healthy, "  htpasswd: {realm: yard, path: /auth/htpasswd}", "  none: {}", 1), "4: registry.no-auth"},
		"certificates":    {without("auth:", "  htpasswd: {realm: yard, path: /auth/htpasswd}") + "    clientcas: [/ca]\n", "11: registry.clients-need-certificates"},
		"no secret":       {without("  secret: s3cret"), "6: registry.secret"},
		"no drain":        {without("  draintimeout: 60s"), "6: registry.draintimeout"},
		"drain 60":        {strings.Replace(healthy, "60s", "60", 1), "9: registry.draintimeout"},
		"debug":           {healthy + "  debug: {addr: ':5001'}\n", "13: registry.debug-open"},
		"debug, loopback": {healthy + "  debug: {addr: 'localhost:5001'}\n", ""},
		"http host":       {healthy + "  host: http://reg:5000\n", "13: registry.host-scheme"},
		"host, no URL":    {healthy + "  host: \"http://[a\"\n", "13: registry.host-scheme"},
		"host, no scheme": {healthy + "  host: reg.example.com\n", "13: registry.host-scheme"},
		"mirror":          {without("  secret: s3cret") + "proxy:\n  remoteurl: https://registry-1.docker.io\n", ""},
		"private mirror":  {healthy + "proxy:\n  remoteurl: https://registry:5000\n", "14: registry.proxy-roots"},
	} {
		r := lint.ParseRegistry("config.yml", []byte(c.file), nil)
		if got := deployList(r.Findings); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s\n%+v", name, got, c.want, r.Findings)
		}
		stops := strings.Contains(c.want, "syntax") || c.want == "2: registry.storage-driver"
		if (r.Config == nil) != stops {
			t.Errorf("%s: Config is there: %v", name, r.Config != nil)
		}
	}
}

// TestRegistryHealthy: ours have no findings at all.
func TestRegistryHealthy(t *testing.T) {
	for _, name := range []string{"default", "mutual", "edge", "edge-mutual"} {
		data, err := os.ReadFile(filepath.Join("..", "render", "testdata", name, "registry", "config.yml.golden"))
		if os.IsNotExist(err) && name != "default" && name != "edge-mutual" {
			continue // only what differs is golden
		}
		if err != nil {
			t.Fatal(err)
		}
		r := lint.ParseRegistry("config.yml", data, map[string]string{"OTEL_TRACES_EXPORTER": "none"})
		if len(r.Findings) > 0 || r.Root() != "/var/lib/registry" {
			t.Errorf("%s: %+v, root %q", name, r.Findings, r.Root())
		}
	}
}

func TestRegistryEdits(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"spelling": {strings.Replace(healthy, "draintimeout", "drainTimeout", 1), healthy},
		"drain":    {strings.Replace(healthy, "  draintimeout: 60s\n", "", 1), strings.Replace(strings.Replace(healthy, "  draintimeout: 60s\n", "", 1), "http:\n", "http:\n  draintimeout: 60s\n", 1)},
		"unit":     {strings.Replace(healthy, "60s", "60", 1), healthy},
		"version":  {healthy + "    minimumtls: \"1.2\"\n", healthy + "    minimumtls: \"tls1.2\"\n"},
		"v1.3":     {healthy + "    minimumtls: TLSv1.3\n", healthy + "    minimumtls: tls1.3\n"},
		"gone":     {healthy + "    minimumtls: tls1.0\n", healthy + "    minimumtls: tls1.2\n"},
		"host":     {healthy + "  host: http://a\n", healthy + "  host: https://a\n"},
		"one line": {"version: 0.1\nstorage: inmemory\nhttp: {addr: 'localhost:5', secret: s}\n", "version: 0.1\nstorage: inmemory\nhttp: {addr: 'localhost:5', secret: s}\n"},
	} {
		r := lint.ParseRegistry("config.yml", []byte(c.file), nil)
		if len(r.Findings) == 0 {
			t.Errorf("%s: no finding", name)
			continue
		}
		if got := deployEdit(c.file, r.Findings[0].Edits); got != c.want {
			t.Errorf("%s: got\n%s\nfrom %+v", name, got, r.Findings)
		}
	}
}

func TestRegistryEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		file *string
		env  map[string]string
		want string // the rules, and what they are about
	}{
		"image's own": {nil, nil, "registry.plain-http http; registry.no-auth auth; registry.secret http.secret; registry.draintimeout http.draintimeout; registry.debug-open http.debug.addr"},
		"as people configure it": {nil, map[string]string{
			"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "Registry Realm", "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
			"REGISTRY_HTTP_TLS_CERTIFICATE": "/certs/a.crt", "REGISTRY_HTTP_TLS_KEY": "/certs/a.key",
			"REGISTRY_HTTP_SECRET": "s", "REGISTRY_HTTP_DRAINTIMEOUT": "60s", "REGISTRY_HTTP_DEBUG_ADDR": "localhost:5001",
			"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/data", "REGISTRY_CONFIGURATION_PATH": "/x"}, ""},
		"plain":          {ptr(healthy), map[string]string{"REGISTRY_HTTP_TLS_CERTIFICATE": ""}, "registry.environment-off REGISTRY_HTTP_TLS_CERTIFICATE; registry.tls-pair http.tls.key; registry.plain-http http"},
		"plain, as one":  {ptr(healthy), map[string]string{"REGISTRY_HTTP_TLS": "{}"}, "registry.environment-off REGISTRY_HTTP_TLS; registry.plain-http http"},
		"no auth":        {ptr(healthy), map[string]string{"REGISTRY_AUTH": "none"}, "registry.environment-off REGISTRY_AUTH; registry.no-auth REGISTRY_AUTH"},
		"two drivers":    {nil, map[string]string{"REGISTRY_STORAGE_S3_BUCKET": "b"}, "registry.storage-driver storage"},
		"two auths":      {ptr(healthy), map[string]string{"REGISTRY_AUTH_TOKEN_REALM": "r"}, "registry.auth-kind auth"},
		"cheat sheet's":  {ptr(healthy), map[string]string{"REGISTRY_AUTH_TYPE": "basic", "REGISTRY_TLS_VERIFY": "true"}, "registry.environment-value REGISTRY_AUTH_TYPE"},
		"unknown":        {ptr(healthy), map[string]string{"REGISTRY_CERT": "a", "REGISTRYX": "b"}, "registry.environment-unknown REGISTRY_CERT"},
		"item of a list": {ptr(healthy), map[string]string{"REGISTRY_HTTP_TLS_CLIENTCAS_0": "/ca"}, "registry.environment-unknown REGISTRY_HTTP_TLS_CLIENTCAS_0; registry.clients-need-certificates http.tls.clientcas"},
	} {
		var data []byte
		if c.file != nil {
			data = []byte(*c.file)
		}
		var got []string
		for _, f := range lint.ParseRegistry("config.yml", data, c.env).Findings {
			got = append(got, f.Rule+" "+f.Object)
			if strings.HasPrefix(f.Object, "REGISTRY_") && (f.Line != 0 || f.File != "") {
				t.Errorf("%s: a variable has no line: %+v", name, f)
			}
		}
		slices.Sort(got)
		want := strings.Split(c.want, "; ")
		slices.Sort(want)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestRegistryPatience: a small file that means a large one is given up, and soon.
func TestRegistryPatience(t *testing.T) {
	bomb := "version: 0.1\nstorage: inmemory\n"
	for i, name := range []string{"x", "y", "z"} {
		item := "{name: a}"
		if i > 0 {
			item = "*" + []string{"x", "y", "z"}[i-1]
		}
		bomb += name + ": &" + name + " [" + strings.Repeat(item+", ", 2000) + "]\n"
	}
	bomb += "middleware: {" + strings.Repeat("a: *x, b: *y, ", 2000) + "c: *z}\n"
	for what, text := range map[string]string{
		"aliases": bomb,
		"deep":    "a: " + strings.Repeat("[", 200_000),
		"deep {}": "a: " + strings.Repeat("{a: ", 200_000),
	} {
		start := time.Now()
		lint.ParseRegistry("", []byte(text), nil)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", what, took)
		}
	}
}

func ptr(s string) *string { return &s }

// TestRegistryEnvironmentAsTheRegistry compares with the registry's own parser,
// which reads the environment of the process.
func TestRegistryEnvironmentAsTheRegistry(t *testing.T) {
	logrus.SetOutput(io.Discard)
	defer logrus.SetOutput(os.Stderr)
	file := healthy + "  headers: {X-Content-Type-Options: [nosniff]}\nredis: {addrs: [a]}\n" +
		"middleware:\n  storage: [{name: redirect}]\nnotifications: {endpoints: [{name: a}]}\nlog: {fields: {a: {b: c}}}\n"
	for _, env := range []map[string]string{
		{"REGISTRY_HTTP_ADDR": ":1"},
		{"REGISTRY_HTTP_TLS": "{certificate: a}"},
		{"REGISTRY_HTTP_TLS_CLIENTCAS": "[a, b]"},
		{"REGISTRY_HTTP_TLS_CLIENTCAS_0": "a"},
		{"REGISTRY_HTTP_TLS_CLIENTCAS_1": "a"},
		{"REGISTRY_HTTP_TLS_CLIENTAUTH": "no"},
		{"REGISTRY_HTTP_DRAINTIMEOUT": "5"},
		{"REGISTRY_HTTP_DRAINTIMEOUT_X": "5"},
		{"REGISTRY_HTTP_HEADERS_A": "[b]"},
		{"REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS": "[b]"},
		{"REGISTRY_AUTH": "none"},
		{"REGISTRY_AUTH": ""},
		{"REGISTRY_AUTH": "token", "REGISTRY_AUTH_TOKEN_REALM": "r"},
		{"REGISTRY_AUTH_TYPE": "basic"},
		{"REGISTRY_AUTH_TOKEN": "{realm: r}"},
		{"REGISTRY_AUTH_HTPASSWD_REALM": "true"},
		{"REGISTRY_AUTH_HTPASSWD_A_B": "c"},
		{"REGISTRY_STORAGE": "inmemory"},
		{"REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "inmemory"},
		{"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
		{"REGISTRY_STORAGE_MAINTENANCE": "{readonly: {enabled: true}}", "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED": "false"},
		{"REGISTRY_REDIS_ADDRS": "[x]", "REGISTRY_REDIS_DB": "2", "REGISTRY_REDIS_TLS_KEY": "k"},
		{"REGISTRY_PROXY_TTL": "1h", "REGISTRY_PROXY_EXEC_COMMAND": "c", "REGISTRY_PROXY_REMOTEURL": "https://a"},
		{"REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME": "n", "REGISTRY_NOTIFICATIONS_ENDPOINTS_1_URL": "u"},
		{"REGISTRY_NOTIFICATIONS_ENDPOINTS_3_URL": "u"},
		{"REGISTRY_NOTIFICATIONS_ENDPOINTS_X_URL": "u"},
		{"REGISTRY_MIDDLEWARE_STORAGE_0_OPTIONS_BASEURL": "u"},
		{"REGISTRY_LOG_FIELDS_A_B": "x", "REGISTRY_LOG_FIELDS_C": "1", "REGISTRY_LOG_LEVEL": "debug"},
		{"REGISTRY_LOG_LEVEL": "loud"},
		{"REGISTRY_": "x", "REGISTRY_NO": "x", "REGISTRY_HTTP__ADDR": "x"},
		{"REGISTRY_VERSION": "0.3"},
	} {
		t.Run(strings.Join(slices.Sorted(maps.Keys(env)), " "), func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			want, err := configuration.Parse(strings.NewReader(file))
			got := lint.ParseRegistry("config.yml", []byte(file), env)
			if (err != nil) != (got.Config == nil) {
				t.Fatalf("the registry says %v, and we have %+v", err, got.Findings)
			}
			if err == nil {
				got.Config.Log.Level, got.Config.Catalog, got.Config.Tags = want.Log.Level, want.Catalog, want.Tags // defaults
				if !reflect.DeepEqual(got.Config, want) {
					t.Errorf("got\n%+v\nwant\n%+v", got.Config, want)
				}
			}
		})
	}
}

func TestRegistryLine(t *testing.T) {
	r := lint.ParseRegistry("config.yml", []byte(healthy), nil)
	for path, want := range map[string]int{"http.tls.key": 12, "http.tls.clientcas": 10, "http": 6, "auth.htpasswd.path": 5, "log": 0, "": 0} {
		if got := r.Line(path); got != want {
			t.Errorf("%q is on line %d, want %d", path, got, want)
		}
	}
	if lint.ParseRegistry("", nil, nil).Line("http") != 0 {
		t.Error("the image's own config has lines")
	}
}

func TestHtpasswd(t *testing.T) {
	const hash = "$2y$05$926C3y10Quzn/LnqQH86VOEVh/18T6RnLaS.khre96jLNL/7e.K5W"
	cost := func(n string) string { return strings.Replace(hash, "05", n, 1) }
	for file, want := range map[string]string{
		"a:" + hash: "",
		"\n# users\n a:" + hash + " \r\nb:" + strings.Replace(hash, "2y", "2a", 1) + "\n": "",
		"":                                      "0: registry.htpasswd-users",
		"# nobody\n":                            "0: registry.htpasswd-users",
		"a:" + hash + "\nb\n":                   "2: registry.htpasswd-line",
		"a :" + hash:                            "1: registry.htpasswd-line",
		":" + hash:                              "1: registry.htpasswd-line",
		"a:" + hash + "\na:" + hash:             "2: registry.htpasswd-twice",
		"a:$apr1$x$y\nb:{SHA}z\nc:pw":           "1: registry.htpasswd-bcrypt\n2: registry.htpasswd-bcrypt\n3: registry.htpasswd-bcrypt",
		"a:" + hash[:40]:                        "1: registry.htpasswd-bcrypt",
		"a:" + cost("03") + "\nb:" + cost("32"): "1: registry.htpasswd-bcrypt\n2: registry.htpasswd-bcrypt",
		"a:" + cost("12") + "\nb:" + cost("13"): "2: registry.htpasswd-cost",
	} {
		got := lint.Htpasswd("htpasswd", []byte(file))
		if deployList(got) != want {
			t.Errorf("%q: got\n%s\nwant\n%s", file, deployList(got), want)
		}
		for _, f := range got {
			if strings.Contains(f.Problem, hash[10:20]) {
				t.Errorf("%q: the hash is told: %s", file, f.Problem)
			}
		}
	}
}

// TestDeployRules: every finding has a rule, and every rule is whole.
func TestDeployRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range append(lint.RegistryRules(), lint.ComposeRules()...) {
		if seen[r.ID] {
			t.Errorf("%s stands twice", r.ID)
		}
		for _, need := range r.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which does not come before it", r.ID, need)
			}
		}
		seen[r.ID] = true
		for what, text := range map[string]string{"title": r.Title, "proves": r.Proves, "hint": r.Hint, "source": r.Source, "severity": string(r.Severity)} {
			if text == "" || strings.HasSuffix(text, ".") {
				t.Errorf("%s: its %s is %q", r.ID, what, text)
			}
		}
	}
}
