package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// stream is a connection whose two directions end on their own: *net.TCPConn
// and *net.UnixConn.
type stream interface {
	net.Conn
	CloseWrite() error
}

// keepAlive finds peers that are gone without a word within a minute or so.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 4}
}

// states of a target.
const (
	targetUnknown int32 = iota
	targetDown
	targetUp
)

// dialer dials the target of a listener. It is safe for use in parallel.
type dialer struct {
	target target
	// wait is how long one attempt may take, and how long after start a
	// target that has not been up yet is waited for.
	wait  time.Duration
	start time.Time
	log   *slog.Logger

	answered atomic.Bool
	now      atomic.Int32
}

func (d *dialer) state() int32 { return d.now.Load() }

// Between attempts to dial a target that is not up yet.
const (
	firstPause   = 10 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// dial connects to the target. It fails at once when the target is down, but
// waits for one that may still be starting.
func (d *dialer) dial(ctx context.Context) (stream, error) {
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		conn, err := d.once(ctx)
		// A unix socket answers EAGAIN where TCP would wait, when more
		// connections are waiting than the target's backlog takes.
		if err == nil || !d.starting() && !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}

// starting reports whether the target may still be on its way up: whoever comes
// much later than the edge itself is told at once that it is down.
func (d *dialer) starting() bool { return !d.answered.Load() && time.Since(d.start) < d.wait }

// once makes one attempt, and notes whether the target is up.
func (d *dialer) once(ctx context.Context) (stream, error) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive()}
	conn, err := dialer.DialContext(ctx, d.target.network, d.target.address)
	if err != nil {
		if !errors.Is(err, context.Canceled) && d.now.Swap(targetDown) != targetDown {
			d.log.Warn("target down", "target", d.target.String(), "error", err.Error())
		}
		return nil, err
	}
	d.answered.Store(true)
	if d.now.Swap(targetUp) != targetUp {
		d.log.Info("target up", "target", d.target.String())
	}
	return conn.(stream), nil // "tcp" and "unix" are all there is
}
