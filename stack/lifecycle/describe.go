package lifecycle

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// describeAuthority says in one line who signs the servers' certificates, and
// which keys are written in another form.
func (dr *draft) describeAuthority() string {
	text := dr.describeCA()
	for _, how := range []rewrite{reencrypt, decrypt} {
		var names []string
		for _, ca := range dr.plan.CAs {
			if dr.rewritten[ca.Name] == how {
				names = append(names, ca.Title())
			}
		}
		if len(names) > 0 {
			text += fmt.Sprintf("; %s key of %s", how, strings.Join(names, ", "))
		}
	}
	return text
}

func (dr *draft) describeCA() string {
	root := dr.material.CAs[pki.CAName]
	if root == nil {
		return "none: the servers' certificates are self-signed, and every client trusts each of them"
	}
	verb := "kept"
	if action(dr.steps, pki.CAName) == pki.Issue {
		verb = "new"
	}
	switch dr.spec.PKI.Authority {
	case stack.AuthorityFiles:
		verb = "your"
	case stack.AuthorityExternal:
		verb = "external"
	case stack.AuthorityRemote:
		verb = "remote"
	}
	text := fmt.Sprintf("%s CA %s, %s, %s", verb, pki.Generation(root.Cert), lifeOf(root), maySign(root))
	if issuing := dr.material.CAs[pki.CAIssuing]; issuing != nil && root.Key == nil {
		text += fmt.Sprintf("; offline root, issuing CA %s", pki.Generation(issuing.Cert))
	} else if issuing != nil {
		text += fmt.Sprintf("; issuing CA %s", pki.Generation(issuing.Cert))
	}
	return text
}

func lifeOf(kp *pki.KeyPair) string {
	days := int(kp.Cert.NotAfter.Sub(kp.Cert.NotBefore).Hours() / 24)
	if years := days / 365; years > 1 {
		return fmt.Sprintf("%d years", years)
	}
	return fmt.Sprintf("%d days", days)
}

// maySign says what the constraints of a CA permit.
func maySign(ca *pki.KeyPair) string {
	c := pki.ConstraintsOf(ca.Cert)
	switch {
	case len(c.DNS) == 0 && len(c.IPs) == 0:
		return "may sign every name and address"
	case len(c.IPs) == 0:
		return "may sign " + abbreviate(c.DNS) + " and every address"
	case len(c.DNS) == 0:
		return "may sign every name, and some addresses"
	default:
		return "may sign " + abbreviate(c.DNS) + " and private addresses"
	}
}

// describeCertificates lists the leaves in one line.
func (dr *draft) describeCertificates() string {
	var parts []string
	kept := true
	for _, leaf := range dr.plan.Leaves {
		if leaf.Name == stack.LeafRemoved { // which nobody uses but the proof
			continue
		}
		part := leaf.Name
		if n := leaf.SANs.Len(); n > 0 {
			part += fmt.Sprintf(" %d names", n)
		}
		i := slices.IndexFunc(dr.steps, func(s pki.Step) bool { return s.Name == leaf.Name })
		switch step := dr.steps[i]; step.Action {
		case pki.Renew, pki.Reissue, pki.Await:
			part += fmt.Sprintf(" (%s: %s)", step.Action, step.Cause)
			kept = false
		case pki.Issue:
			kept = false
		}
		parts = append(parts, part)
	}
	text := fmt.Sprintf("%s; %s", strings.Join(parts, ", "), lifeOf(dr.material.Leaves[stack.LeafRegistry]))
	if early := dr.endEarly(); len(early) > 0 {
		text += fmt.Sprintf(" (ends with its CA: %s)", abbreviate(early))
	}
	if kept {
		text = "kept " + text
	}
	return text
}

// endEarly returns the leaves that end before the time that the spec wants,
// because a CA above them does: nobody accepts them longer.
func (dr *draft) endEarly() []string {
	var out []string
	for _, leaf := range dr.plan.Leaves {
		ca, cert := dr.material.CAs[leaf.Issuer], dr.material.Leaves[leaf.Name].Cert
		if ca == nil || cert.NotAfter.Sub(cert.NotBefore) >= leaf.Validity {
			continue
		}
		if slices.ContainsFunc(ca.Certs(), func(above *x509.Certificate) bool { return above.NotAfter.Equal(cert.NotAfter) }) {
			out = append(out, leaf.Name)
		}
	}
	return out
}
