package smoke

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certyard/certyard/stack"
)

// remote is a registry under one name, with the few calls of the distribution
// protocol that a proof makes. It speaks HTTPS only, and it is our own because
// go-containerregistry asks over plain HTTP as well when the registry has a
// loopback or private address (P30). It is safe for parallel use.
type remote struct {
	base           *url.URL
	http           *http.Client
	user, password string
}

// newRemote returns the registry that listens at e and is asked for as name.
// The config's server name is filled in.
func newRemote(e stack.Endpoint, name, user, password string, config *tls.Config) *remote {
	host := net.JoinHostPort(name, strconv.Itoa(e.Port))
	return &remote{
		base: &url.URL{Scheme: "https", Host: host, Path: "/v2/"},
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, e) },
				TLSClientConfig: config,
			},
			// A redirect could lead to another host, or to plain HTTP.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		user: user, password: password,
	}
}

// close drops the connections that are kept for the next request.
func (r *remote) close() { r.http.CloseIdleConnections() }

// statusError is an answer other than the one that a request is for.
type statusError struct {
	request string // method and path
	status  int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.request, e.status, http.StatusText(e.status))
}

func (e *statusError) reason() stack.Reason {
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden {
		return stack.ReasonUnauthorized
	}
	return stack.ReasonUnexpected
}

// maxBody bounds what is read of an answer. Everything that a proof reads is
// some kilobytes long.
const maxBody = 1 << 20

// answer is a response whose body has been read.
type answer struct {
	status int
	header http.Header
	tls    *tls.ConnectionState
	body   []byte
}

// send makes one request. An empty user sends no credentials.
func (r *remote) send(ctx context.Context, method string, u *url.URL, header http.Header, body []byte) (answer, error) {
	if u.Scheme != "https" || u.Host != r.base.Host {
		return answer{}, failing(stack.ReasonUnexpected, "registry at %s leads to %s://%s", r.base.Host, u.Scheme, u.Host)
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	if r.user != "" {
		request.SetBasicAuth(r.user, r.password)
	}
	response, err := r.http.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the rest of it, the URL, is in the check
		}
		return answer{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return answer{}, fmt.Errorf("reading answer to %s %s: %w", method, u.Path, err)
	}
	return answer{response.StatusCode, response.Header, response.TLS, read}, nil
}

// want makes one request that must be answered with the given status.
func (r *remote) want(ctx context.Context, status int, method string, u *url.URL, header http.Header, body []byte) (answer, error) {
	a, err := r.send(ctx, method, u, header, body)
	if err == nil && a.status != status {
		err = &statusError{method + " " + u.Path, a.status}
	}
	return a, err
}

func (r *remote) manifest(repository string, d digest.Digest) *url.URL {
	return r.base.JoinPath(repository, "manifests", d.String())
}

func (r *remote) blob(repository string, d digest.Digest) *url.URL {
	return r.base.JoinPath(repository, "blobs", d.String())
}

// ping asks whether the registry is there.
func (r *remote) ping(ctx context.Context) (answer, error) {
	return r.send(ctx, http.MethodGet, r.base, nil, nil)
}

// push uploads an image under its digest, without a tag.
func (r *remote) push(ctx context.Context, repository string, i image) error {
	for _, blob := range [][]byte{i.layer, i.config} {
		if err := r.upload(ctx, repository, blob); err != nil {
			return err
		}
	}
	header := http.Header{"Content-Type": {ocispecs.MediaTypeImageManifest}}
	_, err := r.want(ctx, http.StatusCreated, http.MethodPut, r.manifest(repository, i.digest()), header, i.manifest)
	return err
}

func (r *remote) upload(ctx context.Context, repository string, blob []byte) error {
	a, err := r.want(ctx, http.StatusAccepted, http.MethodPost, r.base.JoinPath(repository, "blobs", "uploads/"), nil, nil)
	if err != nil {
		return err
	}
	location, err := r.base.Parse(a.header.Get("Location"))
	if err != nil {
		return fmt.Errorf("reading upload location: %w", err)
	}
	query := location.Query()
	query.Set("digest", digest.FromBytes(blob).String())
	location.RawQuery = query.Encode()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	_, err = r.want(ctx, http.StatusCreated, http.MethodPut, location, header, blob)
	return err
}

// Media types of manifests that the builder may push.
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// get reads a manifest or blob and checks its digest.
func (r *remote) get(ctx context.Context, u *url.URL, d digest.Digest) ([]byte, error) {
	header := http.Header{"Accept": {ocispecs.MediaTypeImageManifest, dockerManifest}}
	a, err := r.want(ctx, http.StatusOK, http.MethodGet, u, header, nil)
	if err != nil {
		return nil, err
	}
	if have := digest.FromBytes(a.body); have != d {
		return nil, failing(stack.ReasonContent, "%s has digest %s", u.Path, have)
	}
	return a.body, nil
}

// remove deletes a manifest. If there is none, that is fine.
func (r *remote) remove(ctx context.Context, repository string, d digest.Digest) error {
	_, err := r.want(ctx, http.StatusAccepted, http.MethodDelete, r.manifest(repository, d), nil, nil)
	if refused, ok := errors.AsType[*statusError](err); ok && refused.status == http.StatusNotFound {
		return nil
	}
	return err
}
