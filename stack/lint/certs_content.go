package lint

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/certyard/certyard/pki"
)

// content is what a file holds, as far as Go's readers see it.
type content struct {
	certs  []*x509.Certificate
	keys   []crypto.Signer
	locked bool     // holds an encrypted key
	others []string // kinds of PEM blocks that are neither certificate nor key
	broken error    // of the first block that cannot be understood
	lost   bool     // a block begins and never ends, and so does not exist for Go
	form   form     // what it is when it holds no PEM
}

// form is what a file is that holds no PEM.
type form string

// The forms.
const (
	formPEM    form = ""
	formEmpty  form = "it is empty"
	formDER    form = "it holds a certificate in DER"
	formDERKey form = "it holds a key in DER"
	formP12    form = "it is a PKCS #12 file"
	formP7     form = "it is a PKCS #7 file in DER"
	formJKS    form = "it is a Java key store"
	formUTF16  form = "it is text in UTF-16, as PowerShell writes it with >"
	formBOM    form = "it begins with a byte order mark, after which Go does not see the first block"
	formElse   form = "it holds no PEM"
)

// usable reports whether the file could be read and what is in it understood.
func (h held) usable() bool {
	return h.Unreadable == nil && h.form == formPEM && h.broken == nil && !h.lost
}

// readContent reads what a file holds. It never fails: what cannot be read is
// noted.
func readContent(data []byte) content {
	var c content
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return content{form: formOf(data)}
	}
	blocks := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		c.add(block)
	}
	// pem.Decode wants a block to begin at the begin of a line.
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf-----BEGIN ")) {
		c.form = formBOM
	}
	c.lost = c.form == formPEM && blocks != bytes.Count(data, []byte("-----BEGIN "))
	return c
}

// add takes one block.
func (c *content) add(block *pem.Block) {
	switch {
	case block.Type == "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			c.broken = first(c.broken, err)
			return
		}
		c.certs = append(c.certs, cert)
	case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
		c.locked = true
	case block.Type == "PRIVATE KEY", block.Type == "EC PRIVATE KEY", block.Type == "RSA PRIVATE KEY":
		one, err := pki.ParseContents(pem.EncodeToMemory(block))
		if err != nil || len(one.Keys) == 0 {
			c.broken = first(c.broken, errors.New("tls: failed to parse private key"))
			return
		}
		c.keys = append(c.keys, one.Keys...)
	case strings.HasSuffix(block.Type, " PARAMETERS"): // OpenSSL writes a curve's in front of the key
	default:
		c.others = append(c.others, strings.ToLower(block.Type))
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// formOf says what a file without PEM is.
func formOf(data []byte) form {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return formEmpty
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}), bytes.Contains(data, []byte("B\x00E\x00G\x00I\x00N\x00")):
		return formUTF16
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return formJKS
	}
	if certs, err := x509.ParseCertificates(data); err == nil && len(certs) > 0 {
		return formDER
	}
	return formOfDER(data)
}

// formOfDER tells what else is written in DER by how it begins: a PKCS #12 file
// with its version, 3 (RFC 7292, section 4), a PKCS #7 file with the type of what
// follows (RFC 2315, section 7).
func formOfDER(data []byte) form {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(data, &outer); err != nil || !outer.IsCompound || outer.Tag != asn1.TagSequence {
		return formElse
	}
	var version int
	var kind asn1.ObjectIdentifier
	signedData := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	if _, err := asn1.Unmarshal(outer.Bytes, &kind); err == nil && kind.Equal(signedData) {
		return formP7
	}
	if _, err := asn1.Unmarshal(outer.Bytes, &version); err == nil && version == 3 {
		return formP12
	}
	if derKey(data) {
		return formDERKey
	}
	return formElse
}

func derKey(data []byte) bool {
	_, err8 := x509.ParsePKCS8PrivateKey(data)
	_, err1 := x509.ParsePKCS1PrivateKey(data)
	_, errEC := x509.ParseECPrivateKey(data)
	return err8 == nil || err1 == nil || errEC == nil
}
