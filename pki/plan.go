package pki

import (
	"crypto/x509"
	"slices"
	"strconv"
	"time"
)

// Role is what a leaf is used for: its one extended key usage.
type Role string

// The roles. No leaf has both (facts P16 and P33): a server's key must not be
// good for posing as a client.
const (
	RoleServer Role = "server"
	RoleClient Role = "client"
)

// extKeyUsage returns the usage of the role, and false for an unknown role.
func (r Role) extKeyUsage() (x509.ExtKeyUsage, bool) {
	switch r {
	case RoleServer:
		return x509.ExtKeyUsageServerAuth, true
	case RoleClient:
		return x509.ExtKeyUsageClientAuth, true
	}
	return 0, false
}

// CAName is the name of the CA in a [Step]. No leaf may have it.
const CAName = "ca"

// CAPlan says what CA there has to be. An existing CA is never replaced, so
// name, validity and constraints matter only while there is none.
type CAPlan struct {
	Name        string // the stack's name, for the subject
	Key         KeyType
	Validity    time.Duration
	Constraints Constraints
}

// LeafPlan says what one leaf has to be.
type LeafPlan struct {
	Name       string // unique within the plan, as "registry"
	Role       Role
	CommonName string // the subject; the name if empty
	SANs       SANs   // of a server only; a client has none (facts P32)
	Key        KeyType
	Validity   time.Duration
}

// Title names the leaf in messages, as "registry server leaf".
func (l LeafPlan) Title() string {
	if l.Name == string(l.Role) {
		return l.Name + " leaf"
	}
	return l.Name + " " + string(l.Role) + " leaf"
}

func (l LeafPlan) commonName() string {
	if l.CommonName == "" {
		return l.Name
	}
	return l.CommonName
}

// Plan is the table of all certificates that there have to be.
type Plan struct {
	CA     CAPlan
	Leaves []LeafPlan
}

// maxCommonName is ub-common-name of RFC 5280, appendix A.1. Verifiers refuse
// longer ones.
const maxCommonName = 64

// problems lists everything that keeps the plan from being carried out by
// anybody, whatever material there is.
func (p Plan) problems() []error {
	errs := shapeProblems("CA", p.CA.Key, p.CA.Validity)
	errs = append(errs, p.CA.Constraints.problems()...)
	if p.CA.Name == "" {
		errs = append(errs, &PlanError{"CA", "has no name"})
	}
	var names []string
	for _, leaf := range p.Leaves {
		if leaf.Name == CAName || slices.Contains(names, leaf.Name) {
			errs = append(errs, &PlanError{leaf.Title(), "has a name that is taken"})
		}
		names = append(names, leaf.Name)
		errs = append(errs, leaf.problems()...)
	}
	return errs
}

func (l LeafPlan) problems() []error {
	errs := shapeProblems(l.Title(), l.Key, l.Validity)
	add := func(problem string) { errs = append(errs, &PlanError{l.Title(), problem}) }
	if l.Name == "" {
		add("has no name")
	}
	if len(l.commonName()) > maxCommonName {
		add("has a common name longer than 64 characters")
	}
	switch _, known := l.Role.extKeyUsage(); {
	case !known:
		add("has the unknown role " + strconv.Quote(string(l.Role)))
	case l.Role == RoleServer && l.SANs.Len() == 0:
		add("has no SANs, so no client could verify it")
	case l.Role == RoleClient && l.SANs.Len() > 0:
		add("has SANs, which name constraints would be held against")
	}
	return errs
}

func shapeProblems(subject string, key KeyType, validity time.Duration) []error {
	var errs []error
	if _, err := ParseKeyType(string(key)); err != nil {
		errs = append(errs, &PlanError{subject, err.Error()})
	}
	if validity < time.Minute {
		errs = append(errs, &PlanError{subject, "is valid for less than a minute"})
	}
	return errs
}
