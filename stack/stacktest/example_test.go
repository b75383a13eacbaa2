package stacktest_test

import (
	"context"
	"fmt"
	"log"
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

// A push to a registry in the process of the test, and what a client makes of a
// certificate that has expired. In a test give its t to Registry and Fault.
func ExampleRegistry() {
	var t program
	defer t.end()
	r := stacktest.Registry(&t)
	ref, err := name.ParseReference(r.Host() + "/app:1")
	if err != nil {
		log.Fatal(err)
	}
	client := remote.WithTransport(r.HTTPClient().Transport)
	fmt.Println("pushed:", remote.Write(ref, empty.Image, client, remote.WithAuth(r.Auth())))

	r.Fault(&t, stacktest.Expired)
	r.HTTPClient().CloseIdleConnections()
	_, err = remote.Head(ref, client, remote.WithAuth(r.Auth()))
	fmt.Println("refused:", err != nil)
	// Output:
	// pushed: <nil>
	// refused: true
}

// A build that is pushed to the stack's own registry, by a builder that lets in only
// clients with a certificate.
func ExampleStart() {
	var t *testing.T // of your test
	s := stacktest.Start(t, stacktest.Options{TLS: stack.TLSMutual})
	builder, err := s.Builder.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer builder.Close()
	image, err := llb.Scratch().File(llb.Mkfile("/hello", 0o444, []byte("hello"))).Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = builder.Solve(t.Context(), image, client.SolveOpt{
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": s.Registry.NetworkHost() + "/app:1", "push": "true"}}},
		Session: s.Builder.Session(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// program stands for the t of a test, which an example has not.
type program struct {
	testing.TB
	last []func()
}

func (*program) Helper()                           {}
func (*program) Failed() bool                      { return false }
func (*program) Context() context.Context          { return context.Background() }
func (*program) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
func (p *program) Cleanup(f func())                { p.last = append(p.last, f) }

// TempDir returns a directory that is removed at the end.
func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// end does what was left for the end, the last first.
func (p *program) end() {
	for i := len(p.last) - 1; i >= 0; i-- {
		p.last[i]()
	}
}
