package pki_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/youmark/pkcs8"

	"github.com/certyard/certyard/pki"
)

// seeds are what the readers meet: sound material, made here so that no key is
// in the repository, and all kinds of damage.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	m := issued(t, yardPlan(t), now)
	ca, leaf := m.CAs["ca"], m.Leaves["registry"]
	key, err := leaf.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	cert := leaf.CertPEM()
	return [][]byte{
		cert, key, ca.CertPEM(), append(bytes.Clone(cert), ca.CertPEM()...), append(bytes.Clone(cert), key...), leaf.Cert.Raw,
		nil, []byte("-----BEGIN CERTIFICATE-----"), cert[:len(cert)/2], bytes.Repeat(cert[:30], 20),
		[]byte("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"),
		[]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
		[]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"),
		bytes.ReplaceAll(cert, []byte("\n"), []byte("\r\n")), append([]byte("\xef\xbb\xbf"), cert...),
	}
}

// fuzzed is the most that the fuzz targets look at: more only takes longer.
const fuzzed = 16 << 10

// FuzzTrustBundle: what is accepted holds certificates alone, and comes back the
// same from its own text.
func FuzzTrustBundle(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzed {
			return
		}
		bundle, err := pki.ParseTrustBundle(data)
		if err != nil {
			return
		}
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			holds := func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, block.Bytes) }
			if block.Type != "CERTIFICATE" || !slices.ContainsFunc(bundle.Certs(), holds) {
				t.Errorf("a %s was passed over", block.Type)
			}
		}
		again, err := pki.ParseTrustBundle(bundle.PEM())
		if err != nil || !bytes.Equal(again.PEM(), bundle.PEM()) || len(bundle.Certs()) == 0 {
			t.Errorf("it does not come back: %v", err)
		}
	})
}

// sealed is a CA's key in the encryption that we write, and cheap to open.
func sealed(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := pkcs8.MarshalPrivateKey(key, []byte(sesame), &pkcs8.Opts{
		Cipher: pkcs8.AES256CBC, KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 10, HMACHash: crypto.SHA256},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
}

const sesame = "sesame"

// cheap reports whether a key asks for little to be opened. What may be asked
// for at most is in TestHostileEncryption, and takes too long here.
func cheap(key []byte) bool {
	block, _ := pem.Decode(key)
	var outer struct {
		Algorithm struct {
			ID     asn1.ObjectIdentifier
			Params struct {
				KDF struct {
					ID     asn1.ObjectIdentifier
					Params struct {
						Salt       []byte
						Iterations int
						Length     asn1.RawValue `asn1:"optional"`
						PRF        asn1.RawValue `asn1:"optional"`
					}
				}
				Scheme asn1.RawValue
			}
		}
		Data []byte
	}
	if _, err := asn1.Unmarshal(block.Bytes, &outer); err != nil {
		return false
	}
	return outer.Algorithm.Params.KDF.Params.Iterations <= 1000
}

// FuzzPEMPair: no text stops the program, a pair that is accepted matches, an
// encrypted key is opened by its passphrase alone, and no error quotes a key.
func FuzzPEMPair(f *testing.F) {
	all := seeds(f)
	ca := issued(f, yardPlan(f), now).CAs["ca"]
	locked, err := pki.PEMPair{Cert: ca.CertPEM(), Key: sealed(f, ca.Key), MayLock: true}.Parse()
	if err != nil || !locked.Locked() {
		f.Fatal("the seed is no encrypted key: ", err)
	}
	if _, err := locked.Unlock([]byte(sesame)); err != nil {
		f.Fatal(err)
	}
	f.Add(ca.CertPEM(), sealed(f, ca.Key), true)
	f.Add(ca.CertPEM(), sealed(f, forged(f, nil, asCA).Key), true)
	for i, cert := range all {
		f.Add(cert, all[(i+1)%len(all)], true)
		f.Add(cert, all[1], false)
	}
	f.Fuzz(func(t *testing.T, cert, key []byte, loose bool) {
		if len(cert)+len(key) > fuzzed {
			return
		}
		kp, err := pki.PEMPair{Name: "CA", CertFile: "c", KeyFile: "k", Cert: cert, Key: key, CertOnly: loose, KeyOnly: loose, MayLock: loose}.Parse()
		if err != nil {
			if kp != nil || len(err.Error()) > 2000 {
				t.Errorf("a pair with an error, or an error of %d bytes", len(err.Error()))
			}
			return
		}
		if kp == nil {
			return // both are missing
		}
		if kp.Locked() {
			if !cheap(key) || kp.Cert == nil {
				return
			}
			if _, err := kp.Unlock([]byte("passphrase")); err == nil {
				t.Error("any passphrase opens it")
			}
			if open, err := kp.Unlock([]byte(sesame)); err == nil && !pki.Belongs(open.Key, kp.Cert) {
				t.Error("an opened key that does not belong to its certificate")
			}
			return
		}
		if kp.Cert != nil && kp.Key != nil && !pki.Belongs(kp.Key, kp.Cert) {
			t.Error("a pair that does not match")
		}
	})
}

// FuzzContents: any file can be looked at.
func FuzzContents(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzed {
			return
		}
		c, err := pki.ParseContents(data)
		if err != nil {
			return
		}
		var sources []pki.Source
		for _, cert := range c.Certs {
			sources = append(sources, pki.Source{Cert: cert})
			pki.NameFindings(cert)
		}
		if nodes := pki.Forest(sources, now); len(sources) > 0 && len(nodes) == 0 {
			t.Error("certificates, and no tree")
		}
		if kp, err := c.Pair(); err == nil && kp.Key != nil && !pki.Belongs(kp.Key, kp.Cert) {
			t.Error("a pair that does not match")
		}
	})
}
