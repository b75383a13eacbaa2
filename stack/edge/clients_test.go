package edge

import (
	"crypto/tls"
	"encoding/hex"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// awaitEnd waits until a connection is closed from the other side.
func awaitEnd(t *testing.T, conn *tls.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, clean := readToEnd(conn); clean {
		t.Error("a connection that was cut has a clean end")
	}
}

// TestOpenConnections: a change of what clients need ends the open connections
// of those who may not connect any more, without another handshake, and nobody
// else's.
func TestOpenConnections(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *front, bob *pki.KeyPair)
		want   Reason
	}{
		{"removed", func(f *front, bob *pki.KeyPair) {
			f.writeAccess(`{"version":1,"removed":[{"name":"bob","serial":%q}]}`, bob.Serial())
		}, Removed},
		{"removed, with its CA", func(f *front, bob *pki.KeyPair) {
			f.writeAccess(`{"version":1,"removed":[{"name":"bob","serial":%q,"issuer":%q}]}`, bob.Serial(), hex.EncodeToString(f.clients.Pair.Cert.SubjectKeyId))
		}, Removed},
		{"not on the list", func(f *front, _ *pki.KeyPair) { f.writeAccess(`{"version":1,"allow":["carol"]}`) }, NotAllowed},
		{"its CA is not accepted any more", func(f *front, _ *pki.KeyPair) {
			f.write("clients/clients.crt", f.ca.Trust().PEM())
		}, UnknownClientCA},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFront(t, true)
			f.write("clients/clients.crt", append(f.clients.Trust().PEM(), f.ca.Trust().PEM()...))
			f.start()
			bob, carol := f.clients.Client(t, "bob"), f.ca.Client(t, "carol")
			first, second, others := f.mustDial(bob), f.mustDial(bob), f.mustDial(carol)
			c.change(f, bob)
			changed := time.Now()
			awaitEnd(t, first)
			awaitEnd(t, second)
			t.Logf("after %v", time.Since(changed).Round(time.Millisecond))
			f.awaitCount(ended(c.want), "2")
			check(t, ping(others))
			if f.try(f.tlsConfig(bob)) == nil {
				t.Error("a new connection was let in")
			}
			f.mustDial(carol)
			for _, line := range f.log.lines(t, "connection") {
				if line["client"] == "bob" && line["result"] != string(c.want) {
					t.Errorf("a line of bob's: %v", line)
				}
			}
		})
	}
}

// TestExpiryMeanwhile: that a client's certificate expires does not end its open
// connections, also when the list changes afterwards.
func TestExpiryMeanwhile(t *testing.T) {
	f := newFront(t, true)
	s, err := f.new()
	check(t, err)
	bob := f.clients.Client(t, "bob").Certs()
	g := s.listeners[0].source.last().gate
	now := time.Now()
	if got := g.judge(bob, now); got != OK {
		t.Errorf("at the time of its handshake: %s", got)
	}
	if got := g.judge(bob, bob[0].NotAfter.Add(time.Hour)); got != ClientExpired {
		t.Errorf("after its expiry: %s", got)
	}
}

// TestIntermediate: a client whose certificate comes from an issuing CA that
// only the client sends.
func TestIntermediate(t *testing.T) {
	f := newFront(t, true)
	root := pkitest.New(t, time.Now())
	issuing := root.Issuing(t)
	f.write("clients/clients.crt", root.Trust().PEM())
	f.start()
	bob := issuing.Client(t, "bob")
	open := f.mustDial(bob)
	f.writeAccess(`{"version":1,"removed":[]}`)
	f.mustDial(bob)
	check(t, ping(open))
	f.writeAccess(`{"version":1,"removed":[{"name":"bob","serial":%q,"issuer":%q}]}`, bob.Serial(), hex.EncodeToString(issuing.Pair.Cert.SubjectKeyId))
	awaitEnd(t, open)
	f.awaitCount(ended(Removed), "2")
}

// TestRemovedBetween: a client that is removed between its handshake and its
// place among the open connections does not slip through.
func TestRemovedBetween(t *testing.T) {
	f := newFront(t, true).start()
	bob := f.clients.Client(t, "bob")
	l := f.server.listeners[0]
	c := &conn{l: l, snapshot: l.source.snapshot(), certs: bob.Certs(), verified: time.Now()}
	f.writeAccess(`{"version":1,"removed":[{"name":"bob","serial":%q}]}`, bob.Serial())
	l.source.snapshot()
	if l.admit(c) || c.why() != Removed {
		t.Errorf("admitted, or for another reason: %s", c.why())
	}
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
}
