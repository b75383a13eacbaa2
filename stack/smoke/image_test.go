package smoke

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certyard/certyard/stack"
)

func TestNewImage(t *testing.T) {
	platform := ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	i, err := newImage(platform, file{"step", 0o755, []byte("program")}, file{"nonce", 0o444, []byte("data")})
	if err != nil {
		t.Fatal(err)
	}
	var manifest ocispecs.Manifest
	var config ocispecs.Image
	for data, into := range map[*[]byte]any{&i.manifest: &manifest, &i.config: &config} {
		if err := json.Unmarshal(*data, into); err != nil {
			t.Fatal(err)
		}
	}
	if manifest.SchemaVersion != 2 || len(manifest.Layers) != 1 ||
		manifest.Config.Digest != digest.FromBytes(i.config) || manifest.Layers[0].Digest != digest.FromBytes(i.layer) ||
		manifest.Config.Size != int64(len(i.config)) || manifest.Layers[0].Size != int64(len(i.layer)) {
		t.Errorf("manifest is %s", i.manifest)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || len(config.RootFS.DiffIDs) != 1 ||
		config.RootFS.DiffIDs[0] != digest.FromBytes(i.layer) {
		t.Errorf("config is %s", i.config)
	}
	r := tar.NewReader(bytes.NewReader(i.layer))
	header, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.Name != "step" || header.Mode != 0o755 || header.Uid != 0 {
		t.Errorf("first file is %+v", header)
	}
}

func TestUnpack(t *testing.T) {
	plain, err := pack([]file{{"other", 0o644, []byte("no")}, {"dir/proof", 0o644, []byte("no")}, {"./proof", 0o644, []byte("yes")}})
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(plain)
	w.Close()
	tests := []struct {
		name  string
		layer []byte
		file  string
		want  string // empty: fails
	}{
		{"plain", plain, "proof", "yes"},
		{"gzip", zipped.Bytes(), "proof", "yes"},
		{"missing file", plain, "step", ""},
		{"cut off", plain[:1024], "proof", ""},
		{"gzip cut off", zipped.Bytes()[:zipped.Len()/2], "proof", ""},
		{"no gzip after all", []byte{0x1f, 0x8b, 0, 0}, "proof", ""},
		{"garbage", bytes.Repeat([]byte("x"), 1024), "proof", ""},
		{"empty", nil, "proof", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := unpack(test.layer, test.file)
			if string(got) != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			if err != nil && reasonOf(err) != stack.ReasonContent {
				t.Errorf("reason is %s", reasonOf(err))
			}
		})
	}
}

// TestUnpackIsBounded feeds a layer that is small only as long as it is zipped.
func TestUnpackIsBounded(t *testing.T) {
	big, err := pack([]file{{"proof", 0o644, make([]byte, 4*maxBody)}})
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	io.Copy(w, bytes.NewReader(big))
	w.Close()
	if got, err := unpack(zipped.Bytes(), "proof"); err == nil {
		t.Errorf("read %d bytes", len(got))
	}
}

func TestTopLayer(t *testing.T) {
	for _, manifest := range []string{"", "{", "{}", `{"layers": []}`, `{"manifests": [{"digest": "sha256:00"}]}`} {
		if _, err := topLayer([]byte(manifest)); err == nil || reasonOf(err) != stack.ReasonContent {
			t.Errorf("%q: got %v", manifest, err)
		}
	}
	got, err := topLayer([]byte(`{"layers": [{"digest": "sha256:01"}, {"digest": "sha256:02"}]}`))
	if err != nil || got.Digest != "sha256:02" {
		t.Errorf("got %v, %v, want the last layer", got.Digest, err)
	}
}
