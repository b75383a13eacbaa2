package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	bksession "github.com/moby/buildkit/session"
	sessionauth "github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/smoke/runstep"
)

// fakeBuilder is BuildKit's control service over the real protocol. It knows
// the one Dockerfile and the one definition that a proof sends: it pulls,
// computes what the step would, and pushes, with credentials from the client's
// session.
type fakeBuilder struct {
	controlapi.UnimplementedControlServer

	registry  stack.Endpoint
	platforms []*pb.Platform // nil: no worker
	trust     *x509.CertPool // for every repository,
	trustSeen *x509.CertPool // but for the old one if this is set
	run       func(nonce, seen []byte) ([]file, error)
	push      func() error                      // before the push of a build, if set
	digest    func(digest.Digest) digest.Digest // what it says that it pushed
	login     func(user, password string) (string, string)
	refuse    error // of the push with a wrong password,
	unasked   bool  // without asking for one

	sessions *bksession.Manager
	mu       sync.Mutex
	ended    map[string]chan []*controlapi.Vertex // by solve
}

func newFakeBuilder(t *testing.T, registry stack.Endpoint, trust *x509.CertPool) *fakeBuilder {
	t.Helper()
	sessions, err := bksession.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	return &fakeBuilder{
		registry:  registry,
		platforms: []*pb.Platform{{OS: "linux", Architecture: "arm64", Variant: "v8"}},
		trust:     trust,
		run: func(nonce, seen []byte) ([]file, error) {
			return []file{{runstep.Proof, 0o644, runstep.Answer(nonce, seen)}}, nil
		},
		digest:   func(d digest.Digest) digest.Digest { return d },
		login:    func(user, password string) (string, string) { return user, password },
		sessions: sessions,
		ended:    map[string]chan []*controlapi.Vertex{},
	}
}

func (b *fakeBuilder) Info(context.Context, *controlapi.InfoRequest) (*controlapi.InfoResponse, error) {
	return &controlapi.InfoResponse{BuildkitVersion: &apitypes.BuildkitVersion{Version: "v1.2.3"}}, nil
}

func (b *fakeBuilder) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	if b.platforms == nil {
		return &controlapi.ListWorkersResponse{}, nil
	}
	return &controlapi.ListWorkersResponse{Record: []*apitypes.WorkerRecord{{ID: "fake", Platforms: b.platforms}}}, nil
}

func (b *fakeBuilder) Session(stream controlapi.Control_SessionServer) error {
	conn, closed, meta := grpchijack.Hijack(stream)
	defer conn.Close()
	ctx, cancel := context.WithCancel(stream.Context())
	go func() { <-closed; cancel() }()
	return b.sessions.HandleConn(ctx, conn, meta)
}

func (b *fakeBuilder) Status(request *controlapi.StatusRequest, stream controlapi.Control_StatusServer) error {
	return stream.Send(&controlapi.StatusResponse{Vertexes: <-b.end(request.Ref)})
}

func (b *fakeBuilder) end(ref string) chan []*controlapi.Vertex {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended[ref] == nil {
		b.ended[ref] = make(chan []*controlapi.Vertex, 1)
	}
	return b.ended[ref]
}

func (b *fakeBuilder) Solve(ctx context.Context, request *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	if !request.Internal {
		return nil, errors.New("the build would be listed in the daemon's history")
	}
	work := &work{builder: b, platform: ocispecs.Platform{OS: "linux", Architecture: "arm64"}}
	if len(request.Exporters) == 0 {
		work.user = request.Session
		_, err := work.pull(ctx, sourceOf(request), runstep.Seen)
		b.end(request.Ref) <- work.vertices
		return &controlapi.SolveResponse{}, err
	}
	name := request.Exporters[0].Attrs["name"]
	_, path, _ := strings.Cut(name, "/")
	work.repository, _, _ = strings.Cut(path, ":")
	work.user = request.Session
	var pushed digest.Digest
	var err error
	if dockerfile := dockerfileOf(request); dockerfile != "" {
		pushed, err = work.build(ctx, dockerfile)
	} else {
		pushed, err = work.pushOnly(ctx)
	}
	b.end(request.Ref) <- work.vertices
	if err != nil {
		return nil, err
	}
	answer := map[string]string{exptypes.ExporterImageDigestKey: b.digest(pushed).String()}
	return &controlapi.SolveResponse{ExporterResponse: answer}, nil
}

// sourceOf finds the image that a definition begins with.
func sourceOf(request *controlapi.SolveRequest) string {
	for _, def := range request.Definition.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(def); err != nil {
			return err.Error()
		}
		if image, ok := strings.CutPrefix(op.GetSource().GetIdentifier(), "docker-image://"); ok {
			return image
		}
	}
	return ""
}

// dockerfileOf finds the Dockerfile in the build step that brings it.
func dockerfileOf(request *controlapi.SolveRequest) string {
	for _, def := range request.FrontendInputs["dockerfile"].GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(def); err != nil {
			return err.Error()
		}
		for _, action := range op.GetFile().GetActions() {
			return string(action.GetMkfile().GetData())
		}
	}
	return ""
}

// work is one solve of a fakeBuilder.
type work struct {
	builder    *fakeBuilder
	platform   ocispecs.Platform
	repository string
	user       string // session of the client
	vertices   []*controlapi.Vertex
}

// did notes a vertex and returns its error.
func (w *work) did(name string, err error) error {
	now := timestamppb.Now()
	v := &controlapi.Vertex{Digest: digest.FromString(name).String(), Name: name, Started: now, Completed: now}
	if err != nil {
		v.Error = err.Error()
	}
	w.vertices = append(w.vertices, v)
	return err
}

func (w *work) build(ctx context.Context, dockerfile string) (digest.Digest, error) {
	var base, old string
	if _, err := fmt.Sscanf(dockerfile, "FROM %s\nCOPY --from=%s /seen /seen\nRUN [\"/step\"]\n", &base, &old); err != nil {
		return "", fmt.Errorf("reading Dockerfile %q: %w", dockerfile, err)
	}
	nonce, err := w.pull(ctx, base, runstep.Nonce)
	if w.did("[stage-0 1/3] FROM "+base, err) != nil {
		return "", err
	}
	seen, err := w.pull(ctx, old, runstep.Seen)
	if w.did("[stage-0 2/3] COPY --from="+old+" /seen /seen", err) != nil {
		return "", err
	}
	files, err := w.builder.run(nonce, seen)
	if w.did(`[stage-0 3/3] RUN ["/step"]`, err) != nil {
		return "", err
	}
	if w.builder.push != nil {
		if err := w.builder.push(); err != nil {
			return "", w.did("exporting to image", err)
		}
	}
	pushed, err := w.push(ctx, files...)
	return pushed, w.did("exporting to image", err)
}

func (w *work) pushOnly(ctx context.Context) (digest.Digest, error) {
	if err := w.builder.refuse; err != nil {
		if !w.builder.unasked {
			if _, err := w.client(ctx, w.repository); err != nil {
				return "", err
			}
		}
		return "", w.did("exporting to image", err)
	}
	pushed, err := w.push(ctx, file{"refused", 0o444, nil})
	return pushed, w.did("exporting to image", err)
}

// client returns the registry as this builder reaches it for one repository.
func (w *work) client(ctx context.Context, repository string) (*remote, error) {
	host := w.builder.registry.Address()
	_, user, password, err := sessionauth.CredentialsFunc(ctx, w.builder.sessions, bksession.NewGroup(w.user))(host)
	if err != nil {
		return nil, err
	}
	user, password = w.builder.login(user, password)
	trust := w.builder.trust
	if repository == seenRepository && w.builder.trustSeen != nil {
		trust = w.builder.trustSeen
	}
	return newRemote(w.builder.registry, w.builder.registry.Host, user, password, &tls.Config{RootCAs: trust}), nil
}

func (w *work) pull(ctx context.Context, reference, name string) ([]byte, error) {
	_, path, _ := strings.Cut(reference, "/")
	repository, at, ok := strings.Cut(path, "@")
	if !ok {
		return nil, errors.New("not by digest: " + reference)
	}
	client, err := w.client(ctx, repository)
	if err != nil {
		return nil, err
	}
	defer client.close()
	d := digest.Digest(at)
	manifest, err := client.get(ctx, client.manifest(repository, d), d)
	if err != nil {
		return nil, err
	}
	top, err := topLayer(manifest)
	if err != nil {
		return nil, err
	}
	layer, err := client.get(ctx, client.blob(repository, top.Digest), top.Digest)
	if err != nil {
		return nil, err
	}
	return unpack(layer, name)
}

func (w *work) push(ctx context.Context, files ...file) (digest.Digest, error) {
	i, err := newImage(w.platform, files...)
	if err != nil {
		return "", err
	}
	client, err := w.client(ctx, w.repository)
	if err != nil {
		return "", err
	}
	defer client.close()
	return i.digest(), client.push(ctx, w.repository, i)
}
