package edge

import (
	"crypto/tls"
	"sync"
)

// batchSize is what is written to a client at once while bytes flow: the records
// of one large buffer. crypto/tls would write each record, of at most 16 KiB, by
// itself, and a system call for each costs more than the copy here.
const batchSize = largeBuffer + 4<<10

// batches lends the buffers in which records are collected.
type batches struct{ pool sync.Pool }

func (b *batches) get() *[batchSize]byte {
	if buf, ok := b.pool.Get().(*[batchSize]byte); ok {
		return buf
	}
	return new([batchSize]byte)
}

// batchWriter writes to a client over TLS, a large piece in one system call.
type batchWriter struct {
	to      *tls.Conn
	below   *helloConn
	batches *batches
}

// smallestBatch is what is worth collecting: two records and more.
const smallestBatch = 16<<10 + 1

func (w *batchWriter) Write(b []byte) (int, error) {
	if len(b) < smallestBatch {
		return w.to.Write(b)
	}
	buf := w.batches.get()
	defer w.batches.pool.Put(buf)
	w.below.collect(buf[:0])
	n, err := w.to.Write(b)
	if flushed := w.below.flush(); err == nil {
		err = flushed
	}
	return n, err
}

// collect begins to keep what crypto/tls writes.
func (h *helloConn) collect(into []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batch = into
}

// flush writes what was kept, and keeps no more.
func (h *helloConn) flush() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.TCPConn.Write(h.batch)
	h.batch = nil
	return err
}

// Write is what crypto/tls writes records with, also alerts that come from the
// reading side.
func (h *helloConn) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.batch == nil {
		return h.TCPConn.Write(b)
	}
	if len(h.batch)+len(b) > cap(h.batch) {
		if _, err := h.TCPConn.Write(h.batch); err != nil {
			return 0, err
		}
		h.batch = h.batch[:0]
	}
	if len(b) > cap(h.batch) { // longer than any record is
		return h.TCPConn.Write(b)
	}
	h.batch = append(h.batch, b...)
	return len(b), nil
}
