package explain

import (
	"strings"
	"testing"
)

// TestBelow: what a daemon prints below its cause counts alone, and not beside it.
func TestBelow(t *testing.T) {
	const cause, below = "buildkitd: tls: private key does not match public key", "could not load server key pair"
	for text, want := range map[string]string{
		below:                "key-pair",
		cause + "\n" + below: "key-mismatch",
		cause + strings.Repeat("\nmain.main", nearLines-1) + "\n" + below: "key-mismatch",
		cause + strings.Repeat("\nmain.main", nearLines) + "\n" + below:   "key-mismatch key-pair",
		below + "\n" + cause: "key-pair key-mismatch",
	} {
		if got := ids(text); got != want {
			t.Errorf("%q: found %s, want %s", text, got, want)
		}
	}
}

// TestWraps: of texts that only wrap, the one nearest to the cause is left.
func TestWraps(t *testing.T) {
	for text, want := range map[string]string{
		"ERROR: failed to solve: failed to push r:5000/x: unexpected status from HEAD request to https://r:5000/v2/: 500 Internal Server Error": "server-error",
		"ERROR: failed to solve: failed to push r:5000/x: no such host":                                                                         "no-such-host",
		"ERROR: failed to solve: x": "build-failed",
	} {
		if got := ids(text); got != want {
			t.Errorf("%q: found %s, want %s", text, got, want)
		}
	}
}

// ids are those of the messages of a text.
func ids(text string) string {
	var out []string
	for _, m := range Match(text) {
		out = append(out, m.ID)
	}
	return strings.Join(out, " ")
}
