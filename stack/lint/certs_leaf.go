package lint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
)

const day = 24 * time.Hour

// soon is how long before its end a certificate is due; one that lives less than
// three times as long is due in the last third of its life.
const soon = 30 * day

// appleLife is the longest life of a server's certificate that Apple's clients
// accept, whoever has signed it (support.apple.com/en-us/103769).
const appleLife = 825 * day

// name is what people know a certificate by.
func name(cert *x509.Certificate) string {
	switch {
	case cert.Subject.CommonName != "":
		return cert.Subject.CommonName
	case cert.Subject.String() != "":
		return cert.Subject.String()
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	}
	return "serial " + cert.SerialNumber.Text(16)
}

func title(cert *x509.Certificate, file string) string {
	return fmt.Sprintf("the certificate %s (%s)", name(cert), file)
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02") }

// isCA reports whether a certificate is there to sign others.
func isCA(cert *x509.Certificate) bool { return pki.IsSigningCA(cert) }

// named reports whether a certificate says that another has signed it, and signed
// whether that is so. Old algorithms are verified too: they are judged elsewhere.
func named(cert, ca *x509.Certificate) bool { return bytes.Equal(cert.RawIssuer, ca.RawSubject) }

func signed(cert, ca *x509.Certificate) bool {
	return ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func selfSigned(cert *x509.Certificate) bool { return named(cert, cert) && signed(cert, cert) }

func belongsTo(cert *x509.Certificate) func(crypto.Signer) bool {
	return func(key crypto.Signer) bool { return pki.Belongs(key, cert) }
}

// pairError returns what Go says of a certificate and a key file.
func pairError(cert *x509.Certificate, key held) string {
	_, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), key.Data)
	return errorText(err)
}

// orderFindings judges the order of the certificates in a file, which is the
// order in which they are sent.
func orderFindings(l leaf) []Finding {
	const mend = "put the server's or client's own certificate first, then the one that has signed it, and so on; the root need not be there"
	if !l.file.certs[0].Equal(l.cert) {
		return []Finding{l.in("certs.order", l.cert, fmt.Sprintf(`%s is not the first in its file, and the first is taken for it: %s and says "tls: private key does not match public key"`, l.title(), effect(l.Used)), mend)}
	}
	for i := 1; i < len(l.file.certs); i++ {
		if below, cert := l.file.certs[i-1], l.file.certs[i]; !named(below, cert) {
			return []Finding{l.in("certs.chain-order", l.cert, fmt.Sprintf("in %s, %s stands behind %s and has not signed it; they are sent as they stand, which TLS 1.2 forbids: Go, OpenSSL and GnuTLS sort them, and other clients need not",
				l.Path, name(cert), name(below)), mend)}
		}
	}
	return nil
}

// dateFindings judges from when until when a leaf holds. No daemon looks at that
// when it starts (P15).
func (b board) dateFindings(l leaf) []Finding {
	cert, life := l.cert, l.cert.NotAfter.Sub(l.cert.NotBefore)
	var out []Finding
	add := func(rule, problem, mend string) { out = append(out, l.in(rule, cert, problem, mend)) }
	left := cert.NotAfter.Sub(b.now)
	switch {
	case left < 0:
		add("certs.expired", fmt.Sprintf("%s has expired on %s: %s", l.title(), date(cert.NotAfter), l.refused(outsideLife(cert, b.now))), l.mendNew())
	case b.now.Before(cert.NotBefore):
		add("certs.not-yet-valid", fmt.Sprintf("%s is not valid before %s: %s", l.title(), cert.NotBefore.UTC().Format(time.RFC3339), l.refused(outsideLife(cert, b.now))),
			"compare the clocks of the machine that made it and of this one")
	case left < min(life/3, soon):
		add("certs.soon", fmt.Sprintf("%s expires on %s, in %d days; then it is refused, and who serves it has to be started anew to take another", l.title(), date(cert.NotAfter), pki.DaysLeft(cert, b.now)), l.mendNew())
	}
	if l.server() && life > appleLife+day {
		add("certs.too-long", fmt.Sprintf("%s is valid for %d days: clients that ask macOS or iOS refuse a server's certificate that lives longer than 825, whoever has signed it", l.title(), int(life/day)),
			"have it made anew with at most 825 days; openssl takes -days 825")
	}
	return out
}

// refused says what the client prints of a leaf that is refused for the reason. Of
// a client's leaf it is told by an alert alone (crypto/tls/handshake_server.go
// processCertsFromClient); with TLS 1.2 that comes in other words.
func (l leaf) refused(reason error) string {
	if l.server() {
		return fmt.Sprintf(`clients refuse it with "%v"`, reason)
	}
	var invalid x509.CertificateInvalidError
	var stranger x509.UnknownAuthorityError
	var insecure x509.InsecureAlgorithmError
	alert := "bad certificate"
	switch {
	case errors.As(reason, &invalid) && invalid.Reason == x509.Expired:
		alert = "expired certificate"
	case errors.As(reason, &stranger), errors.As(reason, &insecure), errors.Is(reason, x509.ErrUnsupportedAlgorithm):
		alert = "unknown certificate authority"
	}
	return l.alerted(alert)
}

// alerted says what a client prints of a server's alert.
func (l leaf) alerted(alert string) string {
	return fmt.Sprintf(`%s refuses it, and the client prints "remote error: tls: %s"`, l.Subject.daemon(), alert)
}

func (l leaf) mendNew() string {
	return "have it made anew by its CA, and start who uses it anew"
}

// outsideLife is what Go says of a certificate at a time at which it is not valid.
func outsideLife(cert *x509.Certificate, now time.Time) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: x509.NewCertPool(), CurrentTime: now})
	return err
}

// weakFindings judges algorithms and sizes.
func weakFindings(l leaf) []Finding {
	var out []Finding
	for _, cert := range append([]*x509.Certificate{l.cert}, l.above...) {
		if !selfSigned(cert) && !verifiable(cert.SignatureAlgorithm) { // a root's own signature is not looked at
			out = append(out, l.in("certs.weak-signature", cert, fmt.Sprintf(`%s is signed with %s, which Go does not verify: %s`, title(cert, l.Path), cert.SignatureAlgorithm, l.refused(insecure(cert))),
				"have it signed anew with SHA-256: openssl x509 -req -sha256"))
		}
	}
	switch pub := l.cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < 1024 {
			out = append(out, l.in("certs.refused-key", l.cert, fmt.Sprintf("%s has an RSA key of %d bits, and Go does not use one of less than 1024: no connection comes to be", l.title(), bits),
				"make a new key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"))
		} else if bits < 2048 {
			out = append(out, l.in("certs.weak-key", l.cert, fmt.Sprintf(`%s has an RSA key of %d bits: curl and others with OpenSSL as Debian sets it refuse less than 2048 with "EE certificate key too weak", and Go takes it still`, l.title(), bits),
				"make a new key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"))
		}
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P224() {
			out = append(out, l.in("certs.refused-key", l.cert, fmt.Sprintf("%s has a key on the curve P-224, which Go's TLS does not know: no connection comes to be", l.title()),
				"make a new key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"))
		}
	}
	return out
}

// verifiable reports whether crypto/x509 verifies signatures of an algorithm in
// chains (checkSignature in crypto/x509/x509.go).
func verifiable(alg x509.SignatureAlgorithm) bool {
	return !slices.Contains([]x509.SignatureAlgorithm{
		x509.UnknownSignatureAlgorithm, x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.DSAWithSHA256,
	}, alg)
}

func insecure(cert *x509.Certificate) error {
	if cert.SignatureAlgorithm == x509.UnknownSignatureAlgorithm {
		return x509.ErrUnsupportedAlgorithm
	}
	return x509.InsecureAlgorithmError(cert.SignatureAlgorithm)
}

// usageFindings judges what a leaf may be used for.
func usageFindings(l leaf) []Finding {
	var out []Finding
	if !allows(l.cert, l.usage()) {
		out = append(out, l.in("certs.usage", l.cert, fmt.Sprintf(`%s may only be used for %s, and a %s needs %s: %s`, l.title(), usages(l.cert), l.Use, l.usage(), l.refused(misused(l))),
			fmt.Sprintf("have it made anew with extendedKeyUsage=%s", l.usage())))
	}
	if l.cert.KeyUsage != 0 && l.cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		out = append(out, l.in("certs.key-usage", l.cert, fmt.Sprintf(`%s lacks the key usage digitalSignature, and TLS 1.3 has the key sign: Go does not look, but GnuTLS ends the connection for a "Key usage violation in certificate"`, l.title()),
			"have it made anew with keyUsage=digitalSignature"))
	}
	return out
}

// allows reports whether a certificate may be used for something. One that says
// nothing may be used for everything.
func allows(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	return len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 ||
		slices.Contains(cert.ExtKeyUsage, usage) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func usages(cert *x509.Certificate) string {
	out := ""
	for _, usage := range cert.ExtKeyUsage {
		out += ", " + usage.String()
	}
	for _, oid := range cert.UnknownExtKeyUsage {
		out += ", " + oid.String()
	}
	return out[min(2, len(out)):]
}

// misused is what Go says of a leaf that may not be used so.
func misused(l leaf) error {
	return x509.CertificateInvalidError{Cert: l.cert, Reason: x509.IncompatibleUsage}
}

// selfFindings judges leaves that are CAs.
func selfFindings(l leaf) []Finding {
	switch {
	case l.server() && selfSigned(l.cert):
		return []Finding{l.in("certs.self-signed", l.cert, fmt.Sprintf("%s has signed itself, so that each client has to trust it, and a new one has to go to each of them; where it is a CA, whoever gets the key from the server can pose as any other server to them", l.title()),
			"keep it for a machine of your own; elsewhere have a CA, whose key lies on no server, sign the server's certificate")}
	case l.cert.IsCA:
		return []Finding{l.in("certs.ca-as-leaf", l.cert, fmt.Sprintf("%s is a CA: its key lies with the %s, and whoever gets it there can make certificates for every name", l.title(), l.Use),
			"have the CA sign a certificate of its own for it, with basicConstraints=CA:FALSE")}
	}
	return nil
}
