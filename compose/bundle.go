package compose

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// The bundled images that there are, as Image.Bundled names them.
const (
	BundledRegistry = "registry"
	BundledBuildkit = "buildkit"
	// BundledEdge holds Bundle.Program, and comes from nowhere else.
	BundledEdge = "edge"
)

// bundledRepository is where bundled images are tagged, apart from all official
// names.
const bundledRepository = "certyard/bundled-"

// Bundle is a directory of daemons as scripts/daemons builds it, for one or
// more architectures:
//
//	<Dir>/linux-<arch>/{buildkitd,buildctl,buildkit-runc,registry,daemons.json}
type Bundle struct {
	Dir string
	// Program is what the image BundledEdge consists of.
	Program Program
}

// daemon is what daemons.json says of one file.
type daemon struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	// BuildID identifies a program that no daemons.json describes.
	BuildID string `json:"build_id,omitempty"`
}

// recipe says what a bundled image consists of.
type recipe struct {
	title    string
	binaries []string // a layer each, in /usr/bin; the first one gives the version
	entries  []entry
	config   v1.Config
}

// system is what programs without a C library look for: names of users, how to
// resolve hosts, and a place for temporary files.
var system = []entry{
	{Path: "etc/", Mode: 0o755},
	{Path: "etc/group", Mode: 0o644, Data: "root:x:0:\nnobody:x:65534:\n"},
	{Path: "etc/nsswitch.conf", Mode: 0o644, Data: "hosts: files dns\n"},
	{Path: "etc/passwd", Mode: 0o644, Data: "root:x:0:0:root:/root:/\nnobody:x:65534:65534:nobody:/:/\n"},
	{Path: "root/", Mode: 0o700},
	{Path: "run/", Mode: 0o755},
	{Path: "tmp/", Mode: 0o1777},
	{Path: "usr/", Mode: 0o755},
	{Path: "usr/bin/", Mode: 0o755},
	{Path: "var/", Mode: 0o755},
	{Path: "var/lib/", Mode: 0o755},
}

// recipes returns the images by kind. Entry point, command, volumes and
// environment are those of the official images (registry:3 and moby/buildkit),
// so that one compose file fits both. BuildKit's has a script as entry point
// that ends in buildkitd with the same arguments.
func recipes() map[string]recipe {
	path := "PATH=/usr/bin"
	return map[string]recipe{
		BundledRegistry: {
			title:    "distribution registry",
			binaries: []string{"registry"},
			// Writable for whichever uid the registry runs as, as /tmp is.
			entries: []entry{{Path: "etc/distribution/", Mode: 0o755}, {Path: "var/lib/registry/", Mode: 0o1777}},
			config: v1.Config{
				Entrypoint:   []string{"registry"},
				Cmd:          []string{"serve", "/etc/distribution/config.yml"},
				Env:          []string{path, "OTEL_TRACES_EXPORTER=none"}, // facts P27
				Volumes:      map[string]struct{}{"/var/lib/registry": {}},
				ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			},
		},
		BundledEdge: {
			title:    "certyard edge",
			binaries: []string{programName},
			// What is mounted here are new volumes, which take over who may
			// write: the registry's uid is not known here, the builder is root.
			// run/edge is for a tmpfs: from the second start on runc gives it
			// the mode of the directory below.
			entries: []entry{{Path: "run/buildkit/", Mode: 0o755}, {Path: "run/edge/", Mode: 0o1777}, {Path: "run/registry/", Mode: 0o1777}},
			config:  v1.Config{Entrypoint: []string{"/usr/bin/" + programName}, Env: []string{path}},
		},
		BundledBuildkit: {
			title:    "BuildKit",
			binaries: []string{"buildkitd", "buildctl", "buildkit-runc"},
			entries:  []entry{{Path: "etc/buildkit/", Mode: 0o755}, {Path: "var/lib/buildkit/", Mode: 0o700}},
			config: v1.Config{
				Entrypoint: []string{"buildkitd"},
				Env:        []string{path, "BUILDKIT_SETUP_CGROUPV2_ROOT=1"},
				Volumes:    map[string]struct{}{"/var/lib/buildkit": {}},
			},
		},
	}
}

// bundled is a bundled image before it is read from disk: enough to know its
// tag, which is all that is needed when the engine has it.
type bundled struct {
	recipe
	tag     name.Tag
	dir     string
	file    string // in dir, of the only binary, if it has another name there
	config  v1.ConfigFile
	daemons map[string]daemon
}

// image describes the bundled image of a kind for an architecture. It reads
// daemons.json and no binary. Errors are *[BundleError].
func (b Bundle) image(kind, arch string) (*bundled, error) {
	if kind == BundledEdge {
		return b.Program.image(arch)
	}
	r, ok := recipes()[kind]
	if !ok {
		return nil, fmt.Errorf("there is no bundled image %q", kind)
	}
	dir := filepath.Join(b.Dir, "linux-"+arch)
	daemons, err := readDaemons(filepath.Join(dir, "daemons.json"))
	if err != nil {
		return nil, &BundleError{Path: dir, Err: err}
	}
	out := &bundled{recipe: r, dir: dir, daemons: map[string]daemon{}}
	for _, file := range r.binaries {
		d, ok := daemons[file]
		if !ok {
			return nil, &BundleError{Path: dir, Err: fmt.Errorf("daemons.json has no %s", file)}
		}
		out.daemons[file] = d
	}
	out.entries = append(append([]entry{}, system...), r.entries...)
	out.config = r.configFile(kind, arch, daemons[r.binaries[0]].Version)
	out.tag, err = out.contentTag(kind)
	if err != nil {
		return nil, &BundleError{Path: dir, Err: err}
	}
	return out, nil
}

func readDaemons(file string) (map[string]daemon, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list struct {
		Files map[string]daemon `json:"files"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("reading daemons.json: %w", err)
	}
	return list.Files, nil
}

func (r recipe) configFile(kind, arch, version string) v1.ConfigFile {
	c := v1.ConfigFile{
		Architecture: arch, OS: "linux", Created: v1.Time{Time: epoch}, Author: "certyard",
		Config: r.config, RootFS: v1.RootFS{Type: "layers"},
	}
	c.Config.Labels = map[string]string{
		labelBundled:                            kind,
		labelVersion:                            version,
		"org.opencontainers.image.title":        r.title,
		"org.opencontainers.image.licenses":     "Apache-2.0",
		"org.opencontainers.image.description":  "built by certyard from the module versions that compose/daemons/go.mod pins",
		"org.opencontainers.image.base.name":    "scratch",
		"org.opencontainers.image.ref.name":     version,
		"org.opencontainers.image.architecture": arch,
	}
	return c
}

const (
	labelBundled = "io.certyard.bundled"
	labelVersion = "org.opencontainers.image.version"
)

// contentTag derives the tag from everything that the image is made of, so that
// other content has another tag, and so that finding out whether the engine has
// the image needs no reading of binaries: daemons.json has their sums.
func (b *bundled) contentTag(kind string) (name.Tag, error) {
	content, err := json.Marshal([]any{b.config, b.entries, b.binaries, b.daemons})
	if err != nil {
		return name.Tag{}, err
	}
	version := strings.Trim(notInTag.ReplaceAllString(b.config.Config.Labels[labelVersion], "-"), "-.")
	return name.NewTag(fmt.Sprintf("%s%s:%s-%s", bundledRepository, kind, version, shortSum(content)))
}

// notInTag is what a tag may not hold and versions do, as "(devel)" and "v1+dirty".
var notInTag = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// shortSum names content in a tag.
func shortSum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}

// build reads the binaries once, checks each against daemons.json, and returns
// the image. Its layers are read again when it is written.
func (b *bundled) build() (v1.Image, error) {
	base, err := entriesLayer(b.entries)
	if err != nil {
		return nil, err
	}
	adds := []mutate.Addendum{{Layer: base, History: history("directories")}}
	for _, file := range b.binaries {
		l, err := binaryLayer("usr/bin/"+file, filepath.Join(b.dir, cmp.Or(b.file, file)), b.daemons[file])
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.Addendum{Layer: l, History: history(file + " " + b.daemons[file].Version)})
	}
	img, err := mutate.ConfigFile(empty.Image, &b.config)
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, adds...)
}

func history(what string) v1.History {
	return v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "certyard", Comment: what}
}

// reference returns the tag as people write it, without the default registry.
func (b *bundled) reference() string {
	return b.tag.RepositoryStr() + ":" + b.tag.TagStr()
}

// errNoDir says that the caller knows no directory of daemons.
var errNoDir = fmt.Errorf("no directory of built daemons is known: %w", fs.ErrNotExist)
