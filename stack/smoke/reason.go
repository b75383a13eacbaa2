package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/certyard/certyard/stack"
)

// fault is why a probe does not hold, when the error alone does not say it.
type fault struct {
	reason stack.Reason
	err    error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// failing returns a fault. Its text may wrap an error with %w.
func failing(reason stack.Reason, format string, args ...any) error {
	return &fault{reason, fmt.Errorf(format, args...)}
}

// reasonOf says in one word why a connection or a request went wrong.
func reasonOf(err error) stack.Reason {
	var (
		known    *fault
		notMade  *skipped
		status   *statusError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		notTLS   tls.RecordHeaderError
		verifier *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &known):
		return known.reason
	case errors.As(err, &notMade):
		return stack.ReasonNotApplicable
	case errors.As(err, &status):
		return status.reason()
	case errors.As(err, &name):
		return stack.ReasonName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return stack.ReasonExpired
	case errors.As(err, &invalid), errors.As(err, &unknown), errors.As(err, &verifier):
		return stack.ReasonUntrusted
	case errors.As(err, &notTLS), errors.Is(err, http.ErrSchemeMismatch):
		return stack.ReasonPlaintext
	}
	if alert, ok := alertIn(err); ok {
		return reasonOfAlert(alert)
	}
	if silent(err) {
		return stack.ReasonUnreachable
	}
	return stack.ReasonUnexpected
}

// Alerts, from RFC 8446 section 6 and RFC 7301 section 3.2.
const (
	alertHandshakeFailure       tls.AlertError = 40
	alertBadCertificate         tls.AlertError = 42
	alertUnsupportedCertificate tls.AlertError = 43
	alertCertificateExpired     tls.AlertError = 45
	alertCertificateUnknown     tls.AlertError = 46
	alertUnknownCA              tls.AlertError = 48
	alertProtocolVersion        tls.AlertError = 70
	alertCertificateRequired    tls.AlertError = 116
	alertNoProtocol             tls.AlertError = 120
)

func reasonOfAlert(alert tls.AlertError) stack.Reason {
	switch alert {
	case alertProtocolVersion, alertNoProtocol, alertHandshakeFailure:
		return stack.ReasonProtocol
	case alertBadCertificate, alertUnsupportedCertificate, alertCertificateExpired,
		alertCertificateUnknown, alertUnknownCA, alertCertificateRequired:
		return stack.ReasonUnauthorized
	}
	return stack.ReasonUnexpected
}

// alertIn finds the TLS alert that the peer sent. Outside of QUIC crypto/tls
// wraps an alert of an unexported type, whose text is the one of AlertError.
func alertIn(err error) (tls.AlertError, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	for code := range 256 {
		if alert := tls.AlertError(code); alert.Error() == op.Err.Error() {
			return alert, true
		}
	}
	return 0, false
}

// silent reports whether the peer did not answer at all. A connection that is
// closed without a word belongs here: the engine's port forwarding accepts
// connections before the daemon listens.
func silent(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) ||
		errors.As(err, &op) && op.Op == "dial" ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		grpcerrors.Code(err) == codes.DeadlineExceeded ||
		closed(err)
}

// closed reports whether the peer closed the connection without a word.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err != nil && strings.Contains(err.Error(), closedIdle)
}

// closedIdle is how net/http calls it, in an error without an exported name, when
// the peer closes after the handshake and before the request is on its way, as the
// edge does while its target is down.
const closedIdle = "http: server closed idle connection"

// solveReasons finds the reason in what a solve fails with. The daemon talks
// to the registry in another process, and only text comes back from there. The
// texts are those of Go's crypto/x509, net and net/http, and of containerd's
// resolver, which buildkitd uses.
var solveReasons = []struct {
	text   string
	reason stack.Reason
}{
	{"certificate signed by unknown authority", stack.ReasonUntrusted},
	{"certificate has expired or is not yet valid", stack.ReasonExpired},
	{"x509: certificate is valid for", stack.ReasonName},
	{"x509: certificate is not valid for any names", stack.ReasonName},
	{"doesn't contain any IP SANs", stack.ReasonName},
	{"failed to verify certificate", stack.ReasonUntrusted},
	{"server gave HTTP response to HTTPS client", stack.ReasonPlaintext},
	{"first record does not look like a TLS handshake", stack.ReasonPlaintext},
	{"Client sent an HTTP request to an HTTPS server", stack.ReasonPlaintext},
	{"http://", stack.ReasonPlaintext},
	{"401 Unauthorized", stack.ReasonUnauthorized},
	{"authorization failed", stack.ReasonUnauthorized},
	{"connection refused", stack.ReasonUnreachable},
	{"no such host", stack.ReasonUnreachable},
	{"server misbehaving", stack.ReasonUnreachable},
	{"i/o timeout", stack.ReasonUnreachable},
	{"no route to host", stack.ReasonUnreachable},
}

func reasonOfSolve(err error) stack.Reason {
	if reason := reasonOf(err); reason != stack.ReasonUnexpected {
		return reason
	}
	for _, s := range solveReasons {
		if strings.Contains(err.Error(), s.text) {
			return s.reason
		}
	}
	return stack.ReasonBuild
}
