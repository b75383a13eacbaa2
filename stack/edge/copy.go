package edge

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Sizes of the buffers that bytes are copied with: a connection that is idle
// waits with a small one in each direction, and takes a large one while bytes
// flow.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

// flowTime is how long a direction keeps its large buffer without a byte.
const flowTime = 100 * time.Millisecond

// buffers lends large buffers. It keeps some for the next ones; a sync.Pool would
// keep as many as ever were in use at once until the collector has run twice, and
// with idle connections it seldom runs. It is safe for use in parallel.
type buffers struct {
	free chan *[largeBuffer]byte
	lent atomic.Int64 // how many are in use
	used atomic.Bool  // one was lent since somebody has looked
}

// keptBuffers is how many buffers are kept.
const keptBuffers = 32

func newBuffers() *buffers { return &buffers{free: make(chan *[largeBuffer]byte, keptBuffers)} }

func (b *buffers) get() *[largeBuffer]byte {
	b.lent.Add(1)
	b.used.Store(true)
	select {
	case buf := <-b.free:
		return buf
	default:
		return new([largeBuffer]byte)
	}
}

func (b *buffers) put(buf *[largeBuffer]byte) {
	b.lent.Add(-1)
	select {
	case b.free <- buf:
	default:
	}
}

// reader is the side of a connection that is read from. It is used by one
// goroutine, except for linger.
type reader struct {
	io.Reader
	conn net.Conn // below Reader: has the deadlines

	mu        sync.Mutex // orders deadlines
	patience  time.Duration
	lingering atomic.Bool
}

// rest takes the deadline away, or when the other side has ended already, sets
// the one for the next byte.
func (r *reader) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var at time.Time
	if r.lingering.Load() {
		at = time.Now().Add(r.patience)
	}
	_ = r.conn.SetReadDeadline(at) // fails only when it is closed, as the next read does
}

// within sets a deadline for the next byte.
func (r *reader) within(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.conn.SetReadDeadline(time.Now().Add(d)) // as above
}

// linger says that what comes from here is only waited for a while from now on.
func (r *reader) linger() {
	r.lingering.Store(true)
	r.rest()
}

// errLingered ends a direction whose other one has ended, and in which nothing
// has come for a while.
var errLingered = errors.New("nothing came any more")

// writeError says that it was the writing that failed.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// pump copies from one side of a connection to the other.
type pump struct {
	from    *reader
	to      io.Writer
	buffers *buffers
	count   func(int)
}

// run copies until the end of what is read, which is nil, or until something
// fails: a *writeError, errLingered, or what reading failed with.
func (p *pump) run() error {
	small := make([]byte, smallBuffer)
	for {
		n, err := p.from.Read(small)
		if werr := p.write(small[:n]); werr != nil {
			return werr
		}
		switch {
		case n == len(small) && err == nil:
			err = p.flow()
		case n > 0 && p.from.lingering.Load():
			p.from.rest()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// Also when linger was called between two reads of a flow.
			if n == 0 && p.from.lingering.Load() {
				return errLingered
			}
			err = nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// flow copies with a large buffer, until nothing has come for a while. It
// returns nil then.
func (p *pump) flow() error {
	buf := p.buffers.get()
	defer p.buffers.put(buf)
	defer p.from.rest()
	p.from.within(flowTime)
	for moved := false; ; {
		n, err := p.from.Read(buf[:])
		moved = moved || n > 0
		if werr := p.write(buf[:n]); werr != nil {
			return werr
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case !moved:
			return nil
		default: // the time is over, but bytes came in it
			moved = false
			p.from.within(flowTime)
		}
	}
}

func (p *pump) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := p.to.Write(b)
	p.count(n)
	if err != nil {
		return &writeError{err}
	}
	return nil
}

// spliceTime is how long bytes are copied before they are counted.
const spliceTime = 10 * time.Second

// splice copies between sockets without TLS, and lets the kernel do it where it
// can: io.Copy finds splice(2) only for bare connections.
func splice(to io.Writer, from *reader, count func(int)) error {
	for {
		if from.lingering.Load() {
			from.rest()
		} else {
			from.within(spliceTime)
		}
		n, err := io.Copy(to, from.Reader)
		count(int(n))
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0 && from.lingering.Load():
			return errLingered
		}
	}
}

// brokenPipe reports whether a splice failed on the side that is written to.
func brokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
