package lint_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack/lint"
)

// said finds what a finding says that a program prints.
var said = regexp.MustCompile(`(?:with|says|prints) "(.*)"$`)

// TestCertificatesSayWhatGoSays: where a finding quotes an error, a server and a
// client of Go's, with the same files, print it.
func TestCertificatesSayWhatGoSays(t *testing.T) {
	checked := 0
	for _, c := range faults() {
		t.Run(c.name, func(t *testing.T) {
			y, a := sound(t)
			c.spoil(t, y, a)
			heard := y.heard(t)
			for _, f := range y.causes(t) {
				if slices.Contains([]string{"certs.missing", "certs.key-reader", "certs.reader"}, f.Rule) {
					continue // the words of open(2)
				}
				for _, quote := range said.FindAllStringSubmatch(f.Problem, -1) {
					checked++
					if !slices.ContainsFunc(heard, func(h string) bool { return strings.Contains(h, quote[1]) }) {
						t.Errorf("%s says %q; heard\n%s", f.Rule, quote[1], strings.Join(heard, "\n"))
					}
				}
				if severity(f.Rule) == lint.Error && len(heard) == 0 && !strings.HasPrefix(f.Rule, "certs.ca-key") {
					t.Errorf("%s is an error, and everything works", f.Rule)
				}
			}
			if len(c.want) == 0 && len(heard) > 0 {
				t.Errorf("nothing is to be wrong; heard %v", heard)
			}
		})
	}
	if checked < 30 {
		t.Errorf("only %d quotes were compared", checked)
	}
}

// heard starts each server of a yard with its files, has each client dial it, and
// returns all errors.
func (y *yard) heard(t *testing.T) []string {
	t.Helper()
	data := func(path string) []byte {
		for _, f := range y.files {
			if f.Path == path {
				return f.Data
			}
		}
		return nil
	}
	var out []string
	add := func(err error) bool {
		if err != nil {
			out = append(out, err.Error())
		}
		return err == nil
	}
	pool := func(paths []string, ignore bool, refusal string) *x509.CertPool {
		pool := x509.NewCertPool()
		for _, p := range paths {
			if !pool.AppendCertsFromPEM(data(p)) && !ignore {
				out = append(out, refusal)
			}
		}
		return pool
	}
	for _, s := range []lint.Subject{lint.Registry, lint.Builder} {
		u := y.use(s, lint.ServerCert)
		server := &tls.Config{Time: y.clock()}
		client := &tls.Config{Time: y.clock(), RootCAs: pool(u.Trust, s == lint.Registry, "failed to append ca certs")}
		pair, err := tls.X509KeyPair(data(u.Path), data(u.Pair))
		if !add(err) {
			continue
		}
		server.Certificates = []tls.Certificate{pair}
		if s == lint.Builder {
			c := y.use(s, lint.ClientCert)
			server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool(c.Trust, false, "failed to append ca cert")
			pair, err := tls.X509KeyPair(data(c.Path), data(c.Pair))
			add(err)
			client.Certificates = []tls.Certificate{pair}
		}
		for _, name := range u.Names {
			add(roundTrip(t, server, client, name))
		}
	}
	return out
}

// roundTrip dials a server by a name and reads a byte: with TLS 1.3 a client hears
// only then that it was refused (P22).
func roundTrip(t *testing.T, server, client *tls.Config, name string) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		tlsConn := tls.Server(conn, server)
		if tlsConn.Handshake() == nil {
			_, _ = tlsConn.Write([]byte{1})
		}
	}()
	defer func() { <-done }()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	client = client.Clone()
	client.ServerName = name
	_, err = tls.Client(raw, client).Read(make([]byte, 1))
	return err
}
