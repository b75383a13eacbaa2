package lint

import (
	"cmp"
	"crypto/x509"
	"path"
	"slices"
	"strings"
	"time"
)

// Guess returns what the files of a directory are used for when no config says so:
// which key belongs to which certificate, by the public keys, and which are CAs,
// servers and clients, by their usages and by the names that people give such
// files (registry.crt, domain.crt, ca.pem, client.pem ...). names are what
// clients dial the daemons by, and are asked of the servers. The uses are in the
// order of the files; whose a server is that could be anybody's, none says.
func Guess(files []CertFile, names map[Subject][]string) []Used {
	g := guess{board: newBoard(files, nil, time.Time{}), names: names}
	var out []Used
	for _, f := range g.files {
		switch {
		case f.Unreadable != nil || f.Mode.IsDir():
		case len(f.certs) > 0:
			out = append(out, g.certUses(f)...)
		case len(f.keys) > 0 || f.locked:
		default:
			out = append(out, g.spoiled(f)...)
		}
	}
	return g.withKeys(out)
}

// guess is what is known while guessing.
type guess struct {
	board
	names map[Subject][]string
}

// certUses returns the uses of a file that holds certificates.
func (g guess) certUses(f held) []Used {
	cert := f.certs[leafAt(f.certs)]
	switch {
	case g.authority(f, cert):
		return g.authorityUses(f)
	case client(f, cert):
		return []Used{{Subject: g.only(cmp.Or(subjectOf(f.Path), Builder)), Use: ClientCert, Path: f.Path, Reader: -1, Pair: g.keyOf(f, cert), Trust: g.signers(f, cert, ClientCA)}}
	}
	subject := g.serverOf(f, cert)
	use := Used{Subject: subject, Use: ServerCert, Path: f.Path, Names: g.names[subject], Reader: -1, Pair: g.keyOf(f, cert), Trust: g.signers(f, cert, TrustCA)}
	if !selfSigned(cert) {
		return []Used{use}
	}
	use.Trust = []string{f.Path} // the clients of a self-signed server trust it
	return []Used{use, {Subject: subject, Use: TrustCA, Path: f.Path, Reader: -1}}
}

// authority reports whether a file is there to be trusted. One with a CA alone may
// be a self-signed server's, when it is named like one and its key is here.
func (g guess) authority(f held, cert *x509.Certificate) bool {
	if cert.IsCA && authorityName(f.Path) {
		return true
	}
	return isCA(cert) && !(selfSigned(cert) && len(g.signedBy(cert)) == 0 && g.keyOf(f, cert) != "")
}

// authorityName reports whether a file is named like a CA's: ca.pem, client-ca.crt,
// rootCA.pem.
func authorityName(file string) bool {
	words := strings.FieldsFunc(stem(file), func(r rune) bool { return strings.ContainsRune("-_. ", r) })
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "ca") || w == "root" || w == "cacert" })
}

// authorityUses returns who trusts a CA: the clients of the servers that it has
// signed, and the servers of the clients. One that has signed nothing here is
// taken for one that clients trust. An intermediate CA is trusted by nobody when
// the CA above it is here.
func (g guess) authorityUses(f held) []Used {
	var out []Used
	add := func(u Used) {
		if !slices.ContainsFunc(out, func(have Used) bool { return have.Subject == u.Subject && have.Use == u.Use }) {
			out = append(out, u)
		}
	}
	for _, ca := range f.certs {
		if !selfSigned(ca) && slices.ContainsFunc(g.files, func(h held) bool {
			return slices.ContainsFunc(h.certs, func(up *x509.Certificate) bool { return isCA(up) && named(ca, up) && signed(ca, up) })
		}) {
			continue
		}
		for _, h := range g.signedBy(ca) {
			cert := h.certs[leafAt(h.certs)]
			if client(h, cert) {
				add(Used{Subject: g.only(cmp.Or(subjectOf(h.Path), Builder)), Use: ClientCA, Path: f.Path, Reader: -1})
			} else {
				add(Used{Subject: g.serverOf(h, cert), Use: TrustCA, Path: f.Path, Reader: -1})
			}
		}
		if len(g.signedBy(ca)) == 0 {
			add(Used{Subject: g.only(subjectOf(f.Path)), Use: TrustCA, Path: f.Path, Reader: -1})
		}
	}
	return out
}

// signedBy returns the files whose leaf a CA has signed, itself or through an
// intermediate CA of the files.
func (g guess) signedBy(ca *x509.Certificate) []held {
	return slices.DeleteFunc(slices.Clone(g.files), func(f held) bool {
		return len(f.certs) == 0 || isCA(f.certs[leafAt(f.certs)]) || !g.above(f.certs[leafAt(f.certs)], ca)
	})
}

func (g guess) above(cert, ca *x509.Certificate) bool {
	for range 4 { // longer chains are nobody's
		if cert.Equal(ca) {
			return false
		}
		if named(cert, ca) && signed(cert, ca) {
			return true
		}
		up := g.parent(cert)
		if up == nil {
			return false
		}
		cert = up
	}
	return false
}

// parent returns an intermediate CA of the files that has signed a certificate.
func (g guess) parent(cert *x509.Certificate) *x509.Certificate {
	for _, f := range g.files {
		for _, ca := range f.certs {
			if !ca.Equal(cert) && isCA(ca) && named(cert, ca) && signed(cert, ca) {
				return ca
			}
		}
	}
	return nil
}

// signers returns the files of CAs that a certificate is to be verified with: those
// that have signed it, or else all, so that it is said that none has. The CA in a
// directory for buildctl is none of those for its client: it is for the server.
func (g guess) signers(leaf held, cert *x509.Certificate, use Use) []string {
	var mine, all []string
	var apart bool
	for _, f := range g.files {
		if len(f.certs) == 0 || !g.authority(f, f.certs[leafAt(f.certs)]) {
			continue
		}
		all, apart = append(all, f.Path), apart || tlsDir(f.Path, leaf.Path)
		root := func(ca *x509.Certificate) bool { return g.above(cert, ca) && (selfSigned(ca) || g.parent(ca) == nil) }
		if slices.ContainsFunc(f.certs, root) {
			mine = append(mine, f.Path)
		}
	}
	if len(mine) > 0 || use == ClientCA && (apart || len(all) > 1) {
		return mine
	}
	return all
}

// tlsDir reports whether a CA and a client's certificate are named, and beside each
// other, as in a directory for buildctl --tlsdir (buildkit v0.34.2
// cmd/buildctl/common/common.go:119-143).
func tlsDir(ca, cert string) bool {
	return beside(ca, cert) && slices.Contains([]string{"ca.pem", "ca.crt"}, path.Base(ca)) && slices.Contains([]string{"cert.pem", "tls.crt"}, path.Base(cert))
}

// client reports whether a certificate is a client's, by its usages, or where it
// has several, by the name of its file.
func client(f held, cert *x509.Certificate) bool {
	if len(cert.ExtKeyUsage) > 0 && !allows(cert, x509.ExtKeyUsageServerAuth) {
		return allows(cert, x509.ExtKeyUsageClientAuth)
	}
	return allows(cert, x509.ExtKeyUsageClientAuth) && strings.Contains(strings.ToLower(f.Path), "client")
}

// subjectOf tells whose a file is by its path.
func subjectOf(file string) Subject {
	file = strings.ToLower(file)
	switch {
	case strings.Contains(file, "registry"), stem(file) == "domain": // docker's documentation calls it domain.crt
		return Registry
	case strings.Contains(file, "buildkit"), strings.Contains(file, "builder"), strings.HasPrefix(path.Base(path.Dir(file)), "daemon"):
		return Builder
	}
	return ""
}

// serverOf tells whose a server's certificate is: by its path, or by which daemon's
// names it is valid for.
func (g guess) serverOf(f held, cert *x509.Certificate) Subject {
	if s := subjectOf(f.Path); s != "" {
		return s
	}
	count := func(s Subject) int {
		return len(slices.DeleteFunc(slices.Clone(g.names[s]), func(name string) bool { return cert.VerifyHostname(name) != nil }))
	}
	switch r, b := count(Registry), count(Builder); {
	case r > b:
		return Registry
	case b > r:
		return Builder
	}
	return g.only("")
}

// only returns the subject, or when there is none the one that names are known of.
func (g guess) only(s Subject) Subject {
	if s == "" && len(g.names) == 1 {
		for one := range g.names {
			return one
		}
	}
	return s
}

// keyOf returns the file of the certificate's key: by the public key, first in its
// own directory, or else by the name.
func (g guess) keyOf(f held, cert *x509.Certificate) string {
	var near, far, alike string
	for _, other := range g.files {
		switch {
		case slices.ContainsFunc(other.keys, belongsTo(cert)) && beside(other.Path, f.Path):
			near = cmp.Or(near, other.Path)
		case slices.ContainsFunc(other.keys, belongsTo(cert)):
			far = cmp.Or(far, other.Path)
		case len(other.certs) == 0 && keyName(other.Path) && beside(other.Path, f.Path) && stem(other.Path) == stem(f.Path):
			alike = cmp.Or(alike, other.Path)
		}
	}
	return cmp.Or(near, far, alike)
}

func keyName(file string) bool {
	base := strings.ToLower(path.Base(file))
	return strings.HasSuffix(base, ".key") || strings.Contains(base, "key")
}

// spoiled returns the use of a file that could not be understood, by its name.
func (g guess) spoiled(f held) []Used {
	u := Used{Subject: g.only(subjectOf(f.Path)), Path: f.Path, Reader: -1}
	switch base := strings.ToLower(path.Base(f.Path)); {
	case !slices.Contains([]string{".crt", ".cert", ".cer", ".pem", ".key", ".der"}, path.Ext(base)):
		return nil // requests, serial numbers, configs
	case keyName(f.Path):
		return nil // comes with its certificate
	case strings.HasPrefix(base, "ca"), strings.HasPrefix(base, "root"):
		u.Use = TrustCA
	case strings.Contains(base, "client"):
		u.Use = ClientCert
	default:
		u.Use = ServerCert
	}
	return []Used{u}
}

// withKeys adds the keys behind the certificates that they belong to.
func (g guess) withKeys(uses []Used) []Used {
	var out []Used
	for _, u := range uses {
		out = append(out, u)
		key := map[Use]Use{ServerCert: ServerKey, ClientCert: ClientKey}[u.Use]
		if u.Pair != "" && key != "" {
			out = append(out, Used{Subject: u.Subject, Use: key, Path: u.Pair, Reader: -1})
		}
	}
	return out
}
