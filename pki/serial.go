package pki

import (
	"encoding/hex"
	"slices"
	"strings"
)

// An issuer gives a serial number to one certificate only (RFC 5280, section
// 4.1.2.2): who judges certificates by it would take one for the other.

// UsedSerial is a serial number that an issuer has given to a certificate.
type UsedSerial struct {
	IssuerKey   string // as of [Material.IssuerKey], or how that begins
	Serial      string // as of [KeyPair.Serial]
	Name        string // of the leaf
	Fingerprint string // of the certificate, "" where nobody knows
}

// IssuerKey returns the subject key id of who has signed a certificate, in
// hexadecimal: as the certificate says, or else as the CAs of the material that
// have signed it; "" when none has.
func (m Material) IssuerKey(kp *KeyPair) string {
	if len(kp.Cert.AuthorityKeyId) > 0 {
		return hex.EncodeToString(kp.Cert.AuthorityKeyId)
	}
	above := slices.Clone(kp.Chain)
	for _, ca := range m.CAs {
		above = append(above, ca.Certs()...)
	}
	for _, cert := range above {
		if signedBy(kp.Cert, cert) {
			return hex.EncodeToString(keyID(cert))
		}
	}
	return ""
}

// sameSerials finds leaves of one issuer with one serial number, also with one
// that was used before.
func (m Material) sameSerials(plan Plan) []Finding {
	var out []Finding
	seen := map[string]string{}
	for _, leaf := range plan.Leaves {
		kp := m.Leaves[leaf.Name]
		id := string(kp.Cert.RawIssuer) + kp.Serial()
		if other, ok := seen[id]; ok {
			out = append(out, sameSerial(kp, other))
		}
		seen[id] = kp.Cert.Subject.CommonName
		out = append(out, m.serialUsed(kp, leaf.Name)...)
	}
	return out
}

// serialTaken finds another leaf of the same issuer with the same serial number,
// also one that was there before.
func (m Material) serialTaken(kp *KeyPair, name string) []Finding {
	for other, pair := range m.Leaves {
		if other == name || pair.Cert == nil {
			continue
		}
		if string(pair.Cert.RawIssuer) == string(kp.Cert.RawIssuer) && pair.Serial() == kp.Serial() {
			return []Finding{sameSerial(kp, pair.Cert.Subject.CommonName)}
		}
	}
	return m.serialUsed(kp, name)
}

func sameSerial(kp *KeyPair, other string) Finding {
	return Finding{kp.Cert.Subject.CommonName, "has the serial number of " + other}
}

// serialUsed holds a leaf against what its issuer has signed before.
func (m Material) serialUsed(kp *KeyPair, name string) []Finding {
	key, print := m.IssuerKey(kp), Fingerprint(kp.Cert)
	i := slices.IndexFunc(m.Used, func(u UsedSerial) bool {
		same := u.Fingerprint == print || u.Fingerprint == "" && u.Name == name
		return !same && u.Serial == kp.Serial() && u.IssuerKey != "" && strings.HasPrefix(key, u.IssuerKey)
	})
	if i < 0 {
		return nil
	}
	return []Finding{{kp.Cert.Subject.CommonName, "has the serial number of an earlier certificate of its CA, of " + m.Used[i].Name}}
}
