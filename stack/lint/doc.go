// Package lint judges the files that people write for buildkitd, the registry and
// Compose, and the certificates beside them: bytes in, findings out. What those
// programs ignore, misread or take for something weaker than it looks is told
// with its line, what comes of it, and the corrected lines where they are certain.
//
// The package is pure: it reads no file and dials nobody, and its functions are
// safe to call in parallel. The configs are decoded by the types of the programs
// that read them. (P-numbers are those of the project's notes on BuildKit, the
// registry and Go's TLS.)
//
// A [Rule] is a statement about a file, and data: who shows a list of rules and
// who runs them read the same rows. A [Finding] is one place where a rule is
// broken. Where one finding is the cause of others, the rules of those name it in
// Needs, and [Causes] leaves only the cause.
package lint
