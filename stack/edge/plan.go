package edge

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
)

// Defaults of a config.
const (
	DefaultMaxConnections   = 4096
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultTargetTimeout    = 10 * time.Second
	DefaultDrainTimeout     = 30 * time.Second
)

// plan is a config with every default filled in and every value checked.
type plan struct {
	admin     string
	listeners []listenerPlan
	drain     time.Duration
}

type listenerPlan struct {
	name             string
	addresses        []string
	plain            bool
	certificates     string
	certificate      string
	clients          string
	accessRequired   bool
	alpn             []string
	target           target
	maxConnections   int
	handshakeTimeout time.Duration
	targetTimeout    time.Duration
	drainIdle        time.Duration // 0: idle connections are waited for too
}

// target is what a listener dials: "unix" and a path, or "tcp" and an address.
type target struct{ network, address string }

func (t target) String() string { return t.network + ":" + t.address }

// plan fills in the defaults and checks every value.
func (c Config) plan() (plan, []Problem) {
	k := &checker{lines: c.lines, names: map[string]string{}, addresses: map[string]string{}}
	if c.Version != 1 {
		k.add("version", "%d is not known; want 1", c.Version)
	}
	p := plan{
		admin: k.socket("admin", c.Admin),
		drain: k.duration("drain_timeout", c.DrainTimeout, DefaultDrainTimeout, 0),
	}
	if len(c.Listeners) == 0 {
		k.add("listeners", "want one at least")
	}
	for i, l := range c.Listeners {
		p.listeners = append(p.listeners, k.listener(fmt.Sprintf("listeners[%d]", i), l))
	}
	return p, k.problems
}

// checker collects the problems of a config.
type checker struct {
	lines            map[string]int
	names, addresses map[string]string // where each was seen first
	problems         []Problem
}

// add notes a problem, on the line of the key, or of what the key is missing in.
func (k *checker) add(path, format string, args ...any) {
	line := 0
	for at := path; line == 0 && at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		line = k.lines[at]
	}
	k.problems = append(k.problems, Problem{Line: line, Path: path, Why: fmt.Sprintf(format, args...)})
}

var listenerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (k *checker) listener(at string, l ListenerConfig) listenerPlan {
	p := listenerPlan{
		name: l.Name, plain: l.Plain, addresses: l.Addresses,
		certificates: l.Certificates, certificate: cmp.Or(l.CertificateFile, FileCertificate), clients: l.Clients, accessRequired: l.AccessRequired, alpn: l.ALPN,
		target:           k.target(at+".target", l.Target),
		maxConnections:   DefaultMaxConnections,
		handshakeTimeout: k.duration(at+".handshake_timeout", l.HandshakeTimeout, DefaultHandshakeTimeout, 1),
		targetTimeout:    k.duration(at+".target_timeout", l.TargetTimeout, DefaultTargetTimeout, 1),
		drainIdle:        k.duration(at+".drain_idle", l.DrainIdle, 0, 0),
	}
	if !listenerName.MatchString(l.Name) {
		k.add(at+".name", "%q is no name: want a-z, 0-9 and -, at most 63 characters", l.Name)
	}
	k.once(k.names, l.Name, at+".name")
	if l.MaxConnections != nil {
		p.maxConnections = *l.MaxConnections
		if p.maxConnections < 1 {
			k.add(at+".max_connections", "%d is too few; want 1 at least", p.maxConnections)
		}
	}
	if len(l.Addresses) == 0 {
		k.add(at+".addresses", "want one at least")
	}
	for i, address := range l.Addresses {
		k.address(fmt.Sprintf("%s.addresses[%d]", at, i), address, 0)
		if !strings.HasSuffix(address, ":0") {
			k.once(k.addresses, address, fmt.Sprintf("%s.addresses[%d]", at, i))
		}
	}
	k.tls(at, l)
	return p
}

// tls checks what belongs to TLS: there, or not there in a plain listener.
func (k *checker) tls(at string, l ListenerConfig) {
	if l.Plain {
		for key, set := range map[string]bool{
			"certificates": l.Certificates != "", "certificate_file": l.CertificateFile != "", "clients": l.Clients != "", "access_required": l.AccessRequired,
			"alpn": l.ALPN != nil, "handshake_timeout": l.HandshakeTimeout != "", "drain_idle": l.DrainIdle != "",
		} {
			if set {
				k.add(at+"."+key, "has no meaning where plain is true")
			}
		}
		return
	}
	if l.Certificates == "" {
		k.add(at+".certificates", "is missing; without certificates a listener needs plain: true")
	}
	if l.AccessRequired && l.Clients == "" {
		k.add(at+".access_required", "has no meaning without clients")
	}
	k.path(at+".certificates", l.Certificates)
	k.path(at+".certificate_file", l.CertificateFile)
	if strings.Contains(l.CertificateFile, "/") {
		k.add(at+".certificate_file", "%q is not the name of a file in certificates", l.CertificateFile)
	}
	k.path(at+".clients", l.Clients)
	for i, protocol := range l.ALPN {
		// RFC 7301 section 3.1: a length of one byte.
		if len(protocol) == 0 || len(protocol) > 255 || slices.Contains(l.ALPN[:i], protocol) {
			k.add(fmt.Sprintf("%s.alpn[%d]", at, i), "%q is no protocol, or stands there twice", protocol)
		}
	}
}

func (k *checker) once(seen map[string]string, value, path string) {
	if first := seen[value]; first != "" && value != "" {
		k.add(path, "%q is taken by %s", value, first)
		return
	}
	seen[value] = path
}

func (k *checker) duration(path, text string, standard, least time.Duration) time.Duration {
	if text == "" {
		return standard
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least {
		k.add(path, "%q is no duration like %s", text, standard)
	}
	return d
}

func (k *checker) path(path, value string) {
	if strings.ContainsRune(value, 0) {
		k.add(path, "%q is no path", value)
	}
}

// maxSocket is what a socket address holds (sun_path in unix(7), less its NUL).
const maxSocket = 107

func (k *checker) socket(path, value string) string {
	k.path(path, value)
	if len(value) > maxSocket {
		k.add(path, "is %d bytes long, and a socket's path has at most %d", len(value), maxSocket)
	}
	return value
}

// address checks HOST:PORT; an empty host is every address of the machine.
func (k *checker) address(path, value string, leastPort int) {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		k.add(path, "%q is no HOST:PORT", value)
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || int(n) < leastPort {
		k.add(path, "%q is not a port (%d-65535)", port, leastPort)
	}
	if _, err := pki.ParseSANs(cmp.Or(host, "localhost")); err != nil || strings.HasPrefix(host, "*") {
		k.add(path, "%q is no host name and no IP address", host)
	}
}

func (k *checker) target(path, value string) target {
	network, address, _ := strings.Cut(value, ":")
	switch {
	case network == "unix" && address != "":
		return target{network, k.socket(path, address)}
	case network == "tcp" && strings.HasPrefix(address, ":"):
		k.add(path, "%q names no host", value)
	case network == "tcp":
		k.address(path, address, 1)
	default:
		k.add(path, "%q is no target; want unix:PATH or tcp:HOST:PORT", value)
	}
	return target{network, address}
}
