package lint_test

import (
	"fmt"
	"strings"
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

		"[worker.oci]\nsnapsoter = \"native\"\n":                                                                           "2: unknown-key +",
		"[worker.containerd]\nenabled = false\n[worker.containerd.runtime]\naddress = \"/x\"\n":                            "4: misplaced +",
		"[grpc]\ncert = \"/c\"\n[grpc.tls]\ncert = [\"/x\", \"/y\"]\n":                                                     "4: type, 2: misplaced",
		"[grpc]\naddress = ['tcp://:1','unix:///x']\ncert = '/c'\n":                                                        "3: misplaced +",
		"[grpc]\naddress = ['tcp://:1','unix:///x']\nkey = '/c'\n":                                                         "3: misplaced +",
		"[grpc.tls]\ncert = '/c'\nkey = '/k'\naddress = [\"tcp://:1\"]\n":                                                  "4: misplaced",
		"[grpc]\nkey = '/k'\n[grpc.tls]\ncert = '/c'\n":                                                                    "2: misplaced +",
		"[registry.\"localhost:1\"]\nca = ['/x']\nplain_http = false\n":                                                    "3: unknown-key +",
		"[registry.\"h:1\"]\nca=['/x']\n[[registry.\"h:1\".keypair]]\nkey='/k'\ncertificate='/c'\n":                        "5: unknown-key +",
		"[registry.\"h:1\"]\nca=['/x']\n[[registry.\"h:1\".keypair]]\nprivatekey='/k'\ncertificate='/c'\n":                 "4: unknown-key +, 5: unknown-key +",
		"[registry.\"h:1\"]\nca=['/x']\n[[registry.\"h:1\".keypair]]\n[[registry.\"h:1\".keypair]]\nkey='/k'\ncert='/c'\n": "3: keypair",

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
