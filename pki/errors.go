package pki

import (
	"fmt"
	"strings"
	"time"
)

// SANError says why a text cannot be a SAN.
type SANError struct {
	Host string // as written
	Why  string // as "is a URL; want a host name or an IP address"
}

func (e *SANError) Error() string { return fmt.Sprintf("%q %s", e.Host, e.Why) }

// PlanError is one mistake in a plan, which is always the caller's.
type PlanError struct {
	Subject string // "CA", or the title of a leaf
	Problem string
}

func (e *PlanError) Error() string { return "planned " + e.Subject + " " + e.Problem }

// HalfError says that one half of a key pair is there and the other is not.
type HalfError struct {
	Name    string // as "CA"
	Half    string // what is missing: "key" or "certificate"
	Missing string // its file
	Present string // the file of the other half
}

func (e *HalfError) Error() string {
	return fmt.Sprintf("%s %s %s does not exist (%s does)", e.Name, e.Half, e.Missing, e.Present)
}

// MismatchError says that a key does not belong to the certificate beside it.
// The files are empty when the pair was not read from files.
type MismatchError struct {
	Name, CertFile, KeyFile string
}

func (e *MismatchError) Error() string {
	if e.CertFile == "" {
		return e.Name + " key does not belong to its certificate"
	}
	return fmt.Sprintf("%s key %s does not belong to certificate %s", e.Name, e.KeyFile, e.CertFile)
}

// ParseError says that a file of a key pair cannot be read.
type ParseError struct {
	Name, File string
	Err        error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("parsing %s %s: %v", e.Name, e.File, e.Err)
}

// Unwrap returns the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// CAExpiredError says that the CA can sign no more leaves that hold.
type CAExpiredError struct {
	Generation    string
	NotAfter, Now time.Time
}

func (e *CAExpiredError) Error() string {
	return fmt.Sprintf("CA %s has expired on %s (it is %s)", e.Generation, date(e.NotAfter), date(e.Now))
}

// CAEarlyError says that by the clock here the CA is not valid yet, so that nobody
// who looks at this clock accepts what it signs.
type CAEarlyError struct {
	Generation     string
	NotBefore, Now time.Time
}

func (e *CAEarlyError) Error() string {
	return fmt.Sprintf("CA %s is not valid before %s (it is %s)", e.Generation, date(e.NotBefore), date(e.Now))
}

// CAError says why a certificate cannot serve as the CA.
type CAError struct {
	Generation string
	Problem    string
}

func (e *CAError) Error() string { return "CA " + e.Generation + " " + e.Problem }

// ConstraintError says that the name constraints of the CA do not permit names
// of a leaf. Only another CA can help.
type ConstraintError struct {
	CA    string // generation of the existing CA, or "" for the planned one
	Leaf  string // title of the leaf
	Names []string
}

func (e *ConstraintError) Error() string {
	ca := "CA " + e.CA
	if e.CA == "" {
		ca = "planned CA"
	}
	return fmt.Sprintf("%s may not sign %s for %s", ca, strings.Join(e.Names, ", "), e.Leaf)
}

// ForeignError says that a leaf was not signed by the CA that is there, so
// somebody has swapped or removed one of the two.
type ForeignError struct {
	Leaf   string // title of the leaf
	CA     string // generation of the CA, or "" when there is none
	Issuer string // who the leaf says has signed it
}

func (e *ForeignError) Error() string {
	if e.CA == "" {
		return fmt.Sprintf("%s was signed by %q, but there is no CA", e.Leaf, e.Issuer)
	}
	return fmt.Sprintf("%s was not signed by CA %s (its issuer is %q)", e.Leaf, e.CA, e.Issuer)
}

// KeyTypeError says that an existing key is of another type than planned. Keys
// are never replaced, so the person has to choose which of the two is right.
type KeyTypeError struct {
	Name       string // "CA", or the title of a leaf
	Have, Want KeyType
}

func (e *KeyTypeError) Error() string {
	return fmt.Sprintf("%s has a key of type %s, want %s", e.Name, e.Have, e.Want)
}

// FindingsError says that what was issued does not pass [Verify].
type FindingsError struct {
	Findings []Finding
}

func (e *FindingsError) Error() string {
	var lines []string
	for _, f := range e.Findings {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "; ")
}

// MissingError says that a CA which comes from outside is not there.
type MissingError struct{ Name string }

func (e *MissingError) Error() string { return "there is no certificate of the " + e.Name }

// OfflineError says that a CA has to sign whose key was moved away.
type OfflineError struct {
	CA         string // as "CA"
	Generation string
	For        string // what it has to sign, as "issuing CA"
}

func (e *OfflineError) Error() string {
	text := fmt.Sprintf("%s %s has to sign the %s, and its key is not here", e.CA, e.Generation, e.For)
	if e.CA == TitleOfCA(CAName) {
		text += " (offline root)"
	}
	return text
}

// UnsignedError says that a leaf waits for its certificate from an external CA.
type UnsignedError struct {
	Leaf string // title of the leaf
	Why  string // as "there is none"
}

func (e *UnsignedError) Error() string {
	return fmt.Sprintf("%s has to be signed by the external CA: %s", e.Leaf, e.Why)
}

// LockedError says that a CA has to sign whose key is encrypted, without its
// passphrase.
type LockedError struct{ CA string }

func (e *LockedError) Error() string { return e.CA + " key is encrypted, and there is no passphrase" }

// keyless says why a CA cannot sign something: its key is encrypted, or it is not
// here at all.
func keyless(ca *KeyPair, title, what string) error {
	if ca.Locked() {
		return &LockedError{CA: title}
	}
	return &OfflineError{CA: title, Generation: Generation(ca.Cert), For: what}
}

// date is the form of a time in messages: fine enough to tell a wrong clock
// from an old file.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
