// Package remote has a cfssl server ("cfssl serve" with an authentication key)
// sign certificates. It speaks cfssl's own protocol through cfssl's own client,
// over TLS that is verified with given CAs alone. The key of the CA stays where
// the server is.
package remote

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cloudflare/cfssl/api"
	"github.com/cloudflare/cfssl/api/client"
	"github.com/cloudflare/cfssl/auth"
	cferr "github.com/cloudflare/cfssl/errors"
	"github.com/cloudflare/cfssl/info"
	"github.com/cloudflare/cfssl/signer"

	"github.com/certyard/certyard/pki"
)

// Options says which server signs, and how it is spoken to.
type Options struct {
	URL     string          // https://host:port
	Roots   pki.TrustBundle // the only CAs that the server's TLS is verified with
	AuthKey string          // hexadecimal, as in the server's config
	Profile string          // of the server's config; for "" and unknown ones it takes its default
	Label   string          // of a server with several CAs

	Timeout  time.Duration // of one attempt; 0 means 10 seconds
	Attempts int           // 0 means 3
}

// Authority is a cfssl server as a [pki.Authority]. It may be used by several
// goroutines at once.
type Authority struct {
	options  Options
	provider auth.Provider
}

// New checks the options; it dials nothing. Proxies are taken from the
// environment, as Go's HTTP client does.
func New(o Options) (*Authority, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, &OptionError{fmt.Sprintf("%q is not https://host:port", o.URL)}
	}
	if len(o.Roots.Certs()) == 0 {
		return nil, &OptionError{"there is no certificate to verify the server with"}
	}
	o.AuthKey = strings.TrimSpace(o.AuthKey)
	if key, err := hex.DecodeString(o.AuthKey); err != nil || len(key) == 0 {
		// cfssl would take "env:X" and "file:X" too, and read those.
		return nil, &OptionError{"the authentication key is not hexadecimal"}
	}
	provider, err := auth.New(o.AuthKey, nil)
	if err != nil {
		return nil, &OptionError{"the authentication key is not one that cfssl takes"}
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 3
	}
	pki.SilenceCFSSL()
	return &Authority{options: o, provider: provider}, nil
}

// Sign has the server sign the request. The server's profile decides on usages
// and validity, and what comes back is for the caller to verify; only that it is
// for the key of the request is checked here.
func (a *Authority) Sign(ctx context.Context, r pki.Request) ([]*x509.Certificate, error) {
	body, err := json.Marshal(signer.SignRequest{Request: string(r.CSR), Profile: a.options.Profile, Label: a.options.Label})
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	var answer []byte
	err = a.call(ctx, func(server client.Remote) (err error) {
		answer, err = server.AuthSign(body, nil, a.provider)
		return err
	})
	if err != nil {
		return nil, err
	}
	bundle, err := pki.ParseTrustBundle(answer)
	if err != nil {
		return nil, &AnswerError{a.options.URL, "no certificate: " + err.Error()}
	}
	certs := bundle.Certs()
	block, _ := pem.Decode(r.CSR)
	if block == nil {
		return nil, errors.New("the request is no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	key, ok := csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !key.Equal(certs[0].PublicKey) {
		return nil, &AnswerError{a.options.URL, "a certificate for another key"}
	}
	return certs, nil
}

// CA asks the server for the certificate of the CA that it signs with.
func (a *Authority) CA(ctx context.Context) (*x509.Certificate, error) {
	body, err := json.Marshal(info.Req{Label: a.options.Label, Profile: a.options.Profile})
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	var answer *info.Resp
	err = a.call(ctx, func(server client.Remote) (err error) {
		answer, err = server.Info(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	bundle, err := pki.ParseTrustBundle([]byte(answer.Certificate))
	if err != nil {
		return nil, &AnswerError{a.options.URL, "no CA certificate: " + err.Error()}
	}
	return bundle.Certs()[0], nil
}

// call asks the server, again when nobody answered, or the answer was cut off, or
// was one of a server in trouble.
func (a *Authority) call(ctx context.Context, ask func(client.Remote) error) error {
	for attempt := 1; ; attempt++ {
		watch, err := a.once(ctx, ask)
		seen := watch.now()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("asking %s: %w", a.options.URL, ctx.Err())
		case seen.panicked:
			return &AnswerError{a.options.URL, "an answer of another form"}
		case seen.tls != nil:
			return &UnavailableError{a.options.URL, attempt, seen.tls}
		case seen.answered && !passing(err):
			return a.final(err)
		}
		if attempt == a.options.Attempts {
			return &UnavailableError{a.options.URL, attempt, seen.cause(err)}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("asking %s: %w", a.options.URL, ctx.Err())
		case <-time.After(pause(attempt)):
		}
	}
}

// final is the error for an answer that another attempt would not change.
func (a *Authority) final(err error) error {
	if isKind(err, cferr.JSONError) {
		return &AnswerError{a.options.URL, "an answer of another form"}
	}
	return &RefusedError{a.options.URL, message(err)}
}

// passing reports whether an answer may be another one next time: it was cut
// off, or its status is not 200 and it is not cfssl's word. cfssl's client does
// not tell the status, but a server of cfssl writes it, or a number of its own,
// into every error that it means; for what is its own trouble, with status 500,
// it writes 0 (api.HandleError). What else is no JSON comes from a proxy.
func passing(err error) bool {
	if isKind(err, cferr.IOError) {
		return true
	}
	if !isKind(err, cferr.ClientHTTPError) {
		return false
	}
	said, ok := response(err)
	return !ok || said.Code == 0 || said.Code >= 500 && said.Code < 600
}

// isKind reports whether an error is one that cfssl's client has for a reason.
func isKind(err error, reason cferr.Reason) bool {
	var cf *cferr.Error
	return errors.As(err, &cf) && cf.ErrorCode == cferr.New(cferr.APIClientError, reason).ErrorCode
}

// pause grows from a quarter of a second, with some chance in it, so that many
// clients do not come back at the same time.
func pause(attempt int) time.Duration {
	base := 250 * time.Millisecond << (attempt - 1)
	return base/2 + rand.N(base)
}

// sighting watches one attempt from below: cfssl's client makes text of every
// error. Its callbacks may run when the attempt is over already.
type sighting struct {
	mu   sync.Mutex
	seen seen
}

// seen is what one attempt came across.
type seen struct {
	dial     error
	tls      error
	answered bool
	panicked bool
}

func (s seen) cause(err error) error {
	if s.dial != nil {
		return s.dial
	}
	return errors.New(message(err))
}

func (s *sighting) note(do func(*seen)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(&s.seen)
}

func (s *sighting) now() seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// once makes one attempt. cfssl's client asserts the types of what it reads, so
// an answer of another form is a panic.
func (a *Authority) once(ctx context.Context, ask func(client.Remote) error) (watch *sighting, err error) {
	watch = &sighting{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, _ string, err error) { watch.note(func(s *seen) { s.dial = err }) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			var verification *tls.CertificateVerificationError
			if errors.As(err, &verification) {
				watch.note(func(s *seen) { s.tls = err })
			}
		},
		GotFirstResponseByte: func() { watch.note(func(s *seen) { s.answered = true }) },
	})
	server := client.NewServerTLS(a.options.URL, &tls.Config{RootCAs: a.options.Roots.Pool(), MinVersion: tls.VersionTLS12})
	if server == nil {
		return watch, &OptionError{fmt.Sprintf("%q is not an address that cfssl takes", a.options.URL)}
	}
	server.SetRequestTimeout(a.options.Timeout)
	server.SetReqModifier(func(r *http.Request, _ []byte) { *r = *r.WithContext(ctx) })
	defer func() {
		if recover() != nil {
			watch.note(func(s *seen) { s.panicked = true })
			err = errors.New("an answer of another form")
		}
	}()
	return watch, ask(server)
}

// message returns what the server says: its own words from the JSON of the
// protocol, else the start of whatever it was.
func message(err error) string {
	if said, ok := response(err); ok {
		return said.Message
	}
	const most = 200
	text := strings.Join(strings.Fields(plain(err)), " ")
	return text[:min(len(text), most)]
}

// response returns the error that the server put into the JSON of the protocol,
// if it did.
func response(err error) (api.ResponseMessage, bool) {
	var r api.Response
	if json.Unmarshal([]byte(plain(err)), &r) != nil || len(r.Errors) == 0 {
		return api.ResponseMessage{}, false
	}
	return r.Errors[0], true
}

// plain makes text of a cfssl error, which prints as JSON.
func plain(err error) string {
	var cf *cferr.Error
	if errors.As(err, &cf) {
		return cf.Message
	}
	return err.Error()
}
