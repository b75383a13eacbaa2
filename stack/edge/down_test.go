package edge

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestTargetDies: a target that dies in mid-stream does not look like a clean
// end, and the next connection finds it when it is back.
func TestTargetDies(t *testing.T) {
	f := newFront(t, false)
	f.target.does(func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 4)) // what is missing fails the test
		_, _ = io.WriteString(conn, "half an ans")
		// Its bytes are unread when it closes, as when a process is killed.
		time.Sleep(50 * time.Millisecond)
	})
	f.listener().TargetTimeout = "1h" // once it has been up, nobody waits for it
	f.start()
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	_, err = io.WriteString(conn, "askand more that nobody reads")
	check(t, err)
	if got, clean := readToEnd(conn); got != "half an ans" || clean {
		t.Errorf("got %q and a clean end, want another one", got)
	}
	f.awaitCount(ended(TargetFailed), "1")

	f.target.down()
	conn, err = f.dial(f.tlsConfig(nil))
	check(t, err)
	_, _ = io.WriteString(conn, "anybody?") // it may be refused already
	if got, clean := readToEnd(conn); got != "" || !clean {
		t.Errorf("while the target is down: got %q, clean %t; want a clean end", got, clean)
	}
	f.awaitCount(ended(TargetDown), "1")
	if err := Health(t.Context(), f.config.Admin); err == nil || !strings.Contains(err.Error(), "target unix:") {
		t.Errorf("health while the target is down: %v", err)
	}
	f.target.does(echo)
	f.target.up()
	f.mustDial(nil)
	check(t, Health(t.Context(), f.config.Admin))
	if up, down := f.log.lines(t, "target up"), f.log.lines(t, "target down"); len(up) != 2 || len(down) != 1 {
		t.Errorf("%d lines that it is up and %d that it is down, want 2 and 1", len(up), len(down))
	}
}

// TestTargetTakesNoMore: an end is not a clean one when the target did not take
// all that the client has sent, but what it has said before still arrives.
func TestTargetTakesNoMore(t *testing.T) {
	f := newFront(t, false)
	broken := make(chan struct{})
	f.target.does(func(conn *net.UnixConn) {
		_, _ = io.WriteString(conn, "enough") // what is missing fails the test
		_ = conn.CloseRead()
		<-broken
	})
	f.start()
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	l := f.server.listeners[0]
	eventually(t, "the target refuses more", func() bool {
		if _, err := conn.Write(make([]byte, 100)); err != nil {
			t.Fatalf("the client cannot send any more: %v", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.open {
			return c.broken.Load()
		}
		return false
	})
	close(broken)
	if got, clean := readToEnd(conn); got != "enough" || clean {
		t.Errorf("got %q, clean %t; want another end", got, clean)
	}
	check(t, conn.Close())
	f.awaitCount(ended(TargetFailed), "1")
}

func isReset(err error) bool {
	return err != nil && (errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "connection reset"))
}

// TestPlainTargetDies: without TLS it is a reset that says so.
func TestPlainTargetDies(t *testing.T) {
	f := newFront(t, false)
	f.makePlain()
	f.target.does(func(conn *net.UnixConn) { _, _ = io.ReadFull(conn, make([]byte, 1)) })
	f.start()
	conn := f.connect()
	_, err := io.WriteString(conn, "more than it reads")
	check(t, err)
	if _, err := io.ReadAll(conn); !isReset(err) {
		t.Errorf("got %v, want a reset", err)
	}
	f.awaitCount(ended(TargetFailed), "1")
}

// TestTargetStarts: before a target has been up once, a connection waits for it,
// but not for ever.
func TestTargetStarts(t *testing.T) {
	f := newFront(t, false)
	f.target.down()
	f.start()
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	eventually(t, "a line that it is down", func() bool { return len(f.log.lines(t, "target down")) == 1 })
	f.target.up()
	check(t, ping(conn))

	never := newFront(t, false)
	never.target.down()
	never.listener().TargetTimeout = "50ms"
	never.start()
	conn, err = never.dial(never.tlsConfig(nil))
	check(t, err)
	if got, clean := readToEnd(conn); got != "" || !clean {
		t.Errorf("got %q, clean %t; want a clean end", got, clean)
	}
	never.awaitCount(ended(TargetDown), "1")
}

// TestTargetNeverStarts: long after the start nobody waits for a target that has
// not been up yet.
func TestTargetNeverStarts(t *testing.T) {
	f := newFront(t, false)
	f.target.down()
	f.listener().TargetTimeout = "1h"
	f.start()
	f.server.listeners[0].target.start = time.Now().Add(-time.Hour)
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	if got, clean := readToEnd(conn); got != "" || !clean {
		t.Errorf("got %q, clean %t; want a clean end", got, clean)
	}
	f.awaitCount(ended(TargetDown), "1")
}
