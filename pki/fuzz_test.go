package pki_test

import (
	"bytes"
	"strings"
	"testing"

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

// FuzzTrustBundle: what is accepted holds certificates alone, and comes back the
// same from its own text.
func FuzzTrustBundle(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := pki.ParseTrustBundle(data)
		if err != nil {
			return
		}
		if bytes.Contains(data, []byte("PRIVATE KEY-----")) && bytes.Contains(data, []byte("-----BEGIN ")) && strings.Contains(string(bundle.PEM()), "PRIVATE") {
			t.Error("a key is in a trust bundle")
		}
		again, err := pki.ParseTrustBundle(bundle.PEM())
		if err != nil || !bytes.Equal(again.PEM(), bundle.PEM()) || len(bundle.Certs()) == 0 {
			t.Errorf("it does not come back: %v", err)
		}
	})
}

// FuzzPEMPair: no text stops the program, a pair that is accepted matches, and
// no error quotes a key.
func FuzzPEMPair(f *testing.F) {
	all := seeds(f)
	for i, cert := range all {
		f.Add(cert, all[(i+1)%len(all)], true)
		f.Add(cert, all[1], false)
	}
	f.Fuzz(func(t *testing.T, cert, key []byte, loose bool) {
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
			if _, err := kp.Unlock([]byte("passphrase")); err == nil {
				t.Error("any passphrase opens it")
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
