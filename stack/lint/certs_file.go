package lint

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// fileFindings judges whether a file is there and holds what it is used for.
func (b board) fileFindings(u Used) []Finding {
	if u.Path == "" {
		return nil // a config without the key is judged where configs are
	}
	f, ok := b.file(u.Path)
	switch {
	case ok && f.Mode.IsDir():
		return []Finding{u.at("certs.missing", fmt.Sprintf("%s is a directory where the %s should be, as an engine makes one for a mount whose source does not exist, and %s", u.Path, u.Use, effect(u)),
			"remove the directory, put the file in its place and start the container anew; mount the directory above it, not the file")}
	case !ok, errors.Is(f.Unreadable, fs.ErrNotExist):
		return []Finding{u.at("certs.missing", fmt.Sprintf("the %s %s does not exist, so %s", u.Use, u.Path, effectMissing(u)),
			"put the file there, or correct the path")}
	}
	if f.Unreadable != nil {
		return []Finding{u.in("certs.unreadable", nil, fmt.Sprintf("the %s %s could not be read (%v), so what it holds is not judged", u.Use, u.Path, f.Unreadable),
			"look again as a user that may read it")}
	}
	if u.key() && b.swapped(u) {
		return nil // said of the certificate, where Go looks first
	}
	return contentFindings(u, f)
}

// swapped reports whether a key stands where its certificate should.
func (b board) swapped(key Used) bool {
	return slices.ContainsFunc(b.uses, func(u Used) bool {
		f, ok := b.file(u.Path)
		return ok && u.Pair == key.Path && len(f.certs) == 0 && len(f.keys) > 0
	})
}

// key reports whether a key is read from the file.
func (u Used) key() bool { return u.Use == ServerKey || u.Use == ClientKey }

// bundle reports whether CAs are read from the file.
func (u Used) bundle() bool { return u.Use == TrustCA || u.Use == ClientCA }

// contentFindings judges what a file holds by what it is used for.
func contentFindings(u Used, f held) []Finding {
	one := func(rule, problem, mend string) []Finding { return []Finding{u.in(rule, nil, problem, mend)} }
	switch {
	case f.form == formBOM && len(f.certs) > 0 && !u.bundle():
		return one("certs.not-pem", fmt.Sprintf("the %s %s: %s, so %s", u.Use, u.Path, f.form, effectSaid(u, f)), mendForm(u, f))
	case f.form != formPEM:
		return one("certs.not-pem", fmt.Sprintf("the %s %s cannot be read: %s, and PEM is wanted, so %s", u.Use, u.Path, f.form, effectSaid(u, f)), mendForm(u, f))
	case f.lost:
		return one("certs.damaged", fmt.Sprintf("the %s %s holds a block that Go does not see: it is cut off, or does not begin on a line of its own; %s", u.Use, u.Path, effectSaid(u, f)),
			"copy the file anew, and end each file with a line end before joining two")
	case f.broken != nil:
		return one("certs.damaged", fmt.Sprintf("the %s %s holds a block that Go cannot read (%v), so %s", u.Use, u.Path, f.broken, effect(u)),
			"copy the file anew, or make it with a key that Go knows: RSA, Ed25519, or ECDSA on P-256, P-384 or P-521")
	case u.key() && len(f.keys) == 0 && f.locked:
		return one("certs.encrypted-key", fmt.Sprintf("the %s %s is encrypted, and nobody asks for its passphrase: %s", u.Use, u.Path, effectSaid(u, f)),
			fmt.Sprintf("write it without one: openssl pkey -in %s -out plain.key && chmod 600 plain.key", u.Path))
	case u.key() && len(f.keys) == 0, !u.key() && len(f.certs) == 0:
		return one("certs.wrong-kind", fmt.Sprintf("the %s %s holds %s, so %s", u.Use, u.Path, f.kinds(), effectSaid(u, f)), mendKind(u, f))
	case u.bundle() && (len(f.keys) > 0 || f.locked):
		return one("certs.key-in-bundle", fmt.Sprintf("the %s %s also holds a private key, and everybody who is to trust the CA gets this file", u.Use, u.Path),
			fmt.Sprintf("keep the certificates alone: openssl crl2pkcs7 -nocrl -certfile %s | openssl pkcs7 -print_certs -out ca.crt; whoever has seen the key can use it, so make a new one", u.Path))
	}
	return nil
}

// kinds names what a file holds instead of what is wanted.
func (c content) kinds() string {
	var out []string
	if len(c.certs) > 0 {
		out = append(out, "a certificate")
	}
	if len(c.keys) > 0 || c.locked {
		out = append(out, "a private key")
	}
	for _, other := range c.others {
		out = append(out, "a "+other)
	}
	return strings.Join(out, " and ")
}

// daemon names who serves.
func (s Subject) daemon() string {
	switch s {
	case Registry:
		return "the registry"
	case Builder:
		return "buildkitd"
	}
	return "the server"
}

// effect says what comes of a file that holds nothing of use.
func effect(u Used) string {
	switch u.Use {
	case ServerCert, ServerKey, ClientCA:
		return u.Subject.daemon() + " does not start"
	case ClientCert, ClientKey:
		return "the client cannot connect"
	}
	switch u.Subject {
	case Registry: // buildkit drops the result of AppendCertsFromPEM (P2)
		return `the builder takes no CA from it, says nothing, and refuses the registry with "x509: certificate signed by unknown authority"`
	case Builder:
		return `clients do not dial and say "failed to append ca certs"`
	}
	return `clients refuse the server with "x509: certificate signed by unknown authority"`
}

// effectMissing says what comes of a file that is not there.
func effectMissing(u Used) string {
	switch {
	case u.Use == TrustCA && u.Subject == Registry:
		return fmt.Sprintf(`each pull and push fails with "failed to read %s"`, u.Path)
	case u.Use == TrustCA && u.Subject == Builder:
		return `clients do not dial and say "could not read ca certificate"`
	}
	return effect(u)
}

// effectSaid is [effect] with what Go says.
func effectSaid(u Used, f held) string {
	said := ""
	switch {
	case u.Use == ClientCA && u.Subject == Registry:
		said = "could not add CA to pool"
	case u.Use == ClientCA && u.Subject == Builder:
		said = "failed to append ca cert"
	case u.bundle():
		return effect(u)
	case u.key() && f.locked:
		said = "tls: failed to parse private key"
	case u.key():
		// Keys are looked for before the certificate is parsed.
		_, err := tls.X509KeyPair([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), f.Data)
		said = errorText(err)
	case len(f.certs) == 0:
		_, err := tls.X509KeyPair(f.Data, nil)
		said = errorText(err)
	default: // of several certificates one is lost
		return "whoever needs it is refused"
	}
	return fmt.Sprintf(`%s and says "%s"`, effect(u), said)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// mendForm says how to make PEM of a file.
func mendForm(u Used, f held) string {
	switch f.form {
	case formDER:
		return fmt.Sprintf("openssl x509 -inform der -in %s -out cert.pem", u.Path)
	case formDERKey:
		return fmt.Sprintf("openssl pkey -inform der -in %s -out key.pem", u.Path)
	case formP7:
		return fmt.Sprintf("openssl pkcs7 -inform der -print_certs -in %s -out cert.pem", u.Path)
	case formP12:
		if u.key() {
			return fmt.Sprintf("openssl pkcs12 -nocerts -nodes -in %s -out key.pem", u.Path)
		}
		return fmt.Sprintf("openssl pkcs12 -nokeys -in %s -out cert.pem", u.Path)
	case formJKS:
		return fmt.Sprintf("keytool -importkeystore -srckeystore %s -destkeystore out.p12 -deststoretype pkcs12, then openssl pkcs12 -in out.p12", u.Path)
	case formUTF16:
		return fmt.Sprintf("iconv -f utf-16 -t utf-8 %s | sed '1s/^\\xef\\xbb\\xbf//' > cert.pem", u.Path)
	case formBOM:
		return fmt.Sprintf("sed -i '1s/^\\xef\\xbb\\xbf//' %s", u.Path)
	}
	return "put the certificate or key there in PEM: it begins with -----BEGIN"
}

// mendKind says where what is wanted may be.
func mendKind(u Used, f held) string {
	switch {
	case !u.key() && len(f.keys) > 0, u.key() && len(f.certs) > 0:
		return "the paths of certificate and key may have changed places: swap them"
	case len(f.others) > 0 && strings.Contains(f.others[0], "certificate request"):
		return fmt.Sprintf("have the CA sign the request: openssl x509 -req -in %s -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -copy_extensions copy -out server.crt", u.Path)
	case len(f.others) > 0 && f.others[0] == "pkcs7":
		return fmt.Sprintf("openssl pkcs7 -print_certs -in %s -out cert.pem", u.Path)
	case len(f.others) > 0 && f.others[0] == "trusted certificate":
		return fmt.Sprintf("openssl x509 -in %s -out cert.pem", u.Path)
	}
	if u.key() {
		return "put the private key there, in a block that ends in PRIVATE KEY"
	}
	return "put the certificate there, in a block CERTIFICATE"
}
