package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/certyard/certyard/compose"
	"github.com/certyard/certyard/stack/explain"
	"github.com/certyard/certyard/stack/lint"
)

// inEveryLog are the messages of which the log of a sound daemon is full: whoever
// is turned away, as a proof is on purpose, leaves one, and so does a client that
// turns away the daemon. What they may tell, a connection tells better.
var inEveryLog = []string{
	"build-failed", "ca-regenerated", "client-certificate-refused", "client-certificate-required", "client-certificate-unknown-ca", "client-refuses-server",
	"expired", "http-to-https", "incomplete-chain", "legacy-common-name", "no-ip-san", "not-yet-valid", "server-error", "tls-off-unix", "tls-version", "unauthorized", "unknown-authority", "wrong-name", "wrong-password",
}

// explained returns what a daemon's log says, in the words of the dictionary.
func explained(ctx context.Context, subject lint.Subject, c compose.Container, log string) (out []lint.Finding) {
	var said strings.Builder
	for line := range strings.Lines(log) {
		_, message, _ := strings.Cut(line, " | ") // before it the container's name
		said.WriteString(message)
	}
	result, err := explain.Scan(ctx, strings.NewReader(said.String()))
	if err != nil {
		return nil // a reader of memory does not fail
	}
	for _, m := range result.Messages {
		if slices.Contains(inEveryLog, m.ID) {
			continue
		}
		out = append(out, lint.Finding{
			Rule: ruleLog, Subject: subject, Object: c.Name,
			Problem: fmt.Sprintf("its log says %q (%d times): %s", m.Text, m.Count, m.Means),
			Mend:    "certyard explain " + m.ID,
		})
	}
	return out
}
