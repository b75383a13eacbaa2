package edge

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Numbers of the load test.
const (
	idleClients  = 2000
	busyClients  = 200
	slowClients  = 700 // more than handshakes may go on
	stuckClients = 50
	// maxIdleBytes is what an idle connection may cost, with its client and its
	// target, which are in this process as well.
	maxIdleBytes = 100 << 10
)

// TestLoad: many idle clients and busy ones, beside peers that never finish a
// handshake, send garbage, or never read. Nobody else notices, memory stays
// bounded, and in the end nothing is left.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	t.Run("load", func(t *testing.T) {
		f := newFront(t, true)
		f.target.does(smallEcho)
		f.start()
		bob := f.tlsConfig(f.clients.Client(t, "bob"))

		before := inUse()
		idle := f.many(idleClients, bob)
		defer closeAll(idle)
		each := (int64(inUse()) - int64(before)) / idleClients
		t.Logf("an idle connection costs %d KiB, with its client and its target", each>>10)
		if each > maxIdleBytes {
			t.Errorf("an idle connection costs %d bytes, want %d at most", each, maxIdleBytes)
		}

		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var group sync.WaitGroup
		defer group.Wait()
		defer stop()
		stuck := f.many(stuckClients, bob)
		defer closeAll(stuck)
		for _, conn := range stuck {
			group.Go(func() { f.neverRead(ctx, conn) })
		}
		slow := f.silent(slowClients)
		defer closeAll(slow)
		for i := range 4 {
			group.Go(func() { f.garbage(ctx, i) })
		}
		rounds := f.busy(ctx, &group, bob)
		for range 50 { // newcomers
			if err := f.tryOnce(bob); err != nil {
				t.Errorf("a new client: %v", err)
			}
		}
		eventually(t, "every busy client has been served", func() bool { return rounds.Load() > 20*busyClients })
		inParallel(idleClients, func(i int) {
			if err := ping(idle[i]); err != nil {
				t.Errorf("an idle client: %v", err)
			}
		})
		if got := f.count(shook(Evicted)); got == "0" {
			t.Error("no handshake was evicted")
		}
		stop()
	})
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "no descriptor is left", func() bool { return openDescriptors(t) <= descriptors })
}

// smallEcho is echo with little memory.
func smallEcho(conn *net.UnixConn) {
	buf := make([]byte, 256)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

func inUse() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatalf("counting descriptors: %v", err)
	}
	return len(entries)
}

func closeAll[C io.Closer](conns []C) {
	for _, conn := range conns {
		_ = conn.Close() // some are cut already
	}
}

// many opens connections, each of which has been used.
func (f *front) many(n int, c *tls.Config) []*tls.Conn {
	f.t.Helper()
	conns := make([]*tls.Conn, n)
	inParallel(n, func(i int) {
		conn, err := tls.Dial("tcp", f.address(), c)
		if err == nil {
			err = ping(conn)
		}
		if err != nil {
			f.t.Errorf("connection %d: %v", i, err)
		}
		conns[i] = conn
	})
	if f.t.Failed() {
		f.t.FailNow()
	}
	return conns
}

// inParallel calls do for every number below n, a few at once.
func inParallel(n int, do func(i int)) {
	const workers = 8
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < n; i += workers {
				do(i)
			}
		})
	}
	group.Wait()
}

// silent opens connections that begin a handshake and never go on.
func (f *front) silent(n int) (conns []net.Conn) {
	f.t.Helper()
	for range n {
		conn, err := net.Dial("tcp", f.address())
		check(f.t, err)
		_, _ = conn.Write([]byte{22, 3, 1}) // it may be evicted already
		conns = append(conns, conn)
	}
	return conns
}

// garbage connects and sends garbage, again and again.
func (f *front) garbage(ctx context.Context, kind int) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", f.address())
		if err != nil {
			f.t.Errorf("dialing: %v", err)
			return
		}
		_, _ = conn.Write([][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), {22, 3, 1, 0, 5, 1, 0, 0, 1, 0}, make([]byte, 1000), {}}[kind])
		conn.Close()
		sleep(ctx, 5*time.Millisecond)
	}
}

// neverRead sends and never reads what comes back, until everything is full.
func (f *front) neverRead(ctx context.Context, conn *tls.Conn) {
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	for {
		if _, err := conn.Write(make([]byte, 16<<10)); err != nil {
			return
		}
	}
}

// busy lets clients talk until the context ends. It returns how often they did.
func (f *front) busy(ctx context.Context, group *sync.WaitGroup, c *tls.Config) *atomic.Int64 {
	rounds := &atomic.Int64{}
	for _, conn := range f.many(busyClients, c) {
		group.Go(func() {
			defer conn.Close()
			for ctx.Err() == nil {
				_ = conn.SetDeadline(time.Now().Add(patience))
				if err := ping(conn); err != nil {
					f.t.Errorf("a busy client: %v", err)
					return
				}
				rounds.Add(1)
				sleep(ctx, 5*time.Millisecond) // leaves others room: they all share two cores
			}
		})
	}
	return rounds
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
