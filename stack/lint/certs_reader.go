package lint

import (
	"crypto/x509"
	"fmt"
	"path"
	"slices"

	"github.com/certyard/certyard/pki"
)

// accessFindings judges whether the process that reads a file may.
func (b board) accessFindings(u Used) []Finding {
	f, ok := b.file(u.Path)
	if !ok || f.Mode.IsDir() || mayRead(f.CertFile, u.Reader) {
		return nil
	}
	rule, mend := "certs.reader", fmt.Sprintf("chown %d %s, or chmod 644: a certificate is no secret", u.Reader, u.Path)
	if u.key() {
		rule, mend = "certs.key-reader", fmt.Sprintf("chown %d %s && chmod 400 %s", u.Reader, u.Path, u.Path)
	}
	return []Finding{u.at(rule, fmt.Sprintf(`the %s %s has mode %04o and belongs to uid %d, and who reads it runs as uid %d: %s and says "open %s: permission denied"`,
		u.Use, u.Path, f.Mode.Perm(), f.UID, u.Reader, effectReader(u), u.Path), mend)}
}

// effectReader says what comes of a file that may not be read.
func effectReader(u Used) string {
	if u.Use == TrustCA && u.Subject == Registry {
		return "the builder pulls and pushes nothing"
	}
	return effect(u)
}

// mayRead reports whether a user may read a file, also where that is not known:
// which groups a process is in is not, so group permission counts as permission.
func mayRead(f CertFile, uid int) bool {
	perm := f.Mode.Perm()
	switch {
	case uid <= 0 || f.UID < 0 || perm == 0:
		return true
	case uid == f.UID: // the owner's bits alone count for the owner
		return perm&0o400 != 0
	}
	return perm&0o044 != 0
}

// keyFindings judges who can read and write the files, used or not, and where the
// keys of CAs lie.
func (b board) keyFindings() []Finding {
	var out []Finding
	for _, f := range b.files {
		if f.Unreadable != nil || f.Mode.IsDir() {
			continue
		}
		u := b.user(f)
		secret := len(f.keys) > 0 || f.locked
		if f.Mode.Perm()&0o002 != 0 {
			out = append(out, u.in("certs.writable", nil, fmt.Sprintf("everybody on the host can write %s (mode %04o), and so put another certificate or key in its place", f.Path, f.Mode.Perm()),
				fmt.Sprintf("chmod o-w %s", f.Path)))
		}
		if who := b.tooMany(f); secret && who != "" {
			out = append(out, u.in("certs.key-mode", nil, fmt.Sprintf("%s can read the private key %s (mode %04o), and with it pose as its owner", who, f.Path, f.Mode.Perm()),
				fmt.Sprintf("chmod 600 %s, and give it to the uid that reads it", f.Path)))
		}
		out = append(out, b.authorityKey(u, f)...)
	}
	return out
}

// user returns the first use of a file; one of nobody's when there is none.
func (b board) user(f held) Used {
	for _, u := range b.uses {
		if path.Clean(u.Path) == path.Clean(f.Path) {
			return u
		}
	}
	return Used{Path: f.Path, Reader: -1}
}

// tooMany names who can read a key and need not, "" for nobody. The group may be
// the way in which a reader that does not own the file gets at it.
func (b board) tooMany(f held) string {
	perm := f.Mode.Perm()
	if perm&0o004 != 0 {
		return "everybody on the host"
	}
	needless := slices.ContainsFunc(b.uses, func(u Used) bool {
		return path.Clean(u.Path) == path.Clean(f.Path) && u.Reader >= 0 && (u.Reader == 0 || u.Reader == f.UID)
	})
	if perm&0o040 != 0 && needless {
		return fmt.Sprintf("group %d", f.GID)
	}
	return ""
}

// authorityKey finds the key of a CA that lies where a daemon gets at it.
func (b board) authorityKey(u Used, f held) []Finding {
	ca := b.authorityOf(f)
	if ca == nil {
		return nil
	}
	mend := fmt.Sprintf("move %s to a directory that no container mounts; where others could read it, make a new CA", f.Path)
	switch {
	case f.Mounted || u.Use != "":
		return []Finding{u.in("certs.ca-key-mounted", ca, fmt.Sprintf("%s is the private key of the CA %s, and a container can read it: who gets into that container can make certificates that all clients trust", f.Path, name(ca)), mend)}
	case b.besideServed(f):
		return []Finding{u.in("certs.ca-key-beside", ca, fmt.Sprintf("%s, the private key of the CA %s, lies in a directory of files that a daemon reads; once the directory is mounted, a container can make certificates that all clients trust", f.Path, name(ca)), mend)}
	}
	return nil
}

// authorityOf returns the CA whose key a file holds. A server that has signed
// itself has its key where it needs it.
func (b board) authorityOf(f held) *x509.Certificate {
	for _, other := range b.files {
		for _, cert := range other.certs {
			if !isCA(cert) || b.shown(cert) {
				continue
			}
			if slices.ContainsFunc(f.keys, belongsTo(cert)) {
				return cert
			}
		}
	}
	return nil
}

// shown reports whether a server or a client shows the certificate as its own.
func (b board) shown(cert *x509.Certificate) bool {
	return slices.ContainsFunc(b.leaves(), func(l leaf) bool { return l.cert.Equal(cert) })
}

func (b board) besideServed(f held) bool {
	return slices.ContainsFunc(b.uses, func(u Used) bool {
		return (u.Use == ServerCert || u.Use == ServerKey) && path.Dir(path.Clean(u.Path)) == path.Dir(path.Clean(f.Path))
	})
}

// pairFindings judges whether the key is the certificate's.
func (b board) pairFindings(l leaf) []Finding {
	f, ok := b.file(l.Pair)
	if !ok || !f.usable() || len(f.keys) == 0 {
		return nil
	}
	// Go takes the first key of the file, and the first certificate.
	if pki.Belongs(f.keys[0], l.cert) {
		return nil
	}
	return []Finding{l.at("certs.key-match", fmt.Sprintf(`the key %s does not belong to %s: %s and says "%s"`, l.Pair, l.title(), effect(l.Used), pairError(l.cert, f)),
		fmt.Sprintf("find the key whose public half is the certificate's: openssl pkey -in KEY -pubout has to print what openssl x509 -in %s -noout -pubkey prints; if it is lost, have a certificate made for the key that is there", l.Path))}
}
