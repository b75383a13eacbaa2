package compose

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func fourDaemons() map[string][]byte {
	return map[string][]byte{
		"registry": []byte("the registry"), "buildkitd": []byte("a daemon"),
		"buildctl": []byte("its client"), "buildkit-runc": []byte("a runtime"),
	}
}

func buildImage(t *testing.T, b Bundle, kind string) (*bundled, v1.Image) {
	t.Helper()
	d, err := b.image(kind, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	img, err := d.build()
	if err != nil {
		t.Fatal(err)
	}
	return d, img
}

func TestBundledImagesAreTheSameBytesEachTime(t *testing.T) {
	for _, kind := range []string{BundledRegistry, BundledBuildkit} {
		var archives [2]bytes.Buffer
		for i := range archives {
			// Another directory, with other file times.
			d, img := buildImage(t, writeBundle(t, "amd64", "v1.2.3", fourDaemons()), kind)
			if err := tarball.Write(d.tag, img, &archives[i]); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
			t.Errorf("%s: two builds of the same content differ", kind)
		}
	}
}

func TestBundledImageIsWellFormed(t *testing.T) {
	for kind, want := range map[string]string{
		BundledRegistry: "usr/bin/registry 755",
		BundledBuildkit: "usr/bin/buildkitd 755, usr/bin/buildctl 755, usr/bin/buildkit-runc 755",
	} {
		t.Run(kind, func(t *testing.T) {
			_, img := buildImage(t, writeBundle(t, "amd64", "v1.2.3", fourDaemons()), kind)
			if err := validate.Image(img, validate.Fast); err != nil {
				t.Error(err)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range layers {
				checkLayer(t, l)
			}
			var binaries []string
			for _, l := range layers[1:] {
				binaries = append(binaries, listLayer(t, l)...)
			}
			if got := strings.Join(binaries, ", "); got != want {
				t.Errorf("binaries are %s, want %s", got, want)
			}
			base := strings.Join(listLayer(t, layers[0]), ", ")
			for _, entry := range []string{"tmp/ 1777", "etc/passwd 644", "var/lib/" + kind + "/ "} {
				if !strings.Contains(base, entry) {
					t.Errorf("the image has no %s: %s", entry, base)
				}
			}
			config, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if got := config.Config.Labels[labelVersion]; got != "v1.2.3" {
				t.Errorf("version label is %q", got)
			}
		})
	}
}

// checkLayer compares what a layer says of itself with its bytes. (The whole
// validate.Image expects every layer to be compressed.)
func checkLayer(t *testing.T, l v1.Layer) {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hash, n, err := v1.SHA256(r)
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := l.Digest()
	diffID, _ := l.DiffID()
	size, _ := l.Size()
	if digest != hash || diffID != hash || size != n {
		t.Errorf("layer says %s, %s, %d bytes; it is %s, %d bytes", digest, diffID, size, hash, n)
	}
}

// listLayer returns names and modes, and checks that nothing depends on when or
// by whom it was made.
func listLayer(t *testing.T, l v1.Layer) (out []string) {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s: time %v, owner %d:%d %q", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname)
		}
		out = append(out, h.Name+" "+modeString(h.Mode))
	}
}

func modeString(mode int64) string {
	const digits = "01234567"
	var s string
	for ; mode > 0; mode >>= 3 {
		s = string(digits[mode&7]) + s
	}
	return s
}

func TestBundledTagFollowsTheContent(t *testing.T) {
	tag := func(version string, content map[string][]byte) string {
		d, err := writeBundle(t, "amd64", version, content).image(BundledBuildkit, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		return d.reference()
	}
	first := tag("v1.2.3", fourDaemons())
	if !strings.HasPrefix(first, "certyard/bundled-buildkit:v1.2.3-") || len(first) != len("certyard/bundled-buildkit:v1.2.3-")+12 {
		t.Errorf("tag is %s", first)
	}
	changed := fourDaemons()
	changed["buildkit-runc"] = []byte("another runtime")
	if got := tag("v1.2.3", changed); got == first {
		t.Error("another runc has the same tag")
	}
	if got := tag("v1.2.4", fourDaemons()); got == first {
		t.Error("another version has the same tag")
	}
	unrelated := fourDaemons()
	unrelated["registry"] = []byte("another registry")
	if got := tag("v1.2.3", unrelated); got != first {
		t.Error("a file that is not in the image changes its tag")
	}
}

func TestBundleErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		arch  string
		spoil func(t *testing.T, dir string)
		want  error
	}{
		"no daemons for the architecture": {arch: "riscv64", want: fs.ErrNotExist},
		"a binary is missing": {arch: "amd64", want: fs.ErrNotExist,
			spoil: func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, "registry")); err != nil {
					t.Fatal(err)
				}
			}},
		"a binary was changed": {arch: "amd64", want: errChanged,
			spoil: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "registry"), "The registry") }},
		"a binary is longer": {arch: "amd64", want: errChanged,
			spoil: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "registry"), "the registry!") }},
		"a binary is shorter": {arch: "amd64", want: errChanged,
			spoil: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "registry"), "the") }},
		"daemons.json is half written": {arch: "amd64",
			spoil: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "daemons.json"), `{"files":`) }},
		"daemons.json lacks a file": {arch: "amd64",
			spoil: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "daemons.json"), `{"files":{}}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := writeBundle(t, "amd64", "v1.2.3", fourDaemons())
			if tt.spoil != nil {
				tt.spoil(t, filepath.Join(b.Dir, "linux-amd64"))
			}
			d, err := b.image(BundledRegistry, tt.arch)
			if err == nil {
				_, err = d.build()
			}
			var bundle *BundleError
			if !errors.As(err, &bundle) {
				t.Fatalf("error is %v, want a BundleError", err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v in it", err, tt.want)
			}
		})
	}
}

// The daemons weigh 150 MB. Assembling and streaming an image holds none of
// them in memory, however big they are.
func TestBundledImageIsStreamed(t *testing.T) {
	content := fourDaemons()
	content["registry"] = make([]byte, 64<<20)
	b := writeBundle(t, "amd64", "v1.2.3", content)
	content["registry"] = nil

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, img := buildImage(t, b, BundledRegistry)
	if err := tarball.Write(d.tag, img, io.Discard); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("allocated %d MiB for a binary of 64 MiB", used>>20)
	}
}
