package explain

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/certyard/certyard/pki/pkitest"
)

// material writes what the configs of a daemon name, right and wrong, and returns
// the paths by their names.
func material(t *testing.T, ca *pkitest.CA) map[string]string {
	t.Helper()
	dir := t.TempDir()
	v := map[string]string{"dir": dir, "ca": write(t, dir, "ca.pem", ca.Trust().PEM())}
	v["cert"], v["key"] = pair(t, dir, "server", ca.Server(t, "localhost", "127.0.0.1"))
	_, v["other"] = pair(t, dir, "other", ca.Server(t, "localhost"))
	v["garbage"], v["empty"] = write(t, dir, "garbage.pem", []byte("no certificate\n")), write(t, dir, "empty.pem", nil)
	v["missing"], v["directory"] = filepath.Join(dir, "missing.pem"), filepath.Join(dir, "directory.pem")
	if err := os.Mkdir(v["directory"], 0o700); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	v["busy"] = busy.Addr().String()
	return v
}

// TestBuilderStarts: buildkitd with a config that it refuses, or should not take.
func testBuilderStarts(t *testing.T, r *real) {
	const tcp = "[grpc]\naddress = [\"tcp://127.0.0.1:0\"]\n"
	tls := func(cert, key, ca string) string {
		text := tcp + "[grpc.tls]\n"
		for _, line := range [][2]string{{"cert", cert}, {"key", key}, {"ca", ca}} {
			if line[1] != "" {
				text += line[0] + " = \"$" + line[1] + "\"\n"
			}
		}
		return text
	}
	for name, c := range map[string]struct {
		config string
		want   string
		starts bool
	}{
		"a text for a list of addresses": {"[grpc]\naddress = \"tcp://127.0.0.1:0\"\n", "toml-list", false},
		"a text for a list of CAs":       {tcp + "[registry.\"r:5000\"]\nca = \"$ca\"\n", "toml-list", false},
		"a list for a text":              {tcp + "[grpc.tls]\nca = [\"$ca\"]\n", "toml-text", false},
		"a text for a boolean":           {tcp + "[registry.\"r:5000\"]\nhttp = \"false\"\n", "toml-type", false},
		"a host without quotes":          {tcp + "[registry.r:5000]\nhttp = false\n", "toml-table-name", false},
		"a host without quotes, pairs":   {tcp + "[[registry.r:5000.keypair]]\nkey = \"$key\"\n", "toml-table-name", false},
		"no end of a text":               {tcp + "[registry.\"r:5000\"]\nca = [\"$ca]\n", "toml-type", false},
		"a CA alone":                     {tls("", "", "ca"), "tls-off-tcp", true},
		"no TLS":                         {tcp, "tls-off-tcp", true},
		"a socket":                       {"[grpc]\naddress = [\"unix://$dir/s\", \"tcp://127.0.0.1:0\"]\n[grpc.tls]\ncert = \"$cert\"\nkey = \"$key\"\n", "tls-off-unix", true},
		"a certificate alone":            {tls("cert", "", ""), "half-a-pair", false},
		"a key alone":                    {tls("", "key", "ca"), "half-a-pair", false},
		"a mismatched pair":              {tls("cert", "other", ""), "key-mismatch", false},
		"an exchanged pair":              {tls("key", "cert", ""), "pem-swapped", false},
		"a certificate for a key":        {tls("cert", "cert", ""), "pem-swapped", false},
		"no certificate":                 {tls("missing", "key", ""), "no-such-file", false},
		"no key":                         {tls("cert", "missing", ""), "no-such-file", false},
		"no CA":                          {tls("cert", "key", "missing"), "no-such-file", false},
		"an empty certificate":           {tls("empty", "key", ""), "pem-missing", false},
		"an empty key":                   {tls("cert", "empty", ""), "pem-missing", false},
		"a CA that is none":              {tls("cert", "key", "garbage"), "ca-unreadable", false},
		"a directory for a certificate":  {tls("directory", "key", ""), "is-a-directory", false},
		"a directory for a CA":           {tls("cert", "key", "directory"), "is-a-directory", false},
		"an address without a scheme":    {"[grpc]\naddress = [\"127.0.0.1:0\"]\n", "address-form", false},
		"an address of the web":          {"[grpc]\naddress = [\"https://127.0.0.1:0\"]\n", "address-form", false},
		"a port that is taken":           {"[grpc]\naddress = [\"tcp://$busy\"]\n", "address-in-use", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := material(t, r.ca)
			d := r.launch(t, r.builderCommand(t, v["dir"], fill(c.config, v))...)
			if !c.starts {
				r.explains(t, d.fails(t), want(c.want, DaemonStart))
				return
			}
			r.explains(t, d.says(t, 0, ready), want(c.want, DaemonStart))
		})
	}
	t.Run("a config that is not there", func(t *testing.T) {
		dir := t.TempDir()
		d := r.launch(t, append(r.builderOf(t, filepath.Join(dir, "typo.toml"), dir), "--addr", "tcp://127.0.0.1:0")...)
		r.explains(t, d.says(t, 0, ready), want("tls-off-tcp", DaemonStart))
	})
	// Even for root, where a container may not override it.
	t.Run("a key of somebody else", func(t *testing.T) {
		v := material(t, r.ca)
		if err := os.Chown(v["key"], 1000, 1000); err != nil {
			t.Fatal(err)
		}
		command := r.builderCommand(t, v["dir"], fill(tls("cert", "key", ""), v))
		command[0] = r.program(command[0])
		r.explains(t, r.launch(t, append([]string{"setpriv", "--bounding-set", "-dac_override,-dac_read_search"}, command...)...).fails(t), want("permission-denied", DaemonStart))
	})
	t.Run("a state directory that is taken", func(t *testing.T) {
		dir := t.TempDir()
		command := r.builderCommand(t, dir, "[grpc]\naddress = [\"tcp://127.0.0.1:0\"]\n")
		r.start(t, command...)
		r.explains(t, r.launch(t, command...).fails(t), want("root-locked", DaemonStart))
	})
}

// TestRegistryStarts: the registry with a config that it refuses, or should not
// take.
func testRegistryStarts(t *testing.T, r *real) {
	const (
		storage = "version: 0.1\nstorage: {filesystem: {rootdirectory: $dir/data}}\n"
		http    = storage + "http:\n  addr: 127.0.0.1:0\n  secret: s\n"
		tls     = http + "  tls:\n    certificate: $cert\n    key: $key\n"
	)
	for name, c := range map[string]struct {
		config string
		want   string
		says   string // of one that comes up
	}{
		"no YAML":                   {"version: 0.1\n\tstorage: x\n", "registry-config", ""},
		"another version":           {"version: 7\nstorage: {filesystem: {}}\n", "registry-config", ""},
		"no key":                    {http + "  tls:\n    certificate: $cert\n    key: $missing\n", "no-such-file", ""},
		"no certificate":            {http + "  tls:\n    certificate: $missing\n    key: $key\n", "no-such-file", ""},
		"a mismatched pair":         {http + "  tls:\n    certificate: $cert\n    key: $other\n", "key-mismatch", ""},
		"an exchanged pair":         {http + "  tls:\n    certificate: $key\n    key: $cert\n", "pem-swapped", ""},
		"an empty certificate":      {http + "  tls:\n    certificate: $empty\n    key: $key\n", "pem-missing", ""},
		"a directory":               {http + "  tls:\n    certificate: $directory\n    key: $key\n", "is-a-directory", ""},
		"a minimum of version 2":    {tls + "    minimumtls: tls1.0\n", "registry-minimum-tls", ""},
		"a way to ask for clients":  {tls + "    clientauth: always\n    clientcas: [$ca]\n", "registry-client-auth", ""},
		"a client CA that is none":  {tls + "    clientcas: [$garbage]\n", "ca-unreadable", ""},
		"no client CA":              {tls + "    clientcas: [$missing]\n", "no-such-file", ""},
		"a port that is taken":      {storage + "http: {addr: \"$busy\", secret: s}\n", "address-in-use", ""},
		"no secret":                 {storage + "http: {addr: \"127.0.0.1:0\"}\n", "no-http-secret", "listening on"},
		"no passwords":              {http + "auth: {htpasswd: {realm: r, path: $missing}}\n", "htpasswd-missing", "listening on"},
		"passwords without a place": {http + "auth: {htpasswd: {realm: r, path: /proc/none/htpasswd}}\n", "htpasswd-start", ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := material(t, r.ca)
			d := r.launch(t, "registry", "serve", write(t, v["dir"], "config.yml", []byte(fill(c.config, v))))
			if c.says == "" {
				r.explains(t, d.fails(t), want(c.want, DaemonStart))
				return
			}
			r.explains(t, d.says(t, 0, regexp.MustCompile(c.says)), want(c.want, DaemonStart))
		})
	}
	t.Run("no config", func(t *testing.T) {
		r.explains(t, r.launch(t, "registry", "serve").fails(t), want("registry-config", DaemonStart))
	})
}
