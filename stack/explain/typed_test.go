package explain

import "testing"

// Why a text was typed in, from the source that its entry names, and not said by a
// program in TestRealTexts.
const (
	engineText  = "Docker Engine or buildx says it; needs one"
	notHere     = "a program, or a version of one, that is not installed here"
	otherSystem = "needs another operating system, account or network than tests have"
	rare        = "needs a server or certificate that is a lot of work to make"
	byHand      = "as people write it down"
	race        = "depends on which of two sides is faster"
)

// typed are texts that no program has said here, with the reason. It is the only
// place for them: a pattern is in a row here, or a program says it.
func typed() []struct {
	why, id string
	hop     Hop
	text    string
} {
	return []struct {
		why, id string
		hop     Hop
		text    string
	}{
		{notHere, "unknown-authority", "", "npm error self signed certificate in certificate chain"},
		{notHere, "unknown-authority", Command, "Certificate verification failed: The certificate is NOT trusted. The certificate issuer is unknown."},
		{notHere, "unknown-authority", Command, "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)"},
		{notHere, "unknown-authority", Command, "Error: unable to verify: UNABLE_TO_VERIFY_LEAF_SIGNATURE"},
		{notHere, "unknown-authority", Command, "PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException"},
		{rare, "ca-regenerated", Command, "verify error:num=7:certificate signature failure"},
		{otherSystem, "no-roots", "", "x509: failed to load system roots and no roots provided"},
		{notHere, "no-roots", Command, "java.security.InvalidAlgorithmParameterException: the trustAnchors parameter must be non-empty"},
		{byHand, "wrong-name", "", "certificate valid for X, not Y"},
		{notHere, "wrong-name", Command, "curl: (51) SSL: certificate subject name 'a' does not match target host name 'b'"},
		{notHere, "wrong-name", "", "error 62 at 0 depth lookup: Hostname mismatch"},
		{notHere, "wrong-name", Command, "The name in the certificate does not match the expected."},
		{notHere, "wrong-name", Command, "SSL: certificate subject name (reg.test) does not match target host name 'other.test'"},
		{notHere, "expired", Command, "The certificate chain uses expired certificate."},
		{notHere, "wrong-usage", Command, "verify error:num=26:unsupported certificate purpose"},
		{rare, "wrong-usage", "", "x509: a root or intermediate certificate is not authorized for an extended key usage: "},
		{rare, "name-not-permitted", "", `x509: a root or intermediate certificate is not authorized to sign for this name: DNS name "a.b" is excluded by constraint "b"`},
		{rare, "not-a-ca", "", "x509: certificate is not authorized to sign other certificates"},
		{rare, "not-a-ca", "", "x509: too many intermediates for path length constraint"},
		{rare, "not-a-ca", "", "error 79 at 1 depth lookup: invalid CA certificate"},
		{rare, "not-a-ca", "", "error 25 at 2 depth lookup: path length constraint exceeded"},
		{rare, "weak-signature", "", "x509: cannot verify signature: insecure algorithm SHA1-RSA"},
		{rare, "weak-signature", Command, "error:0A00018F:SSL routines::ee key too small"},
		{rare, "weak-signature", Command, "error:0A00018E:SSL routines::ca md too weak"},
		{rare, "weak-signature", "", "error 66 at 0 depth lookup: certificate key too weak"},
		{notHere, "handshake-failure", Command, "error:0A000410:SSL routines::ssl/tls alert handshake failure"},
		{notHere, "client-certificate-unknown-ca", ServerLog, "tls: failed to verify client certificate: x509: certificate signed by unknown authority"},
		{notHere, "client-certificate-refused", "", "remote error: tls: unsupported certificate"},
		{notHere, "client-certificate-refused", Command, "error:0A000412:SSL routines::ssl/tls alert bad certificate"},
		{notHere, "client-refuses-server", ServerLog, "http: TLS handshake error from 172.18.0.1:5: remote error: tls: unknown certificate authority"},
		{notHere, "client-refuses-server", ServerLog, "http: TLS handshake error from 172.18.0.1:5: remote error: tls: unknown certificate"},
		{notHere, "client-refuses-server", ServerLog, "http: TLS handshake error from 172.18.0.1:5: remote error: tls: expired certificate"},
		{rare, "tls-version", "", "tls: server selected unsupported protocol version 301"},
		{rare, "tls-version", Command, "error:0A000102:SSL routines::unsupported protocol"},
		{rare, "no-cipher", Command, "error:0A0000C1:SSL routines::no shared cipher"},
		{rare, "no-cipher", "", "tls: peer doesn't support any of the certificate's signature algorithms"},
		{rare, "not-tls", "", "tls: oversized record received with length 20527"},
		{rare, "not-tls", Command, "error:0A0000C6:SSL routines::packet length too long"},
		{rare, "not-tls", Command, "error:0A00009C:SSL routines::http request"},
		{notHere, "not-tls", Command, "GnuTLS: An unexpected TLS packet was received."},
		{rare, "unrecognized-name", "", "remote error: tls: unrecognized name"},
		{rare, "unrecognized-name", Command, "error:0A000458:SSL routines::tlsv1 unrecognized name"},
		{rare, "unrecognized-name", Command, "error:0A000438:SSL routines::tlsv1 alert internal error"},
		{race, "handshake-broken-off", ServerLog, "http: TLS handshake error from 10.0.0.1:5: read tcp 10.0.0.2:5000->10.0.0.1:5: read: connection reset by peer"},
		{race, "handshake-broken-off", ServerLog, "http: TLS handshake error from 10.0.0.1:5: read tcp 10.0.0.2:5000->10.0.0.1:5: i/o timeout"},
		{race, "handshake-broken-off", Command, "curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to reg.test:443"},
		{notHere, "handshake-broken-off", Command, "gnutls_handshake() failed: The TLS connection was non-properly terminated."},
		{byHand, "http-to-https", "", "HTTP request to HTTPS server"},
		{notHere, "http-to-https", "", "400 The plain HTTP request was sent to HTTPS port"},
		{rare, "tls-answer-to-http", "", `net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01\x00\x02\x02"`},
		{race, "tls-answer-to-http", "", `Get "http://reg.test:1234/": readLoopPeekFailLocked: %!w(<nil>)`},
		{notHere, "proxy", Command, "curl: (97) connection to proxy closed"},
		{notHere, "proxy", Command, "curl: (56) Received HTTP code 407 from proxy after CONNECT"},
		{engineText, "unauthorized", EngineRegistry, `Error response from daemon: Head "https://reg:5000/v2/x/manifests/1": unauthorized: authentication required`},
		{engineText, "unauthorized", "", "unauthorized: incorrect username or password"},
		{notHere, "unauthorized", "", "remote: HTTP Basic: Access denied"},
		{rare, "denied", BuilderRegistry, "failed to resolve reference reg:5000/x:1: server message: insufficient_scope: authorization failed"},
		{rare, "denied", "", `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied","detail":null}]}`},
		{engineText, "denied", EngineRegistry, "Error response from daemon: denied: requested access to the resource is denied"},
		{notHere, "denied", "", "POST https://reg:5000/v2/x/blobs/uploads/: DENIED: no"},
		{notHere, "connection-refused", "", "connect: Connection refused"},
		{notHere, "connection-refused", Command, "curl: (7) Failed to connect to reg.test port 5000: Connection refused"},
		{otherSystem, "connection-refused", "", "connectex: No connection could be made because the target machine actively refused it."},
		{otherSystem, "no-such-host", "", "dial tcp: lookup registry: no such host"},
		{rare, "no-such-host", ClientBuilder, "name resolver error: produced zero addresses"},
		{otherSystem, "no-such-host", "", "registry: Temporary failure in name resolution"},
		{otherSystem, "no-such-host", "", "registry: Name or service not known"},
		{otherSystem, "dns-misbehaving", "", "dial tcp: lookup registry on 127.0.0.11:53: read udp 10.0.0.1:5->127.0.0.11:53: i/o timeout"},
		{otherSystem, "io-timeout", "", "dial tcp 10.1.2.3:5000: connect: connection timed out"},
		{rare, "connection-reset", "", "http2: client connection lost"},
		{otherSystem, "no-route", "", "dial tcp 10.1.2.3:5000: connect: no route to host"},
		{otherSystem, "no-route", "", "dial tcp [fd00::1]:5000: connect: network is unreachable"},
		{otherSystem, "no-route", "", "connect: No route to host"},
		{rare, "unexpected-eof", "", "tls: unexpected EOF"},
		{rare, "unexpected-eof", Command, "error:0A000126:SSL routines::unexpected eof while reading"},
		{race, "unexpected-eof", "", "http: server closed idle connection"},
		{notHere, "unexpected-eof", Command, "GnuTLS recv error (-110): The TLS connection was non-properly terminated."},
		{race, "builder-broke-off", ClientBuilder, `desc = "error reading server preface: read tcp 127.0.0.1:5->127.0.0.1:1234: read: connection reset by peer"`},
		{race, "connection-reset", Command, "curl: (56) Recv failure: Connection reset by peer"},
		{race, "client-certificate-expired", Command, "curl: (56) OpenSSL SSL_read: OpenSSL/3.0.19: error:0A000415:SSL routines::sslv3 alert certificate expired, errno 0"},
		{race, "curl-broke-off", Command, "curl: (55) getpeername() failed with errno 107: Transport endpoint is not connected"},
		{race, "curl-broke-off", Command, "curl: (16) Send failure: Connection reset by peer"},
		{race, "curl-broke-off", Command, "curl: (55) Send failure: Broken pipe"},
		{race, "builder-broke-off", ClientBuilder, `connection error: desc = "error reading server preface: connection reset by peer"`},
		{race, "builder-broke-off", ClientBuilder, "error: failed to list workers: Unavailable: write tcp 127.0.0.1:5->127.0.0.1:1234: write: broken pipe"},
		{race, "builder-broke-off", ClientBuilder, "error: failed to list workers: Unavailable: write tcp 127.0.0.1:5->127.0.0.1:1234: write: connection reset by peer"},
		{race, "builder-broke-off", ClientBuilder, `rpc error: code = Unavailable desc = connection error: desc = "write tcp 127.0.0.1:5->127.0.0.1:1234: write: broken pipe"`},
		{rare, "not-a-builder", ClientBuilder, "error reading server preface: http2: frame too large"},
		{rare, "builder-deadline", "", "DeadlineExceeded: no connection"},
		{engineText, "builder-inactive", ClientBuilder, "Status:    inactive"},
		{engineText, "builder-inactive", ClientBuilder, "Status: inactive"},
		{engineText, "builder-inactive", ClientBuilder, "failed to initialize builder x (x0): y"},
		{engineText, "buildx-driver", ClientBuilder, `ERROR: failed to find driver "romote"`},
		{engineText, "buildx-driver", ClientBuilder, "ERROR: no valid drivers found"},
		{engineText, "buildx-relative-path", ClientBuilder, "ERROR: non-absolute path 'ca.pem' provided for cacert"},
		{otherSystem, "builder-socket", ClientBuilder, "dial unix /run/buildkit/buildkitd.sock: connect: permission denied"},
		{engineText, "build-failed", BuilderRegistry, "ERROR: failed to solve: failed to push reg:5000/x"},
		{engineText, "build-failed", "", "ERROR: failed to build: x"},
		{engineText, "build-failed", "", `failed to dial "x"`},
		{notHere, "connection-refused", ClientRegistry, "error checking push permissions -- make sure you entered the correct tag name: dial tcp 10.0.0.1:5: connect: connection refused"},
		{rare, "key-mismatch", "", "tls: private key type does not match public key type"},
		{rare, "key-mismatch", "", "error:05800074:x509 certificate routines::key values mismatch"},
		{rare, "pem-missing", "", `tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks`},
		{rare, "pem-missing", "", "tls: failed to parse private key"},
		{rare, "pem-missing", "", "x509: malformed certificate"},
		{rare, "pem-missing", Command, "error:0480006C:PEM routines::no start line"},
		{engineText, "certs-d", EngineRegistry, "Error response from daemon: missing key client.key for client certificate client.cert. CA certificates must use the extension .crt"},
		{engineText, "certs-d", EngineRegistry, "Error response from daemon: missing client certificate client.cert for key client.key"},
		{notHere, "key-pair", "", "failed to load x509 key pair"},
		{rare, "toml-list", DaemonStart, "toml: cannot decode TOML string into []string"},
		{byHand, "toml-list", DaemonStart, "Can't convert string to []string"},
		{notHere, "toml-list", DaemonStart, "(3, 11): Can't convert tcp://0.0.0.0:1234(string) to []string"},
		{notHere, "toml-list", DaemonStart, "toml: incompatible types: TOML value has type string; destination has type slice"},
		{notHere, "toml-text", DaemonStart, "toml: cannot decode TOML array into a Go string"},
		{notHere, "toml-text", DaemonStart, "toml: incompatible types: TOML value has type []interface {}; destination has type string"},
		{notHere, "toml-table-name", DaemonStart, "toml: line 1: expected a top-level item to end with a newline, comment, or EOF, but got ':' instead"},
		{notHere, "toml-table-name", DaemonStart, "toml: line 1: expected '.' or ']' to end table name, but got ':' instead"},
		{rare, "toml-type", DaemonStart, "toml: invalid character at start of key: x"},
	}
}

// TestTyped: texts that were typed in from sources; TestRealTexts says which of
// them a program has said since.
func TestTyped(t *testing.T) {
	for _, row := range typed() {
		found := Match(row.text)
		switch {
		case len(found) == 0:
			t.Errorf("%q: nothing is known, want %s", row.text, row.id)
		case found[0].ID != row.id || found[0].Hop != row.hop:
			t.Errorf("%q: %s, hop %q; want %s, %q", row.text, found[0].ID, found[0].Hop, row.id, row.hop)
		}
	}
}
