package edge

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Access is an access list: which of the clients that an accepted CA vouches for
// are let in. The zero value lets all of them in. A value never changes, so it
// may be used from several goroutines.
type Access struct {
	// Removed are certificates that are not accepted any more.
	Removed []RemovedClient
	// Allow names the clients that are let in, by their common name. Nil: all
	// of them. Empty: nobody.
	Allow []string
}

// RemovedClient is a certificate that is not accepted any more.
type RemovedClient struct {
	Name   string // for people; the serial number decides
	Serial string // in hexadecimal
	Issuer string // subject key id of the CA in hexadecimal; "" = any CA
}

// accessFile is access.json as written.
type accessFile struct {
	Version int             `json:"version"`
	Removed []removedClient `json:"removed"`
	Allow   []string        `json:"allow"`
}

type removedClient struct {
	Name   string `json:"name"`
	Serial string `json:"serial"`
	Issuer string `json:"issuer"`
}

// ParseAccess reads an access list strictly: it is about security, so what is
// not understood as a whole is refused as a whole.
func ParseAccess(data []byte) (Access, error) {
	if !utf8.Valid(data) {
		return Access{}, errors.New("it is no UTF-8 text")
	}
	if err := onceEach(data); err != nil {
		return Access{}, err
	}
	var f accessFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Access{}, err
	}
	if f.Version != 1 {
		return Access{}, fmt.Errorf("version %d is not known; want 1", f.Version)
	}
	a := Access{Allow: f.Allow}
	for i, r := range f.Removed {
		serial, ok := normalHex(r.Serial)
		if !ok || serial == "" {
			return Access{}, fmt.Errorf("removed[%d] (%q): serial %q is no hexadecimal number", i, r.Name, r.Serial)
		}
		issuer, err := hex.DecodeString(strings.ReplaceAll(r.Issuer, ":", ""))
		if err != nil {
			return Access{}, fmt.Errorf("removed[%d] (%q): issuer %q is no key id in hexadecimal", i, r.Name, r.Issuer)
		}
		a.Removed = append(a.Removed, RemovedClient{r.Name, serial, hex.EncodeToString(issuer)})
	}
	return a, nil
}

// normalHex brings a serial number into the form of big.Int's Text, so that
// leading zeros, capitals and the colons of openssl do not matter.
func normalHex(text string) (string, bool) {
	text = strings.ReplaceAll(text, ":", "")
	if strings.Trim(text, "0123456789abcdefABCDEF") != "" || text == "" {
		return "", false
	}
	n, ok := new(big.Int).SetString(text, 16)
	if !ok {
		return "", false
	}
	return n.Text(16), true
}

// judge returns OK, Removed or NotAllowed for a client whose certificate was
// verified through the given chains.
func (a Access) judge(leaf *x509.Certificate, chains [][]*x509.Certificate) Reason {
	serial := leaf.SerialNumber.Text(16)
	for _, r := range a.Removed {
		if r.Serial == serial && (r.Issuer == "" || issuedBy(leaf, chains, r.Issuer)) {
			return Removed
		}
	}
	if a.Allow != nil && !slices.Contains(a.Allow, leaf.Subject.CommonName) {
		return NotAllowed
	}
	return OK
}

// issuedBy reports whether a CA with the key id has signed the leaf, as the leaf
// says or as any of its chains shows.
func issuedBy(leaf *x509.Certificate, chains [][]*x509.Certificate, issuer string) bool {
	if hex.EncodeToString(leaf.AuthorityKeyId) == issuer {
		return true
	}
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return hex.EncodeToString(chain[min(1, len(chain)-1)].SubjectKeyId) == issuer
	})
}

// accessKeys are the keys of an access list, as they have to be written:
// encoding/json would take "Removed" as well.
var accessKeys = []string{"version", "removed", "allow", "name", "serial", "issuer"}

// onceEach reads a JSON document and refuses a key that stands twice in one
// object, whose first value encoding/json would drop, and anything behind the
// document.
func onceEach(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := onceEachValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

func onceEachValue(d *json.Decoder, depth int) error {
	const deepest = 4 // of an access list: document, list, client, value
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == deepest {
		return errors.New("it is nested too deep for an access list")
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string) // the decoder takes nothing else
			if seen[key] || !slices.Contains(accessKeys, key) {
				return errors.New("key " + strconv.Quote(key) + " is not known, or stands there twice")
			}
			seen[key] = true
		}
		if err := onceEachValue(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the end of it
	return err
}
