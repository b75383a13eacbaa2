package explain

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack/htpasswd"
)

// testLogs: what the registry logs about clients that it refuses, or that refuse it,
// and what those say.
func testLogs(t *testing.T, r *real) {
	v := r.clientFiles(t)
	serve := r.ca.Server(t, "localhost", "127.0.0.1")
	registry := map[string]*process{
		"server": r.registry(t, v, "server", yard{serve: serve}),
		"mutual": r.registry(t, v, "mutual", yard{serve: serve, clientCA: r.ca}),
		"1.3":    r.registry(t, v, "1.3", yard{serve: serve, tls: "    minimumtls: tls1.3\n"}),
		"other":  r.registry(t, v, "other", yard{serve: r.ca.Server(t, "registry")}),
		"old":    r.registry(t, v, "old", yard{serve: r.ca.ExpiredServer(t, "localhost")}),
		"http":   r.registry(t, v, "http", yard{}),
	}
	const handshake = "http: TLS handshake error from "
	for name, c := range map[string]struct {
		registry, command string
		client            string // what the client's own text is explained as
		log               string
	}{
		"curl without a CA":              {"server", "curl -sS https://localhost:$port/v2/", "unknown-authority: your own command to a server", "client-refuses-server"},
		"curl, another name":             {"other", "curl -sS --cacert $ca https://localhost:$port/v2/", "wrong-name: your own command to a server", ""},
		"curl, expired":                  {"old", "curl -sS --cacert $ca https://localhost:$port/v2/", "expired: your own command to a server", "client-refuses-server"},
		"curl of HTTP":                   {"server", "curl -sS http://localhost:$port/v2/", "http-to-https", "http-to-https"},
		"curl of HTTPS":                  {"http", "curl -sS https://localhost:$port/v2/", "not-tls: your own command to a server", ""},
		"curl without a certificate":     {"mutual", "curl -sS --cacert $ca https://localhost:$port/v2/", "client-certificate-required: your own command to a server|curl-broke-off: your own command to a server", "client-certificate-required"},
		"curl with a foreign one":        {"mutual", "curl -sS --cacert $ca --cert $foreigncert --key $foreignkey https://localhost:$port/v2/", "client-certificate-unknown-ca: your own command to a server|curl-broke-off: your own command to a server", "client-certificate-unknown-ca"},
		"curl with one of the CA before": {"mutual", "curl -sS --cacert $ca --cert $beforecert --key $beforekey https://localhost:$port/v2/", "client-certificate-unknown-ca: your own command to a server|curl-broke-off: your own command to a server", "client-certificate-unknown-ca"},
		"curl with a server's":           {"mutual", "curl -sS --cacert $ca --cert $servercert --key $serverkey https://localhost:$port/v2/", "client-certificate-refused: your own command to a server|curl-broke-off: your own command to a server", "client-certificate-refused"},
		"curl with an expired one":       {"mutual", "curl -sS --cacert $ca --cert $expiredcert --key $expiredkey https://localhost:$port/v2/", "client-certificate-expired: your own command to a server|curl-broke-off: your own command to a server", "client-certificate-expired"},
		"curl, TLS 1.2, no certificate":  {"mutual", "curl -sS --tls-max 1.2 --cacert $ca https://localhost:$port/v2/", "handshake-failure: your own command to a server", "client-certificate-required"},
		// Over TLS 1.2 the client reads the alert before it believes that TLS is up.
		"curl, TLS 1.2, a server's":        {"mutual", "curl -sS --tls-max 1.2 --cacert $ca --cert $servercert --key $serverkey https://localhost:$port/v2/", "client-certificate-refused: your own command to a server", "client-certificate-refused"},
		"curl, TLS 1.2, an expired one":    {"mutual", "curl -sS --tls-max 1.2 --cacert $ca --cert $expiredcert --key $expiredkey https://localhost:$port/v2/", "client-certificate-expired: your own command to a server", "client-certificate-expired"},
		"curl, TLS 1.2 to 1.3":             {"1.3", "curl -sS --tls-max 1.2 --cacert $ca https://localhost:$port/v2/", "tls-version: your own command to a server", "tls-version"},
		"openssl without a CA":             {"server", "openssl s_client -connect localhost:$port -verify_return_error", "unknown-authority: your own command to a server", "client-refuses-server"},
		"openssl, another protocol":        {"server", "openssl s_client -connect localhost:$port -CAfile $ca -alpn imap", "no-alpn: your own command to a server", "no-alpn"},
		"openssl, a cipher without favour": {"server", "openssl s_client -connect localhost:$port -CAfile $ca -tls1_2 -cipher AES128-SHA", "handshake-failure: your own command to a server", "no-cipher"},
		"openssl, an older TLS":            {"server", "openssl s_client -connect localhost:$port -CAfile $ca -tls1_1 -cipher DEFAULT@SECLEVEL=0", "tls-version: your own command to a server", "tls-version"},
	} {
		t.Run(name, func(t *testing.T) {
			d := registry[c.registry]
			_, port, err := net.SplitHostPort(d.address)
			if err != nil {
				t.Fatal(err)
			}
			v["port"] = port
			before := len(d.String())
			out, _ := r.run(t, nil, strings.Fields(fill(c.command, v))...)
			r.explains(t, out, c.client)
			if c.log != "" {
				r.explains(t, d.says(t, before, regexp.MustCompile(handshake)), want(c.log, ServerLog))
			}
		})
	}
	for name, c := range map[string]struct{ bytes, want string }{
		"a check of the port": {"", "handshake-broken-off"},
		"another protocol":    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not-tls"},
	} {
		t.Run(name, func(t *testing.T) {
			d := registry["server"]
			before := len(d.String())
			conn, err := net.Dial("tcp", d.address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(c.bytes)); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close() // the registry's reaction is what counts
			r.explains(t, d.says(t, before, regexp.MustCompile(handshake)), want(c.want, ServerLog))
		})
	}
}

// testPasswords: what the registry makes of logins, and of its file of passwords.
func testPasswords(t *testing.T, r *real) {
	dir := t.TempDir()
	good, err := htpasswd.Render([]htpasswd.User{{Name: user, Password: password, Cost: 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "auth", "htpasswd")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	d := r.registry(t, map[string]string{"dir": dir, "htpasswd": write(t, filepath.Dir(file), "htpasswd", good)}, "registry",
		yard{serve: r.ca.Server(t, "localhost", "127.0.0.1"), registry: "auth: {htpasswd: {realm: r, path: $htpasswd}}\n"})
	ca := write(t, dir, "ca.pem", r.ca.Trust().PEM())
	turn := 0
	for _, c := range []struct {
		name, file string
		login      string
		client     string
		log        string
	}{
		{"no password", string(good), "", "unauthorized", "wrong-password"},
		{"a wrong password", string(good), user + ":wrong", "unauthorized", "wrong-password"},
		{"a hash of another kind", user + ":$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n", user + ":" + password, "unauthorized", "htpasswd-hash"},
		{"half a line", string(good) + "other", user + ":" + password, "", "htpasswd-entry"},
		{"a directory", "", user + ":" + password, "", "is-a-directory"},
		{"gone", "", user + ":" + password, "", "no-such-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			turn++
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
			switch c.name {
			case "gone":
			case "a directory":
				err = os.Mkdir(file, 0o700)
			default:
				err = os.WriteFile(file, []byte(c.file), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.name != "gone" {
				// The registry reads it when its date changes.
				if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Duration(turn)*time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
			before := len(d.String())
			args := []string{"curl", "-sSi", "--cacert", ca, "https://localhost:" + d.address[strings.LastIndexByte(d.address, ':')+1:] + "/v2/"}
			if c.login != "" {
				args = append(args, "-u", c.login)
			}
			out, _ := r.run(t, nil, args...)
			var client []string
			if c.client != "" {
				client = []string{c.client}
			}
			r.explains(t, out, client...)
			r.explains(t, d.says(t, before, regexp.MustCompile(`level=(?:warning|error).*error authorizing|level=error`)), want(c.log, ServerLog))
		})
	}
}

// testUploads: an upload that the registry does not know.
func testUploads(t *testing.T, r *real) {
	dir := t.TempDir()
	d := r.registry(t, map[string]string{"dir": dir}, "registry", yard{})
	url := "http://" + d.address + "/v2/app/blobs/uploads/"
	head, ok := r.run(t, nil, "curl", "-sSi", "-X", "POST", url)
	location := regexp.MustCompile(`(?i)location: (\S+)`).FindStringSubmatch(head)
	if !ok || location == nil {
		t.Fatalf("no upload began: %s", head)
	}
	// As after a restart without a fixed secret.
	out, _ := r.run(t, nil, "curl", "-sS", "-X", "PUT", strings.Replace(location[1], "_state=", "_state=x", 1)+"&digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	r.explains(t, out, "blob-upload-unknown")
	out, _ = r.run(t, nil, "curl", "-sS", "-X", "DELETE", location[1])
	if out != "" {
		t.Errorf("the upload cannot be given up: %s", out)
	}
	out, _ = r.run(t, nil, "curl", "-sS", "-X", "GET", location[1])
	r.explains(t, out, "blob-upload-unknown")
}
