package lint

import (
	"crypto/x509"
	"io/fs"
	"path"
	"slices"
	"time"
)

// CertFile is a file of certificates or keys, as it lies on the disk.
type CertFile struct {
	Path string
	Data []byte
	// Mode holds the permission bits, and fs.ModeDir where a directory lies in
	// the file's place; 0 when nothing is known.
	Mode       fs.FileMode
	UID, GID   int   // owner; -1 when not known
	Mounted    bool  // a container sees the directory that it lies in
	Unreadable error // why it could not be read; then there is no Data
}

// Use is what a file is used for, as configs name it.
type Use string

// The uses. For a registry's own server the TrustCA is what the builder and
// other clients trust; for a builder's it is what buildctl and buildx trust.
const (
	ServerCert Use = "server certificate"
	ServerKey  Use = "server key"
	ClientCA   Use = "client CA"  // whom a server lets in
	TrustCA    Use = "trusted CA" // what a client, or the builder, trusts for a server
	ClientCert Use = "client certificate"
	ClientKey  Use = "client key"
)

// Used says that a daemon or a client uses a file.
type Used struct {
	Subject Subject  // whose server it is about, also for what clients of it use
	Use     Use      //
	Path    string   // of the CertFile
	Names   []string // ServerCert: host names and addresses that clients dial it by, without ports
	Reader  int      // the uid that reads it; -1 when not known; root (0) reads everything
	Pair    string   // ServerCert, ClientCert: the path of its key
	// Trust are paths. ServerCert: of the TrustCA files that clients of it use.
	// Those whose uses stand at one place of one config (File and Object) are
	// one list, and of each list one CA has to verify the server. ClientCert: of
	// ClientCA files, one of which has to let it in.
	Trust []string
	File  string // the config in which the use stands, "" when nobody has written it
	Line  int
	// Object is the key there, as `registry."localhost:5005".ca`.
	Object string
}

// Certificates returns what is wrong with the files, for those who use them, at
// the given time: as the daemons and their clients would find out, which all
// judge with Go's crypto/tls, or as OpenSSL and GnuTLS would where those differ.
// What is wrong with one file that several use is one finding. The names of
// certificates end up in the texts, and never what a key file holds.
func Certificates(files []CertFile, uses []Used, now time.Time) []Finding {
	b := newBoard(files, uses, now)
	var out []Finding
	for i, u := range b.uses {
		out = append(out, b.accessFindings(u)...)
		if !slices.ContainsFunc(b.uses[:i], u.alike) {
			out = append(out, b.fileFindings(b.forAll(u))...)
		}
	}
	for _, l := range b.leaves() {
		out = append(out, b.leafFindings(l)...)
	}
	out = append(out, b.bundleFindings()...)
	out = append(out, b.keyFindings()...)
	out = append(out, b.serialFindings()...)
	return merged(out)
}

// held is a file that was read.
type held struct {
	CertFile
	content
}

// board is everything that is judged together.
type board struct {
	files []held
	uses  []Used
	now   time.Time
}

func newBoard(files []CertFile, uses []Used, now time.Time) board {
	b := board{uses: uses, now: now}
	for _, f := range files {
		b.files = append(b.files, held{f, readContent(f.Data)})
	}
	return b
}

// file returns the file at a path, and whether there is one.
func (b board) file(name string) (held, bool) {
	i := slices.IndexFunc(b.files, func(h held) bool { return path.Clean(h.Path) == path.Clean(name) })
	if name == "" || i < 0 {
		return held{}, false
	}
	return b.files[i], true
}

// alike reports whether another use wants the same of the same file.
func (u Used) alike(other Used) bool {
	return path.Clean(u.Path) == path.Clean(other.Path) && u.key() == other.key()
}

// forAll returns the use without its subject, when others use the file alike.
func (b board) forAll(u Used) Used {
	if slices.ContainsFunc(b.uses, func(other Used) bool { return u.alike(other) && u.Subject != other.Subject }) {
		u.Subject = ""
	}
	return u
}

// leaf is a certificate that somebody shows.
type leaf struct {
	Used
	file  held
	cert  *x509.Certificate
	above []*x509.Certificate // what is sent along
}

// title names it in sentences.
func (l leaf) title() string { return title(l.cert, l.Path) }

// server reports whether it is a server's.
func (l leaf) server() bool { return l.Use == ServerCert }

// usage returns what it has to be good for.
func (l leaf) usage() x509.ExtKeyUsage {
	if l.server() {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// leaves returns the certificates that servers and clients show, as far as they
// can be read.
func (b board) leaves() []leaf {
	var out []leaf
	for _, u := range b.uses {
		f, ok := b.file(u.Path)
		if !ok || u.Use != ServerCert && u.Use != ClientCert || !f.usable() || len(f.certs) == 0 {
			continue
		}
		i := leafAt(f.certs)
		above := slices.Delete(slices.Clone(f.certs), i, i+1)
		out = append(out, leaf{u, f, f.certs[i], above})
	}
	return out
}

// leafAt finds the leaf among the certificates of a file: the first that has
// signed none of the others.
func leafAt(certs []*x509.Certificate) int {
	i := slices.IndexFunc(certs, func(cert *x509.Certificate) bool {
		return !slices.ContainsFunc(certs, func(other *x509.Certificate) bool {
			return !other.Equal(cert) && named(other, cert) && signed(other, cert)
		})
	})
	return max(i, 0)
}

// leafFindings judges a certificate that somebody shows.
func (b board) leafFindings(l leaf) []Finding {
	var out []Finding
	for _, judge := range []func(leaf) []Finding{
		b.pairFindings, orderFindings, b.dateFindings, weakFindings, usageFindings, selfFindings, nameFindings, b.chainFindings,
	} {
		out = append(out, judge(l)...)
	}
	return out
}

// at returns a finding at the place where the use stands, or else at the file.
func (u Used) at(rule, problem, mend string) Finding {
	f := Finding{Rule: rule, Subject: u.Subject, File: u.File, Line: u.Line, Object: u.Object, Problem: problem, Mend: mend}
	if f.File == "" {
		f.File, f.Line = u.Path, 0
	}
	if f.Object == "" {
		f.Object = string(u.Use)
	}
	return f
}

// in returns a finding about what a file holds, whoever uses it.
func (u Used) in(rule string, cert *x509.Certificate, problem, mend string) Finding {
	f := Finding{Rule: rule, Subject: u.Subject, File: u.Path, Problem: problem, Mend: mend}
	if cert != nil {
		f.Object = name(cert)
	}
	return f
}

// merged leaves one of the findings that say the same. Where they are about
// different daemons, what is left is about none of them alone.
func merged(findings []Finding) []Finding {
	type text struct{ rule, problem string }
	at := map[text]int{}
	var out []Finding
	for _, f := range findings {
		i, again := at[text{f.Rule, f.Problem}]
		if !again {
			at[text{f.Rule, f.Problem}] = len(out)
			out = append(out, f)
		} else if out[i].Subject != f.Subject {
			out[i].Subject = ""
		}
	}
	return out
}
