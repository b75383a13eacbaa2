package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestIntegrationPKI looks at live servers, and gives clients certificates and
// takes them back, with the real binary. No output has a key in it.
func TestIntegrationPKI(t *testing.T) {
	y := newYard(t)
	t.Setenv("CERTYARD_TLS", "mutual")
	y.must(exitOK, "up", "--quiet")
	data, err := os.ReadFile(y.state(stack.FileState))
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{stack.Registry, stack.Builder} {
		live := s.Spec.HostEndpoints(service, s.Facts)[0]
		for _, target := range []string{live.Address(), live.String()} {
			if r := y.must(exitOK, "pki", "verify", target); !strings.Contains(r.stderr, "ok  ") {
				t.Errorf("verify %s:\n%s", target, r.stderr)
			}
		}
		y.must(exitOK, "pki", "verify", live.Address(), "--host", service, "--host", "::1")
		if r := y.must(exitNotOK, "pki", "verify", live.Address(), "--host", "other.lan"); !strings.Contains(r.stderr, "is not valid for other.lan") {
			t.Errorf("verify for another name:\n%s", r.stderr)
		}
		if r := y.must(exitNotOK, "pki", "verify", live.Address(), "--trust", y.state(stack.FileClientCACert)); !strings.Contains(r.stderr, "unknown authority") {
			t.Errorf("verify with another CA:\n%s", r.stderr)
		}
	}

	key := func(path string) string {
		data, err := os.ReadFile(y.state(path))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(data), "\n")[1]
	}
	out := filepath.Join(t.TempDir(), "bob")
	var said strings.Builder
	keep := func(r result) result { said.WriteString(r.stdout + r.stderr); return r }
	keep(y.must(exitOK, "client", "add", "bob", "--out", out, "--json"))
	bob := key(stack.ClientPair(stack.ClientLeaf("bob")).Key)
	keep(y.must(exitOK, "client", "list"))
	keep(y.must(exitOK, "pki", "show", "--json"))
	keep(y.must(exitOK, "pki", "show", out, y.state("")))
	before := key(stack.FileClientCAKey)
	r := keep(y.must(exitOK, "client", "remove", "bob", "--json"))
	var res lifecycle.Result
	if err := json.Unmarshal([]byte(r.stdout), &res); err != nil || res.Report == nil || !res.Report.OK() {
		t.Errorf("remove --json: %v\n%s", err, r.stdout)
	}
	if !strings.Contains(r.stdout, "a client of the replaced CA is refused") {
		t.Errorf("the removal is not proven:\n%s", r.stdout)
	}
	if key(stack.FileClientCAKey) == before {
		t.Error("the client CA is the old one")
	}
	keep(y.must(exitOK, "smoke"))
	keep(y.must(exitOK, "status"))
	for _, secret := range []string{bob, before, key(stack.FileCAKey), key(stack.FileClientKey), "PRIVATE KEY-----"} {
		if strings.Contains(said.String(), secret) {
			t.Error("a private key is printed")
		}
	}
}
