package doctor_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"context"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/doctor"
	"github.com/certyard/certyard/stack/lifecycle"
	"github.com/certyard/certyard/stack/local"
)

// withMkcert is mutual TLS everywhere with one directory of certificates, made as
// mkcert v1.4.4 makes them (cert.go).
func withMkcert(t testing.TB) *site {
	t.Helper()
	s := newSite(t, "mkcert", mkcertTexts(), `compose docker-compose.yml
		toml buildkit/buildkitd.toml
		yml registry/config.yml
		htpasswd registry/htpasswd
		registry.crt certs/registry+2.pem
		registry.key certs/registry+2-key.pem
		trust certs/rootCA.pem
		clients certs/rootCA.pem
		builder.crt certs/buildkitd+2.pem
		builder.key certs/buildkitd+2-key.pem
		client.crt certs/builder-client.pem
		client.key certs/builder-client-key.pem`)
	s.deserved = []string{"registry.clients-need-certificates", "wiring.shared-key"} // one directory for all
	m := newMkcert(t, s)
	m.leaf("registry+2", []string{"registry", "localhost"}, x509.ExtKeyUsageServerAuth)
	m.leaf("buildkitd+2", []string{"buildkitd", "localhost"}, x509.ExtKeyUsageServerAuth)
	m.leaf("builder-client", []string{"builder"}, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth)
	return s
}

// mkcertTexts are the files that are no certificates.
func mkcertTexts() map[string]string {
	return map[string]string{
		"docker-compose.yml": `services:
  registry:
    image: registry:3
    stop_grace_period: 90s
    volumes:
      - type: bind
        source: ./registry
        target: /etc/distribution
        read_only: true
      - type: bind
        source: ./certs
        target: /certs
        read_only: true
      - type: volume
        source: images
        target: /var/lib/registry
    ports:
      - target: 5000
        published: "5000"
        host_ip: 127.0.0.1
  buildkitd:
    image: moby/buildkit:latest
    privileged: true
    stop_grace_period: 10m
    volumes:
      - type: bind
        source: ./buildkit
        target: /etc/buildkit
        read_only: true
      - type: bind
        source: ./certs
        target: /certs
        read_only: true
    ports:
      - target: 1234
        published: "1234"
volumes:
  images:
`,
		"buildkit/buildkitd.toml": `[grpc]
  address = ["tcp://0.0.0.0:1234", "unix:///run/buildkit/buildkitd.sock"]

[grpc.tls]
  cert = "/certs/buildkitd+2.pem"
  key = "/certs/buildkitd+2-key.pem"
  ca = "/certs/rootCA.pem"

[registry."registry:5000"]
  http = false
  ca = ["/certs/rootCA.pem"]
  [[registry."registry:5000".keypair]]
    key = "/certs/builder-client-key.pem"
    cert = "/certs/builder-client.pem"
`,
		"registry/config.yml": `version: 0.1
log:
  level: info
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: :5000
  secret: asecretforlocaldevelopment123456
  draintimeout: 60s
  relativeurls: true
  headers:
    X-Content-Type-Options: [nosniff]
  tls:
    certificate: /certs/registry+2.pem
    key: /certs/registry+2-key.pem
    clientcas:
      - /certs/rootCA.pem
auth:
  htpasswd:
    realm: local
    path: /etc/distribution/htpasswd
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`,
		"registry/htpasswd": password,
		"certs/.gitkeep":    "",
	}
}

type mkcert struct {
	t    testing.TB
	site *site
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func newMkcert(t testing.TB, s *site) mkcert {
	t.Helper()
	m := mkcert{t: t, site: s}
	m.key = m.newKey(3072)
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{Organization: []string{"mkcert development CA"}, OrganizationalUnit: []string{"dev@laptop"}, CommonName: "mkcert dev@laptop"},
		NotBefore:    now, NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, m.key.Public(), m.key)
	if err != nil {
		t.Fatal(err)
	}
	if m.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	m.write("certs/rootCA.pem", "CERTIFICATE", der, 0o644)
	key, err := x509.MarshalPKCS8PrivateKey(m.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"rootCA.crt": pemOf("CERTIFICATE", der), "rootCA.key": pemOf("PRIVATE KEY", key)} {
		if err := os.WriteFile(filepath.Join(s.away, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m mkcert) newKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		m.t.Fatal(err)
	}
	return key
}

func (m mkcert) leaf(name string, hosts []string, usages ...x509.ExtKeyUsage) {
	key, now := m.newKey(2048), time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{Organization: []string{"mkcert development certificate"}, OrganizationalUnit: []string{"dev@laptop"}},
		NotBefore:    now, NotAfter: now.AddDate(2, 3, 0), DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4()},
		KeyUsage: x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature, ExtKeyUsage: usages,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, m.cert, key.Public(), m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("certs/"+name+".pem", "CERTIFICATE", der, 0o644)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("certs/"+name+"-key.pem", "PRIVATE KEY", raw, 0o600)
}

func (m mkcert) write(name, kind string, der []byte, mode os.FileMode) {
	if err := os.WriteFile(filepath.Join(m.site.root, name), pemOf(kind, der), mode); err != nil {
		m.t.Fatal(err)
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// ours are stacks that certyard makes, in both ways to serve and both TLS modes.
func ours(t testing.TB) []*site {
	var out []*site
	for _, serve := range []stack.Serve{stack.ServeDaemon, stack.ServeEdge} {
		for _, mode := range []stack.BuilderTLS{stack.TLSServer, stack.TLSMutual} {
			out = append(out, made(t, serve, mode))
		}
	}
	return out
}

// made is what "certyard init" writes.
func made(t testing.TB, serve stack.Serve, mode stack.BuilderTLS) *site {
	t.Helper()
	config, err := stack.ReadConfig(strings.NewReader(fmt.Sprintf("version: 1\nserve: %s\nbuilder:\n  tls: %s\n", serve, mode)), "certyard.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := stack.NewSpec(config)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, fmt.Sprintf("%s-%s", serve, mode), nil, `compose stack/compose.yaml
		toml stack/buildkit/buildkitd.toml
		yml stack/registry/config.yml
		htpasswd stack/registry/auth/htpasswd`)
	for role, leaf := range map[string]string{"registry": stack.LeafRegistry, "builder": stack.LeafBuilder} {
		pair := serve.PairOf(leaf)
		s.roles[role+".crt"], s.roles[role+".key"] = "stack/"+pair.Cert, "stack/"+pair.Key
	}
	s.roles["trust"] = "stack/" + stack.FileBuilderCA
	s.target = ofOurs
	if _, err := lifecycle.Init(t.Context(), local.Deps(filepath.Join(s.root, "stack")), spec, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// ofOurs is the target as the doctor command makes it of a stack of ours.
func ofOurs(s *site) (doctor.Target, doctor.Deps, error) {
	d := local.Deps(filepath.Join(s.root, "stack"))
	status, err := lifecycle.GetRecord(d.Store)
	if err != nil {
		return doctor.Target{}, doctor.Deps{}, err
	}
	own := doctor.NewOwn(status.Spec, status.Facts, d.Store.Root())
	own.Changed = status.Changed
	if status.Rotation != nil {
		own.Open = string(status.Rotation.Phase)
	}
	load := func(ctx context.Context, file string) (*types.Project, error) {
		return compose.Load(ctx, compose.Source{Name: status.Spec.Name, Dir: d.Store.Root(), Files: []string{file}})
	}
	return doctor.Target{Own: own, Compose: filepath.Join(d.Store.Root(), stack.FileCompose)}, doctor.Deps{Load: load}, nil
}

// privateKey reads a key in PEM, PKCS #8 or older.
func privateKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer, nil
			}
		}
	}
	return nil, errors.New("no private key")
}
