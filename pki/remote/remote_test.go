package remote_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/pki/remote"
	"github.com/certyard/certyard/pki/remote/remotetest"
)

// serve starts a real server, and returns its address.
func serve(t *testing.T, ca *pkitest.CA) string {
	t.Helper()
	return remotetest.Serve(t, "../../bin/tools", ca)
}

func connect(t *testing.T, o remote.Options) *remote.Authority {
	t.Helper()
	if o.AuthKey == "" {
		o.AuthKey = remotetest.AuthKey
	}
	a, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue has the authority sign a server's leaf, through package pki.
func issue(t *testing.T, a pki.Authority, ca *pkitest.CA, key pki.KeyType) (pki.Material, error) {
	t.Helper()
	sans, err := pki.ParseSANs("registry.test", "*.registry.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	plan := pki.Plan{
		CAs:    []pki.CAPlan{{Name: pki.CAName, Stack: "test", Key: key, Validity: time.Hour, Keyholder: pki.KeyRemote}},
		Leaves: []pki.LeafPlan{{Name: "registry", Role: pki.RoleServer, Issuer: pki.CAName, SANs: sans, Key: key, Validity: 24 * time.Hour}},
	}
	have := pki.Material{CAs: map[string]*pki.KeyPair{pki.CAName: {Cert: ca.Pair.Cert}}}
	steps, err := pki.Diff(plan, have, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pki.Apply(t.Context(), plan, have, steps, map[string]pki.Authority{pki.CAName: a}, time.Now())
}

// TestServe: a real server signs every key type, with the names and the role
// that were asked for, and tells its CA.
func TestServe(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	url := serve(t, ca)
	a := connect(t, remote.Options{URL: url, Roots: ca.Trust()})
	for _, key := range []pki.KeyType{pki.ECDSAP256, pki.ECDSAP384, pki.RSA2048, pki.Ed25519} {
		out, err := issue(t, a, ca, key)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if got := pki.KeyTypeOf(out.Leaves["registry"].Cert.PublicKey); got != key {
			t.Errorf("%s: the certificate is for a key of type %s", key, got)
		}
	}
	if cert, err := a.CA(t.Context()); err != nil || !cert.Equal(ca.Pair.Cert) {
		t.Errorf("the CA is %v, %v", cert, err)
	}

	wrong := connect(t, remote.Options{URL: url, Roots: ca.Trust(), AuthKey: "00"})
	_, err := issue(t, wrong, ca, pki.ECDSAP256)
	if refused, ok := errors.AsType[*remote.RefusedError](err); !ok || refused.Message != "invalid token" {
		t.Errorf("wrong key: %v", err)
	}
	// What the server makes of a request is not taken for granted.
	for profile, want := range map[string]string{"clients": "clientAuth, want serverAuth alone", "nameless": "is not valid for registry.test"} {
		_, err := issue(t, connect(t, remote.Options{URL: url, Roots: ca.Trust(), Profile: profile}), ca, pki.ECDSAP256)
		if _, ok := errors.AsType[*pki.FindingsError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("profile %s: %v", profile, err)
		}
	}
	for name, roots := range map[string]pki.TrustBundle{"another CA": pkitest.New(t, time.Now()).Trust(), "its twin": ca.Twin(t).Trust()} {
		_, err := issue(t, connect(t, remote.Options{URL: url, Roots: roots}), ca, pki.ECDSAP256)
		if gone, ok := errors.AsType[*remote.UnavailableError](err); !ok || gone.Attempts != 1 {
			t.Errorf("TLS verified with %s: %v", name, err)
		}
	}
	other := strings.Replace(url, "localhost", "127.0.0.1", 1)
	if _, err := issue(t, connect(t, remote.Options{URL: other, Roots: ca.Trust()}), ca, pki.ECDSAP256); err == nil {
		t.Error("a name that is not in the server's certificate is accepted")
	}
}

// fake is a server that says anything.
func fake(t *testing.T, ca *pkitest.CA, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handle)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Server(t, "127.0.0.1").TLS()}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// TestNonsense: no answer, whatever its form, is taken for a certificate, or
// stops the program.
func TestNonsense(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	other := string(ca.Server(t, "registry.test").CertPEM())
	quoted, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{
		"nothing": "", "HTML": "<html>hello</html>", "empty object": "{}", "list": "[]", "null": "null",
		"no success":  `{"success": false, "errors": [{"code": 1, "message": "no"}]}`,
		"no result":   `{"success": true}`,
		"text result": `{"success": true, "result": "x"}`,
		"number":      `{"success": true, "result": {"certificate": 7}}`,
		"empty":       `{"success": true, "result": {"certificate": ""}}`,
		"garbage":     `{"success": true, "result": {"certificate": "garbage"}}`,
		"a key":       `{"success": true, "result": {"certificate": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}}`,
		"another key": fmt.Sprintf(`{"success": true, "result": {"certificate": %s}}`, quoted),
	} {
		t.Run(name, func(t *testing.T) {
			url := fake(t, ca, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
			a := connect(t, remote.Options{URL: url, Roots: ca.Trust()})
			_, err := issue(t, a, ca, pki.ECDSAP256)
			_, refused := errors.AsType[*remote.RefusedError](err)
			_, nonsense := errors.AsType[*remote.AnswerError](err)
			if !refused && !nonsense {
				t.Errorf("signing: %v", err)
			}
			if name == "another key" {
				return // as an answer to the other question it is one
			}
			if _, err := a.CA(t.Context()); err == nil {
				t.Error("it is taken for a CA")
			}
		})
	}
}

// TestUnavailable: what may pass is tried again, and a caller who gives up is
// not kept.
func TestUnavailable(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "https://" + l.Addr().String()
	l.Close()
	_, err = connect(t, remote.Options{URL: closed, Roots: ca.Trust(), Attempts: 2}).CA(t.Context())
	if gone, ok := errors.AsType[*remote.UnavailableError](err); !ok || gone.Attempts != 2 || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a closed port: %v", err)
	}

	hang := make(chan struct{})
	defer close(hang)
	silent := fake(t, ca, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	_, err = connect(t, remote.Options{URL: silent, Roots: ca.Trust(), Attempts: 1, Timeout: 50 * time.Millisecond}).CA(t.Context())
	if _, ok := errors.AsType[*remote.UnavailableError](err); !ok {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = connect(t, remote.Options{URL: silent, Roots: ca.Trust(), Timeout: time.Hour}).CA(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("giving up: %v", err)
	}

	var calls atomic.Int32
	shaky := fake(t, ca, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) < 3 {
			panic(http.ErrAbortHandler) // closes the connection without a word
		}
		data, _ := json.Marshal(string(ca.Pair.CertPEM()))
		fmt.Fprintf(w, `{"success": true, "result": {"certificate": %s}}`, data)
	})
	if cert, err := connect(t, remote.Options{URL: shaky, Roots: ca.Trust()}).CA(t.Context()); err != nil || !cert.Equal(ca.Pair.Cert) {
		t.Errorf("a server that comes back: %v", err)
	}
}

// TestOptions: what cannot work is said before anything is dialled.
func TestOptions(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	sound := remote.Options{URL: "https://ca.lan:8888", Roots: ca.Trust(), AuthKey: remotetest.AuthKey + "\n"}
	if _, err := remote.New(sound); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*remote.Options){
		"http":       func(o *remote.Options) { o.URL = "http://ca.lan:8888" },
		"no scheme":  func(o *remote.Options) { o.URL = "ca.lan:8888" },
		"no host":    func(o *remote.Options) { o.URL = "https://" },
		"no roots":   func(o *remote.Options) { o.Roots = pki.TrustBundle{} },
		"no key":     func(o *remote.Options) { o.AuthKey = "" },
		"no hex":     func(o *remote.Options) { o.AuthKey = "sesame" },
		"a file":     func(o *remote.Options) { o.AuthKey = "file:/etc/passwd" },
		"a variable": func(o *remote.Options) { o.AuthKey = "env:HOME" },
	} {
		o := sound
		change(&o)
		_, err := remote.New(o)
		if _, ok := errors.AsType[*remote.OptionError](err); !ok || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPassing: what a server in trouble or a proxy in front of it says is tried
// again, and is no refusal; a refusal is said once.
func TestPassing(t *testing.T) {
	ca := pkitest.New(t, time.Now())
	cert, err := json.Marshal(string(ca.Pair.CertPEM()))
	if err != nil {
		t.Fatal(err)
	}
	sound := fmt.Sprintf(`{"success": true, "result": {"certificate": %s}}`, cert)
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, code) }
	}
	for name, c := range map[string]struct {
		first   http.HandlerFunc
		refused string // "": the second answer counts
	}{
		"a proxy without a server": {first: status(http.StatusBadGateway, "<html>bad gateway</html>")},
		"overload":                 {first: status(http.StatusServiceUnavailable, "")},
		"its own trouble":          {first: status(http.StatusInternalServerError, `{"success":false,"result":null,"errors":[{"code":0,"message":"disk full"}]}`)},
		"cut in the body": {first: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"success": true, `)
		}},
		"cut in the header": {first: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(conn, "HTTP/1.1 2")
				conn.Close()
			}
		}},
		"a bad request":  {status(http.StatusBadRequest, `{"success":false,"errors":[{"code":400,"message":"invalid token"}]}`), "invalid token"},
		"a policy":       {status(http.StatusBadRequest, `{"success":false,"errors":[{"code":5300,"message":"no such profile"}]}`), "no such profile"},
		"no, with a 200": {status(http.StatusOK, `{"success":false,"errors":[{"code":0,"message":"no"}]}`), "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			url := fake(t, ca, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					c.first(w, r)
					return
				}
				fmt.Fprint(w, sound)
			})
			_, err := connect(t, remote.Options{URL: url, Roots: ca.Trust()}).CA(t.Context())
			refused, ok := errors.AsType[*remote.RefusedError](err)
			switch {
			case c.refused == "" && (err != nil || calls.Load() != 2):
				t.Errorf("after %d calls: %v", calls.Load(), err)
			case c.refused != "" && (!ok || refused.Message != c.refused || calls.Load() != 1):
				t.Errorf("after %d calls: %v", calls.Load(), err)
			}
		})
	}
	always := fake(t, ca, status(http.StatusServiceUnavailable, "try later"))
	_, err = connect(t, remote.Options{URL: always, Roots: ca.Trust(), Attempts: 2}).CA(t.Context())
	if gone, ok := errors.AsType[*remote.UnavailableError](err); !ok || gone.Attempts != 2 || !strings.Contains(err.Error(), "try later") {
		t.Errorf("a server that stays in trouble: %v", err)
	}
}
