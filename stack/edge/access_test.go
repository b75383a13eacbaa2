package edge

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/certyard/certyard/pki/pkitest"
)

type certificate = x509.Certificate

func TestParseAccess(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Access
		err        string
	}{
		{"least", `{"version":1}`, Access{}, ""},
		{"nulls", `{"version":1,"removed":null,"allow":null}`, Access{}, ""},
		{"nobody", `{"version":1,"allow":[]}`, Access{Allow: []string{}}, ""},
		{"all", ` {"version":1,"removed":[{"name":"bob","serial":"0A:FF","issuer":"AB:CD"},{"serial":"1"}],"allow":["ci"]} `, Access{
			Removed: []RemovedClient{{"bob", "aff", "abcd"}, {"", "1", ""}}, Allow: []string{"ci"},
		}, ""},
		{"empty", ``, Access{}, "EOF"},
		{"no version", `{}`, Access{}, "version 0 is not known"},
		{"version", `{"version":2}`, Access{}, "version 2 is not known"},
		{"not JSON", `version: 1`, Access{}, "invalid character"},
		{"a list", `[]`, Access{}, "cannot unmarshal"},
		{"null", `null`, Access{}, "version 0"},
		{"cut off", `{"version":1,"removed":[{"serial":"1"}`, Access{}, "EOF"},
		{"unknown key", `{"version":1,"deny":[]}`, Access{}, `key "deny" is not known`},
		{"capitals", `{"version":1,"Removed":[]}`, Access{}, `key "Removed" is not known`},
		{"key of another place", `{"version":1,"serial":"1"}`, Access{}, "unknown field"},
		{"twice", `{"version":1,"removed":[{"serial":"1"}],"removed":[]}`, Access{}, `key "removed" is not known, or stands there twice`},
		{"twice in a client", `{"version":1,"removed":[{"serial":"1","serial":"2"}]}`, Access{}, "twice"},
		{"something behind", `{"version":1} {}`, Access{}, "something follows"},
		{"garbage behind", `{"version":1} x`, Access{}, "something follows"},
		{"no serial", `{"version":1,"removed":[{"name":"bob"}]}`, Access{}, `removed[0] ("bob"): serial "" is no hexadecimal number`},
		{"serial", `{"version":1,"removed":[{"serial":"0x12"}]}`, Access{}, `serial "0x12"`},
		{"negative serial", `{"version":1,"removed":[{"serial":"-1"}]}`, Access{}, `serial "-1"`},
		{"serial is a number", `{"version":1,"removed":[{"serial":12}]}`, Access{}, "cannot unmarshal number"},
		{"issuer", `{"version":1,"removed":[{"serial":"1","issuer":"abc"}]}`, Access{}, `issuer "abc" is no key id`},
		{"allow", `{"version":1,"allow":"ci"}`, Access{}, "cannot unmarshal string"},
		{"no UTF-8", "{\"version\":1,\"allow\":[\"\xff\"]}", Access{}, "no UTF-8"},
		{"too deep", strings.Repeat("[", 10_000), Access{}, "nested too deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseAccess([]byte(c.text))
			if c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %+v, %v; want %q", got, err, c.err)
			}
		})
	}
}

// TestAccessJudge: a removed client is known by its serial number, and its CA
// where the list names it.
func TestAccessJudge(t *testing.T) {
	ca, other := pkitest.New(t, time.Now()), pkitest.New(t, time.Now())
	bob := ca.Client(t, "bob").Cert
	key := func(c *pkitest.CA) string { return hex.EncodeToString(c.Pair.Cert.SubjectKeyId) }
	serial := bob.SerialNumber.Text(16)
	for _, c := range []struct {
		name string
		list Access
		want Reason
	}{
		{"empty", Access{}, OK},
		{"by serial", Access{Removed: []RemovedClient{{"", "1", ""}, {"", serial, ""}}}, Removed},
		{"another serial", Access{Removed: []RemovedClient{{"bob", "1", ""}}}, OK},
		{"of its CA", Access{Removed: []RemovedClient{{"", serial, key(ca)}}}, Removed},
		{"of another CA", Access{Removed: []RemovedClient{{"", serial, key(other)}}}, OK},
		{"allowed", Access{Allow: []string{"alice", "bob"}}, OK},
		{"not allowed", Access{Allow: []string{"alice", "Bob", "bo", "bobby"}}, NotAllowed},
		{"nobody", Access{Allow: []string{}}, NotAllowed},
		{"removed and allowed", Access{Removed: []RemovedClient{{"", serial, ""}}, Allow: []string{"bob"}}, Removed},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gate{roots: ca.Trust().Pool(), access: c.list}
			if got := g.judge(ca.Client(t, "bob").Certs(), time.Now()); len(c.list.Removed) == 0 && got != c.want {
				t.Errorf("another certificate of bob's: %s, want %s", got, c.want)
			}
			chains := [][]*certificate{{bob, ca.Pair.Cert}}
			if got := c.list.judge(bob, chains); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	// A leaf without the key id of its CA: the chain tells.
	bare := *bob
	bare.AuthorityKeyId = nil
	list := Access{Removed: []RemovedClient{{"", serial, key(ca)}}}
	if got := list.judge(&bare, [][]*certificate{{&bare, ca.Pair.Cert}}); got != Removed {
		t.Errorf("without a key id: %s", got)
	}
}

// FuzzAccess: a list is read or refused, and what is read says what it says when
// it is written and read again.
func FuzzAccess(f *testing.F) {
	for _, seed := range []string{`{"version":1,"removed":[{"name":"bob","serial":"0aff","issuer":""}],"allow":["ci","alice"]}`, `{"version":1}`, ``, `null`, `{"version":1,"allow":[]}`, `{"version":1,"version":1}`, strings.Repeat("[", 100), `{"version":1}{}`, "{\"version\":1,\"allow\":[\"\xff\"]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAccess(data)
		if err != nil {
			return
		}
		again := accessFile{Version: 1, Allow: a.Allow}
		for _, r := range a.Removed {
			again.Removed = append(again.Removed, removedClient(r))
		}
		text, err := json.Marshal(again)
		check(t, err)
		b, err := ParseAccess(text)
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("got %+v, %v; want %+v", b, err, a)
		}
	})
}
