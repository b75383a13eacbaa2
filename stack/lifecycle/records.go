package lifecycle

import (
	"bytes"
	"slices"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// records continues the record of a stack's certificates. What was once recorded
// stays, so that somebody who sees a certificate can find out whose it was.
type records struct {
	issued   []stack.Issued
	material pki.Material // what is in force
	others   pki.Material // what will be or was, while CAs are replaced
	now      time.Time
}

// add records the certificate of a step, unless it was kept and is known.
func (r *records) add(step pki.Step) {
	made := step.Action != pki.Keep && step.Action != pki.Await
	if !made {
		step.Cause = causeImported
	}
	record := r.of(step)
	if known := slices.ContainsFunc(r.issued, record.Same); made || !known {
		r.issued = append(r.issued, record)
	}
}

// causeImported is why a certificate is there that no step made.
const causeImported = "imported"

// of is the record of a certificate that a step made.
func (r *records) of(step pki.Step) stack.Issued {
	kp := r.pair(step.Name)
	out := stack.Issued{
		Name: step.Name, IssuerKey: r.material.IssuerKey(kp), Serial: kp.Serial(), Fingerprint: pki.Fingerprint(kp.Cert),
		Cause: step.Cause, Made: r.now.UTC().Truncate(time.Second), NotAfter: kp.Cert.NotAfter.UTC(),
	}
	for _, ca := range r.material.CAs {
		if ca != kp && bytes.Equal(ca.Cert.RawSubject, kp.Cert.RawIssuer) {
			out.Issuer = pki.Generation(ca.Cert)
		}
	}
	return out
}

// pair returns the certificate in force for a name, nil for none.
func (r *records) pair(name string) *pki.KeyPair {
	if ca := r.material.CAs[name]; ca != nil {
		return ca
	}
	if leaf := r.material.Leaves[name]; leaf != nil && leaf.Cert != nil {
		return leaf
	}
	return nil
}

// closed returns the records, with the time for those whose certificate is not
// in force any more.
func (r *records) closed() []stack.Issued {
	out := slices.Clone(r.issued)
	for i := range out {
		inForce := holds(r.material, out[i]) || holds(r.others, out[i])
		switch {
		case inForce: // also one that was put back
			out[i].Removed = time.Time{}
		case out[i].Removed.IsZero():
			out[i].Removed = r.now.UTC().Truncate(time.Second)
		}
	}
	return out
}

// holds reports whether material has the certificate of a record.
func holds(m pki.Material, i stack.Issued) bool {
	kp := named(m, i.Name)
	return kp != nil && kp.Cert != nil && kp.Serial() == i.Serial
}

// usedSerials are the serial numbers of the record.
func (p prior) usedSerials() []pki.UsedSerial {
	if p.state == nil {
		return nil
	}
	var out []pki.UsedSerial
	for _, i := range p.state.Issued {
		key := i.IssuerKey
		if key == "" { // of an earlier version
			key = i.Issuer
		}
		out = append(out, pki.UsedSerial{IssuerKey: key, Serial: i.Serial, Name: i.Name, Fingerprint: i.Fingerprint})
	}
	return out
}
