package compose

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

var (
	locked = "sha256:" + strings.Repeat("a", 64)
	newer  = "sha256:" + strings.Repeat("b", 64)
)

// shelf is an engine that has images and may pull others.
type shelf struct {
	have, remote map[string]string // answers to an inspection, by reference
	pulled       []string
}

// serve returns a connection to it.
func (s *shelf) serve(t *testing.T) *Engine {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Connect(t.Context(), Options{Host: "tcp://" + u.Host, ConfigDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.44")
	if r.URL.Path == "/_ping" {
		return
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch ref, inspects := strings.CutSuffix(strings.TrimPrefix(path, "images/"), "/json"); {
	case path == "images/create":
		s.pull(w, r.URL.Query())
	case inspects && s.have[ref] != "":
		fmt.Fprint(w, s.have[ref])
	default:
		http.NotFound(w, r)
	}
}

func (s *shelf) pull(w http.ResponseWriter, query url.Values) {
	ref := strings.TrimPrefix(query.Get("fromImage"), "docker.io/library/") + "@" + query.Get("tag")
	s.pulled = append(s.pulled, ref)
	if s.remote[ref] == "" {
		http.Error(w, `{"message":"manifest unknown"}`, http.StatusNotFound)
		return
	}
	// An engine finds it by this name too.
	s.have[strings.Replace(ref, "@", ":3@", 1)] = s.remote[ref]
}

func inspected(id string, digests ...string) string {
	return fmt.Sprintf(`{"Id":%q,"RepoDigests":["%s"],"Config":{"Labels":{"org.opencontainers.image.version":"v3"}}}`, id, strings.Join(digests, `","`))
}

// TestImagesExact: what is named exactly is taken where the engine has it, else
// pulled by its digest, and nothing else will do.
func TestImagesExact(t *testing.T) {
	exact := "registry:3@" + locked
	bundle := bundledRepository + "registry:3-0123456789ab"
	for name, c := range map[string]struct {
		shelf  shelf
		exact  string
		source string
		pulled []string
	}{
		"present":           {shelf: shelf{have: map[string]string{exact: inspected("1", "registry@"+locked)}}, exact: exact, source: SourcePresent},
		"pulled":            {shelf: shelf{have: map[string]string{}, remote: map[string]string{"registry@" + locked: inspected("1", "registry@"+locked)}}, exact: exact, source: SourcePulled, pulled: []string{"registry@" + locked}},
		"the tag has moved": {shelf: shelf{have: map[string]string{"registry:3": inspected("2", "registry@"+newer)}}, exact: exact, pulled: []string{"registry@" + locked}},
		"bundled, loaded":   {shelf: shelf{have: map[string]string{bundle: inspected("3")}}, exact: bundle, source: SourceBundled},
	} {
		for _, policy := range []Policy{Auto, Pull, Bundled} {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				s := c.shelf
				s.have = map[string]string{}
				for ref, answer := range c.shelf.have {
					s.have[ref] = answer
				}
				got, err := s.serve(t).Images(t.Context(), []Image{{Service: "a", Ref: "registry:3", Bundled: BundledRegistry, Exact: c.exact}}, policy, Bundle{}, nil)
				var inVain *PullError
				switch {
				case c.source == "" && !errors.As(err, &inVain):
					t.Errorf("Images = %+v, %v, want a PullError", got, err)
				case c.source != "" && (err != nil || got[0].Source != c.source || got[0].Ref != c.exact):
					t.Errorf("Images = %+v, %v, want %s from %s", got, err, c.exact, c.source)
				}
				if !slices.Equal(s.pulled, c.pulled) {
					t.Errorf("pulled %v, want %v", s.pulled, c.pulled)
				}
			})
		}
	}
}

func TestLook(t *testing.T) {
	bundle := bundledRepository + "registry:3-0123456789ab"
	s := &shelf{have: map[string]string{
		"registry:3": inspected("1", "registry@"+newer, "mirror.lan/registry@"+locked, "docker.io/library/registry@"+locked),
		bundle:       inspected("2"),
	}}
	e := s.serve(t)
	got, err := e.Look(t.Context(), "a", "registry:3")
	if want := []string{"registry@" + locked, "registry@" + newer}; err != nil || !slices.Equal(got.Digests, want) || got.Version != "v3" || got.Source != SourcePresent {
		t.Errorf("Look = %+v, %v, want the digests %v", got, err, want)
	}
	if got, err := e.Look(t.Context(), "a", bundle); err != nil || got.Source != SourceBundled {
		t.Errorf("Look at a bundled image = %+v, %v", got, err)
	}
	if _, err := e.Look(t.Context(), "a", "registry:2"); !errors.Is(err, ErrNoImage) {
		t.Errorf("Look = %v, want ErrNoImage", err)
	}
	if s.pulled != nil {
		t.Errorf("it pulled %v", s.pulled)
	}
}
