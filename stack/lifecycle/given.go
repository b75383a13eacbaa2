package lifecycle

import (
	"errors"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// GivenCAError says what is wrong with a CA whose files the user has: nothing
// that could be restored or removed here.
type GivenCAError struct {
	CertFile, KeyFile string // KeyFile is "" where only the certificate is given
	Err               error
}

func (e *GivenCAError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *GivenCAError) Unwrap() error { return e.Err }

// ofGiven marks those of the problems that are about the user's CA.
func ofGiven(spec stack.PKISpec, err error) error {
	if err == nil || spec.CACert == "" {
		return err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, part := range joined.Unwrap() {
			errs = append(errs, ofGiven(spec, part))
		}
		return errors.Join(errs...)
	}
	if aboutCA(err) {
		return &GivenCAError{CertFile: spec.CACert, KeyFile: spec.CAKey, Err: err}
	}
	return err
}

// aboutCA reports whether a problem is one of the root, or of what it may sign.
func aboutCA(err error) bool {
	switch e := err.(type) {
	case *pki.CAError, *pki.CAEarlyError, *pki.CAExpiredError, *pki.ConstraintError:
		return true
	case *pki.MismatchError:
		return e.Name == pki.TitleOfCA(pki.CAName)
	case *pki.ParseError:
		return e.Name == pki.TitleOfCA(pki.CAName)
	default:
		return false
	}
}
