package smoke

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/certyard/certyard/stack"
)

// job is something to build and push.
type job struct {
	dockerfile string    // either this, without a context,
	state      llb.State // or this
	name       string    // of the image, with the registry host and a tag; "" pushes nothing
	login      *login
}

// solved is how a job ended.
type solved struct {
	digest   digest.Digest // of the image, if it was pushed
	vertices map[digest.Digest]*client.Vertex
	err      error
}

// solve lets the builder carry out a job. The daemon does not list it in its
// build history.
func solve(ctx context.Context, builder *client.Client, j job) solved {
	opt := client.SolveOpt{Session: []session.Attachable{j.login}, Internal: true}
	if j.name != "" {
		opt.Exports = []client.ExportEntry{{
			Type:  client.ExporterImage,
			Attrs: map[string]string{"name": j.name, "push": "true"},
		}}
	}
	definition, err := j.prepare(ctx, &opt)
	if err != nil {
		return solved{err: err}
	}
	result := solved{vertices: map[digest.Digest]*client.Vertex{}}
	statuses := make(chan *client.SolveStatus)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for status := range statuses {
			for _, v := range status.Vertexes {
				result.vertices[v.Digest] = v
			}
		}
	}()
	response, err := builder.Solve(ctx, definition, opt, statuses) // closes statuses
	<-collected
	if err != nil {
		result.err = &fault{reasonOfSolve(err), err}
		return result
	}
	if j.name == "" {
		return result
	}
	result.digest = digest.Digest(response.ExporterResponse[exptypes.ExporterImageDigestKey])
	if err := result.digest.Validate(); err != nil {
		result.err = failing(stack.ReasonContent, "reading the digest that the builder reports: %w", err)
	}
	return result
}

// prepare fills in what is built. A Dockerfile is handed over as a build step
// of its own, so that no file has to be read from here.
func (j job) prepare(ctx context.Context, opt *client.SolveOpt) (*llb.Definition, error) {
	if j.dockerfile == "" {
		return j.state.Marshal(ctx)
	}
	opt.Frontend = "dockerfile.v0"
	opt.FrontendAttrs = map[string]string{}
	source := llb.Scratch().File(llb.Mkfile("/Dockerfile", 0o444, []byte(j.dockerfile)))
	opt.FrontendInputs = map[string]llb.State{"context": source, "dockerfile": source}
	return nil, nil
}

// Login returns what answers a builder that asks for a password, for a build of
// one's own (client.SolveOpt.Session). It gives the password to these registry hosts
// only, each as the builder dials it. It is safe for parallel use.
func Login(hosts []string, user, password string) session.Attachable {
	return &login{hosts: hosts, user: user, password: password}
}

// login answers the daemon when the registry asks it for a password. It gives
// the password to that registry only. BuildKit's own provider of credentials
// is not used because it looks for a docker configuration and changes an HTTP
// client that the whole process shares (P12).
type login struct {
	auth.UnimplementedAuthServer
	hosts          []string // of the registry, as the daemon dials it
	user, password string
	asked          atomic.Bool // whether the daemon wanted to know
}

// Register implements session.Attachable.
func (l *login) Register(server *grpc.Server) { auth.RegisterAuthServer(server, l) }

// Credentials implements auth.AuthServer.
func (l *login) Credentials(_ context.Context, request *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	if !slices.Contains(l.hosts, request.Host) {
		return nil, status.Errorf(codes.PermissionDenied, "no credentials for %q", request.Host)
	}
	l.asked.Store(true)
	return &auth.CredentialsResponse{Username: l.user, Secret: l.password}, nil
}
