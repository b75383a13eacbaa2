package edge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
)

// File names in the directories of a listener.
const (
	FileCertificate = "tls.crt"     // the leaf, then its chain, unless another file is named
	FileKey         = "tls.key"     // the leaf's key
	FileClients     = "clients.crt" // the CAs that clients may come from
	FileAccess      = "access.json" // the access list; may be missing
)

// snapshot is all that a handshake depends on. It never changes.
type snapshot struct {
	served
	config *tls.Config
	gate   *gate // nil: nobody is asked for a certificate
}

// served is a server certificate that can be served.
type served struct {
	pair       *pki.KeyPair
	generation string
}

// parseServed makes a server certificate of what its folder holds. The first one
// may have expired: an edge that starts is better than none, and clients say
// what is wrong.
func (s *source) parseServed(c content, now time.Time, first bool) (served, error) {
	files := pki.PEMPair{
		Name:     "server leaf",
		CertFile: c.file(s.certificate), Cert: c.files[s.certificate],
		KeyFile: c.file(FileKey), Key: c.files[FileKey],
	}
	pair, err := files.Parse()
	if err == nil && pair == nil {
		err = fmt.Errorf("neither %s nor %s exists", files.CertFile, files.KeyFile)
	}
	if err != nil {
		return served{}, err
	}
	leaf := pair.Cert
	switch {
	case now.Before(leaf.NotBefore):
		return served{}, &notYetError{leaf.NotBefore, fmt.Errorf("%s is not valid before %s", files.CertFile, date(leaf.NotBefore))}
	case now.After(leaf.NotAfter) && !first:
		return served{}, fmt.Errorf("%s has expired on %s", files.CertFile, date(leaf.NotAfter))
	case !forServers(leaf):
		return served{}, fmt.Errorf("%s is not for servers (extended key usage)", files.CertFile)
	}
	return served{pair, generation(s.certificates, filepath.Dir(files.CertFile), leaf)}, nil
}

func forServers(leaf *x509.Certificate) bool {
	return len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// generation names what is served: as the directory of the leaf, which a pointer
// leads to, or where no pointer of that name was, after the leaf.
func generation(path, dir string, leaf *x509.Certificate) string {
	if base := filepath.Base(dir); base != filepath.Base(path) {
		return base
	}
	const short = 8
	return pki.Fingerprint(leaf)[:short]
}

// gate says which clients are let in. It never changes.
type gate struct {
	roots  *x509.CertPool
	access Access
	listed bool // there is an access list
}

// parseGate makes a gate of what its folder holds. An access list that was there
// and is missing now is refused like one that does not parse: without it clients
// that were removed would be let in again.
func (s *source) parseGate(c content, _ time.Time, first bool) (*gate, error) {
	if c.files[FileClients] == nil {
		return nil, fmt.Errorf("%s does not exist", c.file(FileClients))
	}
	bundle, err := pki.ParseTrustBundle(c.files[FileClients])
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", c.file(FileClients), err)
	}
	for i, cert := range bundle.Certs() {
		// A pool takes a leaf for an anchor of its own.
		if !cert.BasicConstraintsValid || !cert.IsCA {
			return nil, fmt.Errorf("%s: certificate %d (%s) is no CA", c.file(FileClients), i+1, cert.Subject.CommonName)
		}
	}
	g := &gate{roots: bundle.Pool()}
	list := c.files[FileAccess]
	if list == nil && (s.accessRequired || !first && s.gate.value.listed) {
		return nil, fmt.Errorf("%s does not exist; without it everybody with a certificate of %s would be let in", c.file(FileAccess), FileClients)
	}
	if list != nil {
		g.listed = true
		if g.access, err = ParseAccess(list); err != nil {
			return nil, fmt.Errorf("parsing %s: %w", c.file(FileAccess), err)
		}
	}
	return g, nil
}

// admit is crypto/tls's VerifyConnection: it runs for every handshake, after
// crypto/tls has verified the certificate.
func (g *gate) admit(state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 {
		return &refusal{reason: NoClientCertificate} // crypto/tls does not let it come this far
	}
	leaf := state.PeerCertificates[0]
	if reason := g.access.judge(leaf, state.VerifiedChains); reason != OK {
		return &refusal{reason, leaf}
	}
	return nil
}

// judge looks again at a client that was let in at a time: whether it still
// would be. That its certificate has expired since then is no reason.
func (g *gate) judge(certs []*x509.Certificate, at time.Time) Reason {
	between := x509.NewCertPool()
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: g.roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return reasonOfCertificate(err)
	}
	return g.access.judge(certs[0], chains)
}

// newSnapshot puts the parts together.
func newSnapshot(s served, g *gate, alpn []string, now func() time.Time) *snapshot {
	config := &tls.Config{
		Certificates: []tls.Certificate{s.pair.TLS()},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   alpn,
		Time:         now,
	}
	if g != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = g.roots
		// A resumed session would carry the judgement of an older snapshot.
		config.SessionTicketsDisabled = true
		config.VerifyConnection = g.admit
	}
	return &snapshot{s, config, g}
}

// refuseALPN returns a config for a client whose protocols are all unknown, so
// that crypto/tls sends the alert for it. By itself it lets a client that only
// has http/1.1 into a server that only has h2, without any protocol
// (negotiateALPN in crypto/tls/handshake_server.go).
func (s *snapshot) refuseALPN() *tls.Config {
	config := s.config.Clone()
	config.NextProtos = []string{"none"}
	return config
}

// hello looks at what a client offers: the reason why the handshake is going to
// fail, "" if it is not known to.
func (s *snapshot) hello(info *tls.ClientHelloInfo) Reason {
	switch alpn := s.config.NextProtos; {
	case !slices.ContainsFunc(info.SupportedVersions, func(v uint16) bool { return v >= tls.VersionTLS12 && v <= tls.VersionTLS13 }):
		return TLSVersion
	case len(alpn) > 0 && len(info.SupportedProtos) > 0 && !slices.ContainsFunc(info.SupportedProtos, func(p string) bool { return slices.Contains(alpn, p) }):
		return ALPN
	default:
		return ""
	}
}

// LoadError says that what a listener is to serve cannot be loaded.
type LoadError struct {
	Listener string
	Dir      string // as configured
	Err      error
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("loading %s for listener %s: %v", e.Dir, e.Listener, e.Err)
}

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// date is the form of a time in messages.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
