package edge

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// BenchmarkConnection makes one connection after the other: handshake, a word
// both ways, end. Allocations are those of client, edge and target.
func BenchmarkConnection(b *testing.B) {
	for _, mutual := range []bool{false, true} {
		b.Run(map[bool]string{false: "server", true: "mutual"}[mutual], func(b *testing.B) {
			f := newFront(b, mutual).start()
			c := f.tlsConfig(f.clients.Client(b, "bob"))
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := f.tryOnce(c); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkSnapshot is what a handshake pays for looking at the directories.
func BenchmarkSnapshot(b *testing.B) {
	f := newFront(b, true).start()
	s := f.server.listeners[0].source
	eventually(b, "the files have settled", func() bool { s.snapshot(); return s.served.settled && s.gate.settled })
	b.ReportAllocs()
	for b.Loop() {
		s.snapshot()
	}
}

// blob is the size of a large download.
const blob = 64 << 20

// BenchmarkDownload fetches large blobs over HTTPS through the edge (1 GiB with
// -benchtime 16x), and beside it from a server that has TLS itself, as the
// registry would.
func BenchmarkDownload(b *testing.B) { beside(b, http.MethodGet) }

// BenchmarkUpload is BenchmarkDownload the other way.
func BenchmarkUpload(b *testing.B) { beside(b, http.MethodPut) }

func beside(b *testing.B, method string) {
	b.Run("edge", func(b *testing.B) {
		f := newFront(b, false)
		f.listener().ALPN = []string{"http/1.1"}
		f.target.down()
		serveHTTP(b, "unix", f.target.path, nil)
		f.start()
		transfer(b, f, f.address(), method)
	})
	b.Run("crypto-tls", func(b *testing.B) {
		f := newFront(b, false)
		transfer(b, f, serveHTTP(b, "tcp", "127.0.0.1:0", direct(b, f)), method)
	})
}

// direct is the TLS of a server that is its own front.
func direct(b *testing.B, f *front) *tls.Config {
	b.Helper()
	s, err := f.new()
	check(b, err)
	config := s.listeners[0].source.last().config.Clone()
	config.NextProtos = []string{"http/1.1"}
	return config
}

func serveHTTP(b *testing.B, network, address string, c *tls.Config) string {
	b.Helper()
	socket, err := net.Listen(network, address)
	check(b, err)
	data := make([]byte, 1<<20)
	server := &http.Server{TLSConfig: c, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body) // what is missing fails the client
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(blob))
		for range blob / len(data) {
			if _, err := w.Write(data); err != nil {
				return
			}
		}
	})}
	go func() {
		if c == nil {
			_ = server.Serve(socket) // ends with Close below
			return
		}
		_ = server.ServeTLS(socket, "", "") // as above
	}()
	b.Cleanup(func() { server.Close() })
	return socket.Addr().String()
}

func transfer(b *testing.B, f *front, address, method string) {
	b.Helper()
	c := f.tlsConfig(nil)
	c.NextProtos = []string{"http/1.1"}
	transport := &http.Transport{TLSClientConfig: c, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	b.SetBytes(blob)
	for b.Loop() {
		var body io.Reader
		if method == http.MethodPut {
			body = io.LimitReader(zeros{}, blob)
		}
		r, err := http.NewRequestWithContext(b.Context(), method, "https://"+address+"/", body)
		check(b, err)
		response, err := client.Do(r)
		check(b, err)
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			b.Fatal(err)
		}
		response.Body.Close()
	}
}

// zeros is an endless blob.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
