package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestDrain: when the context ends, no connection is taken any more, those that
// are open go on, and the server ends with the last of them.
func TestDrain(t *testing.T) {
	f := newFront(t, false)
	f.config.DrainTimeout = "1h"
	f.start()
	open := f.mustDial(nil)
	address := f.address()
	f.stop()
	eventually(t, "the socket is closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	check(t, ping(open))
	if err := Health(t.Context(), f.config.Admin); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("health while it stops: %v", err)
	}
	select {
	case <-f.served:
		t.Error("it has ended before its connection")
	default:
	}
	check(t, open.Close())
	await(t, "the server's end", f.served)
	// What looked for the socket may have found it open once more.
	lines := slices.DeleteFunc(f.log.lines(t, "connection"), func(line map[string]any) bool { return line["tls"] == nil })
	if len(lines) != 1 || lines[0]["result"] != "ok" {
		t.Errorf("the log has %v", lines)
	}
	if _, err := os.Lstat(f.config.Admin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket is left behind: %v", err)
	}
}

// TestDrainTimeout: what does not end in time is cut, handshakes as well.
func TestDrainTimeout(t *testing.T) {
	f := newFront(t, false)
	f.config.DrainTimeout = "50ms"
	f.start()
	open := f.mustDial(nil)
	pending, err := net.Dial("tcp", f.address())
	check(t, err)
	defer pending.Close()
	eventually(t, "a handshake that goes on", func() bool { _, n := f.server.listeners[0].counts(); return n == 1 })
	f.halt()
	awaitEnd(t, open)
	if lines := f.log.lines(t, "connection"); len(lines) != 2 || lines[0]["result"] != "stopped" || lines[1]["result"] != "stopped" {
		t.Errorf("the log has %v", lines)
	}
}

// TestDrainIdle: a silent connection is ended cleanly and soon, one over which
// bytes go is not.
func TestDrainIdle(t *testing.T) {
	f := newFront(t, false)
	f.config.DrainTimeout = "1h"
	f.listener().DrainIdle = "300ms"
	f.start()
	silent, busy := f.mustDial(nil), f.mustDial(nil)
	check(t, ping(silent))
	check(t, ping(busy))
	f.stop()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, silent)
		ended <- err
	}()
	for over := false; !over; {
		check(t, ping(busy))
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the silent connection did not end cleanly: %v", err)
			}
			over = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	check(t, ping(busy))
	check(t, busy.Close())
	await(t, "the server's end", f.served)
}

// TestDrainDuringDial: a connection that still waits for its target does not
// hold the server's end up.
func TestDrainDuringDial(t *testing.T) {
	f := newFront(t, false)
	f.target.down()
	f.listener().TargetTimeout = "1h"
	f.start()
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	eventually(t, "it waits", func() bool { open, _ := f.server.listeners[0].counts(); return open == 1 })
	f.halt()
	awaitEnd(t, conn)
}

// TestLine: the line of a connection has all that is known of it.
func TestLine(t *testing.T) {
	f := newFront(t, true).start()
	bob := f.clients.Client(t, "bob")
	conn := f.mustDial(bob)
	check(t, conn.Close())
	f.awaitCount(ended(OK), "1")
	lines := f.log.lines(t, "connection")
	if len(lines) != 1 {
		t.Fatalf("the log has %v", lines)
	}
	for key, want := range map[string]any{
		"listener": "front", "peer": conn.LocalAddr().String(), "client": "bob", "serial": bob.Serial(),
		"tls": "TLS 1.3", "bytes_in": 4.0, "bytes_out": 4.0, "result": "ok", "level": "INFO",
	} {
		if lines[0][key] != want {
			t.Errorf("%s is %v, want %v", key, lines[0][key], want)
		}
	}
	if seconds, ok := lines[0]["seconds"].(float64); !ok || seconds <= 0 {
		t.Errorf("seconds are %v", lines[0]["seconds"])
	}
}

// TestLineLimit: refusals cannot fill a disk, and the next line says how many
// there were.
func TestLineLimit(t *testing.T) {
	l, now := newLineLimit(), time.Now()
	written := 0
	for range 1000 {
		if _, ok := l.allow(Plaintext, now); ok {
			written++
		}
	}
	if written != lineBurst {
		t.Errorf("%d lines at once, want %d", written, lineBurst)
	}
	if _, ok := l.allow(Timeout, now); !ok {
		t.Error("another reason has no line any more")
	}
	if n, ok := l.allow(Plaintext, now.Add(time.Second)); !ok || n != 1000-lineBurst {
		t.Errorf("a second later: %d left out, %t", n, ok)
	}
	if n, ok := l.allow(Plaintext, now.Add(time.Second)); !ok || n != 0 {
		t.Errorf("and again: %d left out, %t", n, ok)
	}
}

// TestAdmin: the socket, its mode, and what answers on it.
func TestAdmin(t *testing.T) {
	f := newFront(t, true).start()
	info, err := os.Stat(f.config.Admin)
	check(t, err)
	if info.Mode().Perm() != socketMode {
		t.Errorf("mode %v", info.Mode())
	}
	check(t, Health(t.Context(), f.config.Admin))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", f.config.Admin)
	}}}
	response, err := client.Get("http://edge/metrics")
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	for _, want := range []string{
		`certyard_edge_certificate_expiry_days{listener="front"} 29.`,
		`certyard_edge_open_connections{listener="front"} 0`,
		`certyard_edge_target_up{listener="front",target="unix:` + f.target.path + `"} 1`,
		`certyard_edge_handshakes_total{listener="front",result="no-client-certificate"} 0`,
		`certyard_edge_refused_reloads_total{listener="front",what="clients"} 0`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in the metrics:\n%s", want, body)
		}
	}
	second, err := f.new()
	check(t, err)
	var listen *ListenError
	if err := second.Listen(t.Context()); !errors.As(err, &listen) || listen.Listener != "" {
		t.Errorf("a second one on the same admin socket: %v", err)
	}
	check(t, Health(t.Context(), f.config.Admin))
}

// TestStaleAdmin: a socket that nobody answers on is replaced, anything else is
// not.
func TestStaleAdmin(t *testing.T) {
	f := newFront(t, false)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.config.Admin, Net: "unix"})
	check(t, err)
	stale.SetUnlinkOnClose(false)
	check(t, stale.Close())
	f.start()
	check(t, Health(t.Context(), f.config.Admin))

	other := newFront(t, false)
	other.write("admin.sock", []byte("precious"))
	s, err := other.new()
	check(t, err)
	var listen *ListenError
	if err := s.Listen(t.Context()); !errors.As(err, &listen) {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(other.dir, "admin.sock")); string(data) != "precious" {
		t.Errorf("the file is %q, %v", data, err)
	}
}

// TestUnhealthy: an expired certificate is one reason, nobody there another.
func TestUnhealthy(t *testing.T) {
	f := newFront(t, false)
	f.writePair(f.ca.ExpiredServer(t, host))
	f.start()
	var unhealthy *UnhealthyError
	if err := Health(t.Context(), f.config.Admin); !errors.As(err, &unhealthy) || !strings.Contains(err.Error(), "has expired on") {
		t.Errorf("got %v", err)
	}
	if err := Health(t.Context(), filepath.Join(f.dir, "none.sock")); err == nil || errors.As(err, &unhealthy) {
		t.Errorf("got %v", err)
	}
}

// TestListen: an address that is taken, after which nothing is left open.
func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	f := newFront(t, false)
	f.listener().Addresses = []string{"127.0.0.1:0", taken.Addr().String()}
	s, err := f.new()
	check(t, err)
	var listen *ListenError
	if err := s.Listen(t.Context()); !errors.As(err, &listen) || listen.Address != taken.Addr().String() {
		t.Errorf("got %v", err)
	}
	first := s.Addresses("front")[0]
	if conn, err := net.Dial("tcp", first.String()); err == nil {
		conn.Close()
		t.Error("its first address is still open")
	}
}

// TestSeveralAddresses: all addresses of a listener serve the same.
func TestSeveralAddresses(t *testing.T) {
	f := newFront(t, false)
	f.listener().Addresses = []string{"127.0.0.1:0", "127.0.0.1:0"}
	f.start()
	for _, address := range f.server.Addresses("front") {
		raw, err := net.Dial("tcp", address.String())
		check(t, err)
		raw.Close()
	}
	f.awaitCount(ended(ClientGone), "2")
}

// TestIdle: the end of traffic is told, once.
func TestIdle(t *testing.T) {
	f := newFront(t, false)
	var told atomic.Int32
	f.idle = func() { told.Add(1) }
	f.start()
	conn := f.mustDial(nil)
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, 1<<20)) // enough to take a large buffer
		sent <- err
	}()
	_, err := io.ReadFull(conn, make([]byte, 1<<20))
	check(t, err)
	check(t, <-sent)
	eventually(t, "the end of traffic", func() bool { return told.Load() > 0 })
	check(t, conn.Close())
	if n := told.Load(); n != 1 {
		t.Errorf("it was told %d times", n)
	}
}
