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
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/certyard/certyard/stack"
)

// remoteAlert is what crypto/tls returns for an alert of the peer.
func remoteAlert(alert tls.AlertError) error {
	return &net.OpError{Op: "remote error", Err: errors.New(alert.Error())}
}

func TestReasonOf(t *testing.T) {
	verifying := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	tests := []struct {
		err  error
		want stack.Reason
	}{
		{failing(stack.ReasonStale, "x"), stack.ReasonStale},
		{failing(stack.ReasonAccepted, "wrapping %w", io.EOF), stack.ReasonAccepted},
		{&skipped{"x"}, stack.ReasonNotApplicable},
		{&statusError{"GET /v2/", 401}, stack.ReasonUnauthorized},
		{&statusError{"PUT /v2/x", 403}, stack.ReasonUnauthorized},
		{&statusError{"GET /v2/", 500}, stack.ReasonUnexpected},
		{verifying(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}), stack.ReasonName},
		{verifying(x509.UnknownAuthorityError{}), stack.ReasonUntrusted},
		{verifying(x509.CertificateInvalidError{Reason: x509.Expired}), stack.ReasonExpired},
		{verifying(x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}), stack.ReasonUntrusted},
		{verifying(x509.CertificateInvalidError{Reason: x509.CANotAuthorizedForThisName}), stack.ReasonUntrusted},
		{verifying(errors.New("anything else")), stack.ReasonUntrusted},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, stack.ReasonPlaintext},
		{http.ErrSchemeMismatch, stack.ReasonPlaintext},
		{remoteAlert(alertProtocolVersion), stack.ReasonProtocol},
		{remoteAlert(alertNoProtocol), stack.ReasonProtocol},
		{remoteAlert(alertHandshakeFailure), stack.ReasonProtocol},
		{remoteAlert(alertCertificateRequired), stack.ReasonUnauthorized},
		{remoteAlert(alertBadCertificate), stack.ReasonUnauthorized},
		{remoteAlert(alertUnknownCA), stack.ReasonUnauthorized},
		{remoteAlert(80), stack.ReasonUnexpected}, // internal error
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, stack.ReasonUnreachable},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, stack.ReasonUnreachable},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, stack.ReasonUnreachable},
		{&net.DNSError{Err: "no such host"}, stack.ReasonUnreachable},
		{io.EOF, stack.ReasonUnreachable},
		{context.DeadlineExceeded, stack.ReasonUnreachable},
		{status.Error(codes.DeadlineExceeded, "waiting for connections"), stack.ReasonUnreachable},
		{status.Error(codes.Internal, "stream terminated"), stack.ReasonUnexpected},
		{context.Canceled, stack.ReasonUnexpected},
		{errors.New("anything else"), stack.ReasonUnexpected},
	}
	for _, test := range tests {
		if got := reasonOf(fmt.Errorf("doing something: %w", test.err)); got != test.want {
			t.Errorf("reasonOf(%v) = %s, want %s", test.err, got, test.want)
		}
	}
}

// TestReasonOfSolve holds texts that buildkitd v0.34.2 answered with.
func TestReasonOfSolve(t *testing.T) {
	tests := []struct {
		text string
		want stack.Reason
	}{
		{`failed to do request: Head "https://localhost:15000/v2/x/manifests/sha256:9a": tls: failed to verify certificate: x509: certificate signed by unknown authority`, stack.ReasonUntrusted},
		{`failed to do request: Head "https://r:5000/v2/x": tls: failed to verify certificate: x509: certificate is valid for localhost, not r`, stack.ReasonName},
		{`failed to do request: Head "https://10.0.0.1:5000/v2/x": tls: failed to verify certificate: x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs`, stack.ReasonName},
		{`tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T11:02:18Z is after 2026-10-24T11:02:18Z`, stack.ReasonExpired},
		{`tls: failed to verify certificate: x509: certificate specifies an incompatible key usage`, stack.ReasonUntrusted},
		{`failed to do request: Head "https://r:5000/v2/x": http: server gave HTTP response to HTTPS client`, stack.ReasonPlaintext},
		{`unexpected status from HEAD request to http://localhost:15000/v2/x/manifests/sha256:9a: 400 Bad Request`, stack.ReasonPlaintext},
		{`unexpected status from HEAD request to https://localhost:15000/v2/x/blobs/sha256:b3: 401 Unauthorized`, stack.ReasonUnauthorized},
		{`failed to do request: Head "https://r:5000/v2/x": dial tcp 172.18.0.2:5000: connect: connection refused`, stack.ReasonUnreachable},
		{`failed to do request: Head "https://r:5000/v2/x": dial tcp: lookup r on 127.0.0.11:53: no such host`, stack.ReasonUnreachable},
		{`process "/step" did not complete successfully: exit code: 1`, stack.ReasonBuild},
		{`runc did not terminate successfully: exit status 1: unable to start container process`, stack.ReasonBuild},
	}
	for _, test := range tests {
		if got := reasonOfSolve(errors.New(test.text)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.text, got, test.want)
		}
	}
}
