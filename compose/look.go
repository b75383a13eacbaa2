package compose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// loaded looks for the bundled image that an earlier load has left.
func (f finder) loaded(ctx context.Context) (Resolved, error) {
	return f.inspectImage(ctx, f.Exact, SourceBundled)
}

// Look returns an image that the engine has, and fetches nothing. Without one
// the error is [ErrNoImage].
func (e *Engine) Look(ctx context.Context, service, ref string) (Resolved, error) {
	source := SourcePresent
	if strings.HasPrefix(ref, bundledRepository) {
		source = SourceBundled
	}
	r, err := finder{Engine: e, Image: Image{Service: service}}.inspectImage(ctx, ref, source)
	if errors.Is(err, errAbsent) {
		err = fmt.Errorf("%w: %s", ErrNoImage, ref)
	}
	return r, err
}

// digestsOf returns those of an image's digests that the repository of a
// reference has: another one may be anybody's copy.
func digestsOf(ref string, digests []string) []string {
	want, err := reference.ParseNormalizedNamed(ref)
	if err != nil { // an ID
		return nil
	}
	var out []string
	for _, d := range digests {
		named, err := reference.ParseNormalizedNamed(d)
		if err == nil && named.Name() == want.Name() {
			out = append(out, reference.FamiliarString(named))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
