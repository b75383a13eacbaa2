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
	"github.com/cloudflare/cfssl/log"
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
	silence()
	return &Authority{options: o, provider: provider}, nil
}

// silence stops cfssl's log lines: what goes wrong is returned. The level is a
// plain variable of cfssl, so it is set once.
var silence = sync.OnceFunc(func() { log.Level = log.LevelFatal + 1 })

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

// call asks the server, again when nobody answered.
func (a *Authority) call(ctx context.Context, ask func(client.Remote) error) error {
	for attempt := 1; ; attempt++ {
		seen, err := a.once(ctx, ask)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("asking %s: %w", a.options.URL, ctx.Err())
		case seen.panicked:
			return &AnswerError{a.options.URL, "an answer of another form"}
		case seen.tls != nil:
			return &UnavailableError{a.options.URL, attempt, seen.tls}
		case seen.answered:
			return &RefusedError{a.options.URL, message(err)}
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

// pause grows from a quarter of a second, with some chance in it, so that many
// clients do not come back at the same time.
func pause(attempt int) time.Duration {
	base := 250 * time.Millisecond << (attempt - 1)
	return base/2 + rand.N(base)
}

// sighting is what one attempt came across. cfssl's client makes text of every
// error, so what kind it was is watched from below.
type sighting struct {
	mu       sync.Mutex
	dial     error
	tls      error
	answered bool
	panicked bool
}

func (s *sighting) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dial != nil {
		return s.dial
	}
	return errors.New(plain(err))
}

func (s *sighting) note(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// once makes one attempt. cfssl's client asserts the types of what it reads, so
// an answer of another form is a panic.
func (a *Authority) once(ctx context.Context, ask func(client.Remote) error) (seen *sighting, err error) {
	seen = &sighting{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, _ string, err error) { seen.note(func() { seen.dial = err }) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			var verification *tls.CertificateVerificationError
			if errors.As(err, &verification) {
				seen.note(func() { seen.tls = err })
			}
		},
		GotFirstResponseByte: func() { seen.note(func() { seen.answered = true }) },
	})
	server := client.NewServerTLS(a.options.URL, &tls.Config{RootCAs: a.options.Roots.Pool(), MinVersion: tls.VersionTLS12})
	if server == nil {
		return seen, &OptionError{fmt.Sprintf("%q is not an address that cfssl takes", a.options.URL)}
	}
	server.SetRequestTimeout(a.options.Timeout)
	server.SetReqModifier(func(r *http.Request, _ []byte) { *r = *r.WithContext(ctx) })
	defer func() {
		if recover() != nil {
			seen.panicked, err = true, errors.New("an answer of another form")
		}
	}()
	return seen, ask(server)
}

// message returns what the server says in its refusal: its own words from the
// JSON of the protocol, else the start of whatever it was.
func message(err error) string {
	text := plain(err)
	var response api.Response
	if json.Unmarshal([]byte(text), &response) == nil && len(response.Errors) > 0 {
		return response.Errors[0].Message
	}
	const most = 200
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), most)]
}

// plain makes text of a cfssl error, which prints as JSON.
func plain(err error) string {
	var cf *cferr.Error
	if errors.As(err, &cf) {
		return cf.Message
	}
	return err.Error()
}
