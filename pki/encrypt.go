package pki

import (
	"crypto"
	"crypto/aes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"
)

// Encrypted keys are PKCS #8 with PBES2 (RFC 8018): what "openssl pkcs8 -topk8"
// writes and every tool reads.

// encryption is how new keys are encrypted. The iterations are OWASP's figure
// for PBKDF2 with HMAC-SHA256 (Password Storage Cheat Sheet, 2023); the salt's
// length is the least of NIST SP 800-132.
func encryption() *pkcs8.Opts {
	return &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 600_000, HMACHash: crypto.SHA256},
	}
}

// Limits of what a key file may ask for before the passphrase is known to be
// right: a hostile one must not stop the program or eat its memory. The most
// takes some ten seconds; openssl's default for scrypt is 1<<17 rounds.
const (
	maxIterations   = 10_000_000
	maxScryptMemory = 256 << 20
	maxScryptRounds = 1 << 24 // N*r*p, at 200 to 600 ns each
	maxScryptPasses = 16
)

const encryptedType = "ENCRYPTED PRIVATE KEY"

// PassphraseError says that a passphrase does not open a key.
type PassphraseError struct{ Name string }

func (e *PassphraseError) Error() string { return "the passphrase does not open the key of " + e.Name }

// EncryptKey returns the key in PEM, encrypted with the passphrase.
func EncryptKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("encrypting private key: the passphrase is empty")
	}
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, encryption())
	if err != nil {
		return nil, fmt.Errorf("encrypting private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedType, Bytes: der}), nil
}

// Locked reports whether the key is here and encrypted, and was not opened.
func (kp *KeyPair) Locked() bool { return kp.Key == nil && isEncrypted(kp.keyPEM) }

// Unlock returns the pair with its key opened. The key stays encrypted in
// [KeyPair.KeyPEM]. The error is a *[PassphraseError], or a *[MismatchError]
// when the key belongs to another certificate.
func (kp *KeyPair) Unlock(passphrase []byte) (*KeyPair, error) {
	name := kp.subject()
	block, _ := pem.Decode(kp.keyPEM)
	if block == nil || block.Type != encryptedType {
		return nil, fmt.Errorf("opening the key of %s: it is not encrypted", name)
	}
	if err := checkEncryption(block.Bytes); err != nil {
		return nil, fmt.Errorf("opening the key of %s: %w", name, err)
	}
	key, _, err := pkcs8.ParsePrivateKey(block.Bytes, passphrase)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, &PassphraseError{Name: name}
	}
	out := &KeyPair{Cert: kp.Cert, Chain: kp.Chain, Key: signer, keyPEM: kp.keyPEM}
	if kp.Cert != nil && !out.matches() {
		return nil, &MismatchError{Name: name}
	}
	return out, nil
}

// subject names the pair in messages. A key may still wait for its certificate.
func (kp *KeyPair) subject() string {
	if kp.Cert == nil {
		return "a certificate that is not here yet"
	}
	return kp.Cert.Subject.CommonName
}

// Encrypt returns the pair with its key encrypted in [KeyPair.KeyPEM], after
// having opened that again: it may take the place of the only copy. The pair can
// still sign.
func (kp *KeyPair) Encrypt(passphrase []byte) (*KeyPair, error) {
	if kp.Key == nil {
		return nil, errors.New("encrypting private key: it is not here")
	}
	keyPEM, err := EncryptKey(kp.Key, passphrase)
	if err != nil {
		return nil, err
	}
	out := &KeyPair{Cert: kp.Cert, Chain: kp.Chain, Key: kp.Key, keyPEM: keyPEM}
	again, err := out.Unlock(passphrase)
	if err != nil || !sameKey(again.Key.Public(), kp.Key.Public()) {
		return nil, errors.Join(errors.New("encrypting private key: what was encrypted does not open"), err)
	}
	return out, nil
}

// Decrypt returns the pair with its key, which must be open, not encrypted in
// [KeyPair.KeyPEM], after having read that again.
func (kp *KeyPair) Decrypt() (*KeyPair, error) {
	if kp.Key == nil {
		return nil, errors.New("decrypting private key: it is not here, or locked")
	}
	out := &KeyPair{Cert: kp.Cert, Chain: kp.Chain, Key: kp.Key}
	var err error
	if out.keyPEM, err = out.KeyPEM(); err != nil {
		return nil, err
	}
	again, err := parseKey(out.keyPEM)
	if err != nil || !sameKey(again.Public(), kp.Key.Public()) {
		return nil, errors.Join(errors.New("decrypting private key: what was decrypted cannot be read"), err)
	}
	return out, nil
}

// Encrypted reports whether the key is here and encrypted in [KeyPair.KeyPEM],
// open or locked.
func (kp *KeyPair) Encrypted() bool { return isEncrypted(kp.keyPEM) }

func isEncrypted(keyPEM []byte) bool {
	block, _ := pem.Decode(keyPEM)
	return block != nil && block.Type == encryptedType
}

// convert is what makes a key of any encryption one that can be read here.
const convert = `convert it with "openssl pkcs8 -topk8 -v2 aes-256-cbc"`

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAESCBCs    = []asn1.ObjectIdentifier{
		{2, 16, 840, 1, 101, 3, 4, 1, 2}, {2, 16, 840, 1, 101, 3, 4, 1, 22}, {2, 16, 840, 1, 101, 3, 4, 1, 42},
	}
)

// encryptedKey is EncryptedPrivateKeyInfo of RFC 5208, and pbes2 its parameters.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct{ KDF, Scheme pkix.AlgorithmIdentifier }

// checkEncryption refuses what would cost too much to open, and what the library
// does not read or panics on: data that is no whole number of blocks.
func checkEncryption(der []byte) error {
	var key encryptedKey
	var params pbes2
	if rest, err := asn1.Unmarshal(der, &key); err != nil || len(rest) > 0 {
		return errors.New("the encrypted key is damaged")
	}
	if !key.Algorithm.Algorithm.Equal(oidPBES2) {
		return errors.New("it is not encrypted with PBES2: " + convert)
	}
	if _, err := asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &params); err != nil {
		return errors.New("the encrypted key is damaged")
	}
	var iv []byte
	aesCBC := false
	for _, oid := range oidAESCBCs {
		aesCBC = aesCBC || params.Scheme.Algorithm.Equal(oid)
	}
	if !aesCBC {
		return errors.New("it is not encrypted with AES-CBC: " + convert)
	}
	_, err := asn1.Unmarshal(params.Scheme.Parameters.FullBytes, &iv)
	if err != nil || len(iv) != aes.BlockSize || len(key.Data) == 0 || len(key.Data)%aes.BlockSize != 0 {
		return errors.New("the encrypted key is damaged")
	}
	return checkCost(params.KDF)
}

// checkCost looks at what deriving the key would take.
func checkCost(kdf pkix.AlgorithmIdentifier) error {
	var pbkdf2 struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	var scrypt struct {
		Salt    []byte
		N, R, P int
		Length  asn1.RawValue `asn1:"optional"`
	}
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &pbkdf2); err != nil || pbkdf2.Iterations < 1 {
			return errors.New("the encrypted key is damaged")
		}
		if pbkdf2.Iterations > maxIterations {
			return fmt.Errorf("it wants %d iterations to be opened, more than %d", pbkdf2.Iterations, maxIterations)
		}
		// The library would derive another key and blame the passphrase.
		if prf := pbkdf2.PRF.Algorithm; pbkdf2.KeyLength != 0 || prf != nil && !prf.Equal(oidHMACSHA1) && !prf.Equal(oidHMACSHA256) {
			return errors.New("its passphrase is hashed with another function than HMAC-SHA1 and HMAC-SHA256, or to a length of its own: " + convert)
		}
	case kdf.Algorithm.Equal(oidScrypt):
		_, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &scrypt)
		if err != nil || scrypt.N < 2 || scrypt.R < 1 || scrypt.P < 1 {
			return errors.New("the encrypted key is damaged")
		}
		if scryptTooMuch(uint64(scrypt.N), uint64(scrypt.R), uint64(scrypt.P)) {
			return errors.New("it wants more than 256 MiB, or too many passes, to be opened")
		}
	default:
		return errors.New("its passphrase is hashed in an unknown way: " + convert)
	}
	return nil
}

// scryptTooMuch adds up what x/crypto's scrypt allocates: N blocks of 128*r bytes
// that it reads back, p that it works on, and two more. The first two bounds keep
// the products from overflowing.
func scryptTooMuch(n, r, p uint64) bool {
	const blocks = maxScryptMemory / 128
	return n > blocks || r > blocks || p > maxScryptPasses ||
		r*(n+p+2) > blocks || n*r*p > maxScryptRounds
}
