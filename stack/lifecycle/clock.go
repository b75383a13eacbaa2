package lifecycle

import (
	"fmt"
	"time"

	"github.com/certyard/certyard/stack"
)

// maxSkew is by how much new certificates are dated back. A peer whose clock is
// further behind would not accept them yet.
const maxSkew = 5 * time.Minute

// ClockError says that the registry's clock and the one here differ.
type ClockError struct{ Here, There time.Time }

func (e *ClockError) Error() string {
	ahead := e.Here.Sub(e.There).Round(time.Second)
	which := "ahead of"
	if ahead < 0 {
		which = "behind"
	}
	return fmt.Sprintf("the clock here (%s) is %s %s the registry's (%s)", e.Here.UTC().Format("15:04:05 UTC"), ahead.Abs(), which, e.There.UTC().Format("15:04:05 UTC"))
}

// checkClock holds the time here against what the registry has told in a proof
// that was just made: certificates are made with the one, and judged with others.
func checkClock(report stack.Report, now time.Time) error {
	for _, c := range report.Checks {
		if there := c.Evidence.Date; there != nil && now.Sub(*there).Abs() > maxSkew {
			return &ClockError{Here: now, There: *there}
		}
	}
	return nil
}
