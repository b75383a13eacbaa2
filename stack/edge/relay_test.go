package edge

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// TestHalfCloseByClient: the client sends all it has and says so, the target
// reads to the end and only then answers.
func TestHalfCloseByClient(t *testing.T) {
	f := newFront(t, false)
	f.target.does(func(conn *net.UnixConn) {
		data, err := io.ReadAll(conn)
		if err == nil {
			_, _ = conn.Write(bytes.ToUpper(data)) // what is missing fails the test
		}
	})
	f.start()
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	_, err = io.WriteString(conn, "hello")
	check(t, err)
	check(t, conn.CloseWrite())
	if got, clean := readToEnd(conn); got != "HELLO" || !clean {
		t.Errorf("got %q, clean %t", got, clean)
	}
	f.awaitCount(ended(OK), "1")
	f.awaitCount(`certyard_edge_bytes_total{direction="to-target",listener="front"}`, "5")
	f.awaitCount(`certyard_edge_bytes_total{direction="to-client",listener="front"}`, "5")
}

// TestHalfCloseByTarget: the target ends, and the client may still send for a
// while, but not hold the connection for ever.
func TestHalfCloseByTarget(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(map[bool]string{false: "TLS", true: "plain"}[plain], func(t *testing.T) {
			f := newFront(t, false)
			if plain {
				f.makePlain()
			}
			got := make(chan string, 1)
			f.target.does(func(conn *net.UnixConn) {
				_, _ = io.WriteString(conn, "bye") // what is missing fails the test
				_ = conn.CloseWrite()
				data, _ := io.ReadAll(conn) // however it ends
				got <- string(data)
			})
			f.tune = func(l *listener) { l.linger = 300 * time.Millisecond }
			f.start()
			conn := f.connect()
			said, err := io.ReadAll(conn)
			if string(said) != "bye" || err != nil {
				t.Fatalf("got %q, %v", said, err)
			}
			_, err = io.WriteString(conn, "after")
			check(t, err)
			// Neither closes, and still it ends.
			f.awaitCount(ended(OK), "1")
			if data := await(t, "what the client sent last", got); data != "after" {
				t.Errorf("the target got %q", data)
			}
		})
	}
}

// makePlain turns the listener into one that copies TCP.
func (f *front) makePlain() {
	l := f.listener()
	l.Plain, l.Certificates, l.Clients, l.ALPN = true, "", "", nil
}

// connect opens a connection as the listener wants it.
func (f *front) connect() net.Conn {
	f.t.Helper()
	if !f.listener().Plain {
		conn, err := f.dial(f.tlsConfig(nil))
		check(f.t, err)
		return conn
	}
	raw, err := net.Dial("tcp", f.address())
	check(f.t, err)
	_ = raw.SetDeadline(time.Now().Add(patience))
	f.t.Cleanup(func() { raw.Close() })
	return raw
}

// TestContent: what goes in comes out, in pieces of all sizes, both ways.
func TestContent(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(map[bool]string{false: "TLS", true: "plain"}[plain], func(t *testing.T) {
			f := newFront(t, false)
			if plain {
				f.makePlain()
			}
			f.start()
			random := rand.NewChaCha8([32]byte{1})
			sent := make([]byte, 5<<20)
			_, _ = random.Read(sent) // never fails
			conn := f.connect()
			go func() {
				for rest := sent; len(rest) > 0; {
					n := min(1+int(random.Uint64()%100_000), len(rest))
					if _, err := conn.Write(rest[:n]); err != nil {
						t.Errorf("writing: %v", err)
						return
					}
					rest = rest[n:]
				}
				if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Errorf("ending: %v", err)
				}
			}()
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("got %d bytes, %v; want the %d that were sent", len(got), err, len(sent))
			}
			f.awaitCount(ended(OK), "1")
		})
	}
}

// TestLargeBufferGoesBack: a connection that has been busy does not keep its
// large buffer.
func TestLargeBufferGoesBack(t *testing.T) {
	f := newFront(t, false).start()
	conn := f.connect()
	sent := make([]byte, 1<<20)
	go conn.Write(sent) // the read below fails if it does
	_, err := io.ReadFull(conn, make([]byte, len(sent)))
	check(t, err)
	b := f.server.listeners[0].buffers
	eventually(t, "both buffers are back", func() bool { return b.lent.Load() == 0 })
	check(t, ping(conn))
}

// TestClientGoes: a client that breaks off does not look like a clean end to a
// target on TCP.
func TestClientGoes(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer socket.Close()
	got := make(chan error, 1)
	go func() {
		conn, err := socket.Accept()
		if err == nil {
			defer conn.Close()
			_, err = io.ReadAll(conn)
		}
		got <- err
	}()
	f := newFront(t, false)
	f.listener().Target = "tcp:" + socket.Addr().String()
	f.start()
	conn, err := f.dial(f.tlsConfig(nil))
	check(t, err)
	_, err = io.WriteString(conn, "the beginning of")
	check(t, err)
	check(t, conn.NetConn().Close()) // without close_notify
	if err := await(t, "the target's end", got); !isReset(err) {
		t.Errorf("the target got %v, want a reset", err)
	}
	f.awaitCount(ended(ClientGone), "1")
}

// TestRefusedIsNoReset: bytes that a refused client has sent already do not turn
// the alert into a reset.
func TestRefusedIsNoReset(t *testing.T) {
	f := newFront(t, true).start()
	for range 20 {
		conn, err := f.dial(f.tlsConfig(nil))
		if err == nil {
			_, _ = conn.Write(make([]byte, 20_000)) // it may be refused already
			_, err = conn.Read(make([]byte, 1))
		}
		wantAlert(t, err, "certificate required")
		conn.NetConn().Close()
	}
}

// TestResumption: a client that has been removed cannot come back with a session
// from before. Without client certificates sessions are resumed.
func TestResumption(t *testing.T) {
	for _, mutual := range []bool{true, false} {
		f := newFront(t, mutual).start()
		bob := f.clients.Client(t, "bob")
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := f.tlsConfig(bob)
			config.MinVersion, config.MaxVersion, config.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(8)
			check(t, f.try(config))
			conn, err := f.dial(config)
			check(t, err)
			if resumed := conn.ConnectionState().DidResume; resumed == mutual {
				t.Errorf("mutual %t, %s: resumed %t", mutual, tls.VersionName(version), resumed)
			}
			if mutual {
				f.writeAccess(`{"version":1,"removed":[{"name":"bob","serial":%q}]}`, bob.Serial())
				if f.try(config) == nil {
					t.Errorf("%s: a removed client came back with its session", tls.VersionName(version))
				}
				f.writeAccess(`{"version":1}`)
			}
		}
	}
}
