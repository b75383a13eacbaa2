package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/certyard/certyard/stack/state"
)

// patience is how long what has to be put back waits for another run that holds the
// lock: about as long as that one waits for the daemons.
const patience = time.Minute

// patient is a store whose lock is waited for. What does not hold must not last
// because somebody looks at it in that very moment.
type patient struct{ Store }

func (p patient) Lock(ctx context.Context) (func() error, error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		release, err := p.Store.Lock(ctx)
		if _, held := errors.AsType[*state.LockedError](err); !held {
			return release, err
		}
		select {
		case <-waiting.Done():
			return nil, cmp.Or(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
