package stack

import "time"

// Hop is one leg of the way from a client to the registry.
type Hop string

// The hops that a proof covers, in the order in which they are reported.
const (
	HopHostRegistry    Hop = "host -> registry"
	HopHostBuilder     Hop = "host -> builder"
	HopBuilderRegistry Hop = "builder -> registry"
)

// Outcome is how a check ended.
type Outcome string

const (
	// Holds: what must work works, or what must be refused is refused for
	// the right reason.
	Holds Outcome = "holds"
	// Fails: the check ran and its statement is not true.
	Fails Outcome = "fails"
	// Skipped: not run, because a check that it needs fails.
	Skipped Outcome = "skipped"
)

// Reason says in one word why a check fails; hints are keyed on it. The words
// are part of the JSON contract.
type Reason string

const (
	ReasonUnreachable   Reason = "unreachable"    // nothing answers: connection refused or timed out
	ReasonPlaintext     Reason = "plaintext"      // the server speaks without TLS
	ReasonUntrusted     Reason = "untrusted"      // not signed by an accepted CA
	ReasonName          Reason = "name"           // the certificate does not hold the name
	ReasonExpired       Reason = "expired"        // expired or not yet valid
	ReasonStale         Reason = "stale"          // another certificate is served than the file holds
	ReasonProtocol      Reason = "protocol"       // wrong TLS version or ALPN
	ReasonUnauthorized  Reason = "unauthorized"   // the password or the client certificate is refused
	ReasonAccepted      Reason = "accepted"       // something was let in that must be refused
	ReasonBuild         Reason = "build"          // the smoke build did not run
	ReasonContent       Reason = "content"        // what came back is not what was sent
	ReasonDrift         Reason = "drift"          // a file is not what certyard wrote
	ReasonUnexpected    Reason = "unexpected"     // refused or broken for another reason than the one probed
	ReasonNotApplicable Reason = "not-applicable" // skipped because of another check
)

// Evidence is what a probe saw. Empty fields were not seen.
type Evidence struct {
	Serial     string     `json:"serial,omitempty"`      // of the peer's certificate, hexadecimal
	Issuer     string     `json:"issuer,omitempty"`      // common name of its issuer
	NotAfter   *time.Time `json:"not_after,omitempty"`   // its expiry
	TLSVersion string     `json:"tls_version,omitempty"` // as "TLS 1.3"
	ALPN       string     `json:"alpn,omitempty"`
	HTTPStatus int        `json:"http_status,omitempty"`
	Date       *time.Time `json:"date,omitempty"`   // what time it is for the peer, to the second
	Digest     string     `json:"digest,omitempty"` // of a manifest that was pushed or read
	Version    string     `json:"version,omitempty"`
	Platform   string     `json:"platform,omitempty"`
	Answer     string     `json:"answer,omitempty"` // the refusal, in the peer's or verifier's words
}

// Check is one statement about the stack and whether it is true.
type Check struct {
	ID       string        `json:"id"`               // stable, as "registry.tls:localhost"
	Hop      Hop           `json:"hop"`              // which leg it speaks of
	Target   string        `json:"target,omitempty"` // what was dialled, as host:port
	Title    string        `json:"title"`            // the statement, as "plain HTTP is refused"
	Outcome  Outcome       `json:"outcome"`
	Reason   Reason        `json:"reason,omitempty"` // only when it does not hold
	Error    string        `json:"error,omitempty"`  // only when it does not hold; never a secret
	Evidence Evidence      `json:"evidence"`
	Took     time.Duration `json:"took_ns"`
}

// Report is the result of a proof.
type Report struct {
	Checks []Check `json:"checks"`
}

// Held returns how many checks hold and how many there are.
func (r Report) Held() (held, total int) {
	for _, c := range r.Checks {
		if c.Outcome == Holds {
			held++
		}
	}
	return held, len(r.Checks)
}

// OK reports whether there is at least one check and every one holds.
func (r Report) OK() bool {
	held, total := r.Held()
	return total > 0 && held == total
}

// Failed returns the checks that do not hold, in order. Skipped ones are left
// out: what they wait for is in the list.
func (r Report) Failed() []Check {
	var out []Check
	for _, c := range r.Checks {
		if c.Outcome == Fails {
			out = append(out, c)
		}
	}
	return out
}
