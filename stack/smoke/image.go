package smoke

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certyard/certyard/stack"
)

// image is an image of one layer, as it goes over the wire.
type image struct {
	layer, config, manifest []byte
}

func (i image) digest() digest.Digest { return digest.FromBytes(i.manifest) }

// file is a file at the root of an image.
type file struct {
	name string
	mode int64
	data []byte
}

// newImage returns an image that holds the files and nothing else.
func newImage(platform ocispecs.Platform, files ...file) (image, error) {
	var i image
	var err error
	if i.layer, err = pack(files); err != nil {
		return image{}, err
	}
	i.config, err = json.Marshal(ocispecs.Image{
		Platform: platform,
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(i.layer)}},
	})
	if err != nil {
		return image{}, err
	}
	i.manifest, err = json.Marshal(ocispecs.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispecs.MediaTypeImageManifest,
		Config:    describe(ocispecs.MediaTypeImageConfig, i.config),
		Layers:    []ocispecs.Descriptor{describe(ocispecs.MediaTypeImageLayer, i.layer)},
	})
	return i, err
}

func describe(mediaType string, blob []byte) ocispecs.Descriptor {
	return ocispecs.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
}

func pack(files []file) ([]byte, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return packed.Bytes(), err
}

// topLayer returns the descriptor of the last layer of a manifest.
func topLayer(manifest []byte) (ocispecs.Descriptor, error) {
	var m ocispecs.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return ocispecs.Descriptor{}, failing(stack.ReasonContent, "reading manifest: %w", err)
	}
	if len(m.Layers) == 0 {
		return ocispecs.Descriptor{}, failing(stack.ReasonContent, "manifest of type %q has no layers", m.MediaType)
	}
	return m.Layers[len(m.Layers)-1], nil
}

// unpack returns the content of one file of a layer, which is a tar archive,
// compressed with gzip or not at all.
func unpack(layer []byte, name string) ([]byte, error) {
	var archive io.Reader = bytes.NewReader(layer)
	if bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) { // RFC 1952 section 2.3.1
		decompressed, err := gzip.NewReader(archive)
		if err != nil {
			return nil, failing(stack.ReasonContent, "reading layer: %w", err)
		}
		archive = io.LimitReader(decompressed, maxBody)
	}
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, failing(stack.ReasonContent, "the layer has no file %q", name)
		}
		if err != nil {
			return nil, failing(stack.ReasonContent, "reading layer: %w", err)
		}
		if path.Clean("/"+header.Name) != "/"+name {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, failing(stack.ReasonContent, "reading %q from layer: %w", name, err)
		}
		return data, nil
	}
}

// reference names an image by its digest.
func reference(registry, repository string, d digest.Digest) string {
	return fmt.Sprintf("%s/%s@%s", registry, repository, d)
}
