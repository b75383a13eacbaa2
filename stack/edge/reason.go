package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Reason is the one word for how a handshake or a connection ended, in the log
// and in the metrics. The words are a contract: none is renamed.
type Reason string

const (
	// OK: the handshake was completed; the connection ended as both sides
	// wanted it.
	OK Reason = "ok"

	// Plaintext: what came first was no TLS, such as an HTTP request.
	Plaintext Reason = "plaintext"
	// Timeout: the handshake took longer than handshake_timeout.
	Timeout Reason = "timeout"
	// Evicted: too many handshakes were going on, and this was the oldest.
	Evicted Reason = "evicted"
	// Limit: max_connections were open.
	Limit Reason = "limit"
	// TLSVersion: the client knows no version from TLS 1.2 on.
	TLSVersion Reason = "tls-version"
	// ALPN: the client named protocols, and none of them is served.
	ALPN Reason = "alpn"
	// ClientAlert: the client broke the handshake off with an alert, most often
	// because it does not trust the server's certificate.
	ClientAlert Reason = "client-alert"
	// Handshake: the handshake failed in another way.
	Handshake Reason = "handshake"

	// NoClientCertificate: the client showed none. Clients also show none when
	// theirs comes from no CA that the server names.
	NoClientCertificate Reason = "no-client-certificate"
	// UnknownClientCA: the client's certificate comes from no accepted CA, or
	// from one that is accepted no longer.
	UnknownClientCA Reason = "unknown-client-ca"
	// ClientExpired: the client's certificate, or a CA above it, has expired or
	// is not valid yet.
	ClientExpired Reason = "client-expired"
	// ClientUsage: the client's certificate is not for clients.
	ClientUsage Reason = "client-usage"
	// ClientInvalid: the client's certificate breaks another rule, such as a
	// constraint of its CA.
	ClientInvalid Reason = "client-invalid"
	// Removed: the access list has the certificate as removed.
	Removed Reason = "removed"
	// NotAllowed: the access list names who may connect, and not this client.
	NotAllowed Reason = "not-allowed"

	// ClientGone: the client went away in the middle: no end of TLS before the
	// end of TCP, or a reset.
	ClientGone Reason = "client-gone"
	// TargetDown: the target could not be reached.
	TargetDown Reason = "target-down"
	// TargetFailed: the target broke a connection off.
	TargetFailed Reason = "target-failed"
	// Stopped: the edge stopped, and the connection did not end in time.
	Stopped Reason = "stopped"
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{
		OK, Plaintext, Timeout, Evicted, Limit, TLSVersion, ALPN, ClientAlert, Handshake,
		NoClientCertificate, UnknownClientCA, ClientExpired, ClientUsage, ClientInvalid, Removed, NotAllowed,
		ClientGone, TargetDown, TargetFailed, Stopped,
	}
}

// refusal is what a snapshot answers when it does not let a client in.
type refusal struct {
	reason Reason
	client *x509.Certificate
}

func (r *refusal) Error() string { return "client refused: " + string(r.reason) }

// noCertificate is crypto/tls's error for a client without a certificate, which
// has no type. The standard library is left to refuse that, since it sends the
// right alert for each version of TLS; a test holds the text.
const noCertificate = "tls: client didn't provide a certificate"

// reasonOfHandshake returns why a handshake failed. The reason that the hello
// gave comes first: crypto/tls fails for it in its own words.
func reasonOfHandshake(err error, hello Reason) Reason {
	var (
		refused  *refusal
		verifier *tls.CertificateVerificationError
		plain    tls.RecordHeaderError
		op       *net.OpError
	)
	switch {
	case errors.As(err, &refused):
		return refused.reason
	case errors.As(err, &verifier):
		return reasonOfCertificate(verifier.Err)
	case errors.As(err, &plain):
		return Plaintext
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &op) && op.Op == "remote error":
		return ClientAlert
	case gone(err):
		return ClientGone
	case hello != "":
		return hello
	case err.Error() == noCertificate:
		return NoClientCertificate
	default:
		return Handshake
	}
}

// reasonOfCertificate returns why a client's certificate did not verify.
func reasonOfCertificate(err error) Reason {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return UnknownClientCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ClientExpired
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return ClientUsage
	default:
		return ClientInvalid
	}
}

// gone reports whether a connection ended under an operation.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ETIMEDOUT)
}
