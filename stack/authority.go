package stack

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
)

// Authority says who signs the servers' certificates. Client certificates are
// always signed by a CA of the stack's own: only the builder has to trust it,
// and removing a client replaces it.
type Authority string

const (
	// AuthorityLocal: a CA that certyard makes.
	AuthorityLocal Authority = "local"
	// AuthorityFiles: a CA whose certificate and key the user has.
	AuthorityFiles Authority = "files"
	// AuthorityExternal: a CA whose certificate the user has. Requests are
	// written for it, and what it has signed is imported.
	AuthorityExternal Authority = "external"
	// AuthorityRemote: a cfssl server.
	AuthorityRemote Authority = "remote"
	// AuthoritySelfSigned: none, each server's certificate is its own.
	AuthoritySelfSigned Authority = "self-signed"
)

// Hierarchy says how many CAs there are above the servers' certificates.
type Hierarchy string

const (
	// HierarchySingle: the root signs.
	HierarchySingle Hierarchy = "single"
	// HierarchyTwoTier: the root signs an issuing CA, and that one signs. The
	// root's key can be moved away.
	HierarchyTwoTier Hierarchy = "two-tier"
)

// CAKeys says how the keys of CAs are kept.
type CAKeys string

const (
	// CAKeysPlain: readable by their owner.
	CAKeysPlain CAKeys = "plain"
	// CAKeysEncrypted: with a passphrase.
	CAKeysEncrypted CAKeys = "encrypted"
)

// PKISpec says how keys and certificates are made. Paths are absolute: the
// command has found those of the config beside it, and they are recorded for
// commands that are run somewhere else.
type PKISpec struct {
	Key            pki.KeyType   `json:"key"`
	CAValidity     time.Duration `json:"ca_validity_ns"`
	LeafValidity   time.Duration `json:"leaf_validity_ns"`
	Authority      Authority     `json:"authority"`
	Hierarchy      Hierarchy     `json:"hierarchy"`
	CAKeys         CAKeys        `json:"ca_keys"`
	PassphraseFile string        `json:"passphrase_file,omitempty"`
	CACert         string        `json:"ca_cert,omitempty"`
	CAKey          string        `json:"ca_key,omitempty"`
	Remote         RemoteSpec    `json:"remote,omitzero"`
}

// RemoteSpec is the cfssl server of [AuthorityRemote].
type RemoteSpec struct {
	URL         string `json:"url"`
	CA          string `json:"ca"`            // certificates that its TLS is verified with
	AuthKeyFile string `json:"auth_key_file"` // hexadecimal, as in cfssl's config
	Profile     string `json:"profile,omitempty"`
	Label       string `json:"label,omitempty"`
}

// KeyElsewhere reports whether a CA of the plan may lack its key: it is with
// the user, a person, a server, or was moved away.
func (p PKISpec) KeyElsewhere(ca string) bool {
	return ca == pki.CAName && (p.Authority != AuthorityLocal || p.Hierarchy == HierarchyTwoTier)
}

// withDefaults fills in what a state.json of before these keys lacks.
func (p PKISpec) withDefaults() PKISpec {
	p.Authority = Authority(or(string(p.Authority), string(AuthorityLocal)))
	p.Hierarchy = Hierarchy(or(string(p.Hierarchy), string(HierarchySingle)))
	p.CAKeys = CAKeys(or(string(p.CAKeys), string(CAKeysPlain)))
	return p
}

// pki checks the part of a config that says how certificates are made.
func (v *checker) pki(c PKIConfig) PKISpec {
	p := PKISpec{
		Key:            oneOf(v, "pki.key", or(c.Key, DefaultKey), pki.KeyTypes()...),
		CAValidity:     v.duration("pki.ca_validity", or(c.CAValidity, DefaultCAValidity)),
		LeafValidity:   v.duration("pki.leaf_validity", or(c.LeafValidity, DefaultLeafValidity)),
		Authority:      oneOf(v, "pki.authority", or(c.Authority, string(AuthorityLocal)), AuthorityLocal, AuthorityFiles, AuthorityExternal, AuthorityRemote, AuthoritySelfSigned),
		Hierarchy:      oneOf(v, "pki.hierarchy", or(c.Hierarchy, string(HierarchySingle)), HierarchySingle, HierarchyTwoTier),
		CAKeys:         oneOf(v, "pki.ca_keys", or(c.CAKeys, string(CAKeysPlain)), CAKeysPlain, CAKeysEncrypted),
		PassphraseFile: c.PassphraseFile, CACert: c.CACert, CAKey: c.CAKey, Remote: RemoteSpec(c.Remote),
	}
	v.authorityKeys(p)
	if p.Hierarchy == HierarchyTwoTier && p.Authority != AuthorityLocal {
		v.bad("pki.hierarchy", "%q is for pki.authority: local; with %q others decide how many CAs there are", p.Hierarchy, p.Authority)
	}
	if p.Authority == AuthorityRemote {
		v.remoteURL(p.Remote.URL)
	}
	return p
}

// authorityKeys checks that each key is there for the authorities that need it,
// and only for those that use it.
func (v *checker) authorityKeys(p PKISpec) {
	for _, k := range []struct {
		path, value, what string
		needs, takes      []Authority
	}{
		{"pki.ca_cert", p.CACert, "the file of the CA's certificate and those above it",
			[]Authority{AuthorityFiles, AuthorityExternal}, []Authority{AuthorityFiles, AuthorityExternal, AuthorityRemote}},
		{"pki.ca_key", p.CAKey, "the file of the CA's key", []Authority{AuthorityFiles}, []Authority{AuthorityFiles}},
		{"pki.remote.url", p.Remote.URL, "the address of the cfssl server", []Authority{AuthorityRemote}, []Authority{AuthorityRemote}},
		{"pki.remote.ca", p.Remote.CA, "the certificates that the server's TLS is verified with", []Authority{AuthorityRemote}, []Authority{AuthorityRemote}},
		{"pki.remote.auth_key_file", p.Remote.AuthKeyFile, "the file of the server's authentication key", []Authority{AuthorityRemote}, []Authority{AuthorityRemote}},
		{"pki.remote.profile", p.Remote.Profile, "", nil, []Authority{AuthorityRemote}},
		{"pki.remote.label", p.Remote.Label, "", nil, []Authority{AuthorityRemote}},
	} {
		switch {
		case k.value == "" && slices.Contains(k.needs, p.Authority):
			v.bad(k.path, "is missing: pki.authority %q needs %s", p.Authority, k.what)
		case k.value != "" && !slices.Contains(k.takes, p.Authority):
			v.bad(k.path, "means nothing with pki.authority %q", p.Authority)
		}
	}
}

func (v *checker) remoteURL(text string) {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "") {
		v.bad("pki.remote.url", "want https://host:port")
	}
}
