package lifecycle_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestIntegrationRotateUpload: an upload of a layer that has begun goes on after
// the registry was started again for its new leaf. What the location of an upload
// says is signed with the secret in the registry's config, which has to stay.
func TestIntegrationRotateUpload(t *testing.T) {
	d, config := realDeps(t)
	res := up(t, d, newSpec(t, config))
	u := upload{t: t, d: d, at: &url.URL{Scheme: "https", Host: res.Spec.HostEndpoints(stack.Registry, res.Facts)[0].Address()}}
	first, second := bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<20)
	blob := slices.Concat(first, second)
	sum := "sha256:" + stack.Sum(blob)
	all := u.at.JoinPath("/v2/certyard-upload/blobs/")

	u.ask(http.MethodPost, all.JoinPath("uploads/"), nil, http.StatusAccepted)
	u.ask(http.MethodPatch, u.at, first, http.StatusAccepted)
	before := runs(t, d, stack.ServeDaemon)
	out, err := lifecycle.Rotate(t.Context(), d, lifecycle.RotateOptions{Leaves: []string{stack.LeafRegistry}})
	if err != nil || out.RolledBack || !out.Report.OK() {
		t.Fatalf("%+v, %v", out.Report, err)
	}
	if n := differences(before, runs(t, d, stack.ServeDaemon)); n != 2 {
		t.Fatalf("%d daemons were started again, want both", n)
	}
	u.ask(http.MethodPatch, u.at, second, http.StatusAccepted)
	query := u.at.Query()
	query.Set("digest", sum)
	u.at.RawQuery = query.Encode()
	u.ask(http.MethodPut, u.at, nil, http.StatusCreated)
	if got := u.ask(http.MethodGet, all.JoinPath(sum), nil, http.StatusOK); !bytes.Equal(got, blob) {
		t.Errorf("%d bytes are read back, and are not the %d that were sent", len(got), len(blob))
	}
}

// upload is an upload to the registry of a stack, by its first user.
type upload struct {
	t  *testing.T
	d  lifecycle.Deps
	at *url.URL // where it goes on, as the registry has said last
}

// ask makes a request in a connection of its own, and returns what the answer
// holds.
func (u *upload) ask(method string, at *url.URL, body []byte, want int) []byte {
	u.t.Helper()
	trust, err := pki.ParseTrustBundle(readAt(u.t, u.d, stack.FileClientCA))
	if err != nil {
		u.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust.Pool()}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(u.t.Context(), method, at.String(), bytes.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	request.SetBasicAuth(stack.DefaultUser, passwordsOf(u.t, u.d)[stack.DefaultUser])
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		u.t.Fatalf("%s %s gets %d, want %d: %s, %v", method, at.Path, response.StatusCode, want, answer, err)
	}
	if next := response.Header.Get("Location"); next != "" {
		if u.at, err = at.Parse(next); err != nil {
			u.t.Fatal(err)
		}
	}
	return answer
}
