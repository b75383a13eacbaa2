package edge

import (
	"crypto/sha256"
	"errors"
	"time"
)

// part is what is served from one folder, and knows when that has to be read
// again. It is not safe for use in parallel.
type part[T any] struct {
	folder folder
	parse  func(c content, now time.Time, first bool) (T, error)
	// now is the clock that certificates are held against; the times of files
	// come from the machine's own.
	now func() time.Time

	value T // the last that could be parsed
	has   bool

	seen    look              // what was read last
	sum     [sha256.Size]byte // of it
	settled bool              // a change after that would be seen
	retry   time.Time         // when what was refused becomes valid; zero: never
}

// notYetError says that something will be valid later.
type notYetError struct {
	from time.Time
	err  error
}

func (e *notYetError) Error() string { return e.err.Error() }

// outcome is what a look at a part has brought.
type outcome int

const (
	unchanged outcome = iota
	taken             // there is a new value
	refused           // there is something new, and it is not used
)

// refresh looks at the folder, and reads it when something has changed. With
// refused comes the reason, once for each change.
func (p *part[T]) refresh() (outcome, error) {
	now := p.now()
	due := !p.retry.IsZero() && !now.Before(p.retry)
	if p.settled && !due && p.folder.look().same(p.seen) {
		return unchanged, nil
	}
	read := time.Now()
	c, seen, err := p.folder.read()
	sum := c.sum(p.folder.names, err)
	// What could not be read may be readable the next time, without a change.
	p.seen, p.settled = seen, err == nil && seen.settled(read)
	if sum == p.sum && !due {
		return unchanged, nil
	}
	p.sum, p.retry = sum, time.Time{}
	var value T
	if err == nil {
		value, err = p.parse(c, now, !p.has)
	}
	if later, ok := errors.AsType[*notYetError](err); ok {
		p.retry = later.from
	}
	if err != nil {
		return refused, err
	}
	p.value, p.has = value, true
	return taken, nil
}
