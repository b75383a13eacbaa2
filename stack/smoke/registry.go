package smoke

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/certyard/certyard/stack"
)

// registryProbes are the probes of the way from the host to the registry.
type registryProbes struct {
	Registry
	trust       *x509.CertPool
	generations []Generation
}

func newRegistryProbes(opt Options) *registryProbes {
	return &registryProbes{opt.Registry, opt.Trust.Pool(), opt.Generations}
}

// checks returns what is to be proven. The first check is the one that the
// others need.
func (r *registryProbes) checks() []*check {
	t := tableFor(stack.HopHostRegistry, "registry.", r.Endpoints)
	if t == nil {
		return nil
	}
	t.names(r.Names, "verifies as %s, and the password gets 200", r.login)
	t.add("plain", "plain HTTP is refused", answers, r.plain)
	t.add("tls11", "TLS 1.1 is refused", speaksTLS, r.oldTLS)
	t.add("anonymous", "no password gets 401", verifies, r.anonymous)
	t.add("wrong-password", "a wrong password gets 401", verifies, r.wrongPassword)
	for _, changed := range r.Changed {
		t.add("new-password:"+changed.User, "the new password of "+changed.User+" gets 200", verifies, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			return r.loginAs(ctx, e, e.Host, changed.User, changed.New)
		})
		t.add("old-password:"+changed.User, "the old password of "+changed.User+" gets 401", verifies, func(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
			return r.locked(ctx, e, changed.User, changed.Old)
		})
	}
	t.add("other-ca", "a client that trusts only another CA refuses it", verifies, r.otherCA)
	aloneChecks(t, r.generations, func(ctx context.Context, e stack.Endpoint, roots *x509.CertPool) error {
		return r.tryAs(ctx, e, e.Host, roots)
	})
	r.impostorChecks(t)
	t.add("other-name", "a name that is not in the certificate is refused", verifies, r.otherName)
	return t.checks
}

// as returns the registry under a name, as a client sees it that trusts roots.
func (r *registryProbes) as(e stack.Endpoint, name, user, password string, roots *x509.CertPool) *remote {
	return newRemote(e, name, user, password, &tls.Config{RootCAs: roots})
}

// login is the positive probe: everything about one name has to be right.
func (r *registryProbes) login(ctx context.Context, e stack.Endpoint, name string) (stack.Evidence, error) {
	return r.loginAs(ctx, e, name, r.User, r.Password)
}

func (r *registryProbes) loginAs(ctx context.Context, e stack.Endpoint, name, user, password string) (stack.Evidence, error) {
	client := r.as(e, name, user, password, r.trust)
	defer client.close()
	a, err := client.ping(ctx)
	if err != nil {
		return seenIn(err), err
	}
	evidence := seen(a.tls)
	evidence.HTTPStatus = a.status
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		evidence.Date = &date
	}
	if err := served(a.tls, r.Leaf); err != nil {
		return evidence, err
	}
	if a.status != http.StatusOK {
		return evidence, &statusError{"GET /v2/", a.status}
	}
	return evidence, nil
}

func (r *registryProbes) anonymous(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	return r.locked(ctx, e, "", "")
}

func (r *registryProbes) wrongPassword(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	return r.locked(ctx, e, r.User, rand.Text())
}

// locked holds when the credentials get 401 and are asked for again.
func (r *registryProbes) locked(ctx context.Context, e stack.Endpoint, user, password string) (stack.Evidence, error) {
	client := r.as(e, e.Host, user, password, r.trust)
	defer client.close()
	a, err := client.ping(ctx)
	if err != nil {
		return stack.Evidence{}, otherRefusal(err)
	}
	evidence := stack.Evidence{HTTPStatus: a.status, Answer: a.header.Get("WWW-Authenticate")}
	switch {
	case a.status < 300:
		return evidence, failing(stack.ReasonAccepted, "let in with %d", a.status)
	case a.status != http.StatusUnauthorized:
		return evidence, failing(stack.ReasonUnexpected, "answers %d, want 401", a.status)
	case evidence.Answer == "":
		return evidence, failing(stack.ReasonUnexpected, "answers 401 without asking for a password")
	}
	return evidence, nil
}

// plain holds when a request without TLS gets what Go's server answers to it
// (net/http, in conn.serve), an alert, or nothing before the connection is
// closed. The last is what a front does that passes bytes on after TLS.
func (r *registryProbes) plain(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	request := "GET /v2/ HTTP/1.1\r\nHost: " + e.Address() + "\r\nConnection: close\r\n\r\n"
	said, err := sayPlain(ctx, e, request, maxBody)
	if err != nil || len(said) == 0 || isAlert(said) {
		return stack.Evidence{Answer: plainAnswer(said)}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(said)), nil)
	if err != nil {
		return stack.Evidence{}, failing(stack.ReasonUnexpected, "answers %q", said[:min(len(said), 20)])
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	evidence := stack.Evidence{HTTPStatus: response.StatusCode, Answer: string(bytes.TrimSpace(body))}
	if err != nil || response.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("HTTPS server")) {
		evidence.Answer = ""
		return evidence, failing(stack.ReasonAccepted, "plain HTTP gets the answer %d", response.StatusCode)
	}
	return evidence, nil
}

func (r *registryProbes) oldTLS(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	conn, err := dialTLS(ctx, e, &tls.Config{
		RootCAs: r.trust, ServerName: e.Host,
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	})
	if err != nil {
		return refusedWith(err, alertProtocolVersion)
	}
	defer conn.Close()
	return stack.Evidence{}, failing(stack.ReasonAccepted, "accepts %s", tls.VersionName(conn.ConnectionState().Version))
}

func (r *registryProbes) otherCA(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	stranger, err := newOutsider(ctx, time.Now())
	if err != nil {
		return stack.Evidence{}, fmt.Errorf("making another CA: %w", err)
	}
	err = r.tryAs(ctx, e, e.Host, stranger.trust.Pool())
	return judged[x509.UnknownAuthorityError](err)
}

func (r *registryProbes) otherName(ctx context.Context, e stack.Endpoint) (stack.Evidence, error) {
	// RFC 6761 section 6.4 keeps this top level domain from existing.
	err := r.tryAs(ctx, e, rand.Text()[:8]+".certyard-proof.invalid", r.trust)
	return judged[x509.HostnameError](err)
}

func (r *registryProbes) tryAs(ctx context.Context, e stack.Endpoint, name string, roots *x509.CertPool) error {
	client := r.as(e, name, "", "", roots)
	defer client.close()
	_, err := client.ping(ctx)
	return err
}

// judged holds when the client's own verifier refused the server for the
// reason that E stands for.
func judged[E error](err error) (stack.Evidence, error) {
	if err == nil {
		return stack.Evidence{}, failing(stack.ReasonAccepted, "the certificate verifies")
	}
	if refusal, ok := errors.AsType[E](err); ok {
		return stack.Evidence{Answer: refusal.Error()}, nil
	}
	return stack.Evidence{}, otherRefusal(err)
}
