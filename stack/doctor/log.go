package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/explain"
	"github.com/certyard/certyard/stack/lint"
)

// explained returns what a daemon's log says, in the words of the dictionary.
func explained(ctx context.Context, subject lint.Subject, c compose.Container, log string) (out []lint.Finding) {
	result, err := explain.Scan(ctx, strings.NewReader(log))
	if err != nil {
		return nil // a reader of memory does not fail
	}
	for _, m := range result.Messages {
		out = append(out, lint.Finding{
			Rule: ruleLog, Subject: subject, Object: c.Name,
			Problem: fmt.Sprintf("its log says %q (%d times): %s", m.Text, m.Count, m.Means),
			Mend:    "certyard explain " + m.ID,
		})
	}
	return out
}
