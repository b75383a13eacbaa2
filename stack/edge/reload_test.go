package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/pki/pkitest"
)

// serial returns the serial number of what a new client is shown.
func (f *front) serial(pair *pki.KeyPair) string {
	f.t.Helper()
	conn := f.mustDial(pair)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Text(16)
}

// TestRotation: a new leaf, and new CAs for clients, hold from the next
// handshake on, and an open connection goes on.
func TestRotation(t *testing.T) {
	f := newFront(t, true).start()
	bob := f.clients.Client(t, "bob")
	open := f.mustDial(bob)
	for range 5 {
		next := f.ca.Server(t, host)
		f.writePair(next)
		if got := f.serial(bob); got != next.Serial() {
			t.Errorf("serves %s, want %s", got, next.Serial())
		}
	}
	check(t, ping(open))
	f.awaitCount(`certyard_edge_reloads_total{listener="front",what="certificates"}`, "5")

	other := pkitest.New(t, time.Now())
	carol := other.Client(t, "carol")
	wantAlert(t, f.try(f.tlsConfig(carol)), "unknown certificate authority")
	f.write("clients/clients.crt", append(f.clients.Trust().PEM(), other.Trust().PEM()...))
	f.mustDial(carol)
	f.mustDial(bob)
	check(t, ping(open))
	f.write("clients/clients.crt", other.Trust().PEM())
	wantAlert(t, f.try(f.tlsConfig(bob)), "unknown certificate authority")
	f.mustDial(carol)
}

// broken are states of the directories that do not load, and what the log says.
var broken = []struct {
	name, want string
	make       func(f *front)
}{
	{"half-written", "PEM that is cut off", func(f *front) { f.cut("served/tls.crt") }},
	{"half-written key", "it holds no PEM", func(f *front) { f.cut("served/tls.key") }},
	{"mismatched", "does not belong to certificate", func(f *front) {
		key, err := f.ca.Server(f.t, host).KeyPEM()
		check(f.t, err)
		f.write("served/tls.key", key)
	}},
	{"empty", "it holds no PEM", func(f *front) { f.write("served/tls.crt", nil) }},
	{"huge", "is larger than 1 MiB", func(f *front) { f.write("served/tls.crt", bytes.Repeat([]byte("x\n"), 1<<20)) }},
	{"no PEM", "it holds no PEM", func(f *front) { f.write("served/tls.crt", []byte("hello")) }},
	{"expired", "has expired on", func(f *front) { f.writePair(f.ca.ExpiredServer(f.t, host)) }},
	{"not valid yet", "is not valid before", func(f *front) { f.writePair(f.ca.FutureServer(f.t, host)) }},
	{"a client's", "is not for servers", func(f *front) { f.writePair(f.ca.Client(f.t, "x")) }},
	{"chain out of order", "has not signed the one before it", func(f *front) {
		a := f.ca.Server(f.t, host)
		f.write("served/tls.crt", append(a.CertPEM(), f.ca.Server(f.t, host).CertPEM()...))
	}},
	{"without its key", "tls.key does not exist", func(f *front) { check(f.t, os.Remove(filepath.Join(f.dir, "served/tls.key"))) }},
	{"without both", "neither", func(f *front) {
		check(f.t, os.Remove(filepath.Join(f.dir, "served/tls.crt")))
		check(f.t, os.Remove(filepath.Join(f.dir, "served/tls.key")))
	}},
	{"a directory that is gone", "no such file", func(f *front) { check(f.t, os.RemoveAll(filepath.Join(f.dir, "served"))) }},
	{"a pipe", "is no regular file", func(f *front) {
		path := filepath.Join(f.dir, "served/tls.crt")
		check(f.t, os.Remove(path))
		check(f.t, syscall.Mkfifo(path, 0o600))
	}},
	{"clients.crt: empty", "it holds no PEM", func(f *front) { f.write("clients/clients.crt", nil) }},
	{"clients.crt: no CA", "is no CA", func(f *front) { f.write("clients/clients.crt", f.clients.Client(f.t, "x").CertPEM()) }},
	{"clients.crt: with a key", "not a certificate", func(f *front) {
		key, err := f.clients.Client(f.t, "x").KeyPEM()
		check(f.t, err)
		f.write("clients/clients.crt", append(f.clients.Trust().PEM(), key...))
	}},
	{"clients.crt: gone", "clients.crt does not exist", func(f *front) { check(f.t, os.Remove(filepath.Join(f.dir, "clients/clients.crt"))) }},
	{"access.json: damaged", "access.json", func(f *front) { f.writeAccess(`{"version":1,`) }},
	{"access.json: empty", "access.json", func(f *front) { f.writeAccess(``) }},
}

func (f *front) cut(name string) {
	data, err := os.ReadFile(filepath.Join(f.dir, name))
	check(f.t, err)
	f.write(name, data[:len(data)*2/3])
}

// TestBroken: what does not load is refused and logged once, whatever load there
// is, and what was served before goes on without one failed connection.
func TestBroken(t *testing.T) {
	f := newFront(t, true).start()
	bob := f.clients.Client(t, "bob")
	made, stop := f.load(bob)
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			good := f.ca.Server(t, host)
			f.makeDir("served")
			f.writePair(good)
			f.write("clients/clients.crt", f.clients.Trust().PEM())
			f.writeAccess(`{"version":1}`)
			eventually(t, "it serves the good one", func() bool { return f.serial(bob) == good.Serial() })
			before := len(f.log.lines(t, refusedLine))
			c.make(f)
			f.mustDial(bob)
			for start := made.Load(); made.Load() < start+20; { // all of them look at it
				time.Sleep(time.Millisecond)
			}
			if got := f.serial(bob); got != good.Serial() {
				t.Errorf("serves %s, want what was served before", got)
			}
			lines := f.log.lines(t, refusedLine)[before:]
			last := fmt.Sprint(lines)
			// A pair is written in two steps, and the load may see it between them.
			if len(lines) == 0 || len(lines) > 2 || !strings.Contains(fmt.Sprint(lines[len(lines)-1]["error"]), c.want) {
				t.Errorf("the log has %s; want one line with %q", last, c.want)
			}
		})
	}
	if n := stop(); n < 20*int64(len(broken)) {
		t.Errorf("only %d connections under load", n)
	}
}

const refusedLine = "refused to reload; what was served before still is"

// load makes connections until it is stopped; each has to work. It returns their
// number.
func (f *front) load(pair *pki.KeyPair) (made *atomic.Int64, stop func() int64) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var group sync.WaitGroup
	made = &atomic.Int64{}
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := f.tryOnce(f.tlsConfig(pair)); err != nil {
					f.t.Errorf("a connection under load: %v", err)
					return
				}
				made.Add(1)
			}
		})
	}
	return made, func() int64 {
		cancel()
		group.Wait()
		return made.Load()
	}
}

// tryOnce is try without what only the goroutine of the test may do.
func (f *front) tryOnce(c *tls.Config) error {
	conn, err := tls.Dial("tcp", f.address(), c)
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return errors.Join(ping(conn), conn.Close())
}

// TestNotYet: what is refused because it is not valid yet is taken when it is,
// without another change.
func TestNotYet(t *testing.T) {
	f := newFront(t, false)
	var shift atomic.Int64
	f.clock = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	f.start()
	old := f.serial(nil)
	future := f.ca.FutureServer(t, host)
	f.writePair(future)
	if got := f.serial(nil); got != old {
		t.Errorf("serves %s before it is valid", got)
	}
	shift.Store(int64(time.Until(future.Cert.NotBefore) + time.Minute))
	config := f.tlsConfig(nil)
	config.Time = f.clock
	conn, err := f.dial(config)
	check(t, err)
	if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(future.Cert) {
		t.Errorf("still serves %x", got.SerialNumber)
	}
}

// TestAccessGone: an access list that is removed still holds.
func TestAccessGone(t *testing.T) {
	f := newFront(t, true)
	bob, eve := f.clients.Client(t, "bob"), f.clients.Client(t, "eve")
	f.start()
	f.mustDial(eve) // there is none
	f.writeAccess(`{"version":1,"allow":["bob"]}`)
	f.mustDial(bob)
	check(t, os.Remove(filepath.Join(f.dir, "clients/access.json")))
	wantAlert(t, f.try(f.tlsConfig(eve)), "bad certificate")
	f.mustDial(bob)
	if lines := f.log.lines(t, refusedLine); len(lines) != 1 || !strings.Contains(fmt.Sprint(lines), "access.json does not exist") {
		t.Errorf("the log has %v", lines)
	}
}

// TestAccessRequired: an edge that is to have an access list does not start
// without.
func TestAccessRequired(t *testing.T) {
	f := newFront(t, true)
	f.listener().AccessRequired = true
	if _, err := f.new(); err == nil || !strings.Contains(err.Error(), "access.json does not exist") {
		t.Errorf("without a list: %v", err)
	}
	f.writeAccess(`{"version":1}`)
	if _, err := f.new(); err != nil {
		t.Errorf("with a list: %v", err)
	}
}

// TestSameSize: a change in place that leaves time and size as they were is seen,
// when it comes so soon that the time could not tell.
func TestSameSize(t *testing.T) {
	f := newFront(t, true)
	bob := f.clients.Client(t, "bob")
	path := filepath.Join(f.dir, "clients/access.json")
	list := func(name string) []byte { return fmt.Appendf(nil, `{"version":1,"allow":[%q]}`, name) }
	check(t, os.WriteFile(path, list("bob"), 0o600))
	info, err := os.Stat(path)
	check(t, err)
	f.start()
	f.mustDial(bob)
	check(t, os.WriteFile(path, list("eve"), 0o600))
	check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	wantAlert(t, f.try(f.tlsConfig(bob)), "bad certificate")
}

// TestStart: what does not load at the start is an error, except for a
// certificate that has expired.
func TestStart(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			f := newFront(t, true)
			c.make(f)
			_, err := f.new()
			if c.name == "expired" {
				check(t, err)
				if lines := f.log.lines(t, "the certificate has expired; clients will refuse it"); len(lines) != 1 {
					t.Errorf("%d warnings", len(lines))
				}
				return
			}
			var load *LoadError
			if !errors.As(err, &load) || !strings.Contains(err.Error(), c.want) || load.Listener != "front" {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestCertificateFile: a listener may serve another certificate of its directory
// than the rest do, for the same key, and takes it anew like any.
func TestCertificateFile(t *testing.T) {
	f := newFront(t, false)
	f.listener().CertificateFile = "bridge.crt"
	for i := range 3 {
		next := f.ca.Server(t, host)
		f.writePair(next)
		f.write("served/bridge.crt", next.CertPEM())
		f.write("served/tls.crt", f.ca.Server(t, host).CertPEM())
		if i == 0 {
			f.start()
		}
		if got := f.serial(nil); got != next.Serial() {
			t.Errorf("serves %s, want %s", got, next.Serial())
		}
	}
}
