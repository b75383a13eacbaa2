package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Action is what a step does.
type Action string

// The actions; the package documentation says what each means.
const (
	Keep    Action = "keep"
	Issue   Action = "issue"
	Renew   Action = "renew"
	Reissue Action = "reissue"
)

// Step is one line of what [Diff] finds: an action, what it is done to, and
// why.
type Step struct {
	Action Action
	Name   string // CAName, or the name of a leaf
	Cause  string // as "name build.lan is missing"
}

// Material is what there is. CA is nil, and a leaf is absent from the map, as
// long as there is none.
type Material struct {
	CA     *KeyPair
	Leaves map[string]*KeyPair // by the name in the plan
}

// Diff compares the plan with what there is and returns a step for the CA and
// for each leaf in the order of the plan, keep included. Leaves that are not in
// the plan are ignored.
//
// Where no step can help without replacing a key or the CA, Diff returns all
// the reasons joined and no steps: *[PlanError], *[CAError], *[CAExpiredError],
// *[ConstraintError], *[ForeignError], *[KeyTypeError], *[MismatchError].
func Diff(plan Plan, have Material, now time.Time) ([]Step, error) {
	if err := errors.Join(plan.problems()...); err != nil {
		return nil, err
	}
	errs := caProblems(have.CA, now)
	if have.CA != nil {
		errs = append(errs, keyTypeProblem("CA", have.CA, plan.CA.Key)...)
	}
	steps := []Step{caStep(have.CA)}
	for _, leaf := range plan.Leaves {
		errs = append(errs, constraintProblem(plan.CA, have.CA, leaf)...)
		errs = append(errs, leafProblems(leaf, have)...)
		steps = append(steps, leafStep(leaf, have, now))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return steps, nil
}

// caProblems lists what keeps an existing CA from signing.
func caProblems(ca *KeyPair, now time.Time) []error {
	if ca == nil {
		return nil
	}
	var errs []error
	add := func(problem string) {
		errs = append(errs, &CAError{Generation(ca.Cert), problem})
	}
	if !ca.matches() {
		errs = append(errs, &MismatchError{Name: "CA"})
	}
	if !ca.Cert.BasicConstraintsValid || !ca.Cert.IsCA {
		add("is not a CA certificate")
	}
	if ca.Cert.KeyUsage != 0 && ca.Cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		add("may not sign certificates (key usage)")
	}
	if !usableForBothRoles(ca.Cert) {
		add("is limited by an extended key usage, which binds all its leaves")
	}
	if now.Before(ca.Cert.NotBefore) {
		add("is not valid before " + date(ca.Cert.NotBefore) + " (it is " + date(now) + ")")
	}
	if now.After(ca.Cert.NotAfter) {
		errs = append(errs, &CAExpiredError{Generation(ca.Cert), ca.Cert.NotAfter, now})
	}
	return errs
}

// usableForBothRoles: the usages of a CA, if it has any, limit what its leaves
// are good for (facts P33).
func usableForBothRoles(ca *x509.Certificate) bool {
	if len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) == 0 {
		return true
	}
	var server, client bool
	for _, usage := range ca.ExtKeyUsage {
		server = server || usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny
		client = client || usage == x509.ExtKeyUsageClientAuth || usage == x509.ExtKeyUsageAny
	}
	return server && client
}

func keyTypeProblem(name string, kp *KeyPair, want KeyType) []error {
	if have := KeyTypeOf(kp.Cert.PublicKey); have != want {
		return []error{&KeyTypeError{Name: name, Have: have, Want: want}}
	}
	return nil
}

// constraintProblem holds a planned leaf against the CA that will sign it: the
// existing one, or else the planned one.
func constraintProblem(plan CAPlan, ca *KeyPair, leaf LeafPlan) []error {
	constraints, generation := plan.Constraints, ""
	if ca != nil {
		constraints, generation = ConstraintsOf(ca.Cert), Generation(ca.Cert)
	}
	if names := constraints.Uncovered(leaf.SANs); len(names) > 0 {
		return []error{&ConstraintError{CA: generation, Leaf: leaf.Title(), Names: names}}
	}
	return nil
}

// leafProblems lists what keeps an existing leaf from being kept or replaced.
func leafProblems(leaf LeafPlan, have Material) []error {
	kp := have.Leaves[leaf.Name]
	if kp == nil {
		return nil
	}
	var errs []error
	if !kp.matches() {
		errs = append(errs, &MismatchError{Name: leaf.Title()})
	}
	issuer := kp.Cert.Issuer.CommonName
	if have.CA == nil {
		errs = append(errs, &ForeignError{Leaf: leaf.Title(), Issuer: issuer})
	} else if !signedBy(kp.Cert, have.CA.Cert) {
		errs = append(errs, &ForeignError{Leaf: leaf.Title(), CA: Generation(have.CA.Cert), Issuer: issuer})
	}
	return append(errs, keyTypeProblem(leaf.Title(), kp, leaf.Key)...)
}

// signedBy looks at the signature alone. CheckSignatureFrom also minds the CA
// bit, whose absence is the CA's problem and not one of each leaf.
func signedBy(cert, ca *x509.Certificate) bool {
	return ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func caStep(ca *KeyPair) Step {
	if ca == nil {
		return Step{Issue, CAName, "there is none"}
	}
	return Step{Keep, CAName, "valid until " + date(ca.Cert.NotAfter)}
}

func leafStep(leaf LeafPlan, have Material, now time.Time) Step {
	kp := have.Leaves[leaf.Name]
	if kp == nil {
		return Step{Issue, leaf.Name, "there is none"}
	}
	if causes := changes(leaf, kp.Cert); len(causes) > 0 {
		return Step{Reissue, leaf.Name, strings.Join(causes, "; ")}
	}
	if cause := age(leaf, kp.Cert, have.CA, now); cause != "" {
		return Step{Renew, leaf.Name, cause}
	}
	return Step{Keep, leaf.Name, "valid until " + date(kp.Cert.NotAfter)}
}

// changes lists in what a leaf differs from its plan.
func changes(leaf LeafPlan, cert *x509.Certificate) []string {
	var causes []string
	add := func(format string, args ...any) { causes = append(causes, fmt.Sprintf(format, args...)) }
	have := SANsOf(cert)
	if missing := leaf.SANs.without(have); len(missing) > 0 {
		add("%s missing from the names", strings.Join(missing, ", "))
	}
	if extra := have.without(leaf.SANs); len(extra) > 0 {
		add("%s no longer among the names", strings.Join(extra, ", "))
	}
	if len(cert.EmailAddresses)+len(cert.URIs) > 0 {
		add("it has names that are no hosts")
	}
	if why := roleProblem(cert, leaf.Role); why != "" {
		add("%s", why)
	}
	if cn := cert.Subject.CommonName; cn != leaf.commonName() {
		add("its common name is %q, want %q", cn, leaf.commonName())
	}
	if life := cert.NotAfter.Sub(cert.NotBefore) - backdate; life > leaf.Validity.Truncate(time.Second) {
		add("it is valid for %s, want %s", span(life), span(leaf.Validity))
	}
	return causes
}

// age says why a leaf has to be renewed now, or "". The last third of a life is
// the time to do it, so that a stack that runs once a month still gets there.
func age(leaf LeafPlan, cert *x509.Certificate, ca *KeyPair, now time.Time) string {
	if now.Before(cert.NotBefore) {
		return "it is not valid before " + date(cert.NotBefore)
	}
	left := cert.NotAfter.Sub(now)
	life := cert.NotAfter.Sub(cert.NotBefore)
	if left > life/3 {
		return ""
	}
	// Near the end of the CA a new leaf would end with it, as this one does.
	if ca != nil {
		if _, end := leafDates(ca.Cert, leaf.Validity, now); !end.After(cert.NotAfter) {
			return ""
		}
	}
	if left < 0 {
		return "it has expired on " + date(cert.NotAfter)
	}
	return fmt.Sprintf("%s of %s left", span(left), span(life-backdate))
}

// span writes a duration in the largest unit that it has at least two of.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	default:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
}
