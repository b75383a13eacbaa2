package explain

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// server is a TLS server of net/http, with its log.
type server struct {
	addr string
	log  *logged
}

type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// last waits for something in the log and takes it.
func (l *logged) last(t *testing.T) string {
	t.Helper()
	for range 300 {
		l.mu.Lock()
		text := l.buf.String()
		l.buf.Reset()
		l.mu.Unlock()
		if text != "" {
			return strings.TrimSpace(text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nothing was logged")
	return ""
}

func serve(t *testing.T, config *tls.Config) server {
	t.Helper()
	l := &logged{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	s.Config.ErrorLog = log.New(l, "", 0)
	if config == nil {
		s.Start()
	} else {
		s.TLS = config
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return server{s.Listener.Addr().String(), l}
}

// get asks over HTTP/1, always at the server's address and for the host, and
// returns the error.
func get(t *testing.T, addr, url string, config *tls.Config) string {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return resp.Status + ": " + string(body)
}

func sayGoClient(t *testing.T, x *texts) {
	want := map[string]string{
		"expired": "expired", "not-yet-valid": "not-yet-valid", "wrong-name": "wrong-name", "no-san": "legacy-common-name", "ip-as-dns": "no-ip-san",
		"wrong-usage": "wrong-usage", "unknown-ca": "unknown-authority", "same-subject-ca": "ca-regenerated", "outside-constraints": "name-not-permitted",
		"mismatched-key": "key-mismatch", "signed-by-leaf": "not-a-ca",
	}
	for _, f := range pkitest.Faults(t, "reg.test", now()) {
		pair := f.Pair.TLS()
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{pair}})
		m := x.say(t, get(t, s.addr, "https://"+f.Host+"/v2/", &tls.Config{RootCAs: f.Trust.Pool()}), want[f.Name], "")
		if m.Values["server"] != f.Host {
			t.Errorf("%s: server %q", f.Name, m.Values["server"])
		}
		x.say(t, s.log.last(t), "client-refuses-server", ServerLog)
	}
	ca := pkitest.New(t, now())
	for _, c := range []struct {
		edit     func(*x509.Certificate)
		host, id string
	}{
		{func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = nil, []string{"a@b.c"} }, "reg.test", "wrong-name"},
		{func(c *x509.Certificate) { c.DNSNames = slices.Repeat([]string{"other.test"}, 101) }, "reg.test", "wrong-name"},
		{func(c *x509.Certificate) { c.IPAddresses = slices.Repeat([]net.IP{{127, 0, 0, 2}}, 101) }, "127.0.0.1", "no-ip-san"},
	} {
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Forge(t, "x", c.edit).TLS()}})
		x.say(t, get(t, s.addr, "https://"+c.host, &tls.Config{RootCAs: ca.Trust().Pool()}), c.id, "")
	}
}

// regenerated returns a server's certificate by a CA of the same subject as that of
// the trust, with keys of another kind than those of pkitest.
func regenerated(t *testing.T, newKey func() crypto.Signer) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	trust, ca := x509.NewCertPool(), newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1},
	}
	for i, key := range []crypto.Signer{newKey(), ca} {
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if cert, err := x509.ParseCertificate(der); err == nil && i == 0 {
			trust.AddCert(cert)
		}
	}
	leaf, key := *template, newKey()
	leaf.DNSNames, leaf.IsCA, leaf.Subject = []string{"reg.test"}, false, pkix.Name{CommonName: "leaf"}
	der, err := x509.CreateCertificate(rand.Reader, &leaf, template, key.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trust
}

func sayRegenerated(t *testing.T, x *texts) {
	for _, newKey := range []func() crypto.Signer{
		func() crypto.Signer { _, key, _ := ed25519.GenerateKey(rand.Reader); return key },
		func() crypto.Signer { key, _ := rsa.GenerateKey(rand.Reader, 2048); return key },
	} {
		pair, trust := regenerated(t, newKey)
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{pair}})
		x.say(t, get(t, s.addr, "https://reg.test/", &tls.Config{RootCAs: trust}), "ca-regenerated", "")
	}
}

// sayEOF: a server hangs up instead of answering.
func sayEOF(t *testing.T, x *texts) {
	addr := hangsUp(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH"} {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		x.say(t, (&url.Error{Op: method[:1] + strings.ToLower(method[1:]), URL: r.URL.String(), Err: err}).Error(), "unexpected-eof", "")
	}
}

func sayMutualTLS(t *testing.T, x *texts) {
	ca, stranger := pkitest.New(t, now()), pkitest.New(t, now())
	twin := ca.Twin(t)
	for name, c := range map[string]struct {
		pair    *pki.KeyPair
		version uint16
		client  string
		server  string
	}{
		"none":          {nil, tls.VersionTLS13, "client-certificate-required", "client-certificate-required"},
		"none, TLS 1.2": {nil, tls.VersionTLS12, "handshake-failure", "client-certificate-required"},
		"foreign":       {stranger.Client(t, "bob"), tls.VersionTLS13, "client-certificate-required", "client-certificate-required"},
		"same subject":  {twin.Client(t, "bob"), tls.VersionTLS13, "client-certificate-unknown-ca", "client-certificate-unknown-ca"},
		"a server's":    {ca.Server(t, "reg.test"), tls.VersionTLS13, "client-certificate-refused", "client-certificate-refused"},
		"expired":       {ca.ExpiredClient(t, "bob"), tls.VersionTLS13, "client-certificate-expired", "client-certificate-expired"},
		"TLS 1.1":       {nil, tls.VersionTLS11, "tls-version", "tls-version"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "reg.test").TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Trust().Pool()})
			config := &tls.Config{RootCAs: ca.Trust().Pool(), MinVersion: tls.VersionTLS10, MaxVersion: c.version}
			if c.pair != nil {
				config.Certificates = []tls.Certificate{c.pair.TLS()}
			}
			x.say(t, get(t, s.addr, "https://reg.test/", config), c.client, "")
			x.say(t, s.log.last(t), c.server, ServerLog)
		})
	}
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "reg.test").TLS()}, NextProtos: []string{"h2"}})
	_, err := tls.Dial("tcp", s.addr, &tls.Config{ServerName: "reg.test", RootCAs: ca.Trust().Pool(), NextProtos: []string{"nope"}})
	x.say(t, err.Error(), "no-alpn", "")
	x.say(t, s.log.last(t), "no-alpn", ServerLog)
	s = serve(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }})
	x.say(t, get(t, s.addr, "https://reg.test/", &tls.Config{RootCAs: ca.Trust().Pool()}), "unrecognized-name", "")
	s.log.last(t)
	s = serve(t, &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "reg.test").TLS()}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}})
	x.say(t, get(t, s.addr, "https://reg.test/", &tls.Config{RootCAs: ca.Trust().Pool()}), "handshake-failure", "")
	x.say(t, s.log.last(t), "no-cipher", ServerLog)
}

func saySchemes(t *testing.T, x *texts) {
	ca := pkitest.New(t, now())
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "reg.test").TLS()}}
	plain, encrypted := serve(t, nil), serve(t, secure)
	x.say(t, get(t, plain.addr, "https://reg.test:5000/v2/", nil), "https-to-http", "")
	x.say(t, get(t, encrypted.addr, "http://reg.test:5000/v2/", nil), "http-to-https", "")
	x.say(t, encrypted.log.last(t), "http-to-https", ServerLog)
	// A TLS server of Go that is no HTTP server only hangs up.
	l, err := tls.Listen("tcp", "127.0.0.1:0", secure)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	x.say(t, get(t, l.Addr().String(), "http://reg.test:5000/v2/", nil), "unexpected-eof", "")
	// ... and a builder without TLS with a frame of HTTP/2.
	g, addr := grpc.NewServer(), ""
	defer g.Stop()
	if pl, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		addr = pl.Addr().String()
		go func() { _ = g.Serve(pl) }()
	}
	text := get(t, addr, "http://reg.test:5000/v2/", nil)
	for strings.Contains(text, "readLoopPeekFailLocked") { // the server was faster
		x.say(t, text, "tls-answer-to-http", "")
		text = get(t, addr, "http://reg.test:5000/v2/", nil)
	}
	x.say(t, text, "tls-answer-to-http", "")
	_, err = tls.Dial("tcp", plain.addr, &tls.Config{ServerName: "x"})
	x.say(t, err.Error(), "not-tls", "")
	// A check of the port, as the server logs it.
	if c, err := net.Dial("tcp", encrypted.addr); err == nil {
		c.Close()
	}
	x.say(t, encrypted.log.last(t), "handshake-broken-off", ServerLog)
	if c, err := net.Dial("tcp", encrypted.addr); err == nil {
		_, _ = c.Write([]byte("nonsense nonsense"))
		x.say(t, encrypted.log.last(t), "not-tls", ServerLog)
		c.Close()
	}
}

// free returns an address of this machine that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dns answers every question with an error.
func dns(t *testing.T, rcode byte) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for buf := make([]byte, 512); ; {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[2] |= 0x80
			buf[3] = rcode
			_, _ = c.WriteTo(buf[:n], from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

func sayNetwork(t *testing.T, x *texts) {
	addr := free(t)
	_, err := net.Dial("tcp", addr)
	m := x.say(t, err.Error(), "connection-refused", "")
	if m.Values["address"] != addr {
		t.Errorf("address %q", m.Values["address"])
	}
	for id, rcode := range map[string]byte{"no-such-host": 3, "dns-misbehaving": 2} {
		_, err = (&net.Dialer{Resolver: dns(t, rcode)}).DialContext(t.Context(), "tcp", "registry.test.:5000")
		x.say(t, err.Error(), id, "")
	}
	_, err = net.DialTimeout("tcp", addr, time.Nanosecond)
	x.say(t, err.Error(), "io-timeout", "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = net.Listen("tcp", l.Addr().String())
	x.say(t, err.Error(), "address-in-use", DaemonStart)
	// Nobody takes what the system has accepted.
	tr := &http.Transport{TLSHandshakeTimeout: 10 * time.Millisecond}
	_, err = (&http.Client{Transport: tr}).Get("https://" + l.Addr().String())
	x.say(t, err.Error(), "tls-handshake-timeout", "")
	_, err = (&http.Client{Timeout: 10 * time.Millisecond}).Get("http://" + l.Addr().String())
	x.say(t, err.Error(), "io-timeout", "")
	go func() {
		c, err := l.Accept()
		for err == nil {
			_ = c.(*net.TCPConn).SetLinger(0)
			_, _ = c.Read(make([]byte, 1))
			c.Close()
			c, err = l.Accept()
		}
	}()
	for range 5 { // the first ones are those from above
		_, err = (&http.Client{Transport: &http.Transport{}}).Get("http://" + l.Addr().String())
	}
	x.say(t, err.Error(), "connection-reset", "")
	proxied := &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) { return r.URL.Parse("http://" + addr) }}
	_, err = (&http.Client{Transport: proxied}).Get("https://reg.test/")
	x.say(t, err.Error(), "connection-refused", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	x.say(t, ctx.Err().Error(), "builder-deadline", "")
	// A server that promises more than it sends.
	short := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("x"))
	}))
	defer short.Close()
	x.say(t, "reading: "+get(t, short.Listener.Addr().String(), "http://reg.test/", nil), "unexpected-eof", "")
}

func sayFiles(t *testing.T, x *texts) {
	ca := pkitest.New(t, now())
	one, two := ca.Server(t, "a"), ca.Server(t, "b")
	cert, key, other := one.CertPEM(), keyPEM(t, one), keyPEM(t, two)
	for _, c := range []struct {
		cert, key []byte
		id        string
	}{
		{cert, other, "key-mismatch"}, {key, cert, "pem-swapped"}, {cert, cert, "pem-swapped"}, {nil, key, "pem-missing"}, {cert, nil, "pem-missing"},
	} {
		_, err := tls.X509KeyPair(c.cert, c.key)
		x.say(t, err.Error(), c.id, "")
	}
	dir := t.TempDir()
	_, err := os.ReadFile(dir)
	x.say(t, err.Error(), "is-a-directory", "")
	_, err = os.ReadFile(filepath.Join(dir, "ca.pem"))
	x.say(t, err.Error(), "no-such-file", "")
}

func keyPEM(t *testing.T, kp *pki.KeyPair) []byte {
	t.Helper()
	key, err := kp.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
