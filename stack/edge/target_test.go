package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeTarget is a server on a unix socket that can go down and come back.
type fakeTarget struct {
	t      testing.TB
	path   string
	handle func(*net.UnixConn)

	mu     sync.Mutex
	socket *net.UnixListener
	conns  map[*net.UnixConn]bool
	group  sync.WaitGroup

	accepted atomic.Int64
}

func newTarget(t testing.TB, path string, handle func(*net.UnixConn)) *fakeTarget {
	t.Helper()
	f := &fakeTarget{t: t, path: path, handle: handle, conns: map[*net.UnixConn]bool{}}
	f.up()
	t.Cleanup(f.down)
	return f
}

func (f *fakeTarget) up() {
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path, Net: "unix"})
	check(f.t, err)
	f.socket = socket
	f.group.Go(func() {
		for {
			conn, err := socket.AcceptUnix()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = true
			f.accepted.Add(1)
			f.mu.Unlock()
			f.group.Go(func() {
				defer func() {
					conn.Close()
					f.mu.Lock()
					delete(f.conns, conn)
					f.mu.Unlock()
				}()
				f.mu.Lock()
				handle := f.handle
				f.mu.Unlock()
				handle(conn)
			})
		}
	})
}

// does changes what the target does with the next connections.
func (f *fakeTarget) does(handle func(*net.UnixConn)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handle = handle
}

// down closes the socket and every connection.
func (f *fakeTarget) down() {
	_ = f.socket.Close() // also the second time
	f.mu.Lock()
	for conn := range f.conns {
		_ = conn.Close() // also where its handler has
	}
	f.mu.Unlock()
	f.group.Wait()
}

// echo sends back what comes, and ends when the other side has.
func echo(conn *net.UnixConn) {
	if _, err := io.Copy(conn, conn); err == nil {
		_ = conn.CloseWrite() // the other side may be gone
	}
}

// lineLog collects a log.
type lineLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines returns the lines with a message, as they were written.
func (l *lineLog) lines(t testing.TB, message string) (out []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	d := json.NewDecoder(bytes.NewReader(l.buf.Bytes()))
	for {
		var line map[string]any
		err := d.Decode(&line)
		if errors.Is(err, io.EOF) {
			return out
		}
		check(t, err)
		if line["msg"] == message {
			out = append(out, line)
		}
	}
}
