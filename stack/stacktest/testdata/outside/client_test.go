package client

import (
	"crypto/x509"
	"errors"
	"os"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/stacktest"
)

func TestClient(t *testing.T) {
	s := stacktest.Start(t, stacktest.Options{})

	ref := must(name.ParseReference(s.Registry.Host() + "/app:1"))(t)
	if err := remote.Write(ref, empty.Image, remote.WithTransport(s.Registry.HTTPClient().Transport), remote.WithAuth(s.Registry.Auth())); err != nil {
		t.Fatal(err)
	}

	builder := must(s.Builder.Client(t.Context()))(t)
	defer builder.Close()
	image := must(llb.Scratch().File(llb.Mkfile("/hello", 0o444, []byte("hello"))).Marshal(t.Context()))(t)
	must(builder.Solve(t.Context(), image, client.SolveOpt{
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": s.Registry.NetworkHost() + "/built:1", "push": "true"}}},
		Session: s.Builder.Session(),
	}, nil))(t)

	s.Expire(t)
	_, err := s.Registry.HTTPClient().Get("https://" + s.Registry.Host() + "/v2/")
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !ok || invalid.Reason != x509.Expired {
		t.Errorf("a registry whose certificate has expired: %v", err)
	}
}

// shared is one stack for all tests of the package that ask for it.
var shared = stacktest.Shared(stacktest.Options{TLS: stack.TLSMutual, Proof: stacktest.Quick})

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

func TestShared(t *testing.T) {
	s := shared.Stack(t)
	t.Run("workers", func(t *testing.T) {
		builder := must(s.Builder.Client(t.Context()))(t)
		defer builder.Close()
		if workers := must(builder.ListWorkers(t.Context()))(t); len(workers) == 0 {
			t.Error("no worker")
		}
	})
	t.Run("again", func(t *testing.T) {
		if again := shared.Stack(t); again != s {
			t.Error("another stack")
		}
	})
}

// must fails the test on an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
