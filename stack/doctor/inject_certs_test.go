package doctor_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// blocks splits PEM.
func blocks(data []byte) (out []*pem.Block) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, block)
	}
	return out
}

// cutOff loses the end of a file, as a copy that was interrupted.
func cutOff(data []byte) ([]byte, error) { return data[:len(data)*2/3], nil }

// inDER is what "openssl -outform DER" writes.
func inDER(data []byte) ([]byte, error) {
	if b := blocks(data); len(b) > 0 {
		return b[0].Bytes, nil
	}
	return nil, errAbsent
}

// leafAlone drops the CAs that are sent along; upsideDown has them first.
func leafAlone(data []byte) ([]byte, error) {
	b := blocks(data)
	if len(b) < 2 {
		return nil, errAbsent
	}
	return pem.EncodeToMemory(b[0]), nil
}

func upsideDown(data []byte) ([]byte, error) {
	b := blocks(data)
	if len(b) < 2 {
		return nil, errAbsent
	}
	return append(pem.EncodeToMemory(b[1]), pem.EncodeToMemory(b[0])...), nil
}

// encrypted has a passphrase put on a key.
func encrypted(data []byte) ([]byte, error) {
	cmd := exec.Command("openssl", "pkey", "-aes128", "-passout", "pass:secret")
	cmd.Stdin = bytes.NewReader(data)
	return cmd.Output()
}

// aKey is another key.
func aKey([]byte) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return keyPEM(key)
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf("PRIVATE KEY", der), err
}

// first returns the first certificate of a file.
func first(data []byte) (*x509.Certificate, error) {
	b := blocks(data)
	if len(b) == 0 || b[0].Type != "CERTIFICATE" {
		return nil, fmt.Errorf("a certificate %w", errAbsent)
	}
	cert, err := x509.ParseCertificate(b[0].Bytes)
	if err != nil {
		return nil, fmt.Errorf("a certificate %w: %v", errAbsent, err)
	}
	return cert, nil
}

// signer returns the CA that has signed a certificate, and its key.
func (s *site) signer(cert *x509.Certificate) (*x509.Certificate, crypto.Signer, error) {
	files, _ := filepath.Glob(filepath.Join(s.away, "*.crt"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		ca, err := first(data)
		if err != nil {
			return nil, nil, err
		}
		if !bytes.Equal(ca.RawSubject, cert.RawIssuer) || ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
			continue
		}
		raw, err := os.ReadFile(strings.TrimSuffix(file, ".crt") + ".key")
		if err != nil {
			return nil, nil, err
		}
		key, err := privateKey(raw)
		return ca, key, err
	}
	return nil, nil, fmt.Errorf("who has signed %s %w", cert.Subject, errAbsent)
}

// signed has the first certificate of a file made anew, by who has signed it and
// for the same key, with something changed.
func signed(role string, change func(*x509.Certificate)) injection {
	return signedFor(role, nil, change)
}

// signedFor is signed for another key, nil for the same.
func signedFor(role string, public crypto.PublicKey, change func(*x509.Certificate)) injection {
	return func(s *site) error {
		data, err := s.read(role)
		if err != nil {
			return err
		}
		cert, err := first(data)
		if err != nil {
			return err
		}
		ca, key, err := s.signer(cert)
		if err != nil {
			return err
		}
		template := templateOf(cert)
		change(template)
		if ca.Equal(cert) {
			ca = template // what a CA says of itself is its own
		}
		if public == nil {
			public = cert.PublicKey
		}
		der, err := x509.CreateCertificate(rand.Reader, template, ca, public, key)
		if err != nil {
			return err
		}
		out := pemOf("CERTIFICATE", der)
		for _, b := range blocks(data)[1:] {
			out = append(out, pem.EncodeToMemory(b)...)
		}
		return s.overwrite(role, out)
	}
}

// templateOf is a certificate to be signed again.
func templateOf(c *x509.Certificate) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).Add(c.SerialNumber, big.NewInt(1000)), RawSubject: c.RawSubject, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		KeyUsage: c.KeyUsage, ExtKeyUsage: c.ExtKeyUsage, BasicConstraintsValid: c.BasicConstraintsValid, IsCA: c.IsCA,
		MaxPathLen: c.MaxPathLen, MaxPathLenZero: c.MaxPathLenZero, SubjectKeyId: c.SubjectKeyId,
		DNSNames: c.DNSNames, IPAddresses: c.IPAddresses,
	}
}

// otherCA puts a CA that has signed nothing here, of the name that is given or of
// the same one.
func otherCA(role string, name *pkix.Name) injection {
	return func(s *site) error {
		data, err := s.read(role)
		if err != nil {
			return err
		}
		cert, err := first(data)
		if err != nil {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		template := templateOf(cert)
		template.SubjectKeyId = nil
		if name != nil {
			template.RawSubject, template.Subject = nil, *name
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return err
		}
		return s.overwrite(role, pemOf("CERTIFICATE", der))
	}
}

// newPair makes key and certificate of a kind of key.
func newPair(cert, key string, curve elliptic.Curve) injection {
	return func(s *site) error {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return err
		}
		if err := signedFor(cert, k.Public(), func(*x509.Certificate) {})(s); err != nil {
			return err
		}
		data, err := keyPEM(k)
		if err != nil {
			return err
		}
		return s.overwrite(key, data)
	}
}

// caKeyBeside puts the key of the CA that has signed a certificate into the
// certificate's directory.
func caKeyBeside(role, name string) injection {
	return func(s *site) error {
		data, err := s.read(role)
		if err != nil {
			return err
		}
		cert, err := first(data)
		if err != nil {
			return err
		}
		ca, key, err := s.signer(cert)
		if err != nil {
			return err
		}
		file, err := s.at(role)
		if err != nil {
			return err
		}
		raw, err := keyPEM(key)
		if err != nil {
			return err
		}
		if err := s.takePath(filepath.Join(filepath.Dir(file), name+".crt")); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), name+".crt"), pemOf("CERTIFICATE", ca.Raw), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(filepath.Dir(file), name+".key"), raw, 0o600)
	}
}
