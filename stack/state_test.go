package stack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/stack"
)

// roundTrips reports whether a state is the same after it was written and read,
// and written again.
func roundTrips(t testing.TB, s stack.State) bool {
	t.Helper()
	first, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	back, err := stack.ParseState(first.Data)
	if err != nil {
		t.Fatal(err)
	}
	second, err := back.File()
	if err != nil {
		t.Fatal(err)
	}
	return string(first.Data) == string(second.Data) && reflect.DeepEqual(normalState(back), normalState(s))
}

func normalState(s stack.State) stack.State {
	s.Spec = normal(s.Spec)
	return s
}

func TestStateRoundTrip(t *testing.T) {
	for i := range 300 {
		spec, facts := randomSpec(t, rand.New(rand.NewPCG(11, uint64(i))))
		facts.Privileges = stack.PrivilegesMinimal
		facts.RegistryUID, facts.RegistryGID = 1000, 100
		facts.HostUserNS = i%2 == 0
		facts.Images = map[string]string{stack.Registry: "registry:3", stack.Builder: "certyard/buildkit:x"}
		s := stack.State{
			Version: 1, Made: now, Spec: spec, Facts: facts,
			Files:  map[string]string{stack.FileCompose: stack.Sum([]byte("x"))},
			Issued: []stack.Issued{{Name: "ca", Serial: "0a", Cause: "there is none", NotAfter: now.Add(time.Hour)}},
		}
		if !roundTrips(t, s) {
			t.Fatalf("%+v is another after writing and reading", s)
		}
	}
}

// TestStateFormat is the format that state directories have on people's disks.
func TestStateFormat(t *testing.T) {
	s := stack.State{
		Version: 1, Made: now, Spec: mustRead(t, "registry: {publish: ''}"),
		Facts: stack.Facts{Privileges: stack.PrivilegesFull, RegistryUID: 65532, RegistryGID: 65532, Images: map[string]string{"registry": "registry:3"}},
		Files: map[string]string{"buildkit/certs/ca.crt": "00ff"},
		Issued: []stack.Issued{
			{Name: "registry", Serial: "1f", Cause: "there is none", NotAfter: now},
			{Name: "clients/bob", Issuer: "00ff00ff", IssuerKey: "00ff00ff0123", Serial: "2f", Fingerprint: "ab", Cause: "there is none", Made: now, NotAfter: now, Removed: now},
		},
		Clients: stack.Clients{Generation: 2, Named: []stack.Client{{Name: "ci", Added: now}}}, Retired: []string{"00ff00ff"},
	}
	file, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "version": 1,
  "made": "2026-11-23T09:30:00Z",
  "spec": {
    "name": "certyard",
    "serve": "daemon",
    "registry": {
      "image": "registry:3",
      "publish": {
        "ip": "",
        "port": 0
      },
      "users": [
        {
          "name": "testuser"
        }
      ]
    },
    "builder": {
      "image": "moby/buildkit:v0.34.2",
      "publish": {
        "ip": "127.0.0.1",
        "port": 1234
      },
      "tls": "server",
      "privileges": "auto"
    },
    "pki": {
      "key": "ecdsa-p256",
      "ca_validity_ns": 315360000000000000,
      "leaf_validity_ns": 7776000000000000,
      "authority": "local",
      "hierarchy": "single",
      "ca_keys": "plain"
    },
    "images": "auto"
  },
  "facts": {
    "privileges": "privileged",
    "registry_uid": 65532,
    "registry_gid": 65532,
    "images": {
      "registry": "registry:3"
    }
  },
  "files": {
    "buildkit/certs/ca.crt": "00ff"
  },
  "issued": [
    {
      "name": "registry",
      "serial": "1f",
      "cause": "there is none",
      "not_after": "2026-11-23T09:30:00Z"
    },
    {
      "name": "clients/bob",
      "issuer": "00ff00ff",
      "issuer_key": "00ff00ff0123",
      "serial": "2f",
      "fingerprint": "ab",
      "cause": "there is none",
      "made": "2026-11-23T09:30:00Z",
      "not_after": "2026-11-23T09:30:00Z",
      "removed": "2026-11-23T09:30:00Z"
    }
  ],
  "clients": {
    "ca_generation": 2,
    "named": [
      {
        "name": "ci",
        "added": "2026-11-23T09:30:00Z"
      }
    ]
  },
  "retired": [
    "00ff00ff"
  ],
  "sum": "SUM"
}
`
	sum := stack.Sum([]byte(strings.Replace(want, "SUM", strings.Repeat("0", 64), 1)))
	if string(file.Data) != strings.Replace(want, "SUM", sum, 1) {
		t.Errorf("got %s", file.Data)
	}
	if file.Path != "state.json" || file.Mode != 0o600 || file.Once {
		t.Errorf("the file is %+v", file)
	}
}

// TestOldRecord reads a record of a version that knew no times of it.
func TestOldRecord(t *testing.T) {
	s, err := stack.ParseState([]byte(`{"version":1,"issued":[{"name":"ca","serial":"0a","cause":"there is none","not_after":"2026-11-23T09:30:00Z"}]}`))
	if want := (stack.Issued{Name: "ca", Serial: "0a", Cause: "there is none", NotAfter: now}); err != nil || len(s.Issued) != 1 || s.Issued[0] != want {
		t.Errorf("got %+v and %v", s.Issued, err)
	}
}

// TestStateDamaged: a record is read as it was written or not at all, whichever bit
// of it has flipped and wherever it was torn.
func TestStateDamaged(t *testing.T) {
	s := stack.State{Version: 1, Made: now, Spec: mustRead(t, ""), Rotation: &stack.Rotation{CAs: []string{"ca"}, Phase: stack.PhaseSwitch, Started: now}}
	file, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	good, err := stack.ParseState(file.Data)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, at int, data []byte) {
		t.Helper()
		got, err := stack.ParseState(data)
		if err == nil && !reflect.DeepEqual(got, good) {
			t.Errorf("%s at %d: read as %+v, %v", what, at, got, err)
		}
	}
	changed := bytes.Replace(file.Data, []byte(`"switch"`), []byte(`"expand"`), 1)
	if _, err := stack.ParseState(changed); err == nil {
		t.Error("another phase is not seen")
	} else if _, damaged := errors.AsType[*stack.DamagedError](err); !damaged {
		t.Errorf("another phase: %v", err)
	}
	for i := range file.Data {
		check("torn", i, file.Data[:i])
		for bit := range 8 {
			flipped := bytes.Clone(file.Data)
			flipped[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d", bit), i, flipped)
		}
	}
}

func TestParseStateProblems(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "reading state.json: unexpected end of JSON input",
		"{":                                  "reading state.json: unexpected end of JSON input",
		"null":                               "reading state.json: format version 0 is not known, this certyard reads 1",
		`{"version":2,"spec":"x","sum":"y"}`: "reading state.json: format version 2 is not known, this certyard reads 1",
		`{"version":2}`:                      "reading state.json: format version 2 is not known, this certyard reads 1",
		`{"version":"1"}`:                    "reading state.json: json: cannot unmarshal string",
		`{"version":1,"spec":{"registry":{"publish":{"ip":"x"}}}}`: "reading state.json: ",
	} {
		if _, err := stack.ParseState([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	s := stack.Secrets{HTTPSecret: "h", Passwords: map[string]string{"a": `"<&>\`, "b": ""}}
	file, err := stack.JSONFile(stack.FileSecrets, s)
	if err != nil || file.Mode != 0o600 {
		t.Fatalf("got %v and mode %v", err, file.Mode)
	}
	if back, err := stack.ParseSecrets(file.Data); err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("got %+v and %v, want %+v", back, err, s)
	}
	// An error of the JSON library quotes what it stumbles over.
	for _, text := range []string{`{"passwords":{"a":s3cret}}`, `{"passwords":"s3cret"}`, `s3cret`} {
		back, err := stack.ParseSecrets([]byte(text))
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "'s'") || back.Passwords != nil {
			t.Errorf("%s: got %v and %v", text, back, err)
		}
	}
	if _, err := stack.JSONFile("x", make(chan int)); err == nil || !strings.HasPrefix(err.Error(), "rendering x: ") {
		t.Errorf("got %v", err)
	}
}

func TestSum(t *testing.T) {
	// As sha256sum prints it.
	if got := stack.Sum([]byte("abc")); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("got %s", got)
	}
	if !json.Valid([]byte(`"` + stack.Sum(nil) + `"`)) {
		t.Error("not text")
	}
}
