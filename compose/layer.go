package compose

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layer is an uncompressed image layer that is written anew each time it is
// read, so that a binary of 60 MB is never held in memory. An engine on this
// machine gains nothing from compression.
type layer struct {
	write  func(io.Writer) error // the same bytes each time
	digest v1.Hash
	size   int64
}

// newLayer reads the layer once, to know its digest, before anything is sent.
func newLayer(write func(io.Writer) error) (*layer, error) {
	c := &counter{Hash: sha256.New()}
	if err := write(c); err != nil {
		return nil, err
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.Sum(nil))}
	return &layer{write: write, digest: digest, size: c.n}, nil
}

// Digest and DiffID are the same, because nothing is compressed.
func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID is part of v1.Layer.
func (l *layer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Size is part of v1.Layer.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType is part of v1.Layer.
func (l *layer) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }

// Compressed is what goes over the wire.
func (l *layer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Uncompressed streams the layer. Closing it early ends the writer.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.write(w)) }()
	return r, nil
}

// counter is a hash that knows how much it was given.
type counter struct {
	hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.Hash.Write(p)
}

// entry is a directory or a small file of an image. A path that ends with a
// slash is a directory.
type entry struct {
	Path string
	Mode int64
	Data string
}

// epoch is the time of everything in a bundled image, so that the same content
// is the same bytes.
var epoch = time.Unix(0, 0).UTC()

func (e entry) header() *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: e.Path, Mode: e.Mode, Size: int64(len(e.Data)), ModTime: epoch, Format: tar.FormatUSTAR}
	if e.Path[len(e.Path)-1] == '/' {
		h.Typeflag = tar.TypeDir
	}
	return h
}

// entriesLayer is a layer of directories and small files, in their order.
func entriesLayer(entries []entry) (*layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(e.header()); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, e.Data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return newLayer(func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}

// binaryLayer is a layer of one executable, read from a file that must be what
// daemons.json says it is, each time.
func binaryLayer(target, file string, want daemon) (*layer, error) {
	return newLayer(func(w io.Writer) error {
		if err := writeBinary(w, target, file, want); err != nil {
			return &BundleError{Path: file, Err: err}
		}
		return nil
	})
}

var errChanged = errors.New("it is not the file that daemons.json describes")

func writeBinary(w io.Writer, target, file string, want daemon) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	out := tar.NewWriter(w)
	h := entry{Path: target, Mode: 0o755}.header()
	h.Size = want.Size
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), f)
	if errors.Is(err, tar.ErrWriteTooLong) {
		return fmt.Errorf("%w: longer than %d bytes", errChanged, want.Size)
	}
	if err != nil {
		return err
	}
	if n != want.Size || want.SHA256 != "" && hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return errChanged
	}
	return out.Close()
}
