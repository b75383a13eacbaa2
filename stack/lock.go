package stack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certyard/certyard/stack/strict"
)

// FileLock is the lock's name, beside the config.
const FileLock = "certyard.lock"

// Lock is certyard.lock: what a stack is made from, as far as that is the same
// on every machine. It holds no secret, nobody's directories and no name of a
// stack, so that it is kept with the config, and several stacks share it.
type Lock struct {
	Version int `json:"version" yaml:"version"` // of this format: 1
	// Certyard is the version that wrote the lock. It is there to be read, and
	// not compared.
	Certyard string     `json:"certyard" yaml:"certyard"`
	Spec     LockedSpec `json:"spec" yaml:"spec"`
	// Override is the SHA-256 of the compose file of the user's that is merged,
	// "" without one.
	Override string         `json:"compose_override,omitempty" yaml:"compose_override"`
	Services LockedServices `json:"services" yaml:"services"`

	// File is where the lock was read from, for messages.
	File string `json:"-" yaml:"-"`
}

// LockedSpec is a [Spec] in the words of the config. Ports that the config leaves
// open stay open.
type LockedSpec struct {
	Serve    string         `json:"serve" yaml:"serve"`
	Registry LockedRegistry `json:"registry" yaml:"registry"`
	Builder  LockedBuilder  `json:"builder" yaml:"builder"`
	PKI      LockedPKI      `json:"pki" yaml:"pki"`
	Images   string         `json:"images" yaml:"images"`
}

// LockedRegistry is the registry's part of a [LockedSpec].
type LockedRegistry struct {
	Name    string       `json:"name,omitempty" yaml:"name"`
	Image   string       `json:"image" yaml:"image"`
	Publish string       `json:"publish" yaml:"publish"`
	Hosts   []string     `json:"hosts,omitempty" yaml:"hosts"`
	Users   []LockedUser `json:"users" yaml:"users"`
}

// LockedUser says where a user's password comes from, and not what it is.
type LockedUser struct {
	Name     string `json:"name" yaml:"name"`
	Password string `json:"password" yaml:"password"` // generated, file or env
	// From is the variable, or the file where that is below the config's
	// directory.
	From string `json:"from,omitempty" yaml:"from"`
}

// LockedBuilder is the builder's part of a [LockedSpec].
type LockedBuilder struct {
	Image      string   `json:"image" yaml:"image"`
	Publish    string   `json:"publish" yaml:"publish"`
	TLS        string   `json:"tls" yaml:"tls"`
	Clients    []string `json:"clients,omitempty" yaml:"clients"`
	Hosts      []string `json:"hosts,omitempty" yaml:"hosts"`
	Privileges string   `json:"privileges" yaml:"privileges"`
}

// LockedPKI says how keys and certificates are made. Files are named where they
// are below the config's directory; anywhere else they are somebody's own.
type LockedPKI struct {
	Key            string       `json:"key" yaml:"key"`
	CAValidity     string       `json:"ca_validity" yaml:"ca_validity"`
	LeafValidity   string       `json:"leaf_validity" yaml:"leaf_validity"`
	Authority      string       `json:"authority" yaml:"authority"`
	Hierarchy      string       `json:"hierarchy" yaml:"hierarchy"`
	CAKeys         string       `json:"ca_keys" yaml:"ca_keys"`
	PassphraseFile string       `json:"passphrase_file,omitempty" yaml:"passphrase_file"`
	CACert         string       `json:"ca_cert,omitempty" yaml:"ca_cert"`
	CAKey          string       `json:"ca_key,omitempty" yaml:"ca_key"`
	Remote         LockedRemote `json:"remote,omitzero" yaml:"remote"`
}

// LockedRemote is the cfssl server of a [LockedPKI].
type LockedRemote struct {
	URL         string `json:"url" yaml:"url"`
	CA          string `json:"ca,omitempty" yaml:"ca"`
	AuthKeyFile string `json:"auth_key_file,omitempty" yaml:"auth_key_file"`
	Profile     string `json:"profile,omitempty" yaml:"profile"`
	Label       string `json:"label,omitempty" yaml:"label"`
}

// LockedServices are the images of a [Lock]. The edge's is not among them, since
// it holds certyard itself.
type LockedServices struct {
	Registry LockedImage `json:"registry" yaml:"registry"`
	// Builder is the image before certyard adds itself to it.
	Builder LockedImage `json:"buildkit" yaml:"buildkit"`
}

// Of returns the image of a service.
func (s *LockedServices) Of(service string) *LockedImage {
	if service == Registry {
		return &s.Registry
	}
	return &s.Builder
}

// ImageSource says what names the content of a locked image.
type ImageSource string

// A pulled image is the same as one that the engine had from an earlier pull:
// the next machine would lock another source otherwise.
const (
	// ImagePulled: its digests in a registry.
	ImagePulled ImageSource = "pulled"
	// ImagePresent: its ID in an engine that built it, or had it loaded.
	ImagePresent ImageSource = "present"
	// ImageBundled: its tag.
	ImageBundled ImageSource = "bundled"
)

// LockedImage is an image that a service ran.
type LockedImage struct {
	Image   string      `json:"image" yaml:"image"` // the config's reference, or a bundled image's
	Source  ImageSource `json:"source" yaml:"source"`
	Digests []string    `json:"digests,omitempty" yaml:"digests"` // as name@sha256:...
	ID      string      `json:"id,omitempty" yaml:"id"`           // of a present image
	Version string      `json:"version,omitempty" yaml:"version"` // as the image's label has it
}

// Exact returns the reference that no other content has, "" when there is none.
func (i LockedImage) Exact() string {
	switch {
	case i.Source == ImageBundled || i.Source == ImagePulled && strings.Contains(i.Image, "@"):
		return i.Image
	case i.Source == ImagePulled:
		_, digest, _ := strings.Cut(i.Digests[0], "@")
		return i.Image + "@" + digest
	default:
		return ""
	}
}

// Locked returns the part of a spec that is the same on every machine. dir is
// the config's directory, absolute.
func (s Spec) Locked(dir string) LockedSpec {
	within := func(path string) string { return within(dir, path) }
	users := []LockedUser{}
	for _, u := range s.Registry.Users {
		users = append(users, u.locked(within))
	}
	p := s.PKI
	return LockedSpec{
		Serve: string(s.Serve), Images: string(s.Images),
		Registry: LockedRegistry{Name: s.Registry.Name, Image: s.Registry.Image, Publish: s.Registry.Publish.String(), Hosts: s.Registry.Hosts, Users: users},
		Builder: LockedBuilder{
			Image: s.Builder.Image, Publish: s.Builder.Publish.String(), TLS: string(s.Builder.TLS),
			Clients: s.Builder.Clients, Hosts: s.Builder.Hosts, Privileges: string(s.Builder.Privileges),
		},
		PKI: LockedPKI{
			Key: string(p.Key), CAValidity: days(p.CAValidity), LeafValidity: days(p.LeafValidity),
			Authority: string(p.Authority), Hierarchy: string(p.Hierarchy), CAKeys: string(p.CAKeys),
			PassphraseFile: within(p.PassphraseFile), CACert: within(p.CACert), CAKey: within(p.CAKey),
			Remote: LockedRemote{URL: p.Remote.URL, CA: within(p.Remote.CA), AuthKeyFile: within(p.Remote.AuthKeyFile), Profile: p.Remote.Profile, Label: p.Remote.Label},
		},
	}
}

func (u UserSpec) locked(within func(string) string) LockedUser {
	switch {
	case u.PasswordFile != "":
		return LockedUser{u.Name, "file", within(u.PasswordFile)}
	case u.PasswordEnv != "":
		return LockedUser{u.Name, "env", u.PasswordEnv}
	default:
		return LockedUser{u.Name, "generated", ""}
	}
}

// within names a file relative to a directory; "" when it is somewhere else.
func within(dir, path string) string {
	if path == "" {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// days renders a duration as the config has it.
func days(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// JSON returns the lock as it is written: the same bytes for the same lock.
func (l Lock) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("writing %s: %w", FileLock, err)
	}
	return b.Bytes(), nil
}

// LockFormatError says that a file is no lock.
type LockFormatError struct{ Err *ConfigError }

func (e *LockFormatError) Error() string { return e.Err.Error() }

// Unwrap returns everything that is wrong with it.
func (e *LockFormatError) Unwrap() error { return e.Err }

// ParseLock reads a lock strictly, as [ReadConfig] does a config: JSON is YAML
// too. The error is a *[LockFormatError].
func ParseLock(data []byte, file string) (Lock, error) {
	l := Lock{File: file}
	lines, problems, err := strict.Decode(bytes.NewReader(data), file, &l)
	if err != nil {
		return l, err
	}
	if problems == nil {
		problems = l.problems(lines)
	}
	if problems != nil {
		strict.Sort(problems)
		return l, &LockFormatError{&ConfigError{File: file, Problems: problems}}
	}
	return l, nil
}

// problems are those that the form alone does not show.
func (l Lock) problems(lines map[string]int) []Problem {
	v := checker{config: Config{lines: lines}}
	if l.Version != 1 {
		v.bad("version", "%d is not known; this certyard reads version 1", l.Version)
		return v.problems
	}
	v.lockedImage("services.registry", l.Services.Registry, l.Spec.Registry.Image)
	v.lockedImage("services.buildkit", l.Services.Builder, l.Spec.Builder.Image)
	return v.problems
}

// Only locks need these, and to compile them takes longer than all else that this
// package does when a program starts.
var (
	lockedDigest = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[^@\s]+@sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$`)
	})
	lockedID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) })
)

// lockedImage checks that an image is named, and its content too.
func (v *checker) lockedImage(path string, i LockedImage, ref string) {
	oneOf(v, path+".source", string(i.Source), ImagePulled, ImagePresent, ImageBundled)
	v.image(path+".image", i.Image)
	switch {
	case i.Image == "":
		v.bad(path+".image", "is missing")
	case i.Source != ImageBundled && i.Image != ref:
		v.bad(path+".image", "%q is not the spec's, which is %q", i.Image, ref)
	}
	for n, d := range i.Digests {
		if !lockedDigest().MatchString(d) {
			v.bad(fmt.Sprintf("%s.digests[%d]", path, n), "%q is not a digest; want name@sha256:...", d)
		}
	}
	if i.Source == ImagePulled && len(i.Digests) == 0 {
		v.bad(path+".digests", "are missing, and an image with source %q is known by them", i.Source)
	}
	if i.Source == ImagePresent && !lockedID().MatchString(i.ID) {
		v.bad(path+".id", "%q is not an ID; an image with source %q is known by it", i.ID, i.Source)
	}
}

// sameContent reports whether two images are one, by what names their content.
func (i LockedImage) sameContent(other LockedImage) bool {
	switch i.Source {
	case ImagePulled:
		return slices.ContainsFunc(i.Digests, func(d string) bool { return slices.Contains(other.Digests, d) })
	case ImagePresent:
		return i.ID == other.ID
	default:
		return other.Source == ImageBundled && i.Image == other.Image
	}
}
