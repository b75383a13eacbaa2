package explain

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"google.golang.org/grpc"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/stacktest"
)

// files writes the files that clients want.
func files(t *testing.T, trust pki.TrustBundle, kp *pki.KeyPair) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ca = put("ca.pem", trust.PEM())
	if kp != nil {
		cert, key = put("cert.pem", kp.CertPEM()), put("key.pem", keyPEM(t, kp))
	}
	return ca, cert, key
}

// daemon is a gRPC server as buildkitd makes one: TLS below gRPC.
func daemon(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	g := grpc.NewServer()
	t.Cleanup(g.Stop)
	go func() { _ = g.Serve(l) }()
	return addr
}

// listWorkers returns what BuildKit's client says.
func listWorkers(t *testing.T, addr string, opts ...client.ClientOpt) string {
	t.Helper()
	c, err := client.New(t.Context(), addr, opts...)
	if err != nil {
		return "error: " + err.Error()
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err = c.ListWorkers(ctx); err == nil {
		t.Fatal("the builder answered")
	}
	return "error: " + err.Error()
}

// listWorkersWell asks until the client has read why the builder ended the connection.
func listWorkersWell(t *testing.T, x *texts, addr string, opts ...client.ClientOpt) string {
	t.Helper()
	for {
		text := listWorkers(t, addr, opts...)
		if !strings.Contains(text, "broken pipe") && !strings.Contains(text, "reset by peer") {
			return text
		}
		x.say(t, text, "builder-broke-off", ClientBuilder)
	}
}

func sayBuilder(t *testing.T, x *texts) {
	ca, stranger := pkitest.New(t, now()), pkitest.New(t, now())
	twin := ca.Twin(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "127.0.0.1").TLS()}, NextProtos: []string{"h2"}}
	mutual := config.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ca.Trust().Pool()
	open, closed, plain := daemon(t, config), daemon(t, mutual), daemon(t, nil)
	http1 := config.Clone()
	http1.NextProtos = []string{"http/1.1"}
	for name, c := range map[string]struct {
		addr, server string
		trust        pki.TrustBundle
		pair         *pki.KeyPair
		id           string
	}{
		"wrong CA":         {open, "127.0.0.1", stranger.Trust(), nil, "unknown-authority"},
		"old CA":           {open, "127.0.0.1", twin.Trust(), nil, "ca-regenerated"},
		"wrong name":       {open, "build.test", ca.Trust(), nil, "wrong-name"},
		"no certificate":   {closed, "127.0.0.1", ca.Trust(), nil, "client-certificate-required"},
		"foreign":          {closed, "127.0.0.1", ca.Trust(), stranger.Client(t, "bob"), "client-certificate-required"},
		"same subject":     {closed, "127.0.0.1", ca.Trust(), twin.Client(t, "bob"), "client-certificate-unknown-ca"},
		"a server's":       {closed, "127.0.0.1", ca.Trust(), ca.Server(t, "x"), "client-certificate-refused"},
		"expired":          {closed, "127.0.0.1", ca.Trust(), ca.ExpiredClient(t, "bob"), "client-certificate-expired"},
		"no TLS there":     {plain, "127.0.0.1", ca.Trust(), nil, "not-tls"},
		"HTTP/1 over TLS":  {serve(t, http1).addr, "127.0.0.1", ca.Trust(), nil, "no-alpn"},
		"no such service":  {open, "127.0.0.1", ca.Trust(), nil, "not-a-builder"},
		"nothing listens":  {free(t), "127.0.0.1", ca.Trust(), nil, "connection-refused"},
		"TLS without ALPN": {daemon(t, &tls.Config{Certificates: config.Certificates}), "127.0.0.1", ca.Trust(), nil, "no-alpn"},
	} {
		t.Run(name, func(t *testing.T) {
			caFile, cert, key := files(t, c.trust, c.pair)
			opts := []client.ClientOpt{client.WithServerConfig(c.server, caFile)}
			if c.pair != nil {
				opts = append(opts, client.WithCredentials(cert, key))
			}
			x.say(t, listWorkersWell(t, x, "tcp://"+c.addr, opts...), c.id, ClientBuilder)
		})
	}
	x.say(t, listWorkersWell(t, x, "tcp://"+open), "plaintext-to-builder", ClientBuilder)
	x.say(t, listWorkers(t, "tcp://"+serve(t, nil).addr), "not-a-builder", ClientBuilder)
	x.say(t, listWorkers(t, "unix:///nonexistent.sock"), "builder-socket", ClientBuilder)
	x.say(t, listWorkers(t, "tcp://"+open, client.WithServerConfig("a", "/nonexistent/ca.pem")), "no-such-file", ClientBuilder)
	caFile, cert, key := files(t, ca.Trust(), ca.Client(t, "bob"))
	x.say(t, listWorkers(t, "tcp://"+open, client.WithServerConfig("a", key)), "ca-unreadable", ClientBuilder)
	x.say(t, listWorkers(t, "tcp://"+open, client.WithServerConfig("a", caFile), client.WithCredentials(cert, "/nonexistent/key.pem")), "no-such-file", ClientBuilder)
	x.say(t, listWorkers(t, "tcp://"+open, client.WithServerConfig("a", caFile), client.WithCredentials(cert, cert)), "pem-swapped", ClientBuilder)
	socket := filepath.Join(t.TempDir(), "s")
	if l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket}); err == nil {
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	x.say(t, listWorkers(t, "unix://"+socket), "builder-socket", ClientBuilder)
	c, err := client.New(t.Context(), "tcp://"+open, client.WithServerConfig("build.test", caFile))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	x.say(t, "waiting for connection: "+c.Wait(ctx).Error(), "builder-deadline", ClientBuilder)
}

func sayConfig(t *testing.T, x *texts) {
	for text, id := range map[string]string{
		"[registry.\"r:5000\"]\nca = \"x\"": "toml-list", "[grpc]\naddress = \"tcp://0.0.0.0:1234\"": "toml-list", "[grpc.tls]\nca = [\"x\"]": "toml-text",
		"[registry.r:5000]\nhttp = false": "toml-table-name", "[[registry.r:5000.keypair]]": "toml-table-name", "[registry.\"r\"]\nhttp = \"false\"": "toml-type",
		"debug = yes": "toml-type", "debug": "toml-type", "root = 1": "toml-type",
	} {
		_, err := config.Load(strings.NewReader(text))
		if err == nil {
			t.Errorf("%q was read", text)
			continue
		}
		x.say(t, "buildkitd: "+err.Error(), id, DaemonStart)
	}
}

// resolve asks a registry as buildkitd does, with its section of buildkitd.toml.
func resolve(t *testing.T, host, section string, c resolverconfig.RegistryConfig) string {
	t.Helper()
	r := docker.NewResolver(docker.ResolverOptions{Hosts: resolver.NewRegistryConfig(map[string]resolverconfig.RegistryConfig{section: c})})
	_, _, err := r.Resolve(t.Context(), host+"/app:1")
	if err == nil {
		t.Fatal("it was resolved")
	}
	return fmt.Sprintf("error: failed to solve: failed to resolve source metadata for %s/app:1: %v", host, err)
}

func sayResolver(t *testing.T, x *texts) {
	hear(t)
	r := stacktest.Registry(t)
	_, port, _ := net.SplitHostPort(r.Host())
	localhost := net.JoinHostPort("localhost", port)
	ca, _, _ := files(t, r.TrustBundle(), nil)
	stranger, cert, key := files(t, pkitest.New(t, now()).Trust(), pkitest.New(t, now()).Server(t, "x"))
	no := false
	section := func(ca ...string) resolverconfig.RegistryConfig {
		return resolverconfig.RegistryConfig{PlainHTTP: &no, RootCAs: ca}
	}
	pair := section(ca)
	pair.KeyPairs = []resolverconfig.TLSKeyPair{{Key: "/nonexistent/key.pem", Certificate: cert}}
	swapped := section(ca)
	swapped.KeyPairs = []resolverconfig.TLSKeyPair{{Key: cert, Certificate: key}}
	for name, c := range map[string]struct{ text, id string }{
		"no http = false": {resolve(t, localhost, localhost, resolverconfig.RegistryConfig{RootCAs: []string{ca}}), "http-to-https"},
		"no CA":           {resolve(t, localhost, localhost, section()), "unknown-authority"},
		"other CA":        {resolve(t, localhost, localhost, section(stranger)), "unknown-authority"},
		"no PEM":          {resolve(t, localhost, localhost, section(key)), "unknown-authority"},
		"no file":         {resolve(t, localhost, localhost, section("/nonexistent/ca.pem")), "no-such-file"},
		"no key":          {resolve(t, localhost, localhost, pair), "no-such-file"},
		"swapped":         {resolve(t, localhost, localhost, swapped), "pem-swapped"},
		"other section":   {resolve(t, "127.0.0.2:"+port, localhost, section(ca)), "connection-refused"},
		"no password":     {resolve(t, localhost, localhost, section(ca)), "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			m := x.say(t, c.text, c.id, BuilderRegistry)
			if !strings.HasSuffix(m.Values["server"], ":"+port) {
				t.Errorf("server %q", m.Values["server"])
			}
		})
	}
	plain := serve(t, nil)
	x.say(t, resolve(t, plain.addr, plain.addr, section()), "https-to-http", BuilderRegistry)
}

// sayStatuses: what is said about answers that are no success.
func sayStatuses(t *testing.T, x *texts) {
	hear(t)
	yes := true
	for status, id := range map[int]string{500: "server-error", 502: "server-error", 503: "server-error", 403: "denied", 401: "unauthorized"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		host := s.Listener.Addr().String()
		x.say(t, resolve(t, host, host, resolverconfig.RegistryConfig{PlainHTTP: &yes}), id, BuilderRegistry)
		s.Close()
	}
}

// sayTokens: a registry that sends to a token server, or wants a password.
func sayTokens(t *testing.T, x *texts) {
	hear(t)
	for name, c := range map[string]struct {
		challenge, user string
		id              string
		hop             Hop
	}{
		"anonymous":   {`Bearer realm="http://` + free(t) + `/token",service="r"`, "", "connection-refused", ClientToken},
		"user":        {`Bearer realm="http://` + free(t) + `/token",service="r"`, "bob", "connection-refused", ClientToken},
		"no token":    {`Bearer realm="http://` + tokens(t) + `/token",service="r"`, "bob", "token", ClientToken},
		"no password": {`Basic realm="r"`, "", "unauthorized", BuilderRegistry},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", c.challenge)
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer s.Close()
			credentials := func(string) (string, string, error) { return c.user, c.user, nil }
			r := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
				docker.WithPlainHTTP(docker.MatchAllHosts), docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))))})
			_, _, err := r.Resolve(t.Context(), s.Listener.Addr().String()+"/app:1")
			x.say(t, "failed to resolve source metadata for "+s.Listener.Addr().String()+"/app:1: "+err.Error(), c.id, c.hop)
		})
	}
}

// tokens is a token server that gives an empty one to everybody.
func tokens(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"token":""}`)) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// push returns what go-containerregistry says when it is asked whether it may push,
// which is what kaniko does first.
func push(t *testing.T, ref string, auth authn.Authenticator, opts ...name.Option) string {
	t.Helper()
	r, err := name.ParseReference(ref, opts...)
	if err != nil {
		t.Fatal(err)
	}
	err = remote.CheckPushPermission(r, keychain{auth}, remote.DefaultTransport)
	if err == nil {
		t.Fatal("it may push")
	}
	return err.Error()
}

type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

func sayCrane(t *testing.T, x *texts) {
	r := stacktest.Registry(t)
	x.say(t, push(t, r.Host()+"/app:1", authn.Anonymous), "unknown-authority", ClientRegistry)
	x.say(t, push(t, free(t)+"/app:1", authn.Anonymous), "connection-refused", ClientRegistry)
	ref, err := name.ParseReference(r.Host() + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Head(ref, remote.WithTransport(r.HTTPClient().Transport), remote.WithAuth(&authn.Basic{Username: "nobody", Password: "x"}))
	x.say(t, err.Error(), "unauthorized", "")
	_, err = remote.Get(ref, remote.WithTransport(r.HTTPClient().Transport), remote.WithAuth(&authn.Basic{Username: "nobody", Password: "x"}))
	x.say(t, err.Error(), "unauthorized", "")
}
