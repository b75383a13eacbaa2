// Package pki makes and judges the certificates of a stack: the CAs, and the
// leaves that they sign.
//
// The package is pure: bytes and a time go in, bytes come out. It opens no file
// and no connection and never asks for the current time, so that every decision
// can be tried with any material at any moment. cfssl is in one file of it
// (authority.go); package remote speaks to cfssl's server.
//
// # Words
//
// A [Plan] is the table of what there has to be: a [CAPlan] for each CA and a
// [LeafPlan] for each leaf. [Material] is what there is. [Diff] compares the two and
// returns steps with their causes; [Apply] carries the steps out. The words of
// the steps:
//
//   - keep: nothing is done
//   - issue: there is none yet
//   - renew: the leaf is replaced because of its age, its key stays
//   - reissue: the leaf is replaced because the plan changed, its key stays
//   - await: an external CA has to sign; what is there is used while it holds
//
// An [Authority] signs leaves: a CA whose key is here ([Local]), or one that is
// somewhere else. Who has the key of a CA is its [Keyholder].
//
// A role is server or client. A SAN is a DNS name or an IP address that a leaf
// is valid for; see [SANs]. A [TrustBundle] is the list of CAs that a peer
// accepts. A [Finding] is one defect that [Verify] sees in a leaf.
//
// # Invariants
//
//   - No private key is ever replaced, and no CA unless the plan says so. Where
//     only that would help, Diff returns an error and no steps.
//   - What an authority returns is verified like anything else. What is signed
//     here passes zlint's RFC 5280 lints too.
//   - What Apply returns has passed Verify.
//   - A leaf never outlives its CA, and serves one role only.
//   - A client leaf has no SANs: Go's verifier would hold them against the name
//     constraints of the CA (facts P32).
//   - Common names identify for people. No verifier relies on them.
//
// Every function of the package is safe to call from several goroutines at
// once, and no value of the package changes after it was made.
package pki
