package pki

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// IssueEach issues a new key pair for each leaf, on all cores, and gives each to
// yield as soon as it is verified: in any order, one at a time. It holds no more
// of them than there are cores, so the number of leaves does not matter. The
// first error, also one that yield returns, ends it; what was given to yield
// before stays given.
func IssueEach(ctx context.Context, ca *KeyPair, leaves iter.Seq[LeafPlan], now time.Time, yield func(LeafPlan, *KeyPair) error) error {
	parent := ctx
	group, ctx := errgroup.WithContext(parent)
	group.SetLimit(runtime.GOMAXPROCS(0))
	authority, trust := Local(ca), NewTrustBundle(ca.Anchor())
	var one sync.Mutex
	for leaf := range leaves {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			kp, err := issueOne(ctx, authority, trust, leaf, now)
			if err != nil {
				return fmt.Errorf("issuing %s: %w", leaf.Title(), err)
			}
			one.Lock()
			defer one.Unlock()
			if err := ctx.Err(); err != nil {
				return err
			}
			return yield(leaf, kp)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return parent.Err()
}

func issueOne(ctx context.Context, authority Authority, trust TrustBundle, leaf LeafPlan, now time.Time) (*KeyPair, error) {
	if errs := leaf.problems([]string{leaf.Issuer}); len(errs) > 0 {
		return nil, errs[0]
	}
	kp, request, err := Prepare(leaf, nil, now)
	if err != nil {
		return nil, err
	}
	if kp, err = complete(ctx, authority, kp, request); err != nil {
		return nil, err
	}
	if findings := Verify(kp, trust, Want{leaf.Role, leaf.SANs}, now); len(findings) > 0 {
		return nil, &FindingsError{findings}
	}
	return kp, nil
}
