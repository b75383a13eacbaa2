package lifecycle_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/lifecycle"
)

// TestIntegrationRotateUpload: an upload of a layer that has begun goes on after
// the registry was started again for its new leaf. What the location of an upload
// says is signed with the secret in the registry's config, which has to stay. The
// part that is on its way when the registry is to stop is taken first: it drains.
func TestIntegrationRotateUpload(t *testing.T) {
	d, config := realDeps(t)
	res := up(t, d, newSpec(t, config))
	u := upload{t: t, d: d, at: &url.URL{Scheme: "https", Host: res.Spec.HostEndpoints(stack.Registry, res.Facts)[0].Address()}}
	parts := [][]byte{bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<20), bytes.Repeat([]byte("c"), 1<<20)}
	blob := slices.Concat(parts...)
	sum := "sha256:" + stack.Sum(blob)
	all := u.at.JoinPath("/v2/certyard-upload/blobs/")

	u.ask(http.MethodPost, all.JoinPath("uploads/"), nil, http.StatusAccepted)
	u.ask(http.MethodPatch, u.at, bytes.NewReader(parts[0]), http.StatusAccepted)
	before := runs(t, d, stack.ServeDaemon)
	u.whileRotating(parts[1])
	if n := differences(before, runs(t, d, stack.ServeDaemon)); n != 2 {
		t.Fatalf("%d daemons were started again, want both", n)
	}
	u.ask(http.MethodPatch, u.at, bytes.NewReader(parts[2]), http.StatusAccepted)
	query := u.at.Query()
	query.Set("digest", sum)
	u.at.RawQuery = query.Encode()
	u.ask(http.MethodPut, u.at, nil, http.StatusCreated)
	if got := u.ask(http.MethodGet, all.JoinPath(sum), nil, http.StatusOK); !bytes.Equal(got, blob) {
		t.Errorf("%d bytes are read back, and are not the %d that were sent", len(got), len(blob))
	}
}

// whileRotating sends one half of a part before the registry's leaf is renewed, and
// the other half when the registry takes no new connections any more.
func (u *upload) whileRotating(part []byte) {
	u.t.Helper()
	body, rest := io.Pipe()
	sent, rotated := make(chan error, 1), make(chan error, 1)
	go func() {
		defer close(sent)
		defer body.Close() // where it was answered too early
		_, err := u.send(http.MethodPatch, u.at, body, http.StatusAccepted)
		sent <- err
	}()
	half := len(part) / 2
	if _, err := rest.Write(part[:half]); err != nil {
		u.t.Fatal(err)
	}
	go func() {
		out, err := lifecycle.Rotate(u.t.Context(), u.d, lifecycle.RotateOptions{Leaves: []string{stack.LeafRegistry}})
		if err == nil && (out.RolledBack || !out.Report.OK()) {
			err = fmt.Errorf("%+v", out.Report)
		}
		rotated <- err
	}()
	for start := time.Now(); u.connects(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			u.t.Fatal("the registry goes on to take connections")
		}
	}
	if _, err := rest.Write(part[half:]); err != nil {
		u.t.Errorf("sending the second half: %v", err)
	}
	rest.Close()
	if err := <-sent; err != nil {
		u.t.Errorf("the part that was on its way: %v", err)
	}
	if err := <-rotated; err != nil {
		u.t.Fatal(err)
	}
}

// upload is an upload to the registry of a stack, by its first user.
type upload struct {
	t  *testing.T
	d  lifecycle.Deps
	at *url.URL // where it goes on, as the registry has said last
}

// connects reports whether the registry takes a connection.
func (u *upload) connects() bool {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent
	c, err := dialer.DialContext(u.t.Context(), "tcp", u.at.Host)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// ask is send, for what must not fail.
func (u *upload) ask(method string, at *url.URL, body io.Reader, want int) []byte {
	u.t.Helper()
	answer, err := u.send(method, at, body, want)
	if err != nil {
		u.t.Fatal(err)
	}
	return answer
}

// send makes a request in a connection of its own, and returns what the answer
// holds.
func (u *upload) send(method string, at *url.URL, body io.Reader, want int) ([]byte, error) {
	trust, err := pki.ParseTrustBundle(readAt(u.t, u.d, stack.FileClientCA))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust.Pool()}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(u.t.Context(), method, at.String(), body)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(stack.DefaultUser, passwordsOf(u.t, u.d)[stack.DefaultUser])
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		return nil, fmt.Errorf("%s %s gets %d, want %d: %s, %v", method, at.Path, response.StatusCode, want, answer, err)
	}
	if next := response.Header.Get("Location"); next != "" {
		u.at, err = at.Parse(next)
	}
	return answer, err
}
