package lint_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack/lint"
)

const (
	day     = 24 * time.Hour
	regCert = "registry/registry.crt"
	regKey  = "registry/registry.key"
	regCA   = "ca/ca.crt"
)

// serve puts a pair in the registry's place.
func (y *yard) serve(t *testing.T, kp *pki.KeyPair) {
	t.Helper()
	y.put(regCert, kp.CertPEM())
	y.put(regKey, keyPEM(t, kp))
}

// forge has the CA sign a server leaf for the registry's names, edited.
func forge(t *testing.T, ca *pkitest.CA, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	return ca.Forge(t, "registry", func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"registry", "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1).To4()}
		if edit != nil {
			edit(c)
		}
	})
}

// made makes a certificate that the parent, or it itself, has signed, with none of
// the checks of package pki.
func made(t *testing.T, parent *pki.KeyPair, edit func(*x509.Certificate)) *pki.KeyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "made"}, NotBefore: now.Add(-30 * day), NotAfter: now.Add(300 * day), BasicConstraintsValid: true}
	edit(template)
	signer, by := key, template
	if parent != nil {
		by = parent.Cert
		signer = parent.Key.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pki.KeyPair{Cert: cert, Key: key}
}

func asCA(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.KeyUsage = pkix.Name{CommonName: name}, true, x509.KeyUsageCertSign
		c.NotAfter = c.NotBefore.Add(3650 * day)
	}
}

func asServer(c *x509.Certificate) {
	c.DNSNames, c.IPAddresses = []string{"registry", "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1).To4()}
	c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func asUTF16(data []byte) []byte {
	out := []byte{0xff, 0xfe}
	for _, c := range utf16.Encode([]rune(string(data))) {
		out = append(out, byte(c), byte(c>>8))
	}
	return out
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func der(data []byte) []byte {
	b, _ := pem.Decode(data)
	return b.Bytes
}

// fault breaks a sound yard in one way; want are the rules that are broken then.
type fault struct {
	name  string
	spoil func(*testing.T, *yard, authorities)
	want  []string
}

// faults are one for each rule, and more. Each rule's name leads the row's.
func faults() []fault {
	return slices.Concat(fileFaults(), readerFaults(), leafFaults(), chainFaults(), bundleFaults())
}

func fileFaults() []fault {
	set := func(path string, change func([]byte) []byte) func(*testing.T, *yard, authorities) {
		return func(_ *testing.T, y *yard, _ authorities) { y.file(path).Data = change(y.file(path).Data) }
	}
	return []fault{
		{"certs.missing: no file", func(_ *testing.T, y *yard, _ authorities) {
			y.files = slices.DeleteFunc(y.files, func(f lint.CertFile) bool { return f.Path == regCert })
		}, []string{"certs.missing"}},
		{"certs.missing: says so", func(_ *testing.T, y *yard, _ authorities) {
			*y.file(regCA) = lint.CertFile{Path: regCA, Unreadable: &fs.PathError{Op: "open", Path: regCA, Err: fs.ErrNotExist}}
		}, []string{"certs.missing"}},
		{"certs.missing: a directory", func(_ *testing.T, y *yard, _ authorities) {
			*y.file(regKey) = lint.CertFile{Path: regKey, Mode: fs.ModeDir | 0o755, Unreadable: errors.New("is a directory")}
		}, []string{"certs.missing"}},
		{"certs.unreadable", func(_ *testing.T, y *yard, _ authorities) {
			*y.file(regKey) = lint.CertFile{Path: regKey, Unreadable: &fs.PathError{Op: "open", Path: regKey, Err: fs.ErrPermission}}
		}, []string{"certs.unreadable"}},
		{"certs.not-pem: DER", set(regCert, der), []string{"certs.not-pem"}},
		{"certs.not-pem: DER key", set(regKey, der), []string{"certs.not-pem"}},
		{"certs.not-pem: empty", set(regCA, func([]byte) []byte { return []byte("\n") }), []string{"certs.not-pem"}},
		{"certs.not-pem: empty client CA", set("buildkit/clients.crt", func([]byte) []byte { return nil }), []string{"certs.not-pem"}},
		{"certs.not-pem: UTF-16", set(regCert, asUTF16), []string{"certs.not-pem"}},
		{"certs.not-pem: a byte order mark", set(regCert, func(d []byte) []byte { return append([]byte("\xef\xbb\xbf"), d...) }), []string{"certs.not-pem"}},
		{"certs.not-pem: words", set(regCA, func([]byte) []byte { return []byte("to be done") }), []string{"certs.not-pem"}},
		{"certs.not-pem: PKCS #12", func(t *testing.T, y *yard, a authorities) {
			p12, err := pki.ExportP12(a.servers.Server(t, "registry"), a.servers.Trust(), "")
			if err != nil {
				t.Fatal(err)
			}
			y.put(regCert, p12)
		}, []string{"certs.not-pem"}},
		{"certs.damaged: cut off", set(regCert, func(d []byte) []byte { return d[:len(d)/2] }), []string{"certs.damaged"}},
		{"certs.damaged: glued together", set("client/ca.pem", func(d []byte) []byte { return bytes.Repeat(bytes.TrimSpace(d), 2) }), []string{"certs.damaged"}},
		{"certs.damaged: nonsense", set(regCert, func([]byte) []byte { return block("CERTIFICATE", []byte("nonsense")) }), []string{"certs.damaged"}},
		{"certs.wrong-kind: swapped", func(_ *testing.T, y *yard, _ authorities) {
			c, k := y.file(regCert), y.file(regKey)
			c.Data, k.Data = k.Data, c.Data
			c.Mode, k.Mode = k.Mode, c.Mode
		}, []string{"certs.wrong-kind"}},
		{"certs.wrong-kind: a request", func(t *testing.T, y *yard, _ authorities) {
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "registry"}}, made(t, nil, func(*x509.Certificate) {}).Key)
			if err != nil {
				t.Fatal(err)
			}
			y.put(regCert, block("CERTIFICATE REQUEST", csr))
		}, []string{"certs.wrong-kind"}},
		{"certs.wrong-kind: a public key", set(regKey, func([]byte) []byte { return block("PUBLIC KEY", []byte{1}) }), []string{"certs.wrong-kind"}},
		{"certs.encrypted-key", func(t *testing.T, y *yard, a authorities) {
			kp := a.servers.Server(t, "registry", "localhost", "127.0.0.1")
			locked, err := pki.EncryptKey(kp.Key, []byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			y.put(regCert, kp.CertPEM())
			y.put(regKey, locked)
		}, []string{"certs.encrypted-key"}},
		{"certs.key-in-bundle", func(t *testing.T, y *yard, a authorities) {
			kp := a.servers.Server(t, "other")
			y.file(regCA).Data = append(y.file(regCA).Data, keyPEM(t, kp)...)
			y.file(regCA).Mode = 0o600
		}, []string{"certs.key-in-bundle"}},
	}
}

func readerFaults() []fault {
	set := func(change func(*yard)) func(*testing.T, *yard, authorities) {
		return func(_ *testing.T, y *yard, _ authorities) { change(y) }
	}
	return []fault{
		{"certs.key-reader", set(func(y *yard) { y.file(regKey).UID = 0 }), []string{"certs.key-reader"}},
		{"certs.key-reader: the owner has no bit", set(func(y *yard) { y.file(regKey).Mode = 0o040 }), []string{"certs.key-reader", "certs.key-mode"}},
		{"certs.reader", set(func(y *yard) { y.file(regCert).UID, y.file(regCert).Mode = 0, 0o600 }), []string{"certs.reader"}},
		{"certs.key-mode: everybody", set(func(y *yard) { y.file(regKey).Mode = 0o604 }), []string{"certs.key-mode"}},
		{"certs.key-mode: group", set(func(y *yard) { y.file(regKey).Mode = 0o640 }), []string{"certs.key-mode"}},
		{"the group is the way in", set(func(y *yard) { y.file(regKey).Mode, y.file(regKey).UID = 0o640, 0 }), nil},
		{"certs.writable", set(func(y *yard) { y.file(regCA).Mode = 0o666 }), []string{"certs.writable"}},
		{"certs.ca-key-mounted: a mounted directory", set(func(y *yard) { y.file("ca/ca.key").Mounted = true }), []string{"certs.ca-key-mounted"}},
		{"certs.ca-key-beside", set(func(y *yard) { y.file("ca/ca.key").Path = "registry/ca.key" }), []string{"certs.ca-key-beside"}},
	}
}

func leafFaults() []fault {
	serve := func(edit func(*x509.Certificate)) func(*testing.T, *yard, authorities) {
		return func(t *testing.T, y *yard, a authorities) { y.serve(t, forge(t, a.servers, edit)) }
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return []fault{
		{"certs.key-match", func(t *testing.T, y *yard, a authorities) {
			y.put(regKey, keyPEM(t, a.servers.Server(t, "registry")))
		}, []string{"certs.key-match"}},
		{"certs.order", func(t *testing.T, y *yard, a authorities) {
			f := y.file(regCert)
			f.Data = append(a.servers.Trust().PEM(), f.Data...)
		}, []string{"certs.order"}},
		{"certs.chain-order", func(t *testing.T, y *yard, a authorities) {
			kp := a.servers.Issuing(t).Server(t, "registry", "localhost", "127.0.0.1")
			y.serve(t, kp)
			y.put(regCert, slices.Concat(certPEM(kp), a.servers.Trust().PEM(), pki.NewTrustBundle(kp.Chain...).PEM()))
		}, []string{"certs.chain-order"}},
		{"certs.expired", serve(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-90*day), now.Add(-day) }), []string{"certs.expired"}},
		{"certs.not-yet-valid", serve(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(time.Hour), now.Add(90*day) }), []string{"certs.not-yet-valid"}},
		{"certs.soon", serve(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-70*day), now.Add(20*day) }), []string{"certs.soon"}},
		{"a day's certificate is not due at noon", serve(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-12*time.Hour), now.Add(12*time.Hour) }), nil},
		{"certs.too-long", serve(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(1000 * day); c.NotBefore = now.Add(-day) }), []string{"certs.too-long"}},
		{"certs.usage: a client's", serve(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), []string{"certs.usage"}},
		{"certs.usage: a server's for a client", func(t *testing.T, y *yard, a authorities) {
			kp := forge(t, a.clients, nil)
			y.put("client/cert.pem", kp.CertPEM())
			y.put("client/key.pem", keyPEM(t, kp))
		}, []string{"certs.usage"}},
		{"certs.expired: a client's", func(t *testing.T, y *yard, a authorities) {
			kp := a.clients.ExpiredClient(t, "dev")
			y.put("client/cert.pem", kp.CertPEM())
			y.put("client/key.pem", keyPEM(t, kp))
		}, []string{"certs.expired"}},
		{"certs.key-usage", serve(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), []string{"certs.key-usage"}},
		{"certs.no-san", serve(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), []string{"certs.no-san"}},
		{"certs.ip-as-dns", serve(func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"registry", "localhost", "127.0.0.1"}, nil
		}), []string{"certs.ip-as-dns"}},
		{"certs.names", serve(func(c *x509.Certificate) { c.DNSNames = []string{"registry"} }), []string{"certs.names"}},
		{"certs.names: an address", serve(func(c *x509.Certificate) { c.IPAddresses = nil }), []string{"certs.names"}},
		{"certs.names: a wildcard", func(t *testing.T, y *yard, a authorities) {
			y.serve(t, forge(t, a.servers, func(c *x509.Certificate) { c.DNSNames = []string{"*.build.test"} }))
			y.use(lint.Registry, lint.ServerCert).Names = []string{"a.build.test", "build.test"}
		}, []string{"certs.names"}},
		{"certs.self-signed", func(t *testing.T, y *yard, _ authorities) {
			kp := made(t, nil, asServer)
			y.serve(t, kp)
			y.put(regCA, kp.CertPEM())
		}, []string{"certs.self-signed"}},
		{"certs.ca-as-leaf", serve(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }), []string{"certs.ca-as-leaf"}},
	}
}

func chainFaults() []fault {
	return []fault{
		{"certs.chain: a stranger", func(t *testing.T, y *yard, _ authorities) {
			stranger := made(t, nil, asCA("stranger"))
			y.serve(t, made(t, stranger, asServer))
		}, []string{"certs.chain"}},
		{"certs.chain: a client of a stranger", func(t *testing.T, y *yard, _ authorities) {
			kp := made(t, made(t, nil, asCA("stranger")), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
			y.put("client/cert.pem", kp.CertPEM())
			y.put("client/key.pem", keyPEM(t, kp))
		}, []string{"certs.chain"}},
		{"certs.chain: self-signed and not the one that is trusted", func(t *testing.T, y *yard, _ authorities) {
			y.serve(t, made(t, nil, asServer))
		}, []string{"certs.chain", "certs.self-signed"}},
		{"certs.chain: too many CAs", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) { asCA("root")(c); c.MaxPathLenZero = true })
			mid := made(t, root, asCA("mid"))
			kp := made(t, mid, asServer)
			kp.Chain = []*x509.Certificate{mid.Cert}
			y.serve(t, kp)
			y.put(regCA, root.CertPEM())
		}, []string{"certs.chain"}},
		{"certs.same-subject", func(t *testing.T, y *yard, a authorities) {
			y.put(regCA, a.servers.Twin(t).Trust().PEM())
		}, []string{"certs.same-subject"}},
		{"certs.same-subject: above an issuing CA", func(t *testing.T, y *yard, a authorities) {
			y.serve(t, a.servers.Issuing(t).Server(t, "registry", "localhost", "127.0.0.1"))
			y.put(regCA, a.servers.Twin(t).Trust().PEM())
		}, []string{"certs.same-subject"}},
		{"certs.same-subject: of the clients", func(t *testing.T, y *yard, a authorities) {
			y.put("buildkit/clients.crt", a.clients.Twin(t).Trust().PEM())
		}, []string{"certs.same-subject"}},
		{"certs.not-a-ca", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "no CA" })
			other := made(t, nil, asCA("other"))
			y.serve(t, made(t, root, asServer))
			y.put(regCA, append(root.CertPEM(), other.CertPEM()...))
		}, []string{"certs.not-a-ca"}},
		{"certs.not-a-ca: alone", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "no CA" })
			y.serve(t, made(t, root, asServer))
			y.put(regCA, root.CertPEM())
		}, []string{"certs.not-a-ca"}},
		{"certs.not-a-ca: lacks keyCertSign", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) { asCA("no signer")(c); c.KeyUsage = x509.KeyUsageDigitalSignature })
			y.serve(t, made(t, root, asServer))
			y.put(regCA, root.CertPEM())
		}, []string{"certs.not-a-ca"}},
		{"certs.missing-intermediate", func(t *testing.T, y *yard, a authorities) {
			kp := a.servers.Issuing(t).Server(t, "registry", "localhost", "127.0.0.1")
			y.serve(t, kp)
			y.put(regCert, certPEM(kp))
			y.put("ca/issuing.crt", pki.NewTrustBundle(kp.Chain...).PEM())
		}, []string{"certs.missing-intermediate"}},
		{"certs.ca-expired", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) { asCA("old")(c); c.NotAfter = y.now.Add(-day) })
			y.serve(t, made(t, root, func(c *x509.Certificate) { asServer(c); c.NotAfter = y.now.Add(40 * day) }))
			y.put(regCA, root.CertPEM())
		}, []string{"certs.ca-expired"}},
		{"certs.ca-ends-first", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) { asCA("short")(c); c.NotAfter = y.now.Add(60 * day) })
			y.serve(t, made(t, root, asServer))
			y.put(regCA, root.CertPEM())
		}, []string{"certs.ca-ends-first"}},
		{"certs.constraints", func(t *testing.T, y *yard, _ authorities) {
			ca := pkitest.NewConstrained(t, y.now, pki.Constraints{DNS: []string{"registry"}, IPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			y.serve(t, forge(t, ca, nil))
			y.put(regCA, ca.Trust().PEM())
		}, []string{"certs.constraints"}},
		{"certs.constraints: a client with a name", func(t *testing.T, y *yard, _ authorities) {
			ca := pkitest.NewConstrained(t, y.now, pki.Constraints{DNS: []string{"registry"}})
			kp := forge(t, ca, func(c *x509.Certificate) {
				c.DNSNames, c.ExtKeyUsage = []string{"dev"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			})
			y.put("client/cert.pem", kp.CertPEM())
			y.put("client/key.pem", keyPEM(t, kp))
			y.put("buildkit/clients.crt", ca.Trust().PEM())
		}, []string{"certs.constraints"}},
		{"certs.ca-usage", func(t *testing.T, y *yard, _ authorities) {
			root := made(t, nil, func(c *x509.Certificate) {
				asCA("clients only")(c)
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			})
			y.serve(t, made(t, root, asServer))
			y.put(regCA, root.CertPEM())
		}, []string{"certs.ca-usage"}},
		{"certs.usage: a client's, of a CA of clients", func(t *testing.T, y *yard, _ authorities) {
			clients := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			root := made(t, nil, func(c *x509.Certificate) { asCA("clients only")(c); c.ExtKeyUsage = clients })
			y.serve(t, made(t, root, func(c *x509.Certificate) { asServer(c); c.ExtKeyUsage = clients }))
			y.put(regCA, root.CertPEM())
		}, []string{"certs.usage"}},
	}
}

func bundleFaults() []fault {
	return []fault{
		{"certs.trust-leaf", func(t *testing.T, y *yard, a authorities) {
			y.put(regCA, certPEM(a.servers.Server(t, "other")))
		}, []string{"certs.trust-leaf"}},
		{"the served certificate is trusted beside its CA", func(_ *testing.T, y *yard, _ authorities) {
			y.file(regCA).Data = append(y.file(regCA).Data, y.file(regCert).Data...)
		}, nil},
		{"an expired self-signed server is one that is trusted", func(t *testing.T, y *yard, _ authorities) {
			kp := made(t, nil, func(c *x509.Certificate) {
				asServer(c)
				c.IsCA, c.NotAfter = true, y.now.Add(-day)
			})
			y.serve(t, kp)
			y.put(regCA, kp.CertPEM())
		}, []string{"certs.expired", "certs.self-signed"}},
		{"self-signed twice with one number", func(t *testing.T, y *yard, _ authorities) {
			one := func(c *x509.Certificate) { asServer(c); c.SerialNumber = big.NewInt(1) }
			kp := made(t, nil, one)
			y.serve(t, kp)
			y.put(regCA, kp.CertPEM())
			y.put("registry/old.crt", made(t, nil, one).CertPEM())
		}, []string{"certs.self-signed"}},
		{"the served certificate is trusted", func(_ *testing.T, y *yard, _ authorities) {
			y.put(regCA, y.file(regCert).Data)
		}, nil},
		{"certs.trust-extra", func(t *testing.T, y *yard, a authorities) {
			y.file(regCA).Data = append(y.file(regCA).Data, certPEM(a.servers.Server(t, "other"))...)
		}, []string{"certs.trust-extra"}},
		{"an expired CA beside the new one", func(t *testing.T, y *yard, _ authorities) {
			old := pkitest.New(t, y.now.Add(-20*365*day))
			y.file(regCA).Data = append(old.Trust().PEM(), y.file(regCA).Data...)
		}, nil},
		{"certs.no-aki", func(t *testing.T, y *yard, a authorities) {
			one, two := made(t, nil, asCA("twin")), made(t, nil, asCA("twin"))
			bare := *one
			bare.Cert = &x509.Certificate{Raw: one.Cert.Raw, RawSubject: one.Cert.RawSubject, Subject: one.Cert.Subject, PublicKey: one.Cert.PublicKey}
			y.serve(t, made(t, &bare, asServer))
			y.put(regCA, append(one.CertPEM(), two.CertPEM()...))
		}, []string{"certs.no-aki"}},
		{"twins that can be told apart", func(t *testing.T, y *yard, a authorities) {
			y.file(regCA).Data = append(y.file(regCA).Data, a.servers.Twin(t).Trust().PEM()...)
		}, nil},
		{"certs.server-as-client", func(t *testing.T, y *yard, a authorities) {
			y.serve(t, forge(t, a.servers, func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }))
			y.file("buildkit/clients.crt").Data = append(y.file("buildkit/clients.crt").Data, a.servers.Trust().PEM()...)
		}, []string{"certs.server-as-client"}},
		{"usages keep servers out", func(_ *testing.T, y *yard, a authorities) {
			y.file("buildkit/clients.crt").Data = append(y.file("buildkit/clients.crt").Data, a.servers.Trust().PEM()...)
		}, nil},
		{"certs.serial", func(t *testing.T, y *yard, a authorities) {
			y.serve(t, forge(t, a.servers, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1) }))
			y.put("registry/old.crt", certPEM(forge(t, a.servers, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1) })))
		}, []string{"certs.serial"}},
		{"one file is the trust of both", func(t *testing.T, y *yard, a authorities) {
			y.file(regCA).Data = der(y.file(regCA).Data)
			y.use(lint.Builder, lint.ServerCert).Trust = []string{regCA}
			y.use(lint.Builder, lint.TrustCA).Path = regCA
		}, []string{"certs.not-pem"}},
	}
}

// TestCertificates: one defect, one cause.
func TestCertificates(t *testing.T) {
	for _, c := range faults() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y, a := sound(t)
			c.spoil(t, y, a)
			got := y.causes(t)
			if !slices.Equal(sortedIDs(got), slices.Sorted(slices.Values(c.want))) {
				t.Errorf("got %v, want %v%s", ids(got), c.want, show(got))
			}
		})
	}
}

func sortedIDs(findings []lint.Finding) []string { return slices.Sorted(slices.Values(ids(findings))) }

// TestCertRulesAreTried: each rule is broken by a row, or by a tutorial.
func TestCertRulesAreTried(t *testing.T) {
	tried := []string{"certs.weak-key", "certs.weak-signature", "certs.refused-key", "certs.twin-cas"} // TestCertificatesOfOpenSSL
	for _, f := range faults() {
		tried = append(tried, f.want...)
	}
	seen := map[string]bool{}
	for _, r := range lint.CertRules() {
		if !slices.Contains(tried, r.ID) {
			t.Errorf("nothing breaks %s", r.ID)
		}
		if seen[r.ID] || r.Title == "" || r.Proves == "" || r.Hint == "" || r.Source == "" || !strings.HasPrefix(r.ID, "certs.") {
			t.Errorf("a rule is there twice or incomplete: %+v", r)
		}
		for _, need := range r.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which does not stand before it", r.ID, need)
			}
		}
		seen[r.ID] = true
	}
}
