package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
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
	Await   Action = "await"
)

// Step is one line of what [Diff] finds: an action, what it is done to, and
// why.
type Step struct {
	Action Action
	Name   string // of a CA or a leaf
	Cause  string // as "name build.lan is missing"
}

// Material is what there is, by the names of the plan. What does not exist is
// not in the maps. A leaf without a certificate is a key that waits for one.
type Material struct {
	CAs    map[string]*KeyPair
	Leaves map[string]*KeyPair
	// Cross leads from older roots to this one: the root's certificate as the
	// root before it has signed it, then that one's as the root before that has,
	// and so on; empty where that could not be. Servers send the first, so that
	// a client which has missed the new root goes on accepting them. For one
	// that has missed more, see [Material.Bridge].
	Cross []*x509.Certificate
	// Used are serial numbers that leaves had before.
	Used []UsedSerial
}

// Diff compares the plan with what there is and returns a step for each CA and
// for each leaf in the order of the plan, keep included. Leaves that are not in
// the plan are ignored.
//
// Where no step can help without replacing a key or a CA, Diff returns all
// the reasons joined and no steps: *[PlanError], *[CAError], *[CAEarlyError],
// *[CAExpiredError], *[ConstraintError], *[ForeignError], *[KeyTypeError],
// *[MismatchError], *[MissingError], *[OfflineError].
func Diff(plan Plan, have Material, now time.Time) ([]Step, error) {
	if err := errors.Join(plan.problems()...); err != nil {
		return nil, err
	}
	d := differ{plan: plan, have: have, now: now}
	for _, ca := range plan.CAs {
		d.ca(ca)
	}
	for _, leaf := range plan.Leaves {
		d.leaf(leaf)
	}
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return d.steps, nil
}

// Signers returns the names of the CAs that have to sign for the steps to be
// carried out, each once. A new CA that signs itself is not one of them.
func Signers(plan Plan, steps []Step) []string {
	issuers := map[string]string{}
	for _, ca := range plan.CAs {
		issuers[ca.Name] = ca.Issuer
	}
	for _, leaf := range plan.Leaves {
		issuers[leaf.Name] = leaf.Issuer
	}
	var out []string
	for _, step := range steps {
		signs := step.Action != Keep && step.Action != Await
		if name := issuers[step.Name]; signs && name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// differ collects steps and problems, so that all of them are reported at once.
type differ struct {
	plan  Plan
	have  Material
	now   time.Time
	steps []Step
	errs  []error
}

func (d *differ) problem(errs ...error) { d.errs = append(d.errs, errs...) }

// signer returns the CA that will sign for a name, nil for one that is yet to
// be made or for a leaf that signs itself.
func (d *differ) signer(name string) *KeyPair {
	if ca, _ := d.plan.ca(name); ca.Replace != "" {
		return nil
	}
	return d.have.CAs[name]
}

func (d *differ) ca(plan CAPlan) {
	have := d.have.CAs[plan.Name]
	step := caStep(plan, have)
	d.steps = append(d.steps, step)
	if step.Action == Issue {
		d.canSign(plan.Issuer, plan.Title())
		return
	}
	if have == nil {
		d.problem(&MissingError{Name: plan.Title()})
		return
	}
	if plan.Keyholder == KeyGiven || plan.Keyholder == KeyExternal {
		if errs := arrivalProblems(plan, have); len(errs) > 0 {
			d.problem(errs...) // what follows from them says less
			return
		}
	}
	d.problem(caProblems(have, d.plan.rolesBelow(plan.Name), d.now)...)
	if plan.Keyholder == KeyHere {
		d.problem(keyTypeProblem(plan.Title(), have, plan.Key)...)
	}
	if parent := d.have.CAs[plan.Issuer]; parent != nil && !signedBy(have.Cert, parent.Cert) {
		d.problem(&ForeignError{Leaf: plan.Title(), CA: Generation(parent.Cert), Issuer: have.Cert.Issuer.CommonName})
	}
}

// canSign notes a CA that would have to sign, but whose key was moved away.
func (d *differ) canSign(issuer, title string) {
	ca, _ := d.plan.ca(issuer)
	if have := d.signer(issuer); have != nil && !have.hasKey() && ca.Keyholder == KeyHere {
		d.problem(&OfflineError{CA: ca.Title(), Generation: Generation(have.Cert), For: title})
	}
}

func (d *differ) leaf(leaf LeafPlan) {
	d.problem(d.constraintProblem(leaf)...)
	d.problem(d.leafProblems(leaf)...)
	step := d.leafStep(leaf)
	if ca, _ := d.plan.ca(leaf.Issuer); step.Action != Keep {
		if ca.Keyholder == KeyExternal {
			step.Action = Await
		}
		d.canSign(leaf.Issuer, leaf.Title())
	}
	d.steps = append(d.steps, step)
}

func keyTypeProblem(name string, kp *KeyPair, want KeyType) []error {
	if have := KeyTypeOf(kp.public()); have != want {
		return []error{&KeyTypeError{Name: name, Have: have, Want: want}}
	}
	return nil
}

// constraintProblem holds a planned leaf against the CA that will sign it: the
// existing one, or else the planned one.
func (d *differ) constraintProblem(leaf LeafPlan) []error {
	ca, ok := d.plan.ca(leaf.Issuer)
	if !ok { // self-signed: nobody constrains it
		return nil
	}
	have := d.signer(leaf.Issuer)
	if have == nil {
		if names := ca.Constraints.Uncovered(leaf.SANs); len(names) > 0 {
			return []error{&ConstraintError{Leaf: leaf.Title(), Names: names}}
		}
		return nil
	}
	for _, cert := range have.Certs() {
		if names := ConstraintsOf(cert).Uncovered(leaf.SANs); len(names) > 0 {
			return []error{&ConstraintError{CA: Generation(cert), Leaf: leaf.Title(), Names: names}}
		}
	}
	return nil
}

// leafProblems lists what keeps an existing leaf from being kept or replaced.
func (d *differ) leafProblems(leaf LeafPlan) []error {
	kp := d.have.Leaves[leaf.Name]
	if kp == nil {
		return nil
	}
	errs := keyTypeProblem(leaf.Title(), kp, leaf.Key)
	if kp.Cert == nil {
		return errs
	}
	if !kp.matches() {
		errs = append(errs, &MismatchError{Name: leaf.Title()})
	}
	if !d.known(kp) {
		foreign := &ForeignError{Leaf: leaf.Title(), Issuer: kp.Cert.Issuer.CommonName}
		if ca := d.have.CAs[leaf.Issuer]; ca != nil {
			foreign.CA = Generation(ca.Cert)
		}
		errs = append(errs, foreign)
	}
	return errs
}

// known reports whether a leaf was signed by a CA that is here, or by itself.
// Anything else was put there by somebody.
func (d *differ) known(kp *KeyPair) bool {
	for _, ca := range d.have.CAs {
		if under(kp, ca.Certs()) {
			return true
		}
	}
	return signedBy(kp.Cert, kp.Cert)
}

// comesFrom reports whether a leaf is one of the CA's. Others may sign with any
// CA below the one that we know, or below its root.
func comesFrom(plan CAPlan, ca, kp *KeyPair) bool {
	if plan.Keyholder == KeyExternal || plan.Keyholder == KeyRemote {
		return under(kp, ca.Certs())
	}
	return signedBy(kp.Cert, ca.Cert)
}

// under reports whether one of the issuers has signed a leaf or one of the
// certificates that it sends along.
func under(kp *KeyPair, issuers []*x509.Certificate) bool {
	for _, cert := range kp.Certs() {
		if slices.ContainsFunc(issuers, func(issuer *x509.Certificate) bool { return signedBy(cert, issuer) }) {
			return true
		}
	}
	return false
}

// signedBy looks at the signature alone. CheckSignatureFrom also minds the CA
// bit, whose absence is the CA's problem and not one of each leaf.
func signedBy(cert, ca *x509.Certificate) bool {
	return ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// issuedBy reports whether a CA has signed a certificate under its own name, as
// every verifier wants it. The names are compared first: a signature costs a
// thousand times as much, and there may be many certificates.
func issuedBy(cert, ca *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, ca.RawSubject) && signedBy(cert, ca)
}

func caStep(plan CAPlan, have *KeyPair) Step {
	switch {
	case have == nil && plan.Keyholder == KeyHere:
		return Step{Issue, plan.Name, "there is none"}
	case have == nil:
		return Step{Keep, plan.Name, "comes from outside"}
	case plan.Replace != "":
		return Step{Issue, plan.Name, plan.Replace}
	default:
		return Step{Keep, plan.Name, "valid until " + date(have.Cert.NotAfter)}
	}
}

func (d *differ) leafStep(leaf LeafPlan) Step {
	kp := d.have.Leaves[leaf.Name]
	if kp == nil || kp.Cert == nil {
		return Step{Issue, leaf.Name, "there is none"}
	}
	if cause := d.otherCA(leaf, kp); cause != "" {
		return Step{Reissue, leaf.Name, cause}
	}
	if causes := d.changes(leaf, kp.Cert); len(causes) > 0 {
		return Step{Reissue, leaf.Name, strings.Join(causes, "; ")}
	}
	if leaf.Renew != "" {
		return Step{Renew, leaf.Name, leaf.Renew}
	}
	if cause := age(leaf, kp.Cert, d.signer(leaf.Issuer), d.now); cause != "" {
		return Step{Renew, leaf.Name, cause}
	}
	return Step{Keep, leaf.Name, "valid until " + date(kp.Cert.NotAfter)}
}

// otherCA says why a leaf that one of our CAs has signed needs another one.
func (d *differ) otherCA(leaf LeafPlan, kp *KeyPair) string {
	cert := kp.Cert
	if leaf.Issuer == "" {
		if !signedBy(cert, cert) {
			return "it is to be self-signed"
		}
		return ""
	}
	plan, _ := d.plan.ca(leaf.Issuer)
	have := d.signer(leaf.Issuer)
	switch {
	case plan.Replace != "":
		return "its CA is replaced: " + plan.Replace
	case have == nil:
		return "it is to be signed by a new " + plan.Title()
	case !comesFrom(plan, have, kp):
		return "it is to be signed by the " + plan.Title()
	default:
		return ""
	}
}
