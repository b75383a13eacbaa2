package stacktest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
	"github.com/certyard/certyard/stack"
)

// Fault is what is wrong with the certificate that a server shows, so that an author
// of a client can see what the client makes of it. Package pkitest has more of them,
// for servers of one's own.
type Fault string

// The faults. Apart from it the certificate is the sound one, of the same key.
const (
	// Expired was valid until an hour ago.
	Expired Fault = "expired"
	// NotYetValid is valid in a month. The edge serves no such certificate.
	NotYetValid Fault = "not-yet-valid"
	// WrongName is for other.test.
	WrongName Fault = "wrong-name"
	// OtherCA was signed by a CA that the clients do not trust.
	OtherCA Fault = "other-ca"
)

// sound is no fault.
const sound Fault = ""

const (
	month     = 30 * 24 * time.Hour
	otherName = "other.test"
)

// forge returns a server's certificate with the fault, and its chain.
func (f Fault) forge(t testing.TB, ca, like *pki.KeyPair, now time.Time) (*pki.KeyPair, error) {
	t.Helper()
	template := &x509.Certificate{
		RawSubject: like.Cert.RawSubject, NotBefore: like.Cert.NotBefore, NotAfter: like.Cert.NotAfter,
		DNSNames: like.Cert.DNSNames, IPAddresses: like.Cert.IPAddresses,
		KeyUsage: like.Cert.KeyUsage, ExtKeyUsage: like.Cert.ExtKeyUsage, BasicConstraintsValid: true,
	}
	chain := like.Chain
	switch f {
	case Expired:
		template.NotBefore, template.NotAfter = now.Add(-month), now.Add(-time.Hour)
	case NotYetValid:
		template.NotBefore, template.NotAfter = now.Add(month), now.Add(2*month)
	case WrongName:
		template.DNSNames, template.IPAddresses = []string{otherName}, nil
	case OtherCA:
		ca, chain = pkitest.New(t, now).Pair, nil
	default:
		return nil, fmt.Errorf("%q is no fault; there are %s, %s, %s and %s", f, Expired, NotYetValid, WrongName, OtherCA)
	}
	var err error
	const bits = 127 // RFC 5280 has a serial number be positive, and of 20 bytes at most
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, like.Cert.PublicKey, ca.Key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &pki.KeyPair{Cert: cert, Chain: chain, Key: like.Key}, err
}

// Expire has both servers show a certificate that expired an hour ago, until
// [Stack.Mend].
func (s *Stack) Expire(t testing.TB) {
	t.Helper()
	s.Fault(t, Expired)
}

// Fault has both servers show a certificate that clients must refuse, until
// [Stack.Mend]: the daemons are started again for it. [RegistryServer.Fault] and
// [Builder.Fault] are for one of them. It needs a CA whose key is here in plain,
// as it is unless Options.Config says otherwise.
func (s *Stack) Fault(t testing.TB, f Fault) {
	t.Helper()
	s.fault(t, f, stack.Registry, stack.Builder)
}

// Mend has both servers show the certificates again that they had before. Without a
// fault it does nothing.
func (s *Stack) Mend(t testing.TB) {
	t.Helper()
	if err := s.show(lasting(t), s.sound); err != nil {
		t.Fatalf("mending stack %s: %v", s.Name(), err)
	}
	s.sound = nil
}

// leafOf names the certificate of a service.
func leafOf(service string) string {
	if service == stack.Registry {
		return stack.LeafRegistry
	}
	return stack.LeafBuilder
}

func (s *Stack) fault(t testing.TB, f Fault, services ...string) {
	t.Helper()
	if f == sound {
		s.Mend(t)
		return
	}
	if err := s.breakServers(t, f, services); err != nil {
		t.Fatalf("having stack %s serve a certificate that is %s: %v", s.Name(), f, err)
	}
}

func (s *Stack) breakServers(t testing.TB, f Fault, services []string) error {
	t.Helper()
	spec, _ := s.recorded()
	if f == NotYetValid && spec.Serve == stack.ServeEdge {
		return errors.New("the edge does not; a stack with serve: daemon can")
	}
	forged, before := map[string]*pki.KeyPair{}, map[string]*pki.KeyPair{}
	for _, service := range services {
		like, err := s.soundPair(service)
		if err != nil {
			return err
		}
		before[service] = like
		ca, err := s.pair(spec.Serve.PairOf(issuerOf(like)))
		if err != nil {
			return err
		}
		if forged[service], err = f.forge(t, ca, like, time.Now()); err != nil {
			return err
		}
	}
	// From here on there is something to mend.
	maps.Copy(before, s.sound)
	s.sound = before
	return s.show(lasting(t), forged)
}

// soundPair returns what a service shows without a fault.
func (s *Stack) soundPair(service string) (*pki.KeyPair, error) {
	if kp := s.sound[service]; kp != nil {
		return kp, nil
	}
	spec, _ := s.recorded()
	return s.pair(spec.Serve.PairOf(leafOf(service)))
}

// issuerOf names the CA that has signed a leaf.
func issuerOf(leaf *pki.KeyPair) string {
	if len(leaf.Chain) > 0 {
		return pki.CAIssuing
	}
	return pki.CAName
}

// show has services show certificates, and waits until they do.
func (s *Stack) show(ctx context.Context, pairs map[string]*pki.KeyPair) error {
	spec, facts := s.recorded()
	var files []stack.File
	var restart []string
	for service, kp := range pairs {
		leaf := leafOf(service)
		files = append(files, stack.File{Path: spec.Serve.PairOf(leaf).Cert, Mode: 0o644, Owner: spec.Serve.OwnerOf(leaf), Data: kp.CertPEM()})
		if by := spec.Serve.Publisher(service); !slices.Contains(restart, by) {
			restart = append(restart, by)
		}
	}
	if len(files) == 0 {
		return nil
	}
	if err := s.write(ctx, files); err != nil {
		return err
	}
	if err := s.engine.Restart(ctx, s.Name(), restart); err != nil {
		return err
	}
	for service, kp := range pairs {
		if err := s.serves(ctx, spec.HostEndpoints(service, facts)[0], kp.Cert); err != nil {
			return err
		}
	}
	return nil
}

// pair reads a key pair of the state directory.
func (s *Stack) pair(at stack.PairFiles) (*pki.KeyPair, error) {
	cert, err := s.deps.Store.Read(at.Cert)
	if err != nil {
		return nil, err
	}
	key, err := s.deps.Store.Read(at.Key)
	if err != nil {
		return nil, err
	}
	kp, err := pki.PEMPair{Name: at.Cert, CertFile: at.Cert, KeyFile: at.Key, Cert: cert, Key: key}.Parse()
	if err == nil && kp == nil {
		err = fmt.Errorf("there is no %s", at.Cert)
	}
	return kp, err
}

func (s *Stack) write(ctx context.Context, files []stack.File) error {
	release, err := s.deps.Store.Lock(ctx)
	if err != nil {
		return err
	}
	_, err = s.deps.Store.Write(files)
	return errors.Join(err, release())
}

// serves waits until a server shows a certificate.
func (s *Stack) serves(ctx context.Context, e stack.Endpoint, want *x509.Certificate) error {
	const limit, pause = 30 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		shown, err := s.deps.Fetch(ctx, e.Address(), e.Host, s.TrustBundle())
		if len(shown) > 0 && shown[0].Equal(want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not show it: %w", e, errors.Join(err, ctx.Err()))
		case <-time.After(pause):
		}
	}
}
