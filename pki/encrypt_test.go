package pki_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"

	"github.com/certyard/certyard/pki"
)

const passphrase = "correct horse battery staple"

// openssl runs the command with a passphrase in a file, never in its arguments.
func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func inFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lockedPair(t *testing.T, ca *pki.KeyPair, key []byte) *pki.KeyPair {
	t.Helper()
	kp, err := pki.PEMPair{Name: "CA", CertFile: "ca.crt", KeyFile: "ca.key", Cert: ca.CertPEM(), Key: key, MayLock: true}.Parse()
	if err != nil {
		t.Fatal(err)
	}
	if !kp.Locked() || kp.Key != nil {
		t.Fatal("an encrypted key is not locked")
	}
	return kp
}

// TestEncryptedKeys: what we encrypt, openssl opens, and the other way around,
// with everything that openssl can be asked for.
func TestEncryptedKeys(t *testing.T) {
	for _, keyType := range pki.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			t.Parallel()
			plan := yardPlan(t)
			plan.CAs[0].Key, plan.Leaves = keyType, nil
			ca := issued(t, plan, now).CAs["ca"]
			plain, err := ca.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			pass := inFile(t, "pass", []byte(passphrase+"\n"))

			closed, err := ca.Encrypt([]byte(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			ours, err := closed.KeyPEM()
			if err != nil || !bytes.HasPrefix(ours, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")) {
				t.Fatalf("got %v", err)
			}
			if opened := openssl(t, "pkcs8", "-in", inFile(t, "ours", ours), "-passin", "file:"+pass); !bytes.Equal(opened, plain) {
				t.Error("openssl finds another key in ours")
			}
			checkOpens(t, ca, lockedPair(t, ca, ours), ours)
			for _, how := range [][]string{{"-v2", "aes-256-cbc"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA256"}, {"-scrypt"}} {
				args := append([]string{"pkcs8", "-topk8", "-in", inFile(t, "plain", plain), "-passout", "file:" + pass}, how...)
				theirs := openssl(t, args...)
				checkOpens(t, ca, lockedPair(t, ca, theirs), theirs)
			}
		})
	}
}

// checkOpens: the pair opens with its passphrase alone, keeps its text, and can
// sign then.
func checkOpens(t *testing.T, ca, locked *pki.KeyPair, text []byte) {
	t.Helper()
	for _, wrong := range []string{"", "wrong", passphrase + " "} {
		_, err := locked.Unlock([]byte(wrong))
		wantError[*pki.PassphraseError](t, err)
	}
	opened, err := locked.Unlock([]byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := opened.KeyPEM(); err != nil || !bytes.Equal(kept, text) {
		t.Error("the opened pair writes another key")
	}
	if !opened.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(ca.Cert.PublicKey) || opened.Locked() {
		t.Error("the opened pair has another key")
	}
}

// TestLockedCA: a locked CA is good for comparing, and not for signing.
func TestLockedCA(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	key, err := pki.EncryptKey(have.CAs["ca"].Key, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	have.CAs["ca"] = lockedPair(t, have.CAs["ca"], key)
	steps, err := pki.Diff(plan, have, now)
	if err != nil {
		t.Fatal(err)
	}
	checkSteps(t, steps, "keep\nkeep\nkeep")
	if signers := pki.Signers(plan, steps); len(signers) > 0 {
		t.Errorf("nothing is to be done, and %v have to sign", signers)
	}
	if _, err := pki.Apply(t.Context(), plan, have, steps, nil, now); err != nil {
		t.Errorf("keeping everything: %v", err)
	}
	delete(have.Leaves, "client")
	if steps, err = pki.Diff(plan, have, now); err != nil {
		t.Fatal(err)
	}
	if signers := pki.Signers(plan, steps); len(signers) != 1 || signers[0] != "ca" {
		t.Errorf("%v have to sign, want ca", signers)
	}
	_, err = pki.Apply(t.Context(), plan, have, steps, nil, now)
	wantError[*pki.LockedError](t, err)
	if have.CAs["ca"], err = have.CAs["ca"].Unlock([]byte(passphrase)); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Apply(t.Context(), plan, have, steps, nil, now); err != nil {
		t.Error(err)
	}
}

// TestKeyless: a CA whose key is not here is not called encrypted.
func TestKeyless(t *testing.T) {
	plan := yardPlan(t)
	have := issued(t, plan, now)
	ca := &pki.KeyPair{Cert: have.CAs["ca"].Cert}
	have.CAs["ca"] = ca
	delete(have.Leaves, "registry")
	// Diff refuses it before; this is for callers who make steps themselves.
	todo := []pki.Step{{Action: pki.Keep, Name: "ca"}, {Action: pki.Issue, Name: "registry"}, {Action: pki.Keep, Name: "client"}}
	_, err := pki.Apply(t.Context(), plan, have, todo, nil, now)
	wantError[*pki.OfflineError](t, err)
	_, request, err := pki.Prepare(plan.Leaves[0], nil, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pki.Local(ca).Sign(t.Context(), request)
	wantError[*pki.OfflineError](t, err)

	plan.CAs = append(plan.CAs, pki.CAPlan{Name: pki.CAIssuing, Issuer: pki.CAName, Stack: "yard", Key: pki.ECDSAP256, Validity: day})
	todo = []pki.Step{{Action: pki.Keep, Name: "ca"}, {Action: pki.Issue, Name: pki.CAIssuing}}
	_, err = pki.Apply(t.Context(), plan, have, todo, nil, now)
	wantError[*pki.OfflineError](t, err)
	_, err = pki.Apply(t.Context(), plan, pki.Material{}, todo[1:], nil, now)
	wantError[*pki.MissingError](t, err)
}

// TestLockedForeignKey: that the key belongs to another certificate shows when
// it is opened.
func TestLockedForeignKey(t *testing.T) {
	ca, other := issued(t, yardPlan(t), now).CAs["ca"], issued(t, yardPlan(t), now).CAs["ca"]
	key, err := pki.EncryptKey(other.Key, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockedPair(t, ca, key).Unlock([]byte(passphrase))
	if e := wantError[*pki.MismatchError](t, err); e.Name != ca.Cert.Subject.CommonName {
		t.Errorf("the mismatch is said to be of %q", e.Name)
	}
	if _, err := pki.EncryptKey(other.Key, nil); err == nil {
		t.Error("a key is encrypted with an empty passphrase")
	}
}

// TestCostlyEncryption: what sensible people ask for is opened.
func TestCostlyEncryption(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	for name, kdf := range map[string]pkcs8.KDFOpts{
		"strong scrypt": pkcs8.ScryptOpts{SaltSize: 16, CostParameter: 1 << 17, BlockSize: 8, ParallelizationParameter: 1},
		"many passes":   pkcs8.ScryptOpts{SaltSize: 16, CostParameter: 1 << 12, BlockSize: 8, ParallelizationParameter: 16},
	} {
		der, err := pkcs8.MarshalPrivateKey(ca.Key, []byte(passphrase), &pkcs8.Opts{Cipher: pkcs8.AES256CBC, KDFOpts: kdf})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lockedPair(t, ca, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})).Unlock([]byte(passphrase)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnknownHash: a key whose passphrase is hashed in a way that cannot be read
// here is told from one with another passphrase, and converts as it says.
func TestUnknownHash(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	plain, err := ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	pass, key := inFile(t, "pass", []byte(passphrase+"\n")), inFile(t, "plain", plain)
	for _, prf := range []string{"hmacWithSHA512", "hmacWithSHA384", "hmacWithSHA224"} {
		theirs := openssl(t, "pkcs8", "-topk8", "-in", key, "-passout", "file:"+pass, "-v2", "aes-256-cbc", "-v2prf", prf)
		_, err := lockedPair(t, ca, theirs).Unlock([]byte(passphrase))
		if err == nil || !strings.Contains(err.Error(), "openssl pkcs8 -topk8 -v2 aes-256-cbc") {
			t.Errorf("%s: %v", prf, err)
		}
		converted := openssl(t, "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", inFile(t, "theirs", theirs), "-passin", "file:"+pass, "-passout", "file:"+inFile(t, "again", []byte(passphrase+"\n")))
		checkOpens(t, ca, lockedPair(t, ca, converted), converted)
	}
	theirs := openssl(t, "pkcs8", "-topk8", "-in", key, "-passout", "file:"+pass, "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1")
	checkOpens(t, ca, lockedPair(t, ca, theirs), theirs)
}

// TestRewriteKey: a key is the same one encrypted and decrypted again, with a
// certificate beside it or without.
func TestRewriteKey(t *testing.T) {
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	for name, cert := range map[string][]byte{"pair": ca.CertPEM(), "key alone": nil} {
		closed, err := ca.Encrypt([]byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		text, err := closed.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		locked, err := pki.PEMPair{Name: "CA", Cert: cert, Key: text, KeyOnly: true, MayLock: true}.Parse()
		if err != nil || !locked.Locked() || !locked.Encrypted() {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := locked.Decrypt(); err == nil {
			t.Errorf("%s: decrypted without the passphrase", name)
		}
		_, err = locked.Unlock([]byte("wrong"))
		wantError[*pki.PassphraseError](t, err)
		open, err := locked.Unlock([]byte(passphrase))
		if err == nil {
			open, err = open.Decrypt()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := open.KeyPEM()
		want, _ := ca.KeyPEM()
		if err != nil || open.Encrypted() || !bytes.Equal(got, want) {
			t.Errorf("%s: another key than before (%v)", name, err)
		}
	}
}

// TestHostileEncryption: a key file that asks for too much, or is damaged, is
// refused before anything is derived.
func TestHostileEncryption(t *testing.T) {
	type algorithm struct {
		OID    asn1.ObjectIdentifier
		Params any
	}
	type kdf struct {
		Salt       []byte
		Iterations int
	}
	type sized struct {
		Salt               []byte
		Iterations, Length int
	}
	type scrypt struct {
		Salt    []byte
		N, R, P int
	}
	ca := issued(t, yardPlan(t), now).CAs["ca"]
	pbkdf2 := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	scryptOID := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	aes := algorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, make([]byte, 16)}
	salt := make([]byte, 16)
	for name, c := range map[string]struct {
		kdf    algorithm
		scheme algorithm
		data   int
		want   string
	}{
		"iterations":         {algorithm{pbkdf2, kdf{salt, 1 << 30}}, aes, 32, "it wants 1073741824 iterations"},
		"no iterations":      {algorithm{pbkdf2, kdf{salt, 0}}, aes, 32, "damaged"},
		"negative":           {algorithm{pbkdf2, kdf{salt, -1}}, aes, 32, "damaged"},
		"length of its own":  {algorithm{pbkdf2, sized{salt, 2048, 32}}, aes, 32, "or to a length of its own"},
		"scrypt memory":      {algorithm{scryptOID, scrypt{salt, 1 << 30, 8, 1}}, aes, 32, "more than 256 MiB"},
		"scrypt block":       {algorithm{scryptOID, scrypt{salt, 2, 1 << 40, 1}}, aes, 32, "more than 256 MiB"},
		"scrypt passes":      {algorithm{scryptOID, scrypt{salt, 1 << 14, 8, 1 << 20}}, aes, 32, "too many passes"},
		"scrypt blocks":      {algorithm{scryptOID, scrypt{salt, 2, 1 << 20, 16}}, aes, 32, "more than 256 MiB"},
		"scrypt overflow":    {algorithm{scryptOID, scrypt{salt, 1 << 61, 1 << 3, 1}}, aes, 32, "more than 256 MiB"},
		"scrypt rounds":      {algorithm{scryptOID, scrypt{salt, 1 << 17, 15, 16}}, aes, 32, "too many passes"},
		"unknown derivation": {algorithm{asn1.ObjectIdentifier{1, 2, 3}, kdf{salt, 1}}, aes, 32, "unknown way"},
		"unknown cipher":     {algorithm{pbkdf2, kdf{salt, 2048}}, algorithm{asn1.ObjectIdentifier{1, 2, 3}, salt}, 32, "not encrypted with AES-CBC"},
		"short IV":           {algorithm{pbkdf2, kdf{salt, 2048}}, algorithm{aes.OID, make([]byte, 8)}, 32, "damaged"},
		"half a block":       {algorithm{pbkdf2, kdf{salt, 2048}}, aes, 33, "damaged"},
		"nothing":            {algorithm{pbkdf2, kdf{salt, 2048}}, aes, 0, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := asn1.Marshal(struct {
				Algorithm algorithm
				Data      []byte
			}{algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, struct{ KDF, Scheme algorithm }{c.kdf, c.scheme}}, make([]byte, c.data)})
			if err != nil {
				t.Fatal(err)
			}
			locked := lockedPair(t, ca, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
			if _, err = locked.Unlock([]byte(passphrase)); err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
