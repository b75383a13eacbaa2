package stack_test

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// now is the time at which the tests issue certificates.
var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

var services = []string{stack.Registry, stack.Builder}

// told returns every host that somebody is told to dial for a service, with
// where it was told: the endpoints, what is rendered into buildkitd.toml and
// Docker's config.json, and the environment.
func told(t testing.TB, s stack.Spec, f stack.Facts, service string) map[string]string {
	t.Helper()
	out := map[string]string{stack.NetworkEndpoint(service).Host: "NetworkEndpoint"}
	for _, e := range s.HostEndpoints(service, f) {
		out[e.Host] = "HostEndpoints"
	}
	add := func(address, where string) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
		out[host] = where
	}
	for _, v := range s.Environment(f, "/state", "pw") {
		switch {
		case service == stack.Registry && strings.HasPrefix(v.Name, "DOCKER_REGISTRY"):
			add(v.Value, v.Name)
		case service == stack.Builder && v.Name == "BUILDKIT_HOST":
			u, err := url.Parse(v.Value)
			if err != nil || u.Scheme != "tcp" {
				t.Fatalf("%s=%s: %v", v.Name, v.Value, err)
			}
			out[u.Hostname()] = v.Name
		}
	}
	if service == stack.Registry {
		for _, h := range s.RegistryHosts(f) {
			add(h, "RegistryHosts")
		}
	}
	return out
}

// checkCovered holds a spec to the promise of this package: every host that is
// told is in the planned leaf, and the planned CA may sign for it. It returns
// the plan.
func checkCovered(t testing.TB, s stack.Spec, f stack.Facts) pki.Plan {
	t.Helper()
	plan, err := s.PKIPlan(f, stack.Clients{})
	if err != nil {
		t.Fatalf("planning %+v with %+v: %v", s, f, err)
	}
	for i, service := range services {
		leaf := plan.Leaves[i]
		for host, where := range told(t, s, f, service) {
			if !leaf.SANs.Covers(host) {
				t.Errorf("%s of %s: the leaf does not cover %s; it has %v", where, service, host, leaf.SANs.Strings())
			}
		}
		for _, h := range s.Names(service, f) {
			if !strings.HasPrefix(h, "*") && !leaf.SANs.Covers(h) {
				t.Errorf("Names of %s: the leaf does not cover %s; it has %v", service, h, leaf.SANs.Strings())
			}
		}
		if bad := plan.CAs[0].Constraints.Uncovered(leaf.SANs); bad != nil {
			t.Errorf("%s: the CA may not sign for %v", service, bad)
		}
	}
	checkRegistryHosts(t, s, f)
	return plan
}

// checkRegistryHosts: whatever address of the registry is told, the builder
// trusts it and Docker's clients find a password for it; and no two sections of
// buildkitd.toml have the same name, which would stop buildkitd.
func checkRegistryHosts(t testing.TB, s stack.Spec, f stack.Facts) {
	t.Helper()
	hosts := s.RegistryHosts(f)
	want := []stack.Endpoint{stack.NetworkEndpoint(stack.Registry)}
	if s.Registry.Publish.Port != 0 {
		want = append(want, s.HostEndpoints(stack.Registry, f)...)
	}
	for _, e := range want {
		if !slices.Contains(hosts, e.Address()) {
			t.Errorf("%s is told and is no registry host; those are %v", e.Address(), hosts)
		}
	}
	sorted := slices.Sorted(slices.Values(hosts))
	if len(slices.Compact(sorted)) != len(hosts) {
		t.Errorf("a registry host stands twice: %v", hosts)
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

func word(r *rand.Rand, most int) string {
	var b strings.Builder
	for range 1 + r.IntN(most) {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	return b.String()
}

func randomIP(r *rand.Rand) netip.Addr {
	var v4 [4]byte
	var v6 [16]byte
	for i := range v6 {
		v6[i] = byte(r.Uint32())
		v4[i%4] = byte(r.Uint32())
	}
	switch r.IntN(8) {
	case 0:
		return netip.AddrFrom4([4]byte{127, v4[1], v4[2], v4[3]})
	case 1:
		return netip.AddrFrom4([4]byte{192, 168, v4[2], v4[3]})
	case 2:
		return netip.AddrFrom4(v4)
	case 3:
		v6[0], v6[1] = 0xfd, 0
		return netip.AddrFrom16(v6)
	case 4:
		return netip.AddrFrom16(v6)
	case 5:
		return netip.IPv6Loopback()
	case 6: // an IPv4 address in IPv6's clothes
		return netip.AddrFrom16(netip.AddrFrom4(v4).As16())
	default:
		return pick(r, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("127.0.0.1"))
	}
}

// randomHost is something that hosts in the config may hold.
func randomHost(r *rand.Rand) string {
	switch r.IntN(8) {
	case 0:
		return randomIP(r).String()
	case 1:
		return "*." + word(r, 5) + "a." + pick(r, "lan", "example.com", "internal")
	case 2:
		return strings.ToUpper(word(r, 8) + "a.Build.Lan.")
	case 3:
		return pick(r, "localhost", "registry", "buildkit", "host.docker.internal", "127.0.0.1", "::1", "LOCALHOST", "xn--bcher-kva.example", "a_b")
	default:
		// Ending in a letter that is no hexadecimal digit: no number in disguise.
		return strings.Repeat(word(r, 10)+".", r.IntN(4)) + word(r, 10) + "z"
	}
}

// randomSpec returns a config that is right and the spec that comes of it, with
// what an engine might be.
func randomSpec(t testing.TB, r *rand.Rand) (stack.Spec, stack.Facts) {
	t.Helper()
	hosts := func() (out []string) {
		for range r.IntN(5) {
			out = append(out, randomHost(r))
		}
		return out
	}
	publish := func(port int) *string {
		text := ""
		switch r.IntN(6) {
		case 0:
			return nil
		case 1:
		default:
			text = netip.AddrPortFrom(randomIP(r), uint16(port)).String()
		}
		return &text
	}
	c := stack.Config{
		Name:     pick(r, "", word(r, 52), "a-", "1", "9_9", strings.Repeat("x", 52)),
		Registry: stack.RegistryConfig{Publish: publish(pick(r, 0, 1, 5000, 5005, 65535)), Hosts: hosts()},
		Builder:  stack.BuilderConfig{Publish: publish(pick(r, 0, 2, 1234, 65534)), Hosts: hosts(), TLS: "mutual"},
	}
	if *cmpPublish(c.Builder.Publish) == "" {
		c.Builder.TLS = pick(r, "server", "mutual")
	}
	s, err := stack.NewSpec(c)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	// A free port that is chosen.
	if s.Registry.Publish.On() && s.Registry.Publish.Port == 0 && r.IntN(2) == 0 {
		s = s.WithPort(stack.Registry, 1+r.IntN(65535))
	}
	f := stack.Facts{}
	if r.IntN(3) == 0 {
		f.EngineHost = strings.TrimPrefix(randomHost(r), "*.")
	}
	return s, f
}

func cmpPublish(p *string) *string {
	if p == nil {
		return new(string)
	}
	return p
}

// TestEveryAddressIsCovered is the property that the package promises: no
// address is ever printed or rendered that the certificates do not hold,
// whatever the spec. Some of the plans are carried out, and what comes of them
// is held to the same with the verifier that clients use.
func TestEveryAddressIsCovered(t *testing.T) {
	const specs, issued = 3000, 20
	seen := map[string]int{}
	for i := range specs {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		s, f := randomSpec(t, r)
		plan := checkCovered(t, s, f)
		if i < issued {
			checkIssued(t, s, f, plan)
		}
		if t.Failed() {
			t.Fatalf("spec %d: %+v\nfacts %+v", i, s, f)
		}
		count(seen, s, f)
	}
	// A generator that never makes a case proves nothing about it.
	for _, kind := range []string{"off", "IPv4", "IPv6", "unspecified 4", "unspecified 6", "loopback", "public", "engine", "wildcard", "port 0", "upper case"} {
		if seen[kind] < specs/100 {
			t.Errorf("only %d of %d specs have %s", seen[kind], specs, kind)
		}
	}
}

func count(seen map[string]int, s stack.Spec, f stack.Facts) {
	p := s.Registry.Publish
	for kind, is := range map[string]bool{
		"off": !p.On(), "IPv4": p.IP.Is4(), "IPv6": p.IP.Is6(),
		"unspecified 4": p.IP == netip.IPv4Unspecified(), "unspecified 6": p.IP == netip.IPv6Unspecified(),
		"loopback": p.Loopback(), "public": p.IP.IsGlobalUnicast() && !p.IP.IsPrivate(), "engine": f.EngineHost != "",
		"wildcard":   slices.ContainsFunc(s.Registry.Hosts, func(h string) bool { return strings.HasPrefix(h, "*") }),
		"upper case": slices.ContainsFunc(s.Registry.Hosts, func(h string) bool { return strings.ToLower(h) != h }),
		"port 0":     p.On() && p.Port == 0,
	} {
		if is {
			seen[kind]++
		}
	}
}

// checkIssued carries the plan out and asks Go's verifier, with chain and
// constraints, for every host that is told.
func checkIssued(t testing.TB, s stack.Spec, f stack.Facts, plan pki.Plan) {
	t.Helper()
	material := issue(t, plan)
	roots := material.Trust(plan, pki.RoleServer).Pool()
	for i, service := range services {
		cert := material.Leaves[plan.Leaves[i].Name].Cert
		for host, where := range told(t, s, f, service) {
			if err := cert.VerifyHostname(host); err != nil {
				t.Errorf("%s of %s: %v", where, service, err)
			}
			name := host
			if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
				name = "[" + host + "]"
			}
			_, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
			if err != nil {
				t.Errorf("%s of %s: %v", where, service, err)
			}
		}
	}
	client := material.Leaves[stack.LeafClient].Cert
	if _, err := client.Verify(x509.VerifyOptions{Roots: material.Trust(plan, pki.RoleClient).Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("client: %v", err)
	}
}

func issue(t testing.TB, plan pki.Plan) pki.Material {
	t.Helper()
	steps, err := pki.Diff(plan, pki.Material{}, now)
	if err != nil {
		t.Fatal(err)
	}
	material, err := pki.Apply(t.Context(), plan, pki.Material{}, steps, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return material
}

func TestPlanOfDefault(t *testing.T) {
	plan := checkCovered(t, mustRead(t, ""), stack.Facts{})
	if len(plan.CAs) != 2 || plan.CAs[0].Name != pki.CAName || plan.CAs[1].Name != pki.CAClient {
		t.Fatalf("the CAs are %+v", plan.CAs)
	}
	for _, ca := range plan.CAs {
		if ca.Stack != "certyard" || ca.Validity != 3650*day || ca.Key != pki.ECDSAP256 || ca.Issuer != "" || ca.Keyholder != pki.KeyHere {
			t.Errorf("a CA is %+v", ca)
		}
	}
	var got []string
	for _, l := range plan.Leaves {
		got = append(got, fmt.Sprintf("%s (%s, %s, %s, %s): %s", l.Name, l.CommonName, l.Role, l.Key, l.Validity, strings.Join(l.SANs.Strings(), " ")))
	}
	want := []string{
		"registry (certyard registry, server, ecdsa-p256, 2160h0m0s): certyard-registry-1 host.docker.internal localhost registry 127.0.0.1 ::1",
		"buildkit (certyard buildkit, server, ecdsa-p256, 2160h0m0s): buildkit certyard-buildkit-1 host.docker.internal localhost 127.0.0.1 ::1",
		"client (certyard client, client, ecdsa-p256, 2160h0m0s): ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestConstraints: the CA may sign for private names and for what the spec
// names, and for nothing else on the internet.
func TestConstraints(t *testing.T) {
	s := mustRead(t, "registry: {hosts: [r.example.com, '*.build.example.org', 8.8.8.8, my.lan]}\nbuilder: {publish: '[2001:db8::1]:1234', tls: mutual}")
	plan := checkCovered(t, s, stack.Facts{EngineHost: "engine.example.net"})
	c := plan.CAs[0].Constraints
	for host, permitted := range map[string]bool{
		"r.example.com": true, "x.r.example.com": true, "a.build.example.org": true, "8.8.8.8": true, "2001:db8::1": true,
		"engine.example.net": true, "registry": true, "buildkit": true, "certyard-registry-1": true,
		"x.lan": true, "x.local": true, "x.internal": true, "x.test": true, "x.home.arpa": true, "x.localhost": true,
		"10.9.8.7": true, "172.31.0.1": true, "192.168.0.1": true, "169.254.1.1": true, "127.9.9.9": true, "::1": true, "fd12::1": true, "fe80::1": true,
		"example.com": false, "www.example.com": false, "google.com": false, "docker.io": false, "8.8.4.4": false, "172.32.0.1": false,
		"2001:db8::2": false, "2606:4700::1": false, "::2": false, "192.169.0.1": false, "evil-lan": false, "notregistry": false, "com": false, "arpa": false,
	} {
		sans, err := pki.ParseSANs(host)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Uncovered(sans) == nil; got != permitted {
			t.Errorf("%s: permitted is %v, want %v", host, got, permitted)
		}
	}
	if !slices.IsSorted(slices.Compact(slices.Sorted(slices.Values(c.DNS)))) || slices.Contains(c.DNS, "my.lan") || slices.Contains(c.DNS, "localhost.localhost") {
		t.Errorf("names below a private one need no line of their own: %v", c.DNS)
	}
	// Made twice, the plan is the same: else every run would see a change.
	again, err := s.PKIPlan(stack.Facts{EngineHost: "engine.example.net"}, stack.Clients{})
	if err != nil || !slices.Equal(again.CAs[0].Constraints.DNS, c.DNS) || !slices.Equal(again.CAs[0].Constraints.IPs, c.IPs) {
		t.Errorf("the second plan permits %v and %v (%v), the first %v and %v", again.CAs[0].Constraints.DNS, again.CAs[0].Constraints.IPs, err, c.DNS, c.IPs)
	}
}

// TestPlanOfStrangeEngine: the engine's host comes from DOCKER_HOST and was not
// checked with the config.
func TestPlanOfStrangeEngine(t *testing.T) {
	for _, host := range []string{"fe80::1%eth0", "büro", "a b", "-x"} {
		if _, err := mustRead(t, "").PKIPlan(stack.Facts{EngineHost: host}, stack.Clients{}); err == nil || !strings.Contains(err.Error(), host) {
			t.Errorf("%q: got %v, want an error that names it", host, err)
		}
	}
}
