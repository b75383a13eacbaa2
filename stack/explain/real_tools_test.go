package explain

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// hear returns what the registry logs.
func hear(t *testing.T) *logged {
	t.Helper()
	l, before, level := &logged{}, logrus.StandardLogger().Out, logrus.GetLevel()
	logrus.SetOutput(l)
	// The compose library, which another test may have used, sets another one.
	logrus.SetLevel(logrus.InfoLevel)
	t.Cleanup(func() {
		logrus.SetOutput(before)
		logrus.SetLevel(level)
	})
	return l
}

// linesWith returns the lines of a log that have a text.
func (l *logged) linesWith(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

const registryConfig = `version: 0.1
storage:
  inmemory: {}
`

func parsed(t *testing.T, text string) *configuration.Configuration {
	t.Helper()
	c, err := configuration.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sayRegistry(t *testing.T, x *texts) {
	log := hear(t)
	t.Setenv("REGISTRY_HTP_TLS_KEY", "x")
	parsed(t, registryConfig)
	x.say(t, log.linesWith("environment"), "registry-env", DaemonStart)

	htpasswd := filepath.Join(t.TempDir(), "auth", "htpasswd")
	config := registryConfig + "auth:\n  htpasswd:\n    realm: r\n    path: " + htpasswd + "\n"
	s := httptest.NewServer(handlers.NewApp(context.WithoutCancel(t.Context()), parsed(t, config)))
	defer s.Close()
	x.say(t, log.linesWith("secret"), "no-http-secret", DaemonStart)
	x.say(t, log.linesWith("htpasswd is missing"), "htpasswd-missing", DaemonStart)
	ask := func(user, password string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, password)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	ask("docker", "wrong")
	x.say(t, log.linesWith("user failed"), "wrong-password", ServerLog)
	x.say(t, log.linesWith("error authorizing context"), "wrong-password", ServerLog)
	for i, c := range []struct{ text, id string }{{"a:{SHA}xyz\n", "htpasswd-hash"}, {"nocolon\n", "htpasswd-entry"}} {
		if err := os.WriteFile(htpasswd, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		later := now().Add(time.Duration(i+1) * time.Hour)
		if err := os.Chtimes(htpasswd, later, later); err != nil {
			t.Fatal(err)
		}
		ask("a", "b")
		x.say(t, log.linesWith(map[string]string{"htpasswd-hash": "error authenticating", "htpasswd-entry": "invalid entry"}[c.id]), c.id, ServerLog)
	}
	func() {
		defer func() { x.say(t, fmt.Sprint("panic: ", recover()), "htpasswd-start", DaemonStart) }()
		handlers.NewApp(t.Context(), parsed(t, registryConfig+"auth:\n  htpasswd:\n    realm: r\n    path: /proc/nope/htpasswd\n"))
	}()

	open := httptest.NewServer(handlers.NewApp(context.WithoutCancel(t.Context()), parsed(t, registryConfig)))
	defer open.Close()
	for url, id := range map[string]string{"/v2/app/blobs/uploads/1a8b2c3d-0000-0000-0000-000000000000?_state=x": "blob-upload-unknown"} {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", open.URL+url+"&digest=sha256:x", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 1000)
		n, _ := resp.Body.Read(body)
		resp.Body.Close()
		x.say(t, string(body[:n]), id, "")
	}
}

// command returns what a command prints, line by line the messages that are known.
func command(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	out, _ := c.CombinedOutput() // it is there to fail
	return string(out)
}

// grep returns the lines of an output that have a text.
func grep(t *testing.T, output, text string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(output) {
		if strings.Contains(line, text) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	if len(out) == 0 {
		t.Errorf("%q is not in:\n%s", text, output)
	}
	return strings.Join(out, "\n")
}

func sayOpenSSL(t *testing.T, x *texts) {
	pkitest.NeedProgram(t, "openssl")
	ca := pkitest.New(t, now())
	caFile, clientCert, clientKey := files(t, ca.Trust(), ca.Client(t, "bob"))
	connect := func(pair *pki.KeyPair, more ...string) string {
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
		return command(t, "openssl", append([]string{"s_client", "-connect", s.addr, "-verify_return_error"}, more...)...)
	}
	issuing := ca.Issuing(t)
	narrow := pkitest.NewConstrained(t, now(), pki.Constraints{DNS: []string{"permitted.test"}, IPs: pki.PermitNothing().IPs})
	narrowFile, _, _ := files(t, narrow.Trust(), nil)
	alone := *issuing.Server(t, "reg.test")
	alone.Chain = nil
	selfSigned := *ca.Pair
	for name, c := range map[string]struct{ out, id string }{
		"self-signed":      {connect(&selfSigned), "unknown-authority"},
		"in chain":         {connect(&pki.KeyPair{Cert: ca.Server(t, "reg.test").Cert, Chain: ca.Trust().Certs(), Key: ca.Server(t, "reg.test").Key}), "unknown-authority"},
		"no CA":            {connect(ca.Server(t, "reg.test")), "unknown-authority"},
		"no chain":         {command(t, "openssl", "s_client", "-connect", serve(t, &tls.Config{Certificates: []tls.Certificate{alone.TLS()}}).addr, "-CAfile", caFile), "incomplete-chain"},
		"expired":          {connect(ca.ExpiredServer(t, "reg.test"), "-CAfile", caFile), "expired"},
		"not yet":          {connect(ca.FutureServer(t, "reg.test"), "-CAfile", caFile), "not-yet-valid"},
		"other name":       {connect(ca.Server(t, "reg.test"), "-CAfile", caFile, "-verify_hostname", "other.test"), "wrong-name"},
		"other address":    {connect(ca.Server(t, "reg.test"), "-CAfile", caFile, "-verify_ip", "127.0.0.9"), "wrong-name"},
		"a client's":       {connect(ca.Client(t, "bob"), "-CAfile", caFile, "-purpose", "sslserver"), "wrong-usage"},
		"outside":          {connect(narrow.Forge(t, "reg.test", nil), "-CAfile", narrowFile), "name-not-permitted"},
		"plain HTTP there": {command(t, "openssl", "s_client", "-connect", serve(t, nil).addr), "not-tls"},
		"nothing there":    {command(t, "openssl", "s_client", "-connect", free(t)), "connection-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			text := map[string]string{"plain HTTP there": "error:", "nothing there": "refused", "no chain": "num=21"}[name]
			if text == "" {
				text = "verify error"
			}
			x.say(t, grep(t, c.out, text), c.id, Command)
		})
	}
	for name, c := range map[string]struct {
		config *tls.Config
		args   []string
		id     string
	}{
		"no certificate":          {nil, []string{"-tls1_3"}, "client-certificate-required"},
		"no certificate, TLS 1.2": {nil, []string{"-tls1_2"}, "handshake-failure"},
		"a foreign one":           {nil, []string{"-cert", clientCert, "-key", clientKey}, "client-certificate-unknown-ca"},
		"old TLS":                 {nil, []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, "tls-version"},
	} {
		t.Run(name, func(t *testing.T) {
			other := ca.Twin(t)
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "reg.test").TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: other.Trust().Pool()})
			out := command(t, "sh", append([]string{"-c", `(sleep 1; echo GET; sleep 1) | openssl s_client "$@" 2>&1`, "sh", "-connect", s.addr, "-CAfile", caFile}, c.args...)...)
			x.say(t, grep(t, out, "alert"), c.id, Command)
		})
	}
}

// sayGit: git with GnuTLS.
func sayGit(t *testing.T, x *texts) {
	pkitest.NeedProgram(t, "git")
	ca := pkitest.New(t, now())
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "127.0.0.1").TLS()}})
	x.say(t, grep(t, command(t, "git", "-c", "http.proxy=", "ls-remote", "https://"+s.addr+"/x"), "fatal"), "unknown-authority", Command)
}

func sayCurl(t *testing.T, x *texts) {
	pkitest.NeedProgram(t, "curl")
	ca := pkitest.New(t, now())
	caFile, _, _ := files(t, ca.Trust(), nil)
	good := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "127.0.0.1").TLS()}})
	curl := func(args ...string) string {
		return grep(t, command(t, "curl", append([]string{"-sS", "--noproxy", "*", "--max-time", "5"}, args...)...), "curl: (")
	}
	one := func(pair *pki.KeyPair) string {
		return "https://" + serve(t, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}).addr
	}
	for name, c := range map[string]struct{ out, id string }{
		"no CA":             {curl("https://" + good.addr), "unknown-authority"},
		"self-signed":       {curl(one(ca.Pair)), "unknown-authority"},
		"other name":        {curl("--cacert", caFile, one(ca.Server(t, "reg.test"))), "wrong-name"},
		"expired":           {curl("--cacert", caFile, one(ca.ExpiredServer(t, "127.0.0.1"))), "expired"},
		"HTTPS to HTTP":     {curl("https://" + serve(t, nil).addr), "not-tls"},
		"nothing there":     {curl("https://" + free(t)), "connection-refused"},
		"no such name":      {curl("https://nowhere.invalid"), "no-such-host"},
		"no CA file":        {curl("--cacert", "/nonexistent/ca.pem", "https://"+good.addr), "no-roots"},
		"HTTP to a builder": {curl("http://" + daemon(t, nil)), "tls-answer-to-http"},
		"silence":           {curl("--max-time", "1", "http://"+silent(t)), "io-timeout"},
		"hangs up":          {curl("http://" + hangsUp(t)), "tls-answer-to-http"},
		"401":               {curl("-f", "http://"+refuses(t)), "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) { x.say(t, c.out, c.id, Command) })
	}
}

func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			do(c)
		}
	}()
	return l.Addr().String()
}

func silent(t *testing.T) string { return listen(t, func(net.Conn) {}) }

func hangsUp(t *testing.T) string {
	return listen(t, func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadString(0x0a)
		c.Close()
	})
}

func refuses(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
