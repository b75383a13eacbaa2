package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// TestClientReasons: who shows what certificate is let in or refused, and why,
// with both versions of TLS.
func TestClientReasons(t *testing.T) {
	f := newFront(t, true)
	bob, alice, ci := f.clients.Client(t, "bob"), f.clients.Client(t, "alice"), f.clients.Client(t, "ci")
	f.writeAccess(`{"version":1,"removed":[{"name":"bob","serial":%q}],"allow":["bob","ci","old","server"]}`, bob.Serial())
	f.start()
	other := pkitest.New(t, time.Now())
	const badCertificate, unknownCA, expired = "bad certificate", "unknown certificate authority", "expired certificate"
	for _, c := range []struct {
		name   string
		client *pki.KeyPair
		want   Reason
		alert  string
		alert2 string // with TLS 1.2, if it is another one
	}{
		{"allowed", ci, OK, "", ""},
		{"none", nil, NoClientCertificate, "certificate required", "handshake failure"},
		{"of another CA", other.Client(t, "ci"), UnknownClientCA, unknownCA, ""},
		{"of the servers' CA", f.ca.Client(t, "ci"), UnknownClientCA, unknownCA, ""},
		{"expired", f.clients.ExpiredClient(t, "old"), ClientExpired, expired, ""},
		{"a server", f.clients.Server(t, "server"), ClientUsage, badCertificate, ""},
		{"removed", bob, Removed, badCertificate, ""},
		{"not on the list", alice, NotAllowed, badCertificate, ""},
		{"with somebody's certificate and another key", stolen(t, ci), Handshake, "error decrypting message", ""},
		{"self-made", selfMade(t, ci), UnknownClientCA, unknownCA, ""},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name+" with "+tls.VersionName(version), func(t *testing.T) {
				before, shaken := f.count(ended(c.want)), f.count(shook(c.want))
				config := f.tlsConfig(c.client)
				config.MinVersion, config.MaxVersion = version, version
				err := f.try(config)
				f.awaitCount(ended(c.want), plusOne(t, before))
				f.awaitCount(shook(c.want), plusOne(t, shaken))
				alert := c.alert
				if version == tls.VersionTLS12 && c.alert2 != "" {
					alert = c.alert2
				}
				wantAlert(t, err, alert)
			})
		}
	}
	for _, line := range f.log.lines(t, "connection") {
		if name, serial := line["client"], line["serial"]; (name == nil) != (serial == nil) || name == nil && line["result"] != string(NoClientCertificate) && line["result"] != string(Handshake) {
			t.Errorf("a line without its client: %v", line)
		}
	}
	if got := f.target.accepted.Load(); got != 2 {
		t.Errorf("%d connections came to the target, want those of the client that is let in", got)
	}
}

// stolen returns the certificate of a client with a key that is not its own.
func stolen(t *testing.T, of *pki.KeyPair) *pki.KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return &pki.KeyPair{Cert: of.Cert, Key: key}
}

// selfMade returns a certificate with all that a client's has, signed by itself.
func selfMade(t *testing.T, like *pki.KeyPair) *pki.KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: like.Cert.Subject, Issuer: like.Cert.Issuer, AuthorityKeyId: like.Cert.AuthorityKeyId,
		NotBefore: like.Cert.NotBefore, NotAfter: like.Cert.NotAfter, ExtKeyUsage: like.Cert.ExtKeyUsage,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &pki.KeyPair{Cert: cert, Key: key}
}

// TestHelloReasons: what a client offers in its first words.
func TestHelloReasons(t *testing.T) {
	f := newFront(t, false).start()
	with := func(change func(*tls.Config)) func(*testing.T) error {
		return func(*testing.T) error {
			c := f.tlsConfig(nil)
			change(c)
			return f.try(c)
		}
	}
	for _, c := range []struct {
		name  string
		dial  func(*testing.T) error
		want  Reason
		alert string
	}{
		{"well", with(func(*tls.Config) {}), OK, ""},
		{"TLS 1.2", with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), OK, ""},
		{"no protocol", with(func(c *tls.Config) { c.NextProtos = nil }), OK, ""},
		{"TLS 1.1", with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 }), TLSVersion, "protocol version not supported"},
		{"TLS 1.0", with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS10 }), TLSVersion, "protocol version not supported"},
		{"another protocol", with(func(c *tls.Config) { c.NextProtos = []string{"spdy/3"} }), ALPN, "no application protocol"},
		{"only http/1.1", with(func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }), ALPN, "no application protocol"},
		{"no common cipher suite", with(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}), Handshake, "handshake failure"},
		{"a client that does not trust it", with(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }), ClientAlert, "*"},
		{"HTTP", say(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Plaintext, "EOF"},
		{"garbage", say(f, "\x00\x01\x02\x03garbage garbage garbage"), Plaintext, "EOF"},
		{"garbage in TLS", say(f, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), Handshake, "*"},
		{"a client that goes", say(f, ""), ClientGone, "EOF"},
		{"a client that goes in the hello", say(f, "\x16\x03\x01\x02\x00\x01"), ClientGone, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, shaken := f.count(ended(c.want)), f.count(shook(c.want))
			wantAlert(t, c.dial(t), c.alert)
			f.awaitCount(ended(c.want), plusOne(t, before))
			f.awaitCount(shook(c.want), plusOne(t, shaken))
		})
	}
}

// say sends bytes and then the end, and reads to the end.
func say(f *front, words string) func(*testing.T) error {
	return func(t *testing.T) error {
		raw, err := net.Dial("tcp", f.address())
		check(t, err)
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(raw, words)
		check(t, err)
		if words == "" || words[0] == '\x16' {
			check(t, raw.(*net.TCPConn).CloseWrite())
		}
		if data, err := io.ReadAll(raw); err != nil || len(data) > 0 && words[0] != '\x16' {
			t.Errorf("got %q, %v; want an end without a reset", data, err)
		}
		return io.EOF
	}
}

// TestTimeoutEvictedLimit: bounds of handshakes and connections.
func TestTimeoutEvictedLimit(t *testing.T) {
	t.Run("timeout", func(t *testing.T) {
		f := newFront(t, false)
		f.listener().HandshakeTimeout = "50ms"
		f.start()
		raw, err := net.Dial("tcp", f.address())
		check(t, err)
		defer raw.Close()
		f.awaitCount(ended(Timeout), "1")
		f.awaitCount(shook(Timeout), "1")
	})
	t.Run("evicted", func(t *testing.T) {
		f := newFront(t, false)
		f.tune = func(l *listener) { l.maxPending = 4 }
		f.start()
		var silent []net.Conn
		for range 6 {
			raw, err := net.Dial("tcp", f.address())
			check(t, err)
			defer raw.Close()
			silent = append(silent, raw)
		}
		f.awaitCount(ended(Evicted), "2")
		f.mustDial(nil) // takes the place of a third
		f.awaitCount(ended(Evicted), "3")
		f.awaitCount(shook(Evicted), "3")
		for i, raw := range silent {
			_ = raw.SetReadDeadline(time.Now().Add(map[bool]time.Duration{true: patience, false: 50 * time.Millisecond}[i < 3]))
			_, err := raw.Read(make([]byte, 1))
			if op, ok := err.(net.Error); ok && op.Timeout() != (i >= 3) {
				t.Errorf("connection %d: %v; want the three oldest ended", i, err)
			}
		}
	})
	t.Run("limit", func(t *testing.T) {
		f := newFront(t, false)
		most := 2
		f.listener().MaxConnections = &most
		f.start()
		first := f.mustDial(nil)
		f.mustDial(nil)
		if err := f.try(f.tlsConfig(nil)); err == nil {
			t.Error("a third connection was let in")
		}
		f.awaitCount(ended(Limit), "1")
		check(t, first.Close())
		f.awaitCount(ended(OK), "1")
		f.mustDial(nil)
	})
	t.Run("limit after the handshake", func(t *testing.T) {
		f := newFront(t, false)
		most := 1
		f.listener().MaxConnections = &most
		f.start()
		var conns []*tls.Conn
		for range 2 { // both begin while none is open
			raw, err := net.Dial("tcp", f.address())
			check(t, err)
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(patience))
			conns = append(conns, tls.Client(raw, f.tlsConfig(nil)))
		}
		eventually(t, "both handshakes go on", func() bool { _, n := f.server.listeners[0].counts(); return n == 2 })
		check(t, ping(conns[0]))
		if ping(conns[1]) == nil {
			t.Error("a second connection was let in")
		}
		f.awaitCount(ended(Limit), "1")
		f.awaitCount(shook(Limit), "1")
	})
}
