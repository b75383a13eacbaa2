package pki_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

func TestParseSANs(t *testing.T) {
	got := mustSANs(t, "Registry", "localhost.", "::1", "registry", "10.0.0.2", "10.0.0.10",
		"::ffff:10.0.0.2", "*.Build.lan", "my_project-registry-1", "xn--bcher-kva.example", "2001:DB8::1")
	want := []string{"*.build.lan", "localhost", "my_project-registry-1", "registry", "xn--bcher-kva.example",
		"10.0.0.2", "10.0.0.10", "::1", "2001:db8::1"}
	if !slices.Equal(got.Strings(), want) {
		t.Errorf("got  %v\nwant %v", got.Strings(), want)
	}
	if got.Len() != len(want) || len(got.DNS()) != 5 || len(got.IPs()) != 4 {
		t.Errorf("got %d members: %v and %v", got.Len(), got.DNS(), got.IPs())
	}
}

// TestNumbersInNames: a number is one at the end alone.
func TestNumbersInNames(t *testing.T) {
	for _, host := range []string{"127.lan", "0x7f.lan", "1.2.3.4.in-addr.arpa", "v2", "0xbeef-1", "build.2x", "a.0xg", "my_stack-registry-1"} {
		if _, err := pki.ParseSANs(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestParseSANsProblems(t *testing.T) {
	for host, why := range map[string]string{
		"":                              "is empty; want a host name or an IP address",
		".":                             "is empty; want a host name or an IP address",
		"https://build.lan":             "is a URL; want a host name or an IP address",
		"build.lan/v2":                  "has a path; want a host name or an IP address",
		"10.0.0.0/8":                    "is a network; want a host name or an IP address",
		"root@build.lan":                "has a user; want a host name or an IP address",
		"build.lan:5000":                "has a port; want the host alone",
		"[::1]:5000":                    "has a port; want the host alone",
		"[::1]":                         "is in brackets; want the address alone",
		"fe80::zz":                      "is not an IP address",
		"fe80::1%eth0":                  "has a zone, which means nothing on another machine",
		"10.0.0.300":                    "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"127.1":                         "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"127.0.0.1.":                    "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"0177.0.0.1":                    "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"0x7f.0x1":                      "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"0x7f000001":                    "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"2130706433":                    "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"build.0x":                      "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"*.127.0.0.1":                   "ends in a number, so resolvers and URL parsers read it as an IPv4 address, and it is not written as one",
		"my_build.lan":                  "has an underscore, which no host name has; only single names have them here, since compose makes such names of project and service",
		"*.my_net.lan":                  "has an underscore, which no host name has; only single names have them here, since compose makes such names of project and service",
		":5000":                         "has a port; want the host alone",
		"//build.lan":                   "has a path; want a host name or an IP address",
		"*.localhost":                   "is too wide a wildcard; want at least two labels after the *, as in *.build.lan",
		"*":                             "is too wide a wildcard; want at least two labels after the *, as in *.build.lan",
		"*.lan":                         "is too wide a wildcard; want at least two labels after the *, as in *.build.lan",
		"a.*.lan":                       "has a * that is not its whole first label",
		"b*.build.lan":                  "has a * that is not its whole first label",
		"*.*.build.lan":                 "has a * that is not its whole first label",
		"a..lan":                        "has an empty label",
		".lan":                          "has an empty label",
		"-a.lan":                        "has a label that begins or ends with a hyphen",
		"a-.lan":                        "has a label that begins or ends with a hyphen",
		"bücher.example":                "is not ASCII; want the xn-- form",
		"build lan":                     "has a character that no host name has",
		strings.Repeat("a", 64):         "has a label longer than 63 characters",
		strings.Repeat("a.", 127) + "a": "is longer than 253 characters",
	} {
		_, err := pki.ParseSANs("registry", host)
		if got := wantError[*pki.SANError](t, err); got.Why != why || got.Host != host {
			t.Errorf("%q: got %q, want %q", host, got.Why, why)
		}
	}
}

func TestParseSANsReportsAll(t *testing.T) {
	_, err := pki.ParseSANs("https://a", "good", "b:1", "")
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Fatalf("got %v, want three joined errors", err)
	}
	if !strings.HasPrefix(err.Error(), `"https://a" is a URL`) {
		t.Errorf("got %q, want the host in quotes first", err)
	}
}

func TestSANsAreImmutable(t *testing.T) {
	// Three of each leave room in a slice that grew by appending, which is
	// where adding could write over the set that is added to.
	s := mustSANs(t, "b", "a", "d", "10.0.0.1", "10.0.0.2", "10.0.0.3")
	s.DNS()[0], s.Strings()[1] = "changed", "changed"
	s.IPs()[0] = s.IPs()[0].Next()
	more, err := s.Add("A0", "10.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "d", "10.0.0.1", "10.0.0.2", "10.0.0.3"}; !slices.Equal(s.Strings(), want) {
		t.Errorf("got %v, want %v", s.Strings(), want)
	}
	want := []string{"a", "a0", "b", "d", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"}
	if !slices.Equal(more.Strings(), want) {
		t.Errorf("got %v, want %v", more.Strings(), want)
	}
}

func TestSANsCompare(t *testing.T) {
	small, big := mustSANs(t, "a", "::1"), mustSANs(t, "::1", "A", "b")
	if !big.Contains(small) || small.Contains(big) {
		t.Error("Contains is wrong")
	}
	if small.Equal(big) || !small.Equal(mustSANs(t, "::1", "a.")) {
		t.Error("Equal is wrong")
	}
	if (pki.SANs{}).Contains(small) || !small.Contains(pki.SANs{}) || (pki.SANs{}).Covers("a") {
		t.Error("the empty set is wrong")
	}
}

func TestCovers(t *testing.T) {
	s := mustSANs(t, "registry", "*.build.lan", "127.0.0.1", "::1")
	for host, want := range map[string]bool{
		"registry": true, "REGISTRY": true, "registry.": true, "sub.registry": false,
		"a.build.lan": true, "a.b.build.lan": false, "build.lan": false,
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.2": false,
		"::1": true, "[::1]": true, "0:0:0:0:0:0:0:1": true, "": false, "localhost": false,
	} {
		if got := s.Covers(host); got != want {
			t.Errorf("Covers(%q) = %v, want %v", host, got, want)
		}
	}
}

// TestCoversAgreesWithCertificates issues certificates for random sets and asks
// both the set and the certificate, as it comes back from its encoding.
func TestCoversAgreesWithCertificates(t *testing.T) {
	hosts := []string{"registry", "localhost", "*.build.lan", "a.build.lan", "a.b.build.lan", "x_y", "127.0.0.1",
		"10.1.2.3", "::1", "fe80::1", "registry.lan", "*.a.build.lan"}
	asked := append([]string{"REGISTRY", "localhost.", "b.build.lan", "[::1]", "::ffff:10.1.2.3", "build.lan",
		"fe80::1%eth0", "", "x.a.build.lan"}, hosts...)
	random := rand.New(rand.NewPCG(1, 2))
	ca := pkitest.New(t, now)
	var yes, no int
	for range 40 {
		random.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
		chosen := hosts[:1+random.IntN(len(hosts)-1)]
		sans, cert := mustSANs(t, chosen...), ca.Server(t, chosen...).Cert
		for _, host := range asked {
			want := cert.VerifyHostname(host) == nil
			if got := sans.Covers(host); got != want {
				t.Fatalf("%v: Covers(%q) = %v, the certificate says %v", chosen, host, got, want)
			}
			if want {
				yes++
			} else {
				no++
			}
		}
		if got := pki.SANsOf(cert); !reflect.DeepEqual(got, sans) {
			t.Fatalf("got %v from the certificate, want %v", got.Strings(), sans.Strings())
		}
	}
	if yes < 100 || no < 100 {
		t.Errorf("%d covered and %d not: too few of one to prove anything", yes, no)
	}
}

// FuzzParseSANs holds every accepted text to the promise of the type: it is
// stable, and a certificate for it is valid for it.
func FuzzParseSANs(f *testing.F) {
	for _, host := range []string{"registry", "A.b.", "*.x.y", "10.0.0.1", "::1", "a_b", "..", "*", "a:b", "é", "1.2"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		s, err := pki.ParseSANs(host)
		if err != nil {
			return
		}
		text := s.Strings()[0]
		again, err := pki.ParseSANs(text)
		if err != nil || !again.Equal(s) {
			t.Errorf("%q became %q, which is not stable: %v", host, text, err)
		}
		if concrete := strings.Replace(host, "*", "x", 1); !s.Covers(concrete) {
			t.Errorf("%q does not cover %q", text, concrete)
		}
	})
}
