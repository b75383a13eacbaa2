package edge

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// How many lines about connections that did not end well are written, of each
// listener and reason.
const (
	lineBurst     = 20
	linesPerSec   = 2
	acceptLine    = Reason("accept") // not of a connection
	maxNameInLine = 64               // as long as a common name may be (RFC 5280, ub-common-name)
)

// lineLimit is a token bucket for each reason. It is safe for use in parallel.
type lineLimit struct {
	mu      sync.Mutex
	buckets map[Reason]*bucket
}

type bucket struct {
	tokens     float64
	at         time.Time
	suppressed int
}

func newLineLimit() *lineLimit { return &lineLimit{buckets: map[Reason]*bucket{}} }

// allow reports whether a line may be written, and how many were not since the
// last one.
func (l *lineLimit) allow(reason Reason, now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[reason]
	if b == nil {
		b = &bucket{tokens: lineBurst, at: now}
		l.buckets[reason] = b
	}
	b.tokens = min(lineBurst, b.tokens+now.Sub(b.at).Seconds()*linesPerSec)
	b.at = now
	if b.tokens < 1 {
		b.suppressed++
		return 0, false
	}
	b.tokens--
	suppressed, b.suppressed = b.suppressed, 0
	return suppressed, true
}

// attrs describes a connection in its line. The client is as its certificate
// says, which for a refused one nobody has to have vouched for.
func (c *conn) attrs(result Reason, suppressed int) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("result", string(result)),
		slog.String("peer", c.raw.RemoteAddr().String()),
	}
	if len(c.certs) > 0 {
		name := c.certs[0].Subject.CommonName
		attrs = append(attrs, slog.String("client", name[:min(maxNameInLine, len(name))]), slog.String("serial", c.certs[0].SerialNumber.Text(16)))
	}
	if c.tls != nil {
		attrs = append(attrs, slog.String("tls", tls.VersionName(c.tls.ConnectionState().Version)))
	}
	if c.snapshot != nil {
		attrs = append(attrs, slog.String("generation", c.snapshot.generation))
	}
	attrs = append(attrs,
		slog.Int64("bytes_in", c.toTarget.Load()),
		slog.Int64("bytes_out", c.toClient.Load()),
		slog.Float64("seconds", time.Since(c.began).Seconds()),
	)
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	return attrs
}
