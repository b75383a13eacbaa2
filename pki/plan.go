package pki

import (
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
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

// Names of the CAs of a stack. No leaf may have one of them.
const (
	// CAName is the CA that clients of the servers trust: the root.
	CAName = "ca"
	// CAIssuing signs the servers' leaves below a root of its own.
	CAIssuing = "issuing-ca"
	// CAClient is the CA of client certificates. It is a CA of its own, so
	// that it can be replaced without a change to what clients trust.
	CAClient = "client-ca"
)

// Keyholder says who has the key of a CA, and so who signs.
type Keyholder string

// The keyholders.
const (
	KeyHere     Keyholder = ""         // made here, if there is none
	KeyGiven    Keyholder = "given"    // certificate and key come from the user
	KeyExternal Keyholder = "external" // signed by people: requests go out, certificates come in
	KeyRemote   Keyholder = "remote"   // signed by a service, through an [Authority]
)

// CAPlan says what CA there has to be. An existing CA is kept unless Replace
// says otherwise, so the other fields matter only while there is none.
type CAPlan struct {
	Name        string // CAName, CAIssuing or CAClient
	Stack       string // for the subject
	Issuer      string // the CA that signs it; "" = itself
	Key         KeyType
	Validity    time.Duration
	Constraints Constraints
	Keyholder   Keyholder
	Generation  int // for the subject; 0 means 1
	// Replace is why a new CA takes the place of the one that is there, ""
	// to keep that one.
	Replace string
	// Cross has a root that is replaced sign the new one, where its key is
	// here and it may sign every name of the leaves: see [Material.Cross].
	Cross bool
}

// Title names the CA in messages, as "client CA".
func (c CAPlan) Title() string { return TitleOfCA(c.Name) }

// TitleOfCA names a CA in messages: "CA", "issuing CA" or "client CA".
func TitleOfCA(name string) string {
	if name == CAName {
		return "CA"
	}
	return strings.TrimSuffix(name, "-ca") + " CA"
}

// LeafPlan says what one leaf has to be.
type LeafPlan struct {
	Name       string // unique within the plan, as "registry"
	Role       Role
	Issuer     string // the CA that signs it; "" = itself: a self-signed server
	CommonName string // the subject; the name if empty
	SANs       SANs   // of a server only; a client has none (facts P32)
	Key        KeyType
	Validity   time.Duration
	// Renew is why the leaf is renewed though its age does not ask for it, ""
	// for no reason.
	Renew string
	// Keep has the leaf not renewed for its age as long as it is valid.
	Keep bool
	// Within renews the leaf when less than that is left of its life, where
	// that is more than the last third of it.
	Within time.Duration
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

// Plan is the table of all certificates that there have to be. A CA stands
// after the one that signs it.
type Plan struct {
	CAs    []CAPlan
	Leaves []LeafPlan
}

// ca returns the plan of a CA, and whether there is one of that name.
func (p Plan) ca(name string) (CAPlan, bool) {
	i := slices.IndexFunc(p.CAs, func(c CAPlan) bool { return c.Name == name })
	if i < 0 {
		return CAPlan{}, false
	}
	return p.CAs[i], true
}

// maxCommonName is ub-common-name of RFC 5280, appendix A.1. Verifiers refuse
// longer ones.
const maxCommonName = 64

// problems lists everything that keeps the plan from being carried out by
// anybody, whatever material there is.
func (p Plan) problems() []error {
	var errs []error
	var names []string
	for _, ca := range p.CAs {
		errs = append(errs, ca.problems(names)...)
		names = append(names, ca.Name)
	}
	cas := slices.Clone(names)
	for _, leaf := range p.Leaves {
		if slices.Contains(names, leaf.Name) {
			errs = append(errs, &PlanError{leaf.Title(), "has a name that is taken"})
		}
		names = append(names, leaf.Name)
		errs = append(errs, leaf.problems(cas)...)
	}
	return errs
}

// problems lists what is wrong with a CA that is planned after the given ones.
func (c CAPlan) problems(before []string) []error {
	errs := shapeProblems(c.Title(), c.Key, c.Validity)
	errs = append(errs, c.Constraints.problems()...)
	add := func(problem string) { errs = append(errs, &PlanError{c.Title(), problem}) }
	if c.Stack == "" {
		add("has no name")
	}
	if !slices.Contains([]string{CAName, CAIssuing, CAClient}, c.Name) {
		add("has the unknown name " + strconv.Quote(c.Name))
	}
	if slices.Contains(before, c.Name) {
		add("is there twice")
	}
	if c.Issuer != "" && !slices.Contains(before, c.Issuer) {
		add("has the unknown issuer " + strconv.Quote(c.Issuer))
	}
	return errs
}

func (l LeafPlan) problems(cas []string) []error {
	errs := shapeProblems(l.Title(), l.Key, l.Validity)
	add := func(problem string) { errs = append(errs, &PlanError{l.Title(), problem}) }
	if l.Name == "" {
		add("has no name")
	}
	if len(l.commonName()) > maxCommonName {
		add("has a common name longer than 64 characters")
	}
	switch {
	case l.Issuer == "" && l.Role == RoleClient:
		add("is self-signed, which no server can verify")
	case l.Issuer != "" && !slices.Contains(cas, l.Issuer):
		add("has the unknown issuer " + strconv.Quote(l.Issuer))
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
