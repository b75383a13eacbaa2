package stack

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack/strict"
)

// BuilderTLS says whom the builder lets in.
type BuilderTLS string

const (
	// TLSServer: clients verify the builder, the builder lets everybody in.
	TLSServer BuilderTLS = "server"
	// TLSMutual: clients also need a certificate.
	TLSMutual BuilderTLS = "mutual"
)

// Privileges says how much of the engine the builder's container is given.
type Privileges string

const (
	// PrivilegesAuto tries PrivilegesFull, and where the engine refuses it
	// takes PrivilegesMinimal.
	PrivilegesAuto Privileges = "auto"
	// PrivilegesFull is what BuildKit documents: a privileged container.
	PrivilegesFull Privileges = "privileged"
	// PrivilegesMinimal is the smallest set with which buildkitd was seen
	// to build (facts/bundled-images.md).
	PrivilegesMinimal Privileges = "minimal"
)

// Images says where the daemons' images come from.
type Images string

const (
	// ImagesAuto uses what the engine has, else pulls, else loads bundled images.
	ImagesAuto Images = "auto"
	// ImagesPull pulls what the engine does not have, and fails otherwise.
	ImagesPull Images = "pull"
	// ImagesBundled loads the images that certyard assembles itself.
	ImagesBundled Images = "bundled"
)

// Defaults of a [Spec], as DESIGN's config section lists them.
const (
	DefaultName            = "certyard"
	DefaultRegistryImage   = "registry:3"
	DefaultBuilderImage    = "moby/buildkit:v0.34.2"
	DefaultRegistryPublish = "127.0.0.1:5005"
	DefaultBuilderPublish  = "127.0.0.1:1234"
	DefaultUser            = "testuser"
	DefaultKey             = "ecdsa-p256"
	DefaultCAValidity      = "3650d"
	DefaultLeafValidity    = "90d"
)

// Spec is a config with every default filled in and every value checked.
type Spec struct {
	Name     string       `json:"name"`
	Serve    Serve        `json:"serve"`
	Registry RegistrySpec `json:"registry"`
	Builder  BuilderSpec  `json:"builder"`
	PKI      PKISpec      `json:"pki"`
	Images   Images       `json:"images"`
}

// RegistrySpec is the registry's part of a [Spec].
type RegistrySpec struct {
	// Name is the registry host that the builder and the host both use, as
	// host or host:port; "" for the first endpoint. Only with [ServeEdge].
	Name    string     `json:"name,omitempty"`
	Image   string     `json:"image"`
	Publish Publish    `json:"publish"`
	Hosts   []string   `json:"hosts,omitempty"`
	Users   []UserSpec `json:"users"`
}

// UserSpec is one user of the registry; with neither file nor variable the
// password is generated.
type UserSpec struct {
	Name         string `json:"name"`
	PasswordFile string `json:"password_file,omitempty"`
	PasswordEnv  string `json:"password_env,omitempty"`
}

// Generated reports whether certyard makes up the password.
func (u UserSpec) Generated() bool { return u.PasswordFile == "" && u.PasswordEnv == "" }

// BuilderSpec is the builder's part of a [Spec].
type BuilderSpec struct {
	Image   string     `json:"image"`
	Publish Publish    `json:"publish"`
	TLS     BuilderTLS `json:"tls"`
	// Clients are the clients that are let in, nil for every one that has a
	// certificate. Only with [ServeEdge].
	Clients    []string   `json:"clients,omitempty"`
	Hosts      []string   `json:"hosts,omitempty"`
	Privileges Privileges `json:"privileges"`
}

// Allows reports whether the builder lets in a client that was added.
func (b BuilderSpec) Allows(client string) bool {
	return len(b.Clients) == 0 || slices.Contains(b.Clients, client)
}

// NewSpec fills in the defaults and checks every value. The error is a
// *[ConfigError] that holds all problems.
func NewSpec(c Config) (Spec, error) {
	v := checker{config: c}
	s := Spec{
		Name:  v.name(or(c.Name, DefaultName)),
		Serve: oneOf(&v, "serve", or(c.Serve, string(ServeDaemon)), ServeDaemon, ServeEdge),
		Registry: RegistrySpec{
			Name:    c.Registry.Name,
			Image:   v.image("registry.image", or(c.Registry.Image, DefaultRegistryImage)),
			Publish: v.publish("registry.publish", c.Registry.Publish, DefaultRegistryPublish),
			Hosts:   v.hosts("registry.hosts", c.Registry.Hosts),
			Users:   v.users(c.Registry.Users),
		},
		Builder: BuilderSpec{
			Image:      v.image("builder.image", or(c.Builder.Image, DefaultBuilderImage)),
			Publish:    v.publish("builder.publish", c.Builder.Publish, DefaultBuilderPublish),
			TLS:        oneOf(&v, "builder.tls", or(c.Builder.TLS, string(TLSServer)), TLSServer, TLSMutual),
			Clients:    append([]string(nil), c.Builder.Clients...), // [] means none, as no key does
			Hosts:      v.hosts("builder.hosts", c.Builder.Hosts),
			Privileges: oneOf(&v, "builder.privileges", or(c.Builder.Privileges, string(PrivilegesAuto)), PrivilegesAuto, PrivilegesFull, PrivilegesMinimal),
		},
		PKI:    v.pki(c.PKI),
		Images: oneOf(&v, "images", or(c.Images, string(ImagesAuto)), ImagesAuto, ImagesPull, ImagesBundled),
	}
	v.whole(s)
	if len(v.problems) > 0 {
		strict.Sort(v.problems)
		return Spec{}, &ConfigError{File: c.File, Problems: v.problems}
	}
	return s, nil
}

// checker collects problems, so that all of them are reported at once.
type checker struct {
	config   Config
	problems []Problem
}

func (v *checker) bad(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{Line: v.config.lines[path], Path: path, Why: fmt.Sprintf(format, args...)})
}

// whole checks what no single value shows.
func (v *checker) whole(s Spec) {
	if version, set := v.config.Version, v.config.lines["version"] > 0; version != 1 && (set || version != 0) {
		v.bad("version", "%d is not known; this certyard reads version 1", version)
	}
	v.serve(s)
	if s.Builder.Publish.On() && !s.Builder.Publish.Loopback() && s.Builder.TLS == TLSServer {
		v.bad("builder.publish", "%s lets everybody who reaches it use the builder, RUN steps included, because builder.tls is %q: set builder.tls to %q, or publish it on 127.0.0.1",
			s.Builder.Publish, TLSServer, TLSMutual)
	}
	if a, b := s.Registry.Publish, s.Builder.Publish; a.On() && b.On() && a.Port != 0 && a.Port == b.Port && (a.IP == b.IP || a.IP.IsUnspecified() || b.IP.IsUnspecified()) {
		v.bad("builder.publish", "port %d is registry.publish's already", b.Port)
	}
	if s.PKI.CAValidity > 0 && s.PKI.LeafValidity > s.PKI.CAValidity { // 0: a problem of its own
		v.bad("pki.leaf_validity", "%s is longer than pki.ca_validity; a certificate cannot outlive its CA", or(v.config.PKI.LeafValidity, DefaultLeafValidity))
	}
}

// projectName is compose's own rule for project names (compose-go
// loader.NormalizeProjectName), and maxProjectName a length that leaves room for
// "-registry-1" in a DNS label of 63 bytes. Lengths are no part of these patterns:
// a counted repetition is compiled into as many copies, each time a program starts.
var projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

const maxProjectName = 52

func (v *checker) name(name string) string {
	if len(name) > maxProjectName || !projectName.MatchString(name) {
		v.bad("name", "%q is not a compose project name: want lower-case letters, digits, - and _, a letter or digit first, at most 52 characters", name)
	}
	return name
}

func (v *checker) image(path, ref string) string {
	if strings.ContainsAny(ref, " \t\n\"'$`\\") || strings.Contains(ref, "://") {
		v.bad(path, "%q is not an image reference; want name:tag", ref)
	}
	return ref
}

func (v *checker) hosts(path string, hosts []string) []string {
	for i, h := range hosts {
		if _, err := pki.ParseSANs(h); err != nil {
			v.bad(fmt.Sprintf("%s[%d]", path, i), "%v", err)
		}
	}
	out := slices.Clone(hosts)
	for i := range out {
		// No image reference can hold the dot of a fully qualified name.
		out[i] = strings.TrimSuffix(out[i], ".")
	}
	return out
}

// userName is what may stand before the colon of an htpasswd line, in a URL
// and on a command line without quoting.
var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]*$`)

const maxUserName = 128

func (v *checker) users(users []UserConfig) []UserSpec {
	if len(users) == 0 {
		return []UserSpec{{Name: DefaultUser}}
	}
	seen := map[string]bool{}
	var out []UserSpec
	for i, u := range users {
		path := fmt.Sprintf("registry.users[%d]", i)
		switch {
		case u.Name == "":
			v.bad(path, "has no name")
		case strings.Contains(u.Name, ":"):
			v.bad(path, "user name %q holds a colon, which ends the name in htpasswd and in HTTP basic authentication", u.Name)
		case len(u.Name) > maxUserName, !userName.MatchString(u.Name):
			v.bad(path, "user name %q: want letters, digits and . _ @ + -, a letter or digit first", u.Name)
		case seen[u.Name]:
			v.bad(path, "user %q is listed twice", u.Name)
		}
		if u.PasswordFile != "" && u.PasswordEnv != "" {
			v.bad(path, "user %q has password_file and password_env; want one of them, or none for a generated password", u.Name)
		}
		seen[u.Name] = true
		out = append(out, UserSpec(u))
	}
	return out
}

func (v *checker) publish(path string, value *string, byDefault string) Publish {
	text := byDefault
	if value != nil {
		text = *value
	}
	if text == "" {
		return Publish{}
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		v.bad(path, "%q: want ip:port, as %q", text, byDefault)
		return Publish{}
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		v.bad(path, "%q is not a port (0-65535, 0 for any free one)", port)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		v.bad(path, "%q is not an IP address to publish on; want 127.0.0.1, or 0.0.0.0 for every interface", host)
	}
	// An IPv4 address written as IPv6 is that IPv4 address, 0.0.0.0 included.
	return Publish{IP: ip.Unmap(), Port: n}
}

// duration reads what time.ParseDuration reads, and whole days as "90d".
func (v *checker) duration(path, text string) time.Duration {
	d, err := ParseDuration(text)
	switch {
	case err != nil:
		v.bad(path, "%q is not a duration; want days as 90d, or hours as 12h", text)
	case d < time.Hour:
		v.bad(path, "%q is too short; want at least 1h", text)
	case d > 36500*24*time.Hour:
		v.bad(path, "%q is too long; want at most 36500d", text)
	}
	return d
}

// ParseDuration reads what [time.ParseDuration] reads, and whole days as "90d".
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 100000 {
			return 0, fmt.Errorf("parsing %q: not a number of days", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

func oneOf[T ~string](v *checker, path, have string, want ...T) T {
	if !slices.Contains(want, T(have)) {
		var names []string
		for _, w := range want {
			names = append(names, string(w))
		}
		v.bad(path, "%q is not known; want %s", have, strings.Join(names, ", "))
	}
	return T(have)
}

func or(value, byDefault string) string {
	if value == "" {
		return byDefault
	}
	return value
}
